"""Colour references of `colorize`: photographs as the model sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scoreinv.conditional.references import Places, check_references, places_of
from scoreinv.imaging.picture import Picture, scaled
from scoreinv.operators.colour_space import luma
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import to_tensor

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
    """A colour photograph as a model sees it.

    Attributes:
        places: the features and the chroma of its h w places.
    """

    places: Places

    @classmethod
    def of(cls, picture: Picture, prior: ScorePrior) -> Reference:
        """Return what a model sees of a photograph. Raise InputError if the model takes no references."""
        prior = check_references(prior)
        size = work_size(picture.size, prior.image_size, prior.stride)
        rgb = picture.resized_rgb(*prior.seen_size(*size))
        gray = luma(rgb, prior.gray_weights)[..., None]
        return cls(places_of(to_tensor([rgb], prior.device), to_tensor([gray], prior.device), prior))
