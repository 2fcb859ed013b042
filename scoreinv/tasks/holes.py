"""The task `inpaint` on a photograph: the holes of a mask, with notes about it, or detected damage. Imports no torch.

A model fills them, or a classical method without a model or noise. Classical methods are the baseline: fast and smooth,
and 1 to 2 dB further from the truth than the posterior mean of `photo`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoreinv.analysis.fragments import find_fragments
from scoreinv.analysis.jpeg import RIM, without_smears
from scoreinv.analysis.rims import with_visible_rim
from scoreinv.imaging import opencv
from scoreinv.imaging.picture import Picture, colour_planes, to_float, to_samples
from scoreinv.imaging.regions import hole_regions, known_first
from scoreinv.models.loading import Models
from scoreinv.system.progress import parts
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.outcome import InpaintOutcome
from scoreinv.tasks.requests import ClassicalMethod, InpaintRequest, Inputs
from scoreinv.windows.boxes import crop

MOSTLY_HOLE = 0.6
"""Share of a photograph above which a mask is probably inverted, or a copy of the photograph with painted marks."""
_MOST_PLACES = 5
"""Maximum number of places that a note names."""
_CONTEXT = 16
"""Width in pixels of the known surroundings of a fill; the methods use 3."""
_BLOCKS: dict[ClassicalMethod, int] = {"telea": 2048, "navier-stokes": 2048, "biharmonic": 256}
"""Longest side of a block; larger holes are filled block by block. The time of the biharmonic fill grows faster than
the pixels: 90,000 at once take 3 seconds and 0.5 GB."""


def mask_notes(hole: np.ndarray) -> list[Note]:
    """Return the notes about a user's mask, HxW bool."""
    if not hole.any():
        return [warning("mask_empty")]
    share = float(hole.mean())
    return [warning("mask_mostly_hole", share=share)] if share > MOSTLY_HOLE else []


def hole_to_fill(picture: Picture, hole: np.ndarray, request: InpaintRequest) -> tuple[np.ndarray, list[Note]]:
    """Return a user's mask, HxW bool, with the visible rims of objects unless the request is exact; and notes."""
    notes = mask_notes(hole)
    grown, pixels = with_visible_rim(picture, hole)
    if pixels and request.exact:
        notes.append(warning("object_left", grow=pixels))
    elif pixels and not grown.all():
        notes.append(info("mask_grown", pixels=pixels))
        hole = grown
    if places := find_fragments(picture, grown):
        shown = " ".join(f"{x},{y}" for x, y in places[:_MOST_PLACES])
        notes.append(warning("fragments_left", count=len(places), places=shown))
    return hole, notes


def inpaint_picture(inputs: Inputs, request: InpaintRequest, models: Models) -> InpaintOutcome[Picture]:
    """Fill the holes of a photograph, or the damage that is detected if it has no mask.

    A fill is grey if all known pixels are, whatever the file's mode.

    Raises InputError if `avoid` leaves too little to copy from, or if all of the photograph is damage.
    """
    searching, filling = parts([int(inputs.hole is None), 3])
    damage = None
    if inputs.hole is not None:
        hole, notes = hole_to_fill(inputs.picture, inputs.hole, request)
        inputs = replace(inputs, hole=hole)
    else:
        from scoreinv.tasks.damage import detect  # needs torch

        with searching:
            damage, notes = detect(inputs.picture, request, models)
        inputs = replace(inputs, hole=damage)
    if request.classical is not None:
        with filling:
            outcome = fill_classically(inputs, request, notes)
    else:
        from scoreinv.tasks.inpaint import PreparedFill  # needs torch

        prepared = PreparedFill(inputs, request, models, notes)
        with filling:
            outcome = prepared.draw(request)
    return replace(outcome, damage=damage)


def without_fringe(
    picture: Picture, hole: np.ndarray, request: InpaintRequest, notes: list[Note]
) -> tuple[Picture, Picture]:
    """Return the picture to fill from, and that to fill, without what a JPEG smeared beside the hole; note a change."""
    if request.exact:
        return picture, picture
    source, kept = without_smears(picture, hole)
    if kept is not picture:
        notes.append(info("jpeg_rim_redrawn", pixels=RIM))
    return source, kept


def fill_classically(inputs: Inputs, request: InpaintRequest, notes: list[Note]) -> InpaintOutcome[Picture]:
    """Fill the holes of a photograph by the classical method of the request.

    The sample type is the picture's own, and other pixels are bit-identical. To bound the memory, only holes and their
    surroundings are converted to floats, and large holes are filled in blocks.

    Args:
        notes: notes about the holes.

    Raises:
        ScoreinvError: OpenCV cannot be loaded.
    """
    picture, hole, method, notes = inputs.picture, inputs.hole, request.classical, [*notes]
    assert hole is not None
    assert method is not None
    cleaned, kept = without_fringe(picture, hole, request, notes)
    pixels, unknown = cleaned.pixels.copy(), hole.copy()
    colours = colour_planes(pixels)
    regions = list(known_first(hole_regions(hole, context=_CONTEXT, maximum=_BLOCKS[method]), hole))
    for region, part in zip(regions, parts(region.hole.size for region in regions), strict=True):
        own, target, unfilled = region.hole, crop(colours, region.box), crop(unknown, region.box)
        with part:
            target[own] = to_samples(_filled(to_float(target), unfilled, method)[own], pixels.dtype)
        unfilled[own] = False
    pixels[~hole] = kept.pixels[~hole]
    filled = replace(picture, pixels=pixels)
    return InpaintOutcome(filled, [filled], None, 0, method, notes=notes, generated=hole)


def _filled(values: np.ndarray, hole: np.ndarray, method: ClassicalMethod) -> np.ndarray:
    """Return HxWxC floats in [0, 1] with their holes (HxW bool) filled."""
    if method != "biharmonic":
        return opencv.inpaint(values, hole, method)
    from skimage.restoration import inpaint_biharmonic

    # The biharmonic equation holds in the hole (Damelin and Hoang, 2018).
    return inpaint_biharmonic(values.astype(np.float64), hole, channel_axis=-1)
