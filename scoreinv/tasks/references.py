"""Colour references of `colorize`: photographs as the model sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scoreinv.conditional.prior import check_references
from scoreinv.conditional.references import Places, ReferenceColours, match_references
from scoreinv.imaging.picture import Picture, scaled
from scoreinv.models.places import looks_of, places_of
from scoreinv.operators.colour_space import luma
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.tasks.common import to_tensor

_LONGEST = 4
"""Ratio of the sides of a picture up to which its colours are drawn at the model's own scale."""


def work_size(size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
    """Return the (height, width) at which colours are drawn: the shorter side is the model's, without enlarging.

    Pictures longer than `_LONGEST` times their shorter side are drawn smaller, to bound the number of windows.

    Args:
        size: height and width of the picture.
        side: of the model's windows.
        stride: least side of a window.
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


def reference_colours(
    references: Sequence[Reference], prior: ScorePrior, seen: torch.Tensor | None
) -> ReferenceColours | None:
    """Return the colours that references give to a grey picture; None if there are no references.

    seen: the picture's luma at the size of the prior's encoder; None if the prior is not given the luma.

    Raises InputError if there are references and the prior takes none.
    """
    if not references:
        return None
    if seen is None:
        raise InputError("references go with the method conditioned and a model that looks at pictures, as scene")
    return match_references([reference.places for reference in references], looks_of(seen, check_references(prior)))
