"""What is done with a photograph: damage found, holes filled, colours drawn, all at once, noise or blur taken away.

A route here checks what it is given, and begins a job. Each makes one result, by the seed that the page asks for: more
of them are more jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query

from scoreinv import analysis, tasks
from scoreinv.analysis.noise import estimate_noise, noise_under_blur
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.inputs.hints import KnownColours, check_reference, hints_from_picture
from scoreinv.inputs.masks import hole_from_picture
from scoreinv.models.photo_models import PhotoModels
from scoreinv.operators.kernels import BlurKind, PointSpread
from scoreinv.system.errors import InputError
from scoreinv.system.memory import shortage
from scoreinv.system.options import GRAY_LEVELS, SEED, SENSITIVITY, USUAL_SENSITIVITY
from scoreinv.tasks.results import TaskCallback
from scoreinv.tasks.settings import ColourSettings, DenoiseSettings, FillSettings, LinearSettings, OldPhotoSettings
from scoreinv.web.album import Album, Photo
from scoreinv.web.jobs import JobQueue

Seed = Annotated[int, Query(ge=SEED.least, le=SEED.most)]
Sensitivity = Annotated[float, Query(ge=SENSITIVITY.least, le=SENSITIVITY.most)]
Noise = Annotated[float, Query(ge=0, le=GRAY_LEVELS)]
Factor = Annotated[int, Query(ge=2, le=4)]
Made = dict[str, Any]
"""What the page is told of a result: the photograph, a note, and whether another seed would give another one."""

_STEPS = {
    "damage": "Damage",
    "border": "Border",
    "tint": "Tint",
    "tone": "Tones",
    "inpaint": "Fill",
    "denoise": "Noise",
    "colorize": "Colours",
}
"""What the page calls the steps of a restoration."""
_SMEARED = "The JPEG had smeared the colours of what is removed: those just beside it are redrawn, too."
_LEFT = "Something of it seems to be left beside the marks: go back to them, and brush a little wider."


def hole_of(photo: Photo, mask: Photo) -> np.ndarray:
    """The holes of a mask for a photograph, HxW bool; InputError where it is none."""
    return hole_from_picture(mask.picture, photo.picture.size, name="the mask")


def add_work(app: FastAPI, album: Album, queue: JobQueue, models: PhotoModels) -> None:
    """Add the routes of all work to the application."""
    looks: dict[str, tasks.Odds] = {}  # used by the one thread of the jobs, as the next
    fillings: dict[Hashable, tasks.Filling] = {}

    def begun(photo: Photo, do: Callable[[TaskCallback], Made], times: int = 1) -> dict[str, str]:
        """A job that does it; InputError where a result of so many times the size does not fit in memory."""
        if lacking := shortage(times * photo.picture.pixels.nbytes):
            raise InputError(f"Making a result of this size {lacking}.")
        return {"job": queue.submit(do).key}

    def made(photo: Photo | None = None, note: str | None = None, another: bool = False) -> Made:
        """What has come of it; no photograph where nothing was to be done, no note where nothing has to be said."""
        if photo is not None:
            album.add(photo)
        return {"photo": None if photo is None else photo.describe(), "note": note, "another": another}

    def colours_of(photo: Photo, strokes: str | None) -> Photo | None:
        """Strokes that are checked: a job that waits holds their 8-bit pixels."""
        colours = album.get(strokes) if strokes else None
        _hints_of(photo, colours)
        return colours

    @app.post("/api/photos/{key}/damage", status_code=202)
    async def damage(key: str, sensitivity: Sensitivity = USUAL_SENSITIVITY) -> Any:
        photo = album.get(key)

        def find(report: TaskCallback) -> Made:
            detect = partial(tasks.Odds.seen, photo.picture, models.detector(), report)
            odds: tasks.Odds = _kept(looks, 2, photo.key, detect)
            hole = odds.marked(sensitivity)
            if not hole.any():
                return made(note="No damage was found. Move the slider to “more” to mark what is less certain.")
            return made(photo.result(picture_of_hole(hole), "damage"))

        return begun(photo, find)

    @app.post("/api/photos/{key}/fill", status_code=202)
    def fill(key: str, mask: str, avoid: str | None = None, exact: bool = False, seed: Seed = 0) -> Any:
        """The note says what else was redrawn, and, of the first result, what seems to be left of the object."""
        photo, settings = album.get(key), FillSettings(exact=exact, seed=seed)
        hole = hole_of(photo, album.get(mask))
        spared = hole_of(photo, album.get(avoid)) if avoid else None

        def draw(report: TaskCallback) -> Made:
            prior = models.filler()
            marks = (None if marked is None else np.packbits(marked).tobytes() for marked in (hole, spared))
            prepare = partial(tasks.Filling, photo.picture, hole, prior, settings, spared)
            filling = _kept(fillings, 1, (photo.key, exact, *marks), prepare)  # enough for another seed of these marks
            (result,) = tasks.draw_fills([filling], prior, settings, report)
            notes = []
            if (result.image.pixels[~hole] != photo.picture.pixels[~hole]).any():
                notes.append(_SMEARED)
            if seed == 0 and analysis.find_leftover(photo.picture, hole) is not None:
                notes.append(_LEFT)
            return made(photo.result(result.image, "inpainted", seed), "\n".join(notes) or None, another=True)

        return begun(photo, draw)

    @app.post("/api/photos/{key}/colorize", status_code=202)
    def colorize(key: str, strokes: str | None = None, like: str | None = None, seed: Seed = 0) -> Any:
        photo = album.get(key)
        colours, reference = colours_of(photo, strokes), album.get(like) if like else None
        if reference is not None:
            check_reference(reference.picture, "The photograph of other colours")

        def draw(report: TaskCallback) -> Made:
            prior, settings = models.colorizer(), ColourSettings(seed=seed)
            references = [] if reference is None else [tasks.Reference.of(reference.picture, prior)]
            hints = _hints_of(photo, colours)
            result = tasks.colorize_picture(photo.picture, prior, settings, hints, report, references=references)
            note = tasks.colour_note(result.found, settings)
            words = note and f"The photograph {note}."
            return made(photo.result(result.image, "colorized", seed), words, another=True)

        return begun(photo, draw, _planes(photo))

    @app.post("/api/photos/{key}/restore", status_code=202)
    def restore(
        key: str,
        mask: str | None = None,
        strokes: str | None = None,
        inpaint: bool = True,
        tone: Annotated[float, Query(ge=0, le=1)] | None = None,
        denoise: bool = True,
        colorize: bool = True,
        keep_tint: bool = False,
        sensitivity: Sensitivity | None = None,
        seed: Seed = 0,
    ) -> Any:
        """The note says what each step did, in a line."""
        photo = album.get(key)
        hole = hole_of(photo, album.get(mask)) if mask else None
        colours = colours_of(photo, strokes)
        settings = OldPhotoSettings(
            inpaint=inpaint,
            tone=tone,
            denoise=denoise,
            colorize=colorize,
            keep_tint=keep_tint,
            sensitivity=sensitivity,
            seed=seed,
            estimate="sample" if seed else "mean",  # of which there is one, and the page asks for another
        )
        settings.check_given(masked=hole is not None, hinted=colours is not None)

        def mend(report: TaskCallback) -> Made:
            result = tasks.restore_picture(photo.picture, models, settings, hole, _hints_of(photo, colours), report)
            note = "\n".join(f"{_STEPS[step.name]}: {step.words}." for step in result.steps)
            changed = {step.name for step in result.steps if step.changed}
            if not changed:
                return made(note=f"Nothing was to be done.\n{note}")
            another = bool(changed & {"inpaint", "colorize"})
            return made(photo.result(result.image, "restored", seed if another else 0), note, another)

        return begun(photo, mend, _planes(photo))

    @app.post("/api/photos/{key}/denoise", status_code=202)
    async def denoise(key: str, noise: Noise | None = None) -> Any:
        photo = album.get(key)

        def clean(report: TaskCallback) -> Made:
            prior, (level, words) = models.denoiser(), _noise_of(photo, noise, estimate_noise)
            if noise is None and not tasks.has_noise(photo.picture, level, prior):
                return made(note="There is less noise than can be removed. A level of your own removes more.")
            result = tasks.denoise_picture(photo.picture, level, prior, DenoiseSettings(), report)
            return made(photo.result(result.image, "denoised"), f"{words} was removed.")

        return begun(photo, clean)

    @app.post("/api/photos/{key}/upscale", status_code=202)
    async def upscale(key: str, factor: Factor = 2, noise: Noise = 0.0) -> Any:
        photo = album.get(key)

        def enlarge(report: TaskCallback) -> Made:
            prior, level = models.denoiser(), noise / GRAY_LEVELS
            result = tasks.upscale_picture(photo.picture, factor, "area", level, prior, LinearSettings(), report)
            return made(photo.result(result.image, "upscaled"))

        return begun(photo, enlarge, factor**2)

    @app.get("/api/photos/{key}/seconds")
    def seconds(key: str, work: Literal["denoise", "upscale", "deblur"], factor: Factor = 2) -> dict[str, float]:
        """Estimate how long an improvement takes, before it is asked for."""
        return {"seconds": tasks.improvement_seconds(work, album.get(key).picture.size, factor, models.denoiser())}

    @app.post("/api/photos/{key}/deblur", status_code=202)
    async def deblur(
        key: str,
        blur: BlurKind | None = None,
        size: Annotated[float, Query(gt=0, le=100)] = 2.0,
        angle: float = 0.0,
        noise: Noise | None = None,
    ) -> Any:
        photo = album.get(key)

        def sharpen(report: TaskCallback) -> Made:
            spread = None if blur is None else PointSpread(blur, size, angle)
            prior, (level, words) = models.denoiser(), _noise_of(photo, noise, noise_under_blur)
            result = tasks.deblur_photo(photo.picture, spread, level, prior, LinearSettings(), report)
            said = "" if result.blur is None else f"The photograph was {result.blur.words}. "
            doubts = "".join(f" The photograph {note}." for note in result.notes)
            return made(photo.result(result.image, "deblurred"), f"{said}{words} was reckoned with.{doubts}")

        return begun(photo, sharpen)


def _kept(made: dict[Any, Any], most: int, key: Hashable, make: Callable[[], Any]) -> Any:
    """What was made of the last photographs by what it was made of, or is made now: another look costs nothing."""
    if key not in made:
        made[key] = make()
        for old in list(made)[:-most]:
            del made[old]
    return made[key]


def _hints_of(photo: Photo, strokes: Photo | None) -> KnownColours | None:
    """The colours of strokes for a photograph; InputError where there are none."""
    if strokes is None:
        return None
    hints = hints_from_picture(strokes.picture, "the strokes of colour")
    hints.check_size(photo.picture.size, "the strokes of colour")
    return hints


def _noise_of(photo: Photo, noise: float | None, estimate: Callable[[Picture], float]) -> tuple[float, str]:
    """The standard deviation of a photograph's noise in [0, 1], given in grey levels or found, and words for it."""
    level = estimate(photo.picture) if noise is None else noise / GRAY_LEVELS
    return level, f"Noise of {'about ' if noise is None else ''}{level * GRAY_LEVELS:.2g} grey levels"


def _planes(photo: Photo) -> int:
    """How many times its size a photograph takes in colours."""
    return 3 if photo.picture.is_gray_mode else 1
