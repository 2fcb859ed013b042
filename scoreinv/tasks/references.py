"""What `colorize` takes colours of: photographs as the model sees them, and what was taken of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.references import Places, Told, places_of
from scoreinv.imaging.picture import Picture, scaled, to_samples
from scoreinv.networks.chroma import CHROMA_STRIDE
from scoreinv.operators.colour_space import luma
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.tasks.common import to_tensor

_PALE = 0.3
"""Contrast of what was not taken, in the picture of what was."""
_SHOWN = 6
"""References in that picture, at most."""
_LONGEST = 4
"""Longer side of a picture, in shorter ones, up to which its colours are drawn at the model's own scale."""


def work_size(size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
    """(height, width) at which colours are drawn: the shorter side is the model's, and nothing is enlarged.

    A picture of more than `_LONGEST` times its shorter side is drawn smaller, so that it takes no more windows than one
    of that shape: the time is that of the picture's size, whatever its shape. side: of the model's windows; stride: the
    least that a window is high and wide.
    """
    shorter, longer = min(size), max(size)
    most = _LONGEST * side * side
    scale = min(1.0, side / shorter, math.sqrt(most / (shorter * longer)), most / (stride * longer))
    return scaled(size, scale)


@dataclass(frozen=True)
class Reference:
    """A photograph in colours as a model sees it.

    Attributes:
        rgb: (stride h)x(stride w)x3 in [0, 1].
        places: the h times w pixels of its chroma.
    """

    rgb: np.ndarray
    places: Places

    @classmethod
    def of(cls, picture: Picture, prior: ScorePrior) -> Reference:
        """What a model sees of a photograph; InputError for one that looks at none."""
        if not isinstance(prior, ConditionalPrior) or prior.chroma is None:
            raise InputError("this model compares no pictures: scene takes references")
        size = work_size(picture.size, prior.image_size, prior.stride)
        rgb = picture.resized_rgb(*prior.seen_size(*size))
        gray = luma(rgb, prior.gray_weights)[..., None]
        return cls(rgb, places_of(to_tensor([rgb], prior.device), to_tensor([gray], prior.device), prior))


def matches_of(told: Told, gray: np.ndarray, references: Sequence[Reference]) -> np.ndarray:
    """A picture of what was taken from where, HxWx3 uint8.

    On the left the grey picture (stride h)x(stride w) made of the parts of the references that most was taken from,
    fading to its own pale grey where less was; beside it the references of which most was, pale where nothing was.
    """
    trust, sources = 1 - told.doubt.flatten().cpu().numpy(), told.sources.flatten().cpu().numpy()
    parts = np.zeros((sources.size, CHROMA_STRIDE, CHROMA_STRIDE, 3), np.float32)
    begin, taken = 0, []
    for reference in references:
        blocks = _blocks(reference.rgb)
        inside = (sources >= begin) & (sources < begin + len(blocks))
        here = sources[inside] - begin
        parts[inside] = blocks[here]
        taken.append(np.bincount(here, trust[inside], len(blocks)).clip(0, 1))
        begin += len(blocks)
    shown = [_faded(parts, np.repeat(gray[..., None], 3, 2), trust)]
    for number in sorted(range(len(taken)), key=lambda number: -taken[number].sum())[:_SHOWN]:
        rgb = references[number].rgb
        shown.append(_faded(_blocks(rgb), np.repeat(luma(rgb)[..., None], 3, -1), taken[number]))
    rows = max(len(picture) for picture in shown)
    padded = [np.pad(p, ((0, rows - len(p)), (0, CHROMA_STRIDE), (0, 0)), constant_values=1) for p in shown]
    return to_samples(np.concatenate(padded, axis=1)[:, :-CHROMA_STRIDE], np.dtype(np.uint8))


def _faded(blocks: np.ndarray, gray: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The picture of these places where the share of each is 1, and of pale grey where it is 0."""
    pale = 1 - _PALE * (1 - _blocks(gray))
    faded = pale + share.reshape(-1, 1, 1, 1) * (blocks - pale)
    rows = gray.shape[0] // CHROMA_STRIDE
    return faded.reshape(rows, -1, CHROMA_STRIDE, CHROMA_STRIDE, 3).swapaxes(1, 2).reshape(gray.shape)


def _blocks(picture: np.ndarray) -> np.ndarray:
    """The places of a picture, (N, stride, stride, 3), row by row."""
    rows = picture.reshape(-1, CHROMA_STRIDE, picture.shape[1] // CHROMA_STRIDE, CHROMA_STRIDE, 3)
    return rows.swapaxes(1, 2).reshape(-1, CHROMA_STRIDE, CHROMA_STRIDE, 3)
