"""What the page asks for: photographs are sent here, worked on, looked at and fetched.

A route is a few lines: it reads what is sent, and leaves the rest to `album`, `jobs` and `work`. Another kind of work
is one more route, which gives `Desk.submit` what is to be done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.imaging.hints import KnownColours, hints_from_picture
from scoreinv.imaging.masks import hole_from_picture
from scoreinv.options import SEED, SENSITIVITY, USUAL_SENSITIVITY
from scoreinv.tasks.results import TaskCallback
from scoreinv.tasks.settings import ColourSettings, FillSettings, OldPhotoSettings
from scoreinv.web.album import Album, GoneError, Photo
from scoreinv.web.bodies import MOST_BYTES, Reading, Uploads
from scoreinv.web.guard import Access, Guard
from scoreinv.web.jobs import BusyError, Desk, Job
from scoreinv.web.pages import page_files
from scoreinv.web.words import sentence
from scoreinv.web.work import SAMPLES, Models, Work, colouring, filling, finding, restoring

_THREADS = 2
"""Photographs that are shown or written at the same time: each takes several times its own memory."""
_MASK, _STROKES = "the mask", "the strokes of colour"
"""Their names in messages."""
_STATUS = {GoneError: 404, BusyError: 503, InputError: 422}


def _sampling(
    samples: Annotated[int, Query(ge=SAMPLES.least, le=SAMPLES.most)] = 1,
    seed: Annotated[int, Query(ge=SEED.least, le=SEED.most)] = 0,
) -> FillSettings:
    return FillSettings(samples=samples, seed=seed)


Sampling = Annotated[FillSettings, Depends(_sampling)]
Sensitivity = Annotated[float, Query(ge=SENSITIVITY.least, le=SENSITIVITY.most)]
Content = Annotated[bytes, Depends(Uploads())]


def make_app(models: Models, access: Access, desk: Desk) -> ASGIApp:
    """The application, which holds its photographs until it ends, and then closes the desk."""
    album, reading = Album(), Reading()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = _THREADS
        yield
        await run_in_threadpool(desk.close)

    # Without the pages that explain the routes: their scripts come from another host.
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.exception_handler(ScoreinvError)(_failed)
    app.exception_handler(AnyHTTPException)(_refused)
    app.exception_handler(RequestValidationError)(_misused)
    app.exception_handler(ClientDisconnect)(_hung_up)
    app.exception_handler(Exception)(_failed)
    _add_page(app)
    _add_photos(app, album, desk, reading)
    _add_work(app, album, desk, models, reading)
    _add_jobs(app, desk)
    return Guard(app, access)  # around all of it: Starlette answers unexpected errors outside of its middleware


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    async def index() -> Response:
        return await file("index.html")

    @app.get("/static/{name}")
    async def file(name: str) -> Response:
        if name not in page_files():
            raise HTTPException(404, "There is no such page.")
        kind, content = page_files()[name]
        return Response(content, media_type=kind)


def _add_photos(app: FastAPI, album: Album, desk: Desk, reading: Reading) -> None:
    @app.get("/api/limits")
    async def limits() -> dict[str, int]:
        """What need not be sent, since it would be refused."""
        return {"bytes": MOST_BYTES}

    @app.post("/api/photos", status_code=201)
    async def open_photo(content: Content, name: str = "photo") -> dict[str, Any]:
        photo = await reading(Photo.read, name, content)
        album.add(photo)
        desk.expect()
        return photo.describe()

    @app.get("/api/photos/{key}")
    async def describe(key: str) -> dict[str, Any]:
        return album.get(key).describe()

    @app.get("/api/photos/{key}/view")
    def view(key: str) -> Response:
        kind, content = album.get(key).view()
        return Response(content, media_type=kind)

    @app.get("/api/photos/{key}/file")
    def download(key: str, kind: str) -> Response:
        name, content = album.get(key).file(kind)
        named = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
        return Response(content, media_type="application/octet-stream", headers=named)

    @app.post("/api/photos/{key}/mask")
    async def read_mask(key: str, content: Content) -> Response:
        """The holes of a mask file, a bit each, row by row, with the first of eight the highest."""
        photo = album.get(key)
        mask = await reading(Photo.read, _MASK, content, photo.picture.size)
        return _bits(await run_in_threadpool(_hole, photo, mask))

    @app.get("/api/photos/{key}/bits")
    def bits(key: str) -> Response:
        """The same of a mask that was found here, or sent as a layer."""
        mask = album.get(key)
        return _bits(_hole(mask, mask))

    @app.post("/api/photos/{key}/layers", status_code=201)
    async def hold_layer(key: str, content: Content, beside: str | None = None) -> dict[str, str]:
        """A mask or strokes of colour, held to be named where work is asked for; `beside` a layer that was sent before.

        What belongs together stays together, however much it takes.
        """
        photo = album.get(key)
        layer = await reading(Photo.read, "the layer", content, photo.picture.size)
        earlier = [album.get(beside)] if beside else []
        album.add(photo, *earlier, layer)
        return {"key": layer.key}


def _add_work(app: FastAPI, album: Album, desk: Desk, models: Models, reading: Reading) -> None:
    def begun(work: Work) -> dict[str, str]:
        def whole(report: TaskCallback) -> dict[str, Any]:
            made = work(report)
            album.add(*made.photos)
            return {"photos": [photo.describe() for photo in made.photos], "note": made.note}

        return {"job": desk.submit(whole).key}

    @app.post("/api/photos/{key}/damage", status_code=202)
    async def damage(key: str, sensitivity: Sensitivity = USUAL_SENSITIVITY) -> dict[str, str]:
        return begun(finding(album.get(key), models, sensitivity))

    @app.post("/api/photos/{key}/fill", status_code=202)
    async def fill(key: str, mask: str, sampling: Sampling) -> dict[str, str]:
        photo = album.get(key)
        hole = await run_in_threadpool(_hole, photo, album.get(mask))
        return begun(filling(photo, hole, models, sampling))

    @app.post("/api/photos/{key}/colorize", status_code=202)
    async def colorize(key: str, sampling: Sampling, strokes: str | None = None) -> dict[str, str]:
        photo = album.get(key)
        hints = await run_in_threadpool(_hints, photo, album.get(strokes)) if strokes else None
        return begun(colouring(photo, hints, models, ColourSettings(samples=sampling.samples, seed=sampling.seed)))

    @app.post("/api/photos/{key}/restore", status_code=202)
    async def restore(
        key: str,
        sampling: Sampling,
        sensitivity: Sensitivity | None = None,
        mask: str | None = None,
        strokes: str | None = None,
    ) -> dict[str, str]:
        photo = album.get(key)
        hints = await run_in_threadpool(_hints, photo, album.get(strokes)) if strokes else None
        hole = await run_in_threadpool(_hole, photo, album.get(mask)) if mask else None
        settings = OldPhotoSettings(sensitivity=sensitivity, samples=sampling.samples, seed=sampling.seed)
        return begun(restoring(photo, hole, hints, models, settings))


def _add_jobs(app: FastAPI, desk: Desk) -> None:
    # Asked for again and again: an answer that stays open holds a connection, of which a browser has six for all tabs.
    @app.get("/api/jobs/{key}")
    async def look(key: str) -> dict[str, Any]:
        """What has become of a job so far."""
        job = desk.get(key)
        job.look()
        return _told(job, desk)

    @app.post("/api/jobs/{key}/left", status_code=204)
    async def leave(key: str) -> None:
        """The page that looked at a job ends, and may be loaded anew."""
        desk.get(key).leave()

    @app.delete("/api/jobs/{key}", status_code=204)
    async def cancel(key: str) -> None:
        desk.cancel(desk.get(key))


def _told(job: Job, desk: Desk) -> dict[str, Any]:
    told: dict[str, Any] = {"state": job.state, "done": round(job.done, 4)}
    if job.state == "waiting":
        told["ahead"] = desk.ahead(job)
    elif job.state == "running":
        told["left"] = None if job.left is None else round(job.left, 1)
    elif job.state == "failed":
        told["error"] = _words(job.error)
    elif job.abandoned:
        told["note"] = "This was stopped, since the page was away for too long."
    elif job.made is not None:
        told |= job.made
    return told


def _bits(hole: np.ndarray) -> Response:
    return Response(np.packbits(hole).tobytes(), media_type="application/octet-stream")


def _hole(photo: Photo, mask: Photo) -> np.ndarray:
    return hole_from_picture(mask.picture, photo.picture.size, name=_MASK)


def _hints(photo: Photo, strokes: Photo) -> Callable[[], KnownColours]:
    """The colours of strokes that were checked, made when they are asked for: a job that waits holds 8-bit ones."""

    def made() -> KnownColours:
        hints = hints_from_picture(strokes.picture, _STROKES)
        hints.check_size(photo.picture.size, _STROKES)
        return hints

    made()
    return made


# --- errors, each a sentence ------------------------------------------------------------------------------------------


def _words(error: Exception | None) -> str:
    if isinstance(error, ScoreinvError):
        return sentence(str(error))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # of torch, for a GPU
        return "There is not enough memory for this: close other programs, or ask for fewer results."
    return f"Something unexpected went wrong ({type(error).__name__}); the terminal of `scoreinv serve` tells more."


async def _failed(_: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": _words(error)}, status)


async def _hung_up(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # that nobody reads


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": sentence(error.detail)}, error.status_code)


async def _misused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": sentence(f"{first['loc'][-1]}: {first['msg']}")}, 422)
