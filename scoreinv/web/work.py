"""What is done with a photograph: its damage found, its holes filled, its colours drawn, or all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scoreinv.imaging.hints import KnownColours, hints_from_picture
from scoreinv.imaging.masks import hole_from_picture, picture_of_hole
from scoreinv.imaging.picture import Picture
from scoreinv.tasks.results import TaskCallback
from scoreinv.tasks.settings import ColourSettings, FillSettings, OldPhotoSettings
from scoreinv.web.album import Photo

if TYPE_CHECKING:
    from scoreinv.networks.detector import DamageDetector
    from scoreinv.prior import ScorePrior


@dataclass(frozen=True)
class Models:
    """The models that work is done by, each loaded by its first call."""

    fill: Callable[[], ScorePrior]
    colours: Callable[[], ScorePrior]
    damage: Callable[[], DamageDetector]
    denoise: Callable[[], ScorePrior]


@dataclass(frozen=True)
class Made:
    """What has come of a piece of work.

    Attributes:
        photos: the results.
        note: what has to be said of them; None for nothing.
    """

    photos: list[Photo] = field(default_factory=list)
    note: str | None = None


def hole_of(photo: Photo, mask: Photo) -> np.ndarray:
    """The holes of a mask for a photograph, HxW bool; InputError where it is none."""
    return hole_from_picture(mask.picture, photo.picture.size, name="the mask")


def hints_of(photo: Photo, strokes: Photo) -> KnownColours:
    """The colours of strokes for a photograph; InputError where there are none."""
    hints = hints_from_picture(strokes.picture, "the strokes of colour")
    hints.check_size(photo.picture.size, "the strokes of colour")
    return hints


def find_damage(photo: Photo, sensitivity: float, models: Models, report: TaskCallback) -> Made:
    """Find the damage: the result is a mask, or none where nothing is found."""
    from scoreinv.tasks.find_damage import damage_in_picture

    hole = damage_in_picture(photo.picture, models.damage(), sensitivity, callback=report)
    if not hole.any():
        return Made(note="No damage was found. A higher sensitivity marks more readily.")
    return Made([photo.result(picture_of_hole(hole), "damage")])


def fill(photo: Photo, hole: np.ndarray, settings: FillSettings, models: Models, report: TaskCallback) -> Made:
    """Fill the holes (HxW bool)."""
    from scoreinv.tasks.inpaint import inpaint_picture

    result = inpaint_picture(photo.picture, hole, models.fill(), settings, report)
    return Made(_numbered(photo, result.samples, "inpainted"))


def colorize(
    photo: Photo, strokes: Photo | None, settings: ColourSettings, models: Models, report: TaskCallback
) -> Made:
    """Draw the colours of a grey photograph."""
    from scoreinv.tasks.colorize import colorize_picture

    hints = None if strokes is None else hints_of(photo, strokes)
    result = colorize_picture(photo.picture, models.colours(), settings, hints, report)
    note = "The photograph had colours already, which were replaced." if result.found == "coloured" else None
    return Made(_numbered(photo, result.samples, "colorized"), note)


def restore(
    photo: Photo,
    hole: np.ndarray | None,
    strokes: Photo | None,
    settings: OldPhotoSettings,
    models: Models,
    report: TaskCallback,
) -> Made:
    """Restore an old photograph, its damage being the hole, or what is found.

    The note says what each step did, in a line. Results that would be alike are one, and there is none where nothing
    was to be done.
    """
    from scoreinv.tasks.old_photos import OldPhotoModels, restore_picture

    detector = models.damage() if hole is None else None
    all_models = OldPhotoModels(detector, models.fill(), models.denoise(), models.colours())
    hints = None if strokes is None else hints_of(photo, strokes)
    result = restore_picture(photo.picture, all_models, settings, hole, hints, report)
    note = "\n".join(f"{step.name.capitalize()}: {step.words}." for step in result.steps)
    changed = {step.name for step in result.steps if step.changed}
    if not changed:
        return Made(note=f"Nothing was to be done.\n{note}")
    drawn = changed & {"inpaint", "colorize"}
    return Made(_numbered(photo, result.samples if drawn else result.samples[:1], "restored"), note)


def _numbered(photo: Photo, pictures: list[Picture], ending: str) -> list[Photo]:
    if len(pictures) == 1:
        return [photo.result(pictures[0], ending)]
    return [photo.result(picture, ending, number) for number, picture in enumerate(pictures, 1)]
