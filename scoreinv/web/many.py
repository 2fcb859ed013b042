"""Routes for many photographs: the page runs `scoreinv.batch` on the files of a session.

The folder `photos` of the session holds the uploads, `results` the files of the batch with its manifest. One mask may
serve all photographs: a date, a logo, a scratch of the scanner.
"""

from __future__ import annotations

import re
import shutil
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from scoreinv.batch.manifest import manifest_of
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions, Planner, Row
from scoreinv.batch.run import run as run_batch
from scoreinv.batch.work import Work
from scoreinv.models.loading import Models
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.limits import limits
from scoreinv.system.progress import report, reporter
from scoreinv.system.text import printable
from scoreinv.tasks.notes import page_text
from scoreinv.tasks.requests import Request
from scoreinv.tasks.table import TASKS, Task
from scoreinv.web.body import Content
from scoreinv.web.forms import request_reader
from scoreinv.web.jobs import JobQueue
from scoreinv.web.photo import GoneError, Photo
from scoreinv.web.sessions import Sessions

_SMALL = 400
"""Side of a thumbnail, in pixels."""
_LONGEST_NAME = 120
"""Bytes of a file's name in UTF-8. File systems allow 255; results have longer names."""


@dataclass
class Batch:
    """The files of a session, and the rows of their batch.

    Attributes:
        names: names of the files, in the order in which they came.
        rows: rows of the batch by name.
        views: media type and bytes of the thumbnails, by name.
    """

    folder: Path
    names: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    views: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def mask(self) -> Path:
        return self.folder / "mask.png"

    def add(self, name: str, content: bytes) -> str:
        """Write a file under its name, or one beside it that is free; return the name.

        A file that cannot be opened counts as failed at once.

        Raises InputError if there are too many files, or this one cannot be written.
        """
        end = printable(PurePath(name.replace("\\", "/")).name).encode()[-_LONGEST_NAME:].decode(errors="ignore")
        given = PurePath(end.lstrip(".-") or "photo")
        free = (f"{given.stem}{f' {n}' if n > 1 else ''}{given.suffix}" for n in range(1, limits().batch_files + 2))
        with self.lock:
            if len(self.names) >= limits().batch_files:
                raise InputError(f"More than {limits().batch_files} photographs: use the command line for them")
            try:
                self.photos.mkdir(exist_ok=True)
                name = next(each for each in free if not (self.photos / each).exists())
                with atomic_write(self.photos / name) as temporary:  # a running batch may list the folder
                    temporary.write_bytes(content)
            except OSError as error:
                raise InputError(f"{given}: cannot be kept ({error.strerror}): use the command line for it") from error
            self.names.append(name)
        try:
            self.views[name] = Photo.read(name, content).view(_SMALL)
        except InputError as error:
            self.rows[name] = {"input": name, "error": str(error)}
        return name

    def run(self, task: Task, request: Request, models: Models, *, masked: bool = False) -> dict[str, Any]:
        """Process all files, and record their rows; return the JSON of the job.

        Files that the plan leaves out count as failed.

        Args:
            masked: the mask that was sent is used for all of them; otherwise a task that fills detects the damage.

        Raises Cancelled if the session is deleted meanwhile.
        """
        auxiliary = AuxiliaryFiles(mask=str(self.mask) if masked else None)
        options = OutputOptions(output=str(self.results), workers="1", overwrite=True)
        names = {*self.names}  # before the plan: files may still come
        try:
            plan = Planner([str(self.photos)], task.suffix, 1, options, auxiliary, {}).plan()
        except InputError as error:
            raise InputError(self._without_folder(str(error))) from error
        work = Work(task, request, models, auxiliary, options, batch=True)
        left_out = "is left out: its name is that of no picture, or of another photograph's result"
        others = names.difference(Path(job.source).name for job in plan.jobs)
        self.rows = {name: {"input": name, "error": f"{name}: {left_out}"} for name in others}
        shutil.rmtree(self.results, ignore_errors=True)  # of an earlier run
        forward = reporter()
        with manifest_of(plan) as manifest:
            for done, row in enumerate(run_batch(plan, work, lambda done, *_: forward(done))):
                if not self.photos.exists():  # the session was forgotten
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise Cancelled("the photographs were forgotten")
                if "error" in row:
                    report(done / len(plan.jobs))  # ends a stopped job: the batch would continue
                row = self._named(row)
                if manifest is not None:
                    manifest.add(row)
                self.rows[row["input"]] = row
        failed = sum("error" in row for row in self.rows.values())
        note = f"{len(self.rows) - failed} photographs are finished" + (f", {failed} failed." if failed else ".")
        return {"photo": None, "notes": [], "note": note, "another": False}

    def describe(self) -> list[dict[str, Any]]:
        """Return name, state, and the text about the result of each file."""
        return [{"name": name, **_state(self.rows.get(name))} for name in self.names]

    def path(self, name: str, *, result: bool) -> Path:
        """Return the path of a file or its result; raise GoneError if there is none."""
        row = self.rows.get(name, {})
        if name not in self.names or (result and "output" not in row):
            raise GoneError("This photograph is not here.")
        return self.results / row["output"] if result else self.photos / name

    def _named(self, row: Row) -> Row:
        """Return a row with the names of its files, since their paths hold the session's key."""
        named: Row = {"input": Path(row["input"]).name}
        if "output" in row:
            named |= {"output": Path(row["output"]).name, "outputs": [Path(path).name for path in row["outputs"]]}
        if "error" in row:
            named["error"] = self._without_folder(row["error"])
        return row | named

    def _without_folder(self, text: str) -> str:
        """Return a text with paths relative to the session's folder, whose name is its key."""
        return re.sub(rf"[^\s'\"]*{re.escape(self.folder.name)}[\\/]+((photos|results)[\\/]+)?", "", text)

    def zipped(self) -> Path:
        """Write all results and the manifest to a zip file; return its path.

        An earlier file is replaced, not overwritten, since it may still be sent.

        Raises GoneError if there are no results.
        """
        results = sorted(self.results.glob("[!.]*"))  # a running batch writes hidden files
        if not results:
            raise GoneError("There are no results yet.")
        path = self.folder / "results.zip"
        with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:  # pictures are compressed
            for result in results:
                archive.write(result, result.name)
        return path


def _state(row: Row | None) -> dict[str, Any]:
    if row is None:
        return {"state": "waiting", "note": None}
    if "error" in row:
        return {"state": "failed", "note": row["error"]}
    return {"state": "done", "note": "\n".join(map(page_text, row.get("notes", [])))}


def add_many(app: FastAPI, sessions: Sessions, queue: JobQueue, models: Models) -> None:
    """Add the routes to the application."""
    batches: dict[str, Batch] = {}

    def get(key: str) -> Batch:
        sessions.touch(key)  # raises GoneError
        if key not in batches:
            raise GoneError("These photographs are no longer kept: open them again.")
        return batches[key]

    @app.post("/api/batches", status_code=201)
    def begin() -> dict[str, str]:
        key = sessions.begin()
        batches[key] = Batch(sessions.touch(key))
        for old in [each for each in batches if each not in sessions]:
            del batches[old]
        return {"session": key}

    @app.post("/api/batches/{key}/files", status_code=201)
    async def send(key: str, content: Content, name: str = "photo") -> dict[str, str]:
        def add() -> str:
            batch = get(key)
            sessions.make_room(key, len(content))
            return batch.add(name, content)

        return {"name": await run_in_threadpool(add)}

    @app.post("/api/batches/{key}/mask", status_code=201)
    async def send_mask(key: str, content: Content) -> dict[str, str]:
        def keep() -> None:
            batch = get(key)
            Photo.read("the mask", content)
            sessions.make_room(key, len(content))
            with atomic_write(batch.mask) as temporary:
                temporary.write_bytes(content)

        await run_in_threadpool(keep)
        return {"name": "mask"}

    @app.get("/api/batches/{key}")
    def describe(key: str) -> list[dict[str, Any]]:
        return get(key).describe()

    @app.get("/api/batches/{key}/view")
    def view(key: str, name: str, result: bool = False, small: bool = True) -> Response:
        batch = get(key)
        path = batch.path(name, result=result)
        if small and not result and name in batch.views:
            kind, content = batch.views[name]
            return Response(content, media_type=kind)
        kind, content = Photo.read(path.name, path.read_bytes()).view(_SMALL if small else None)
        return Response(content, media_type=kind)

    @app.get("/api/batches/{key}/zip")
    def download(key: str) -> Response:
        named = {"content-disposition": f"attachment; filename*=UTF-8''{quote('restored.zip')}"}
        return FileResponse(get(key).zipped(), media_type="application/octet-stream", headers=named)

    for task in TASKS:
        if not task.makes_mask:
            _add_task(app, task, get, queue, models)


def _add_task(app: FastAPI, task: Task, get: Callable[[str], Batch], queue: JobQueue, models: Models) -> None:
    """Add the route of a task, which queues a job for all files and returns its key."""

    @app.post(f"/api/batches/{{key}}/{task.route}", status_code=202)
    def submit(
        key: str,
        masked: bool = False,
        request: Any = Depends(request_reader(task)),  # noqa: B008 - FastAPI's way
    ) -> dict[str, str]:
        batch = get(key)
        if masked and not ("mask" in task.takes and batch.mask.exists()):
            raise InputError("There is no mask for these photographs: send it again.")
        return {"job": queue.submit(lambda: batch.run(task, request, models, masked=masked)).key}
