"""What is done with a photograph: its damage found, its holes filled, its colours drawn, or all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scoreinv.errors import InputError
from scoreinv.imaging.hints import KnownColours
from scoreinv.imaging.masks import picture_of_hole
from scoreinv.machine import shortage
from scoreinv.options import Whole
from scoreinv.tasks.results import TaskCallback
from scoreinv.tasks.settings import ColourSettings, FillSettings, OldPhotoSettings
from scoreinv.web.album import Photo

if TYPE_CHECKING:
    from scoreinv.damage import DamageFinder
    from scoreinv.prior import ScorePrior

SAMPLES = Whole(1, 8)
"""How many results the page shows beside each other."""


@dataclass(frozen=True)
class Models:
    """The models that work is done by, each loaded by its first call."""

    fill: Callable[[], ScorePrior]
    colours: Callable[[], ScorePrior]
    damage: Callable[[], DamageFinder]
    denoise: Callable[[], ScorePrior]


@dataclass(frozen=True)
class Made:
    """What has come of a job.

    Attributes:
        photos: the results.
        note: what has to be said of them; None for nothing.
    """

    photos: list[Photo] = field(default_factory=list)
    note: str | None = None


Work = Callable[[TaskCallback], Made]
Hints = Callable[[], KnownColours]


def finding(photo: Photo, models: Models, sensitivity: float) -> Work:
    """Find the damage: the result is a mask, or none where nothing is found."""

    def work(report: TaskCallback) -> Made:
        from scoreinv.tasks.find_damage import damage_in_picture

        hole = damage_in_picture(photo.picture, models.damage(), sensitivity, callback=report)
        if not hole.any():
            return Made(note="No damage was found. A higher sensitivity marks more readily.")
        return Made([photo.result(picture_of_hole(hole), "damage")])

    return work


def filling(photo: Photo, hole: np.ndarray, models: Models, settings: FillSettings) -> Work:
    """Fill the holes (HxW bool); InputError where the results do not fit in memory."""
    _check_room(photo, settings.samples)

    def work(report: TaskCallback) -> Made:
        from scoreinv.tasks.inpaint import inpaint_picture

        result = inpaint_picture(photo.picture, hole, models.fill(), settings, report)
        return Made(_numbered(photo, result.samples, "inpainted"))

    return work


def colouring(photo: Photo, hints: Hints | None, models: Models, settings: ColourSettings) -> Work:
    """Draw the colours of a grey photograph; InputError where the results do not fit in memory."""
    _check_room(photo, settings.samples * (3 if photo.picture.is_gray_mode else 1))

    def work(report: TaskCallback) -> Made:
        from scoreinv.tasks.colorize import colorize_picture

        known = None if hints is None else hints()
        result = colorize_picture(photo.picture, models.colours(), settings, known, report)
        note = "The photograph had colours already, which were replaced." if result.found == "coloured" else None
        return Made(_numbered(photo, result.samples, "colorized"), note)

    return work


def restoring(
    photo: Photo, hole: np.ndarray | None, hints: Hints | None, models: Models, settings: OldPhotoSettings
) -> Work:
    """Restore an old photograph, its damage being the hole, or what is found.

    The note says what each step did, in a line. Results that would be alike are one, and there is none where nothing
    was to be done.
    """
    _check_room(photo, settings.samples * (3 if photo.picture.is_gray_mode else 1))

    def work(report: TaskCallback) -> Made:
        from scoreinv.tasks.old_photos import GivenByHand, OldPhotoModels, restore_picture

        finder = models.damage() if hole is None else None
        all_models = OldPhotoModels(finder, models.fill(), models.denoise(), models.colours())
        given = GivenByHand(hole, None if hints is None else hints())
        result = restore_picture(photo.picture, all_models, settings, given, report)
        note = "\n".join(f"{step.name.capitalize()}: {step.words}." for step in result.steps)
        changed = {step.name for step in result.steps if step.changed}
        if not changed:
            return Made(note=f"Nothing was to be done.\n{note}")
        drawn = changed & {"inpaint", "colorize"}
        return Made(_numbered(photo, result.samples if drawn else result.samples[:1], "restored"), note)

    return work


def _numbered(photo: Photo, pictures: list, ending: str) -> list[Photo]:
    if len(pictures) == 1:
        return [photo.result(pictures[0], ending)]
    return [photo.result(picture, ending, number) for number, picture in enumerate(pictures, 1)]


def _check_room(photo: Photo, count: int) -> None:
    if lacking := shortage(count * photo.picture.pixels.nbytes):
        raise InputError(f"Making so many results of this size {lacking}: ask for fewer.")
