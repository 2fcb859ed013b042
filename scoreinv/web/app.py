"""What the page asks for: photographs are sent here, worked on, looked at and fetched.

A route is a few lines: it reads what is sent, and leaves the rest to `album`, `objects` and `jobs`; those that ask for
work are in `work`.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from scoreinv import analysis
from scoreinv.models.photo_models import PhotoModels
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.memory import is_out_of_memory
from scoreinv.tasks.select import Prompt, Size, with_rim
from scoreinv.web.access import Access, Guard
from scoreinv.web.album import Album, GoneError, Photo
from scoreinv.web.jobs import BusyError, Job, JobQueue
from scoreinv.web.objects import Objects, cut_out, lacking
from scoreinv.web.work import add_work, hole_of

MOST_BYTES = 256 << 20
"""Of a file that is sent here."""
_THREADS = 2  # photographs that are shown or written at the same time: each takes several times its own memory
_CONNECTIONS = 64  # at once; what keeps slow and greedy clients away is a proxy in front of it
_GRACE = 5  # seconds that answers under way have after an interruption
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_STATUS = {GoneError: 404, BusyError: 503, InputError: 422}  # the first that fits counts: GoneError is an InputError


def serve(listener: socket.socket, models: PhotoModels, access: Access) -> None:
    """Serve the page until a signal comes, which is then raised as elsewhere."""
    config = uvicorn.Config(
        make_app(models, access, JobQueue(prepare=models.filler)),
        http="h11",
        ws="none",
        lifespan="on",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


def make_app(models: PhotoModels, access: Access, queue: JobQueue) -> ASGIApp:
    """The application, which holds its photographs until it ends, and then closes the queue."""
    album, objects = Album(), Objects()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = _THREADS
        yield
        objects.close()
        await run_in_threadpool(queue.close)

    # Without the pages that explain the routes: their scripts come from another host.
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    for kind in (ScoreinvError, AnyHTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.exception_handler(kind)(_failed)
    _add_page(app)
    _add_photos(app, album, queue, objects)
    _add_objects(app, album, objects)
    add_work(app, album, queue, models)
    _add_jobs(app, queue)
    return Guard(app, access)  # around all of it: Starlette answers unexpected errors outside of its middleware


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    async def index() -> Response:
        return await file("index.html")

    @app.get("/static/{name}")
    async def file(name: str) -> Response:
        if name not in _page_files():
            raise HTTPException(404, "There is no such page.")
        kind, content = _page_files()[name]
        return Response(content, media_type=kind)


@cache
def _page_files() -> dict[str, tuple[str, bytes]]:
    """Media type and content of each file of the page, by its name: nothing else can be asked for."""
    return {
        file.name: (_TYPES[suffix], file.read_bytes())
        for file in (files("scoreinv.web") / "static").iterdir()
        if (suffix := file.name.rpartition(".")[2]) in _TYPES
    }


def _add_photos(app: FastAPI, album: Album, queue: JobQueue, objects: Objects) -> None:
    turn = asyncio.Lock()

    async def read(name: str, content: bytes, size: tuple[int, int] | None = None) -> Photo:
        async with turn:  # one at a time: a few bytes may stand for 400 megapixels, which take gigabytes on the way
            return await run_in_threadpool(Photo.read, name, content, size)

    @app.get("/api/limits")
    async def limits() -> dict[str, Any]:
        """What need not be sent, since it would be refused, and what is not installed for objects to be selected."""
        return {"bytes": MOST_BYTES, "objects": lacking()}

    @app.post("/api/photos", status_code=201)
    async def open_photo(content: Content, name: str = "photo", look: bool = True) -> dict[str, Any]:
        """A photograph, in which objects may be selected soon, if it is looked at."""
        photo = await read(name, content)
        album.add(photo)
        if look and lacking() is None:
            objects.look(photo)
        queue.expect()
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
        mask = await read("the mask", content, photo.picture.size)
        return _bits(await run_in_threadpool(hole_of, photo, mask))

    @app.get("/api/photos/{key}/bits")
    def bits(key: str) -> Response:
        """The same of a mask that was found here, or sent as a layer."""
        mask = album.get(key)
        return _bits(hole_of(mask, mask))

    @app.post("/api/photos/{key}/layers", status_code=201)
    async def hold_layer(key: str, content: Content, of: str = "mask", beside: str | None = None) -> dict[str, str]:
        """A mask, strokes of colour or a photograph of other colours, held to be named where work is asked for.

        What belongs together stays together, however much it takes. of: which it is, as it is named there; beside: a
        layer that was sent before.
        """
        photo = album.get(key)
        layer = await read("the layer", content, None if of == "like" else photo.picture.size)
        earlier = [album.get(beside)] if beside else []
        album.add(photo, *earlier, layer)
        return {"key": layer.key}


async def _content(request: Request) -> bytes:
    """The body of a request; HTTPException where it is too long, or said to be something else than a picture."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        raise HTTPException(415, "Send a picture file.")
    too_long = HTTPException(413, f"The file is larger than {MOST_BYTES >> 20} MB: use the command line for it.")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or len(stated) > len(str(MOST_BYTES)) or int(stated) > MOST_BYTES:
        raise too_long
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise too_long
    return bytes(content)


Content = Annotated[bytes, Depends(_content)]


def _bits(hole: np.ndarray) -> Response:
    return Response(np.packbits(hole).tobytes(), media_type="application/octet-stream")


def _add_objects(app: FastAPI, album: Album, objects: Objects) -> None:
    @app.post("/api/photos/{key}/look", status_code=204)
    async def look(key: str) -> None:
        """Objects will be selected in this result soon, as in a photograph that is opened."""
        objects.look(album.get(key))

    @app.post("/api/photos/{key}/select")
    def select(
        key: str, pointed: Pointed, size: Size | None = None, another: bool = False, rim: bool = False
    ) -> dict[str, Any]:
        """The object that is pointed at, see `Objects.select`; with its rim it is what to fill."""
        photo = album.get(key)
        found = objects.select(photo, pointed, size, another=another)
        return cut_out(with_rim(photo.picture, found.mask) if rim else found.mask) | {"size": found.size}

    @app.post("/api/photos/{key}/shadow")
    def shadow(key: str, pointed: Pointed, size: Size | None = None) -> dict[str, Any]:
        """The shadow of the object that is pointed at, where one is plain."""
        photo = album.get(key)
        return cut_out(analysis.propose_shadow(photo.picture, objects.select(photo, pointed, size).mask))


def _pointed(click: Annotated[list[str] | None, Query()] = None, box: str | None = None) -> Prompt:
    """What is pointed at: clicks `across,down,1` on it or `...,0` beside it, and a box `across,down,width,height`."""
    try:
        clicks = [(float(x), float(y), inside == "1") for x, y, inside in (each.split(",") for each in click or ())]
        around = Prompt.of(box=tuple(map(float, box.split(",")))) if box else Prompt()
    except ValueError as error:
        raise HTTPException(422, "A click is across,down,1 or across,down,0, and a box four numbers.") from error
    return replace(around, clicks=tuple(clicks))


Pointed = Annotated[Prompt, Depends(_pointed)]


def _add_jobs(app: FastAPI, queue: JobQueue) -> None:
    # Asked for again and again: an answer that stays open holds a connection, of which a browser has six for all tabs.
    @app.get("/api/jobs/{key}")
    async def look(key: str) -> dict[str, Any]:
        """What has become of a job so far."""
        job = queue.get(key)
        job.look()
        return _told(job, queue)

    @app.post("/api/jobs/{key}/left", status_code=204)
    async def leave(key: str) -> None:
        """The page that looked at a job ends, and may be loaded anew."""
        queue.get(key).leave()

    @app.delete("/api/jobs/{key}", status_code=204)
    async def cancel(key: str) -> None:
        queue.cancel(queue.get(key))


def _told(job: Job, queue: JobQueue) -> dict[str, Any]:
    state = job.state  # once: the job goes on meanwhile, and what belongs to a state is there before it
    told: dict[str, Any] = {"state": state, "done": round(job.done, 4)}
    if state == "waiting":
        told["ahead"] = queue.ahead(job)
    elif state == "running":
        left = job.left
        told["left"] = None if left is None else round(left, 1)
    elif state == "failed":
        told["error"] = _words(job.error)
    elif job.made is not None:
        told |= job.made
    elif job.abandoned:
        told["note"] = "This was stopped, since the page was away for too long."
    return told


# --- errors, each a sentence ------------------------------------------------------------------------------------------


def _sentence(text: str) -> str:
    """The text of an error as a sentence on the page."""
    told = text.strip()
    if not re.match(r"[^:]+\.[a-zA-Z]\w{0,4}:", told):  # no file's name begins it
        told = told[:1].upper() + told[1:]
    return told if told.endswith((".", "!", "?")) else f"{told}."


def _words(error: Exception | None) -> str:
    if isinstance(error, ScoreinvError):
        return _sentence(str(error))
    if error is not None and is_out_of_memory(error):
        return "There is not enough memory for this: close other programs, or ask for fewer results."
    return f"Something unexpected went wrong ({type(error).__name__}); the terminal of `scoreinv serve` tells more."


async def _failed(_: Request, error: Exception) -> Response:
    """What is answered in place of what was asked for."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # that nobody reads
    if isinstance(error, AnyHTTPException):
        return JSONResponse({"error": _sentence(error.detail)}, error.status_code)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return JSONResponse({"error": _sentence(f"{first['loc'][-1]}: {first['msg']}")}, 422)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": _words(error)}, status)
