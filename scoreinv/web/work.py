"""Routes of the tasks on a photograph, from the table of tasks.

A route reads the page's settings and submits a job. A job makes one result, drawn with the seed of the request; more
results are more jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from fastapi import Depends, FastAPI, Query
from fastapi.concurrency import run_in_threadpool

from scoreinv import tasks
from scoreinv.inputs.blur import picture_of_kernel
from scoreinv.inputs.hints import hints_from_picture
from scoreinv.inputs.masks import dilate, hole_from_picture
from scoreinv.models.loading import Models
from scoreinv.operators.kernels import normalised
from scoreinv.system.errors import InputError
from scoreinv.system.options import MOST_GROW
from scoreinv.tasks.blend import blend_result, edge_weights
from scoreinv.tasks.notes import NOTES, page_text
from scoreinv.tasks.once import once
from scoreinv.tasks.outcome import DeblurOutcome
from scoreinv.tasks.provenance import with_provenance
from scoreinv.tasks.requests import DamageRequest, InpaintRequest, Inputs, Request, RestoreRequest, UpscaleRequest
from scoreinv.tasks.table import TASKS, Task
from scoreinv.web.album import Album
from scoreinv.web.body import Content
from scoreinv.web.forms import request_reader
from scoreinv.web.jobs import JobQueue
from scoreinv.web.photo import Photo, boxed_bits, layer_of

UNCHANGED = "Nothing was changed."
"""Sentence for a task that returned the photograph itself."""
Prepared = TypeVar("Prepared")
Cache: TypeAlias = WeakKeyDictionary[Photo, tuple[Hashable, Prepared]]
Grow = Annotated[int, Query(ge=-MOST_GROW, le=MOST_GROW)]
Result = dict[str, Any]
"""JSON of a finished job.

`photo`: the description of the new photograph, or None if nothing changed. `notes`, and as text `note`. `another`:
whether another seed gives another result. `actions`: buttons that do a step of a restoration anyway, or the key of the
kernel of a blur.
"""


def hole_of(photo: Photo, mask: Photo, grow: int = 0) -> np.ndarray:
    """Return the holes of a mask for a photograph, HxW bool, enlarged by `grow` pixels, or shrunk if it is negative.

    Raises InputError if it is not a mask for it, or nothing is left of it.
    """
    hole = hole_from_picture(mask.picture, photo.picture.size, name="the mask", grow=max(0, grow))
    if grow < 0 and not (hole := ~dilate(~hole, -grow)).any():
        raise InputError(f"nothing is left of the mask, shrunk by {-grow} pixels")
    return hole


def add_work(app: FastAPI, album: Album, queue: JobQueue, models: Models) -> None:
    """Add the routes of the tasks to the application; results are added to the album."""
    preparations = _Preparations()
    for task in TASKS:
        if not task.one_photo:
            _add_task(app, task, album, queue, models, preparations)

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
        mixed = made.edited(blend_result(photo.picture, made.picture, opacity, hole, feather))
        album.add(mixed)
        return mixed.describe()

    @app.post("/api/photos/{key}/edge")
    async def edge(key: str, content: Content, grow: Grow = 0, feather: int = 0) -> dict[str, Any]:
        """Return what growing or shrinking adds to a mask and removes, and its pixels in the soft edge of a fill."""
        photo = await album.find(key)

        def answer() -> dict[str, Any]:
            mask = Photo(layer_of(content, photo.picture.size), "mask", "PNG")
            before, hole = hole_of(photo, mask), hole_of(photo, mask, grow)
            parts = {"added": hole & ~before, "removed": before & ~hole, "soft": edge_weights(hole, feather) < 1}
            return {name: boxed_bits(part) for name, part in parts.items()}

        return await run_in_threadpool(answer)

    @app.get("/api/photos/{key}/seconds")
    def seconds(key: str, work: Literal["denoise", "upscale", "deblur"], factor: int = 2) -> dict[str, float]:
        """Estimate the duration of an improvement before it is requested."""
        photo, factor = album.get(key), UpscaleRequest(factor=factor).factor
        models.machine.start_torch()
        return {"seconds": tasks.improvement_seconds(work, photo.picture.size, factor, models)}

    @app.get("/api/photos/{key}/large")
    def large(key: str, mask: str, grow: Grow = 0) -> dict[str, str | None]:
        """Return what to ask before the fill of a large mask; None for other masks."""
        models.machine.start_torch()
        note = tasks.large_fill(hole_of(album.get(key), album.get(mask), grow))
        return {"question": f"{page_text(note.row())} Fill it?" if note else None}


def _add_task(
    app: FastAPI, task: Task, album: Album, queue: JobQueue, models: Models, preparations: _Preparations
) -> None:
    """Add the route of a task, which queues a job and returns its key."""

    def inputs_of(photo: Photo, grow: int, layers: dict[str, str | None]) -> Inputs:
        """Return the photograph with its layers; raise InputError for one that does not fit it."""
        given = {name: album.get(layer) for name, layer in layers.items() if layer}
        hole, avoid = (
            hole_of(photo, given[name], grow if name == "mask" else 0) if name in given else None
            for name in ("mask", "avoid")
        )
        hints = None
        if "strokes" in given:
            hints = hints_from_picture(given["strokes"].picture, "the strokes of colour")
        references = [given["like"].picture] if "like" in given else []
        return Inputs(photo.picture, hole, avoid, hints, references)

    @app.post(f"/api/photos/{{key}}/{task.route}", status_code=202)
    async def submit(
        key: str,
        mask: str | None = None,
        avoid: str | None = None,
        strokes: str | None = None,
        like: str | None = None,
        kernel: str | None = None,
        grow: Grow = 0,
        request: Any = Depends(request_reader(task)),  # noqa: B008 - FastAPI's way
    ) -> dict[str, str]:
        photo = await album.find(key)
        layers = {"mask": mask, "avoid": avoid, "strokes": strokes, "like": like}
        inputs = Inputs(photo.picture)
        if any(layers.values()):
            inputs = await run_in_threadpool(inputs_of, photo, grow, layers)
        if task.needs_mask and inputs.hole is None:
            raise InputError("The mask is missing")
        if kernel is not None and "kernel" in task.settings:
            request = replace(request, kernel=normalised((await album.find(kernel)).picture.luma(), "the kernel"))
        request.check(inputs)

        def start() -> Result:
            models.machine.start_torch()
            run = preparations.run_of(photo, request)
            outcome = once(task if run is None else replace(task, run=run), inputs, request, models)
            return _result(task, photo, request, outcome, album)

        return {"job": queue.submit(start).key}


def _result(task: Task, photo: Photo, request: Request, outcome: Any, album: Album) -> Result:
    """Add the picture of an outcome to the album, unless it is the photograph itself or an empty mask."""
    made, rows, described = outcome.image, [note.row() for note in outcome.notes], None
    lines = list(map(page_text, rows))
    if made is photo.picture:
        lines.insert(0, UNCHANGED)
    elif not task.makes_mask or made.pixels.any():
        seed = getattr(request, "seed", 0) if outcome.invents else 0
        result = photo.result(with_provenance(outcome, made), task.suffix.removeprefix("_"), seed)
        album.add(result)
        described = result.describe()
    more = {}
    if isinstance(request, RestoreRequest):
        buttons = [kind for note in outcome.notes if (kind := NOTES[note.code]).button]
        more["actions"] = [{"label": kind.button, "settings": kind.sets} for kind in buttons]
    if isinstance(outcome, DeblurOutcome):
        kernel = photo.result(picture_of_kernel(outcome.point_spread), "kernel")
        album.add(kernel)
        more["actions"] = [{"label": "Its kernel", "kernel": kernel.key}]
    return {
        "photo": described,
        "notes": rows,
        "note": "\n".join(lines) or None,
        "another": outcome.invents,
        **more,
    }


class _Preparations:
    """Work on photographs that later requests reuse. Only the thread of the jobs uses it."""

    def __init__(self) -> None:
        self.odds: Cache[tasks.DamageOdds] = WeakKeyDictionary()
        self.fills: Cache[tasks.PreparedFill] = WeakKeyDictionary()

    def run_of(self, photo: Photo, request: Request) -> Callable[..., Any] | None:
        """Return a function that runs a request from what was prepared for this photograph; None if nothing is."""
        if isinstance(request, DamageRequest):
            return partial(self._find, photo)
        if isinstance(request, InpaintRequest) and request.classical is None:
            return partial(self._fill, photo)
        return None

    def _find(self, photo: Photo, inputs: Inputs, request: DamageRequest, models: Models) -> Any:
        detect = partial(tasks.DamageOdds.of, inputs.picture, models.detector())
        return _cached(self.odds, 2, photo, (), detect).outcome(request)

    def _fill(self, photo: Photo, inputs: Inputs, request: InpaintRequest, models: Models) -> Any:
        masks = (None if each is None else np.packbits(each).tobytes() for each in (inputs.hole, inputs.avoid))
        prepare = partial(tasks.PreparedFill, inputs, request, models)
        key = (replace(request, seed=0, estimate=None), *masks)
        return _cached(self.fills, 1, photo, key, prepare).draw(request)


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
