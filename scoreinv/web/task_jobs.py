"""Jobs that run a task on a photograph of the page. A job makes one result; more results are more jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.memory import shortage
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.notes import Note
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.provenance import recorded, with_provenance
from scoreinv.tasks.requests import Inputs, Request
from scoreinv.web.album import Album
from scoreinv.web.jobs import JobQueue
from scoreinv.web.notes import UNCHANGED, sentences
from scoreinv.web.photo import Photo

Result = dict[str, Any]
"""JSON of a finished job.

`photo`: the description of the new photograph, or None if nothing changed. `notes`, and as text `note`. `another`:
whether another seed gives another result.
"""


@dataclass(frozen=True)
class TaskJobs:
    """The jobs of tasks on the photographs of an album.

    Attributes:
        album: the photographs; results are added to it.
        queue: the queue in which jobs wait.
        models: the models of the tasks.
    """

    album: Album
    queue: JobQueue
    models: Models

    def submit(
        self, photo: Photo, inputs: Inputs, request: Request, run: Callable[[Callback], Result], times: int = 1
    ) -> dict[str, str]:
        """Check a request and queue its job; return the job's key.

        Args:
            run: the work, which takes a callback.
            times: memory of the result, relative to the photograph's.

        Raises InputError if the request does not fit its inputs, or if the memory does not suffice for the result.
        """
        request.check_given(inputs.given)
        if lacking := shortage(times * photo.picture.pixels.nbytes):
            raise InputError(f"Making a result of this size {lacking}.")

        def start(callback: Callback) -> Result:
            self.models.machine.start_torch()
            return run(callback)

        return {"job": self.queue.submit(start).key}

    def submit_task(
        self,
        photo: Photo,
        request: Request,
        task: Callable[[Inputs, Any, Models, Callback], Outcome[Picture]],
        suffix: str,
        times: int = 1,
    ) -> dict[str, str]:
        """Queue a task that needs the photograph alone and draws no samples; see `submit`.

        Args:
            task: runs the task; a lambda, so that the task's module and torch are imported when the job starts.
        """
        inputs = Inputs(photo.picture)

        def run(callback: Callback) -> Result:
            return self.finished(photo, inputs, request, task(inputs, request, self.models, callback), suffix)

        return self.submit(photo, inputs, request, run, times)

    def finished(
        self,
        photo: Photo,
        inputs: Inputs,
        request: Request,
        outcome: Outcome[Picture],
        suffix: str,
        seed: int = 0,
        *,
        another: bool = False,
    ) -> Result:
        """Add the picture of an outcome, with its record, to the album; return the job's JSON."""
        made = outcome.image
        if made is not photo.picture:
            made = with_provenance(recorded(outcome, inputs, request, self.models), made)
        return self.result(photo, made, outcome.notes, suffix, seed, another=another)

    def result(
        self,
        photo: Photo,
        made: Picture | None,
        notes: list[Note],
        suffix: str,
        seed: int = 0,
        *,
        another: bool = False,
    ) -> Result:
        """Add a new picture to the album, unless it is None or the photograph itself; return the job's JSON."""
        lines = sentences(notes)
        described = None
        if made is photo.picture:
            lines.insert(0, UNCHANGED)
        elif made is not None:
            made_photo = photo.result(made, suffix, seed)
            self.album.add(made_photo)
            described = made_photo.describe()
        return {
            "photo": described,
            "notes": [note.row() for note in notes],
            "note": "\n".join(lines) or None,
            "another": another,
        }
