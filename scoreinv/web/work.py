"""Routes of the tasks on a photograph. A route reads the page's settings and submits a job that runs the task.

A job makes one result, drawn with the seed of the request. More results are more jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import FastAPI, Query

from scoreinv import tasks
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.inputs.hints import KnownColours, check_reference, hints_from_picture
from scoreinv.inputs.masks import hole_from_picture
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.memory import shortage
from scoreinv.system.options import MOST_GROW, USUAL_SENSITIVITY
from scoreinv.tasks.blend import blend_result
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.notes import Note
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.provenance import recorded, with_provenance
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DamageRequest,
    FillEstimate,
    InpaintRequest,
    Inputs,
    Request,
    UpscaleRequest,
)
from scoreinv.web.album import Album
from scoreinv.web.jobs import JobQueue
from scoreinv.web.notes import UNCHANGED, actions, sentences
from scoreinv.web.photo import Photo
from scoreinv.web.requests import Deblurring, Denoising, Enlarging, Restoring

Result = dict[str, Any]
"""JSON of a finished job.

`photo`: the description of the new photograph, or None if nothing changed. `notes`, and as text `note`. `another`:
whether another seed gives another result.
"""
Prepared = TypeVar("Prepared")
Grow = Annotated[int, Query(ge=0, le=MOST_GROW)]


def hole_of(photo: Photo, mask: Photo, grow: int = 0) -> np.ndarray:
    """Return the holes of a mask for a photograph, HxW bool, enlarged by `grow` pixels.

    Raises InputError if it is not a mask for it.
    """
    return hole_from_picture(mask.picture, photo.picture.size, name="the mask", grow=grow)


def add_work(app: FastAPI, album: Album, queue: JobQueue, models: Models) -> None:
    """Add the routes of the tasks to the application."""
    # Only the thread of the jobs uses these.
    odds: dict[Hashable, tasks.DamageOdds] = {}
    fills: dict[Hashable, tasks.PreparedFill] = {}

    def submit(
        photo: Photo, inputs: Inputs, request: Request, run: Callable[[Callback], Result], times: int = 1
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
            models.machine.start_torch()
            return run(callback)

        return {"job": queue.submit(start).key}

    def finished(
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
            made = with_provenance(recorded(outcome, inputs, request, models), made)
        return result(photo, made, outcome.notes, suffix, seed, another=another)

    def result(
        photo: Photo, made: Picture | None, notes: list[Note], suffix: str, seed: int = 0, *, another: bool = False
    ) -> Result:
        """Add a new picture to the album, unless it is None or the photograph itself; return the job's JSON."""
        lines = sentences(notes)
        described = None
        if made is photo.picture:
            lines.insert(0, UNCHANGED)
        elif made is not None:
            made_photo = photo.result(made, suffix, seed)
            album.add(made_photo)
            described = made_photo.describe()
        return {
            "photo": described,
            "notes": [note.row() for note in notes],
            "note": "\n".join(lines) or None,
            "another": another,
        }

    def run(
        photo: Photo,
        inputs: Inputs,
        request: Request,
        task: Callable[[Inputs, Any, Models, Callback], Outcome[Picture]],
        suffix: str,
        times: int = 1,
    ) -> dict[str, str]:
        """Queue a task that draws no samples; see `submit`.

        Args:
            task: runs the task; a lambda, so that the task's module and torch are imported when the job starts.
        """

        def improve(callback: Callback) -> Result:
            outcome = task(inputs, request, models, callback)
            return finished(photo, inputs, request, outcome, suffix)

        return submit(photo, inputs, request, improve, times)

    def layer(key: str | None) -> Photo | None:
        return album.get(key) if key else None

    @app.post("/api/photos/{key}/damage", status_code=202)
    async def damage(key: str, sensitivity: float = USUAL_SENSITIVITY) -> Any:
        photo, request = album.get(key), DamageRequest(sensitivity=sensitivity)

        def find(callback: Callback) -> Result:
            detect = partial(tasks.DamageOdds.of, photo.picture, models.detector(), callback)
            hole = _cached(odds, 2, photo.key, detect).marked(request.sensitivity, request.grow)
            mask = picture_of_hole(hole) if hole.any() else None
            return result(photo, mask, [tasks.damage_note(hole, request.sensitivity)], "damage")

        return submit(photo, Inputs(photo.picture), request, find)

    @app.post("/api/photos/{key}/fill", status_code=202)
    def fill(key: str, mask: str, avoid: str | None = None, exact: bool = False, grow: Grow = 0, seed: int = 0) -> Any:
        estimate: FillEstimate = "sample" if seed else "detail"  # later results are samples
        photo, request = album.get(key), InpaintRequest(exact=exact, seed=seed, estimate=estimate)
        hole, spared = hole_of(photo, album.get(mask), grow), layer(avoid)
        inputs = Inputs(photo.picture, hole, avoid=None if spared is None else hole_of(photo, spared))

        def draw(callback: Callback) -> Result:
            masks = (None if each is None else np.packbits(each).tobytes() for each in (inputs.hole, inputs.avoid))
            prepare = partial(tasks.PreparedFill, inputs, request, models)
            outcome = _cached(fills, 1, (photo.key, exact, *masks), prepare).draw(request, callback)
            return finished(photo, inputs, request, outcome, "inpainted", seed, another=True)

        return submit(photo, inputs, request, draw)

    @app.post("/api/photos/{key}/colorize", status_code=202)
    def colorize(key: str, strokes: str | None = None, like: str | None = None, seed: int = 0) -> Any:
        photo, reference = album.get(key), layer(like)
        request = ColorizeRequest(seed=seed, estimate="sample" if seed else None)  # later results are samples
        if reference is not None:
            check_reference(reference.picture, "The reference photograph")
        references = () if reference is None else (reference.picture,)
        inputs = Inputs(photo.picture, hints=_hints(photo, layer(strokes)), references=references)

        def draw(callback: Callback) -> Result:
            outcome = tasks.colorize_picture(inputs, request, models, callback)
            return finished(photo, inputs, request, outcome, "colorized", seed, another=True)

        return submit(photo, inputs, request, draw, _planes(photo))

    @app.post("/api/photos/{key}/restore", status_code=202)
    def restore(key: str, request: Restoring, mask: str | None = None, strokes: str | None = None) -> Any:
        photo, holes = album.get(key), layer(mask)
        hole = None if holes is None else hole_of(photo, holes)
        inputs = Inputs(photo.picture, hole, hints=_hints(photo, layer(strokes)))

        def mend(callback: Callback) -> Result:
            outcome = tasks.restore_picture(inputs, request, models, callback)
            drawn = any(step.changed and step.name in ("inpaint", "colorize") for step in outcome.steps)
            kept = request.seed if drawn else 0
            made = finished(photo, inputs, request, outcome, "restored", kept, another=drawn)
            return made | {"actions": actions(outcome.notes)}

        return submit(photo, inputs, request, mend, _planes(photo) * (request.enlarge or 1) ** 2)

    @app.post("/api/photos/{key}/denoise", status_code=202)
    async def denoise(key: str, request: Denoising) -> Any:
        photo = album.get(key)
        return run(photo, Inputs(photo.picture), request, lambda *given: tasks.denoise_picture(*given), "denoised")

    @app.post("/api/photos/{key}/upscale", status_code=202)
    async def upscale(key: str, request: Enlarging) -> Any:
        photo, times = album.get(key), request.factor**2
        inputs = Inputs(photo.picture)
        return run(photo, inputs, request, lambda *given: tasks.upscale_picture(*given), "upscaled", times)

    @app.post("/api/photos/{key}/deblur", status_code=202)
    async def deblur(key: str, request: Deblurring) -> Any:
        photo = album.get(key)
        request.result_of(photo.picture)  # checks the kernel's size
        return run(photo, Inputs(photo.picture), request, lambda *given: tasks.deblur_picture(*given), "deblurred")

    @app.post("/api/photos/{key}/blend", status_code=201)
    def blend(
        key: str, result: str, opacity: float = 1.0, feather: int = 0, mask: str | None = None, grow: Grow = 0
    ) -> dict[str, Any]:
        """Blend a result with its photograph.

        Args:
            opacity: weight of the result, in [0, 1].
            feather: width of the soft edge of a fill, in pixels.
            mask, grow: the mask of a fill, and its dilation in pixels.
        """
        photo, made = album.get(key), album.get(result)
        hole = hole_of(photo, album.get(mask), grow) if mask else None
        blended = blend_result(photo.picture, made.picture, opacity, hole, feather)
        mixed = made.edited(blended)
        album.add(mixed)
        return mixed.describe()

    @app.get("/api/photos/{key}/seconds")
    def seconds(key: str, work: Literal["denoise", "upscale", "deblur"], factor: int = 2) -> dict[str, float]:
        """Estimate the duration of an improvement before it is requested."""
        photo, factor = album.get(key), UpscaleRequest(factor=factor).factor
        models.machine.start_torch()
        return {"seconds": tasks.improvement_seconds(work, photo.picture.size, factor, models)}


def _cached(cache: dict[Hashable, Prepared], most: int, key: Hashable, make: Callable[[], Prepared]) -> Prepared:
    """Return the cached value of a key; make and cache it if it is missing. The cache keeps the last `most` values."""
    if key not in cache:
        cache[key] = make()
        for old in list(cache)[:-most]:
            del cache[old]
    return cache[key]


def _hints(photo: Photo, strokes: Photo | None) -> KnownColours | None:
    """Return the colours of strokes for a photograph; raise InputError if they are not strokes for it."""
    if strokes is None:
        return None
    hints = hints_from_picture(strokes.picture, "the strokes of colour")
    hints.check_size(photo.picture.size, "the strokes of colour")
    return hints


def _planes(photo: Photo) -> int:
    """Return the memory of a photograph in colour, relative to its own."""
    return 3 if photo.picture.is_gray_mode else 1
