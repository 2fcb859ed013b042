"""Routes of the tasks on a photograph. A route reads the page's settings and submits a job that runs the task.

A job makes one result, drawn with the seed of the request. More results are more jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import FastAPI, Query

from scoreinv import tasks
from scoreinv.imaging.picture import picture_of_hole
from scoreinv.inputs.hints import KnownColours, hints_from_picture
from scoreinv.inputs.masks import hole_from_picture
from scoreinv.system.options import MOST_GROW, USUAL_SENSITIVITY
from scoreinv.tasks.blend import blend_result
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DamageRequest,
    FillEstimate,
    InpaintRequest,
    Inputs,
    UpscaleRequest,
)
from scoreinv.web.album import Album
from scoreinv.web.notes import actions
from scoreinv.web.photo import Photo
from scoreinv.web.requests import Deblurring, Denoising, Enlarging, Restoring
from scoreinv.web.task_jobs import Result, TaskJobs

Prepared = TypeVar("Prepared")
Cache: TypeAlias = WeakKeyDictionary[Photo, tuple[Hashable, Prepared]]
Grow = Annotated[int, Query(ge=0, le=MOST_GROW)]


def hole_of(photo: Photo, mask: Photo, grow: int = 0) -> np.ndarray:
    """Return the holes of a mask for a photograph, HxW bool, enlarged by `grow` pixels.

    Raises InputError if it is not a mask for it.
    """
    return hole_from_picture(mask.picture, photo.picture.size, name="the mask", grow=grow)


def add_work(app: FastAPI, jobs: TaskJobs) -> None:
    """Add the routes of the tasks to the application."""
    _add_fills(app, jobs)
    _add_restoration(app, jobs)
    _add_improvements(app, jobs)


def _add_fills(app: FastAPI, jobs: TaskJobs) -> None:
    """Add the routes that find damage, fill holes and blend a fill with its photograph."""
    album = jobs.album
    # Only the thread of the jobs uses these.
    odds: Cache[tasks.DamageOdds] = WeakKeyDictionary()
    fills: Cache[tasks.PreparedFill] = WeakKeyDictionary()

    @app.post("/api/photos/{key}/damage", status_code=202)
    async def damage(key: str, sensitivity: float = USUAL_SENSITIVITY) -> Any:
        photo, request = await album.find(key), DamageRequest(sensitivity=sensitivity)

        def find(callback: Callback) -> Result:
            detect = partial(tasks.DamageOdds.of, photo.picture, jobs.models.detector(), callback)
            hole = _cached(odds, 2, photo, (), detect).marked(request.sensitivity, request.grow)
            mask = picture_of_hole(hole) if hole.any() else None
            return jobs.result(photo, mask, [tasks.damage_note(hole, request.sensitivity)], "damage")

        return jobs.submit(photo, Inputs(photo.picture), request, find)

    @app.post("/api/photos/{key}/fill", status_code=202)
    def fill(key: str, mask: str, avoid: str | None = None, exact: bool = False, grow: Grow = 0, seed: int = 0) -> Any:
        estimate: FillEstimate = "sample" if seed else "detail"  # later results are samples
        photo, request = album.get(key), InpaintRequest(exact=exact, seed=seed, estimate=estimate)
        hole, spared = hole_of(photo, album.get(mask), grow), _layer(album, avoid)
        inputs = Inputs(photo.picture, hole, avoid=None if spared is None else hole_of(photo, spared))

        def draw(callback: Callback) -> Result:
            masks = (None if each is None else np.packbits(each).tobytes() for each in (inputs.hole, inputs.avoid))
            prepare = partial(tasks.PreparedFill, inputs, request, jobs.models)
            outcome = _cached(fills, 1, photo, (exact, *masks), prepare).draw(request, callback)
            return jobs.finished(photo, inputs, request, outcome, "inpainted", seed, another=True)

        return jobs.submit(photo, inputs, request, draw)

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


def _add_restoration(app: FastAPI, jobs: TaskJobs) -> None:
    """Add the routes that restore and colour a photograph."""
    album = jobs.album

    @app.post("/api/photos/{key}/restore", status_code=202)
    def restore(key: str, request: Restoring, mask: str | None = None, strokes: str | None = None) -> Any:
        photo, holes = album.get(key), _layer(album, mask)
        hole = None if holes is None else hole_of(photo, holes)
        inputs = Inputs(photo.picture, hole, hints=_hints(photo, _layer(album, strokes)))

        def mend(callback: Callback) -> Result:
            outcome = tasks.restore_picture(inputs, request, jobs.models, callback)
            drawn = any(step.changed and step.name in ("inpaint", "colorize") for step in outcome.steps)
            kept = request.seed if drawn else 0
            made = jobs.finished(photo, inputs, request, outcome, "restored", kept, another=drawn)
            return made | {"actions": actions(outcome.notes)}

        return jobs.submit(photo, inputs, request, mend, _planes(photo) * (request.enlarge or 1) ** 2)

    @app.post("/api/photos/{key}/colorize", status_code=202)
    def colorize(key: str, strokes: str | None = None, like: str | None = None, seed: int = 0) -> Any:
        photo, reference = album.get(key), _layer(album, like)
        request = ColorizeRequest(seed=seed, estimate="sample" if seed else None)  # later results are samples
        references = () if reference is None else (reference.picture,)
        inputs = Inputs(photo.picture, hints=_hints(photo, _layer(album, strokes)), references=references)

        def draw(callback: Callback) -> Result:
            outcome = tasks.colorize_picture(inputs, request, jobs.models, callback)
            return jobs.finished(photo, inputs, request, outcome, "colorized", seed, another=True)

        return jobs.submit(photo, inputs, request, draw, _planes(photo))


def _add_improvements(app: FastAPI, jobs: TaskJobs) -> None:
    """Add the routes that remove noise, enlarge and sharpen."""
    album = jobs.album

    @app.post("/api/photos/{key}/denoise", status_code=202)
    async def denoise(key: str, request: Denoising) -> Any:
        photo = await album.find(key)
        return jobs.submit_task(photo, request, lambda *given: tasks.denoise_picture(*given), "denoised")

    @app.post("/api/photos/{key}/upscale", status_code=202)
    async def upscale(key: str, request: Enlarging) -> Any:
        photo, times = await album.find(key), request.factor**2
        return jobs.submit_task(photo, request, lambda *given: tasks.upscale_picture(*given), "upscaled", times)

    @app.post("/api/photos/{key}/deblur", status_code=202)
    async def deblur(key: str, request: Deblurring) -> Any:
        photo = await album.find(key)
        request.result_of(photo.picture)  # checks the kernel's size
        return jobs.submit_task(photo, request, lambda *given: tasks.deblur_picture(*given), "deblurred")

    @app.get("/api/photos/{key}/seconds")
    def seconds(key: str, work: Literal["denoise", "upscale", "deblur"], factor: int = 2) -> dict[str, float]:
        """Estimate the duration of an improvement before it is requested."""
        photo, factor = album.get(key), UpscaleRequest(factor=factor).factor
        jobs.models.machine.start_torch()
        return {"seconds": tasks.improvement_seconds(work, photo.picture.size, factor, jobs.models)}


def _cached(cache: Cache[Prepared], most: int, photo: Photo, key: Hashable, make: Callable[[], Prepared]) -> Prepared:
    """Return a photograph's cached value; make and cache it if it is missing or has another key.

    The cache keeps the values of the last `most` photographs, and none of a photograph that the album has dropped.
    """
    if photo not in cache or cache[photo][0] != key:
        cache.pop(photo, None)
        cache[photo] = key, make()
        for old in list(cache)[:-most]:
            del cache[old]
    return cache[photo][1]


def _layer(album: Album, key: str | None) -> Photo | None:
    return album.get(key) if key else None


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
