"""The web application: routes for the page's files, photographs, objects and jobs, and its errors.

`work` has the routes of the tasks.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.memory import is_out_of_memory
from scoreinv.tasks.select import Prompt, Size, propose_shadow, with_rim
from scoreinv.web.access import Access, Guard
from scoreinv.web.album import Album, GoneError, Photo
from scoreinv.web.jobs import BusyError, Job, JobQueue
from scoreinv.web.objects import Objects, boxed_bits, missing_extra
from scoreinv.web.work import add_work, hole_of

MOST_BYTES = 256 << 20
"""Largest upload."""
_THREADS = 2  # photographs encoded at once: each takes several times its memory
_CONNECTIONS = 64  # at once; protection from slow clients needs a proxy
_GRACE = 5  # seconds for open responses after an interrupt
_STATIC = Path(__file__).parent / "static"
_LABELS = {
    "noise_std": "Noise level",
    "hints": "The strokes of colour",
    "mask": "The mask",
    "avoid": "Don't copy",
    "tone": "The correction of fading",
    "keep_tint": "Keeping the tint",
}
"""Labels of settings on the page, if they differ from their names."""
_STATUS = {GoneError: 404, BusyError: 503, InputError: 422}  # the first match counts: GoneError is an InputError


def serve(listener: socket.socket, models: Models, access: Access) -> None:
    """Serve the page until a signal arrives, which is then raised."""
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


def make_app(models: Models, access: Access, queue: JobQueue) -> ASGIApp:
    """Return the application. It holds its photographs, and closes the queue when it ends."""
    album, objects = Album(), Objects()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = _THREADS
        yield
        objects.close()
        await run_in_threadpool(queue.close)

    # Without FastAPI's documentation pages, which load scripts from another host.
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    for kind in (ScoreinvError, AnyHTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.exception_handler(kind)(_error_response)
    mimetypes.add_type("text/javascript", ".js")  # the registry of Windows may say otherwise
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_api_route("/", lambda: FileResponse(_STATIC / "index.html"))
    _add_photos(app, album, queue, objects)
    _add_objects(app, album, objects)
    add_work(app, album, queue, models)
    _add_jobs(app, queue)
    return Guard(app, access)  # outermost: Starlette handles unexpected errors outside its middleware


def _add_photos(app: FastAPI, album: Album, queue: JobQueue, objects: Objects) -> None:
    decoding = asyncio.Lock()

    async def read(name: str, content: bytes, size: tuple[int, int] | None = None) -> Photo:
        async with decoding:  # one at a time: a few bytes may stand for 400 megapixels, which take gigabytes
            return await run_in_threadpool(Photo.read, name, content, size)

    @app.get("/api/limits")
    async def limits() -> dict[str, Any]:
        """Return the largest upload, and how to install what selection needs (null: it is installed)."""
        return {"bytes": MOST_BYTES, "objects": missing_extra()}

    @app.post("/api/photos", status_code=201)
    async def open_photo(content: Content, name: str = "photo", look: bool = True) -> dict[str, Any]:
        """Open a photograph. look: encode it for the selection of objects."""
        photo = await read(name, content)
        album.add(photo)
        if look and missing_extra() is None:
            objects.encode(photo)
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
        """Return the holes of a mask file as packed bits, row by row, the first bit of a byte highest."""
        photo = album.get(key)
        mask = await read("the mask", content, photo.picture.size)
        return _bits(await run_in_threadpool(hole_of, photo, mask))

    @app.get("/api/photos/{key}/bits")
    def bits(key: str) -> Response:
        """Return the packed bits of detected damage, or of a layer."""
        mask = album.get(key)
        return _bits(hole_of(mask, mask))

    @app.post("/api/photos/{key}/layers", status_code=201)
    async def hold_layer(key: str, content: Content, of: str = "mask", beside: str | None = None) -> dict[str, str]:
        """Hold a mask, strokes of colour or a reference photograph for a task.

        of: its name in the task's request; beside: a layer that was sent before, to be held as well.
        """
        photo = album.get(key)
        layer = await read("the layer", content, None if of == "like" else photo.picture.size)
        earlier = [album.get(beside)] if beside else []
        album.add(photo, *earlier, layer)
        return {"key": layer.key}


async def _content(request: Request) -> bytes:
    """Return the body of a request; raise HTTPException if it is too long or not declared as a picture."""
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
        """Encode a result for the selection of objects, as when a photograph is opened."""
        objects.encode(album.get(key))

    @app.post("/api/photos/{key}/select")
    def select(
        key: str,
        prompt: Selecting,
        size: Size | None = None,
        another: bool = False,
        rim: bool = False,
        fragments: bool = False,
    ) -> dict[str, Any]:
        """Return the object of a prompt, see `Objects.select`, and its fragments.

        rim: with its soft edge, as a mask; fragments: with its fragments.
        """
        photo = album.get(key)
        found = objects.select(photo, prompt, size, another=another)
        mask = found.mask | found.fragments if fragments else found.mask
        answer = boxed_bits(with_rim(photo.picture, mask) if rim else mask)
        return answer | {"size": found.size, "fragments": boxed_bits(found.fragments)}

    @app.post("/api/photos/{key}/shadow")
    def shadow(key: str, prompt: Selecting, size: Size | None = None) -> dict[str, Any]:
        """Return the shadow of the object, if it is clear."""
        photo = album.get(key)
        return boxed_bits(propose_shadow(photo.picture, objects.select(photo, prompt, size).mask))


def _prompt(click: Annotated[list[str] | None, Query()] = None, box: str | None = None) -> Prompt:
    """Return the prompt: clicks `x,y,1` on the object or `x,y,0` beside it, and a box `x,y,width,height`."""
    try:
        clicks = [(float(x), float(y), inside == "1") for x, y, inside in (each.split(",") for each in click or ())]
        around = Prompt.of(box=tuple(map(float, box.split(",")))) if box else Prompt()
    except ValueError as error:
        raise HTTPException(422, "A click is x,y,1 or x,y,0, and a box is x,y,width,height.") from error
    return replace(around, clicks=tuple(clicks))


Selecting = Annotated[Prompt, Depends(_prompt)]


def _add_jobs(app: FastAPI, queue: JobQueue) -> None:
    # Clients poll: an open response would hold one of the six connections that a browser has for all tabs.
    @app.get("/api/jobs/{key}")
    async def poll(key: str) -> dict[str, Any]:
        """Return the state of a job."""
        job = queue.get(key)
        job.poll()
        return _report(job, queue)

    @app.post("/api/jobs/{key}/left", status_code=204)
    async def leave(key: str) -> None:
        """Shorten a job's timeout: its page was closed, or is being reloaded."""
        queue.get(key).leave()

    @app.delete("/api/jobs/{key}", status_code=204)
    async def cancel(key: str) -> None:
        queue.cancel(queue.get(key))


def _report(job: Job, queue: JobQueue) -> dict[str, Any]:
    """Return the JSON of a job: its state, and the progress, result or error of that state."""
    state = job.state  # read once: the job runs on, and sets its state last
    report: dict[str, Any] = {"state": state, "done": round(job.done, 4)}
    if state == "waiting":
        report["ahead"] = queue.ahead(job)
    elif state == "running":
        left = job.left
        report["left"] = None if left is None else round(left, 1)
    elif state == "failed":
        report["error"] = _message(job.error)
    elif job.result is not None:
        report |= job.result
    elif job.abandoned:
        report["note"] = "This job was stopped, because the page was closed for too long."
    return report


# --- errors ----------------------------------------------------------------------------------------------------------


def _sentence(text: str) -> str:
    """Return the text of an error as a sentence."""
    sentence = text.strip()
    if not re.match(r"[^:]+\.[a-zA-Z]\w{0,4}:", sentence):  # it does not begin with a file's name
        sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _message(error: Exception | None) -> str:
    """Return a sentence about an error, with the page's label of a setting."""
    if isinstance(error, SettingError):
        return _sentence(f"{_LABELS.get(error.setting, error.setting.replace('_', ' '))} {error.problem}")
    if isinstance(error, ScoreinvError):
        return _sentence(str(error))
    if error is not None and is_out_of_memory(error):
        return "There is not enough memory: close other programs, or reduce the photograph."
    return f"Something unexpected went wrong ({type(error).__name__}); see the terminal of `scoreinv serve`."


async def _error_response(_: Request, error: Exception) -> Response:
    """Return the response for an error."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # the client has gone
    if isinstance(error, AnyHTTPException):
        return JSONResponse({"error": _sentence(error.detail)}, error.status_code)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return JSONResponse({"error": _sentence(f"{first['loc'][-1]}: {first['msg']}")}, 422)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": _message(error)}, status)
