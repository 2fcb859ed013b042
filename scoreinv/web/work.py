"""What is done with a photograph: damage found, holes filled, colours drawn, all at once, noise or blur taken away.

Each piece of work makes one result, by the seed that the page asks for: more of them are more pieces of work.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoreinv import imaging, tasks
from scoreinv.imaging.hints import KnownColours, hints_from_picture
from scoreinv.imaging.masks import hole_from_picture
from scoreinv.imaging.noise import estimate_noise, noise_under_blur
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.kernels import PointSpread
from scoreinv.models.photo_models import PhotoModels
from scoreinv.options import GRAY_LEVELS
from scoreinv.tasks.results import TaskCallback
from scoreinv.tasks.settings import (
    ColourSettings,
    DenoiseSettings,
    FillSettings,
    LinearSettings,
    OldPhotoSettings,
)
from scoreinv.web.album import Photo

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


@dataclass(frozen=True)
class Made:
    """What has come of a piece of work.

    Attributes:
        photo: the result; None where nothing was to be done.
        note: what has to be said of it; None for nothing.
        another: whether another seed would give another result.
    """

    photo: Photo | None = None
    note: str | None = None
    another: bool = False


def hole_of(photo: Photo, mask: Photo) -> np.ndarray:
    """The holes of a mask for a photograph, HxW bool; InputError where it is none."""
    return hole_from_picture(mask.picture, photo.picture.size, name="the mask")


def hints_of(photo: Photo, strokes: Photo) -> KnownColours:
    """The colours of strokes for a photograph; InputError where there are none."""
    hints = hints_from_picture(strokes.picture, "the strokes of colour")
    hints.check_size(photo.picture.size, "the strokes of colour")
    return hints


class Kept:
    """What the last photographs were seen as, or prepared for, by what it was made of: another look costs nothing.

    Used by the one thread of the jobs.
    """

    def __init__(self, most: int) -> None:
        self._most, self._made = most, dict[Hashable, Any]()

    def of(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made of this, or is made now."""
        if key not in self._made:
            self._made[key] = make()
            for old in list(self._made)[: -self._most]:
                del self._made[old]
        return self._made[key]


def find_damage(photo: Photo, sensitivity: float, seen: Kept, models: PhotoModels, report: TaskCallback) -> Made:
    """Find the damage: the result is a mask, or none where nothing is found. seen: the last photographs here."""
    odds: tasks.Odds = seen.of(photo.key, lambda: tasks.Odds.seen(photo.picture, models.detector(), report))
    hole = odds.marked(sensitivity)
    if not hole.any():
        return Made(note="No damage was found. Move the slider to “more” to mark what is less certain.")
    return Made(photo.result(picture_of_hole(hole), "damage"))


def fill(
    photo: Photo,
    hole: np.ndarray,
    avoid: np.ndarray | None,
    settings: FillSettings,
    prepared: Kept,
    models: PhotoModels,
    report: TaskCallback,
) -> Made:
    """Fill the holes (HxW bool), with nothing copied from what is to be avoided (HxW bool).

    The note says what else was redrawn, and, of the first result, what seems to be left of the object. prepared: the
    last fill, which is enough for another seed of the same marks.
    """
    prior = models.filler()
    marks = [None if marked is None else np.packbits(marked).tobytes() for marked in (hole, avoid)]
    key = (photo.key, settings.exact, *marks)
    filling: tasks.Filling = prepared.of(key, lambda: tasks.Filling(photo.picture, hole, prior, settings, avoid))
    (result,) = tasks.draw_fills([filling], prior, settings, report)
    notes = []
    if (result.image.pixels[~hole] != photo.picture.pixels[~hole]).any():
        notes.append("The JPEG had smeared the colours of what is removed: those just beside it are redrawn, too.")
    if settings.seed == 0 and imaging.find_leftover(photo.picture, hole) is not None:
        notes.append("Something of it seems to be left beside the marks: go back to them, and brush a little wider.")
    return Made(photo.result(result.image, "inpainted", settings.seed), "\n".join(notes) or None, another=True)


def colorize(
    photo: Photo,
    strokes: Photo | None,
    like: Photo | None,
    settings: ColourSettings,
    models: PhotoModels,
    report: TaskCallback,
) -> Made:
    """Draw the colours of a grey photograph: as strokes say, and where it looks like another, as that has them."""
    hints, prior = None if strokes is None else hints_of(photo, strokes), models.colorizer()
    references = tasks.references_of([] if like is None else [like.picture], prior)
    result = tasks.colorize_picture(photo.picture, prior, settings, hints, report, references=references)
    note = "The photograph had colours already, which were replaced." if result.found == "coloured" else None
    return Made(photo.result(result.image, "colorized", settings.seed), note, another=True)


def restore(
    photo: Photo,
    hole: np.ndarray | None,
    strokes: Photo | None,
    settings: OldPhotoSettings,
    models: PhotoModels,
    report: TaskCallback,
) -> Made:
    """Restore an old photograph, its damage being the hole, or what is found.

    The note says what each step did, in a line. There is no result where nothing was to be done.
    """
    hints = None if strokes is None else hints_of(photo, strokes)
    result = tasks.restore_picture(photo.picture, models, settings, hole, hints, report)
    note = "\n".join(f"{_STEPS[step.name]}: {step.words}." for step in result.steps)
    changed = {step.name for step in result.steps if step.changed}
    if not changed:
        return Made(note=f"Nothing was to be done.\n{note}")
    another = bool(changed & {"inpaint", "colorize"})
    return Made(photo.result(result.image, "restored", settings.seed if another else 0), note, another)


def denoise(photo: Photo, noise: float | None, models: PhotoModels, report: TaskCallback) -> Made:
    """Remove noise of so many grey levels; None: of as much as is found."""
    level, words = _noise_of(photo, noise, estimate_noise)
    prior = models.denoiser()
    if noise is None and not tasks.has_noise(photo.picture, level, prior):
        return Made(note="There is less noise than can be removed. A level of your own removes more.")
    result = tasks.denoise_picture(photo.picture, level, prior, DenoiseSettings(), report)
    return Made(photo.result(result.image, "denoised"), f"{words} was removed.")


def upscale(photo: Photo, factor: int, noise: float | None, models: PhotoModels, report: TaskCallback) -> Made:
    """Make a photograph `factor` times as large; None: it has no noise."""
    level = (noise or 0.0) / GRAY_LEVELS
    result = tasks.upscale_picture(photo.picture, factor, "area", level, models.denoiser(), LinearSettings(), report)
    return Made(photo.result(result.image, "upscaled"))


def deblur(
    photo: Photo, blur: PointSpread | None, noise: float | None, models: PhotoModels, report: TaskCallback
) -> Made:
    """Take away a blur; None: that which is found."""
    found = tasks.find_blur(photo.picture) if blur is None else blur
    level, words = _noise_of(photo, noise, noise_under_blur)
    result = tasks.deblur_picture(photo.picture, found.kernel(), level, models.denoiser(), LinearSettings(), report)
    said = f"The photograph was {found.words}. " if blur is None else ""
    return Made(photo.result(result.image, "deblurred"), f"{said}{words} was reckoned with.")


def _noise_of(photo: Photo, noise: float | None, estimate: Callable[[Picture], float]) -> tuple[float, str]:
    """The standard deviation of a photograph's noise in [0, 1], given in grey levels or found, and words for it."""
    level = estimate(photo.picture) if noise is None else noise / GRAY_LEVELS
    return level, f"Noise of {'about ' if noise is None else ''}{level * GRAY_LEVELS:.2g} grey levels"
