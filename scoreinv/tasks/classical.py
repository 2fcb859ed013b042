"""The task `inpaint` by classical methods, without a model or noise, and the notes about a mask. Imports no torch.

They are the baseline: fast and smooth, and 1 to 2 dB further from the truth than the posterior mean of `photo`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoreinv.analysis.jpeg import RIM, without_smears
from scoreinv.analysis.leftovers import find_leftover
from scoreinv.imaging import opencv
from scoreinv.imaging.picture import Picture, colour_planes, to_float, to_samples
from scoreinv.imaging.regions import hole_regions, known_first
from scoreinv.models.loading import Models
from scoreinv.tasks.callbacks import Callback, notify, split
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.outcome import InpaintOutcome
from scoreinv.tasks.requests import ClassicalMethod, InpaintRequest, Inputs
from scoreinv.windows.boxes import crop

_MOSTLY_HOLE = 0.6
"""Share of a photograph above which a mask is probably inverted, or a copy of the photograph with painted marks."""
_CONTEXT = 16
"""Pixels around a hole that a fill is given; methods use 3."""


_BLOCKS: dict[ClassicalMethod, int] = {"telea": 2048, "navier-stokes": 2048, "biharmonic": 256}
"""Longest side of a block; larger holes are filled block by block. The time of the biharmonic fill grows faster than
the pixels: 90,000 at once take 3 seconds and 0.5 GB."""


def mask_notes(hole: np.ndarray, picture: Picture | None = None) -> list[Note]:
    """Return the notes about a user's mask, HxW bool.

    picture: also tell if part of the object in it seems to be left beside the mask.
    """
    if not hole.any():
        return [warning("mask_empty")]
    share = float(hole.mean())
    notes = [warning("mask_mostly_hole", share=share)] if share > _MOSTLY_HOLE else []
    if picture is not None and (leftover := find_leftover(picture, hole)) is not None:
        notes.append(warning("object_left", grow=leftover.grow, share=leftover.share))
    return notes


def with_hole(inputs: Inputs, request: InpaintRequest, models: Models) -> tuple[Inputs, np.ndarray | None, list[Note]]:
    """Return the inputs with a hole, the damage (HxW bool) that was detected if there was no mask, and the notes.

    Raises InputError if the inputs do not fit the request, or if all of the photograph is damage.
    """
    request.check_given(inputs.given)
    if inputs.hole is not None:
        return inputs, None, mask_notes(inputs.hole, inputs.picture)
    from scoreinv.tasks.damage import detect  # needs torch

    damage, notes = detect(inputs.picture, request, models)
    return replace(inputs, hole=damage), damage, notes


def inpaint_classically(
    inputs: Inputs, request: InpaintRequest, models: Models, callback: Callback | None = None
) -> InpaintOutcome[Picture]:
    """Fill the holes of a photograph, or its detected damage, by the classical method of the request.

    The sample type is the picture's own, and other pixels are bit-identical. Memory is bounded: only a few hundred
    pixels around a hole are read, and large holes are filled in blocks.

    Raises:
        ScoreinvError: OpenCV cannot be loaded.
        Cancelled: the callback stopped the work.
    """
    inputs, damage, notes = with_hole(inputs, request, models)
    picture, hole, method = inputs.picture, inputs.hole, request.classical
    assert hole is not None
    assert method is not None
    seen, kept = (picture, picture) if request.exact else without_smears(picture, hole)
    if kept is not picture:
        notes.append(info("jpeg_rim_redrawn", pixels=RIM))
    pixels, unknown = seen.pixels.copy(), hole.copy()
    colours = colour_planes(pixels)
    regions = list(known_first(hole_regions(hole, context=_CONTEXT, maximum=_BLOCKS[method]), hole))
    parts = split(callback, [region.hole.size for region in regions])
    for region, part in zip(regions, parts, strict=True):
        own, target, still = region.hole, crop(colours, region.box), crop(unknown, region.box)
        target[own] = to_samples(_filled(to_float(target), still, method)[own], pixels.dtype)
        still[own] = False
        notify(part, 1.0)
    pixels[~hole] = kept.pixels[~hole]
    filled = replace(picture, pixels=pixels)
    return InpaintOutcome(filled, [filled], None, 0, method, damage, notes=notes)


def _filled(values: np.ndarray, hole: np.ndarray, method: ClassicalMethod) -> np.ndarray:
    """Fill the holes (HxW bool) of HxWxC float in [0, 1]."""
    if method != "biharmonic":
        return opencv.inpaint(values, hole, method)
    from skimage.restoration import inpaint_biharmonic

    # The biharmonic equation holds in the hole (Damelin and Hoang, 2018).
    return inpaint_biharmonic(values.astype(np.float64), hole, channel_axis=-1)
