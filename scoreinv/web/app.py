"""The web application: routes for the page's files, photographs, objects and jobs, and its errors.

`work` has the routes of the tasks.
"""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import h11
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

from scoreinv.inputs.hints import references_of
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.limits import limits
from scoreinv.system.memory import is_out_of_memory
from scoreinv.system.options import declared
from scoreinv.tasks.select import Prompt, Size, propose_shadow
from scoreinv.tasks.table import TASKS
from scoreinv.web.access import Access, Guard
from scoreinv.web.album import Album
from scoreinv.web.body import Content
from scoreinv.web.forms import forms
from scoreinv.web.frame import add_frame
from scoreinv.web.jobs import BusyError, Job, JobQueue
from scoreinv.web.many import add_many
from scoreinv.web.objects import Objects
from scoreinv.web.photo import GoneError, Photo, boxed_bits, layer_of
from scoreinv.web.sessions import ConflictError
from scoreinv.web.work import add_work, hole_of

_THREADS = 2  # photographs encoded at once: each takes several times its memory
_CONNECTIONS = 64  # at once; protection from slow clients needs a proxy
_EXPIRY_INTERVAL = 600  # seconds between deletions of old sessions
_THUMBNAIL = 160  # side in pixels
_GRACE = 3  # seconds for open responses after an interrupt
_STATIC = Path(__file__).parent / "static"
_LABELS = {"hints": "The colour hints", "mask": "The mask", "avoid": "The excluded area", "quality": "The quality"}
_LABELS |= {each.name: each.setting.label for task in TASKS for each in declared(task.request) if each.setting}
"""Labels of settings on the page; an empty one is the name."""
_log = logging.getLogger(__name__)
# The first match counts: GoneError is an InputError.
_STATUS = {GoneError: 404, ConflictError: 409, BusyError: 503, InputError: 422}


def serve(listener: socket.socket, models: Models, access: Access) -> None:
    """Serve the page until a signal arrives, which is then raised."""
    config = uvicorn.Config(
        make_app(models, access, JobQueue(prepare=models.filler), Objects()),
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
    server = uvicorn.Server(config)
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_ServerLog()], False
    with _ends_with_terminal(server):
        server.run(sockets=[listener])


@contextmanager
def _ends_with_terminal(server: uvicorn.Server) -> Iterator[None]:
    """End the server on SIGHUP, which uvicorn does not handle, unless it is ignored; raise the signal afterwards."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN:
        yield
        return
    came = False

    def end(*_: object) -> None:
        nonlocal came
        came = server.should_exit = True

    before = signal.signal(hangup, end)
    try:
        yield
    finally:
        signal.signal(hangup, before)
    if came:
        signal.raise_signal(hangup)


class _ServerLog(logging.Handler):
    """Log unexpected errors of the server; invalid requests and the end of open ones at debug level, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage().partition("\n")[0]
        if error is None or isinstance(error, (h11.ProtocolError, asyncio.CancelledError)):
            _log.debug("%s", message)
        else:
            _log.error("%s", message, exc_info=error)


def make_app(models: Models, access: Access, queue: JobQueue, objects: Objects) -> ASGIApp:
    """Return the application. It holds its photographs, and closes queue and objects when it ends."""
    album = Album()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = _THREADS
        expiring = asyncio.create_task(_expire(album))
        yield
        expiring.cancel()
        objects.close()
        await run_in_threadpool(queue.close)
        await run_in_threadpool(album.sessions.close)

    # Without FastAPI's documentation pages, which load scripts from another host.
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.state.uploading = 0  # bytes of bodies in memory
    for kind in (ScoreinvError, AnyHTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.exception_handler(kind)(_error_response)
    mimetypes.add_type("text/javascript", ".js")  # the registry of Windows may say otherwise
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_api_route("/", lambda: FileResponse(_STATIC / "index.html"))
    _add_photos(app, album, queue, objects)
    _add_sessions(app, album)
    _add_objects(app, album, objects)
    add_work(app, album, queue, models)
    add_frame(app, album)
    add_many(app, album.sessions, queue, models)
    _add_jobs(app, queue)
    return Guard(app, access)  # outermost: Starlette handles unexpected errors outside its middleware


async def _expire(album: Album) -> None:
    """Delete old sessions every `_EXPIRY_INTERVAL` seconds, until cancelled."""
    while True:
        await asyncio.sleep(_EXPIRY_INTERVAL)
        await run_in_threadpool(album.sessions.expire)


def _add_photos(app: FastAPI, album: Album, queue: JobQueue, objects: Objects) -> None:
    decoding = asyncio.Lock()

    async def read(name: str, content: bytes, size: tuple[int, int] | None = None, session: str | None = None) -> Photo:
        async with decoding:  # one at a time: a few bytes may stand for 400 megapixels, which take gigabytes
            return await run_in_threadpool(Photo.read, name, content, size, session)

    @app.get("/api/limits")
    async def page_limits() -> dict[str, Any]:
        """Return the maximum size of an upload, and how to install the packages for selection (null: installed)."""
        return {"bytes": limits().upload_bytes, "objects": objects.missing_extra}

    app.add_api_route("/api/forms", forms)

    @app.post("/api/photos", status_code=201)
    async def open_photo(
        content: Content, name: str = "photo", look: bool = True, keep: bool = False
    ) -> dict[str, Any]:
        """Open a photograph.

        Args:
            look: encode it for the selection of objects.
            keep: begin a session for it.
        """
        photo = await read(name, content)
        if keep:
            photo = replace(photo, session=await run_in_threadpool(album.sessions.begin))
        await run_in_threadpool(album.add, photo)
        if look and objects.missing_extra is None:
            objects.encode(photo)
        queue.expect()
        return photo.describe()

    @app.get("/api/photos/{key}")
    def describe(key: str) -> dict[str, Any]:
        return album.get(key).describe()

    @app.get("/api/photos/{key}/view")
    def view(key: str) -> Response:
        kind, content = album.get(key).view()
        return Response(content, media_type=kind)

    @app.get("/api/photos/{key}/file")
    def download(key: str, kind: str, quality: int | None = None) -> Response:
        name, content = album.get(key).file(kind, quality)
        named = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
        return Response(content, media_type="application/octet-stream", headers=named)

    @app.post("/api/photos/{key}/mask")
    async def read_mask(key: str, content: Content) -> dict[str, Any]:
        """Return the holes of a mask file."""
        photo = await album.find(key)
        mask = await read("the mask", content, photo.picture.size)
        return boxed_bits(await run_in_threadpool(hole_of, photo, mask))

    @app.get("/api/photos/{key}/bits")
    def bits(key: str) -> dict[str, Any]:
        """Return detected damage, or a layer."""
        mask = album.get(key)
        return boxed_bits(hole_of(mask, mask))

    @app.post("/api/photos/{key}/layers", status_code=201)
    async def hold_layer(key: str, content: Content, of: str = "mask", beside: str | None = None) -> dict[str, str]:
        """Store a mask, strokes of colour, a reference photograph or a kernel for a task.

        Args:
            content: JSON, see `layer_of`, or a picture file.
            of: role of the layer in the task: mask, avoid, strokes, like or kernel.
            beside: key of an earlier layer for the same task, which must not be dropped from memory.
        """
        photo = await album.find(key)
        size = photo.picture.size
        if content.startswith(b"{"):
            made = await run_in_threadpool(layer_of, content, size)
            layer = Photo(made, f"{photo.stem}_{of}", "PNG", session=photo.session)
        else:
            layer = await read("the layer", content, None if of in ("like", "kernel") else size, photo.session)
        if of == "like":
            layer = await run_in_threadpool(_reference, layer)
        earlier = [await album.find(beside)] if beside else []
        await run_in_threadpool(album.add, photo, *earlier, layer)
        return {"key": layer.key}


def _reference(layer: Photo) -> Photo:
    (picture,) = references_of([("The reference photograph", layer.picture)])
    return layer.edited(picture)


def _add_sessions(app: FastAPI, album: Album) -> None:
    sessions = album.sessions

    @app.get("/api/sessions")
    def kept(key: Annotated[list[str], Query()]) -> list[str]:
        """Return the keys among these that are kept."""
        return [each for each in key if each in sessions]

    @app.get("/api/sessions/{key}/view")
    def small(key: str, photo: str) -> Response:
        """Return a thumbnail of a photograph of the session."""
        kind, content = sessions.small(key, photo, _THUMBNAIL).view(_THUMBNAIL)
        return Response(content, media_type=kind)

    @app.get("/api/sessions/{key}")
    def resume(key: str) -> Response:
        """Return the state that the page saved; its version is in a header."""
        state, version = sessions.state(key)
        return Response(state, media_type="application/octet-stream", headers={"x-version": str(version)})

    @app.post("/api/sessions/{key}", status_code=204)
    async def save(key: str, content: Content, after: int = 0) -> None:
        """Save the state of the page.

        Args:
            after: version of the saved state that the page has changed.
        """
        await run_in_threadpool(sessions.save, key, content, after)

    @app.delete("/api/sessions/{key}", status_code=204)
    def forget(key: str) -> None:
        """Delete a session, with its photograph and results."""
        album.forget(key)


def _add_objects(app: FastAPI, album: Album, objects: Objects) -> None:
    @app.post("/api/photos/{key}/look", status_code=204)
    async def look(key: str) -> None:
        """Encode a result for the selection of objects, as when a photograph is opened."""
        objects.encode(await album.find(key))

    @app.post("/api/photos/{key}/select")
    async def select(
        key: str,
        prompt: Selecting,
        size: Size | None = None,
        another: bool = False,
        fragments: bool = False,
    ) -> dict[str, Any]:
        """Return the object of a prompt, see `Objects.select`, its fragments, and the hole that removes it.

        Args:
            fragments: add the fragments to the object and the hole.
        """
        photo = await album.find(key)
        found = await objects.select(photo, prompt, size, another=another)

        def answer() -> dict[str, Any]:
            parts = {"fragments": found.fragments, "hole": found.hole(fragments=fragments)}
            bits = {name: boxed_bits(mask) for name, mask in parts.items()}
            return boxed_bits(found.hole(0, fragments)) | {"size": found.size, **bits}

        return await run_in_threadpool(answer)

    @app.post("/api/photos/{key}/shadow")
    async def shadow(key: str, prompt: Selecting, size: Size | None = None) -> dict[str, Any]:
        """Return the cast shadow of the object; an empty mask if the photograph shows no clear one."""
        photo = await album.find(key)
        found = await objects.select(photo, prompt, size)
        return boxed_bits(await run_in_threadpool(propose_shadow, photo.picture, found.mask))


def _prompt(click: Annotated[list[str] | None, Query()] = None, box: str | None = None) -> Prompt:
    """Return the prompt: clicks `x,y,1` on the object or `x,y,0` beside it, and a box `x,y,width,height`."""
    try:
        clicks = [(float(x), float(y), inside == "1") for x, y, inside in (each.split(",") for each in click or ())]
        around = tuple(map(float, box.split(","))) if box else None
    except ValueError as error:
        raise HTTPException(422, "A click is x,y,1 or x,y,0, and a box is x,y,width,height.") from error
    return replace(Prompt.of(box=around), clicks=tuple(clicks))


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
    state = job.state  # read once: the job's thread changes it, after all other attributes
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
        return _sentence(f"{_LABELS.get(error.setting) or error.setting.replace('_', ' ')} {error.problem}")
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
