"""Colours of references: photographs in colours some places of which look like those of a grey picture.

Each place of the picture, of chroma d as it is drawn without them, attends to all places of the references, whose
chroma is c_i. With q the unit vectors by which places are compared, and l their luma,

    c(x) = (d(x) + sum_i k_i c_i) / (1 + sum_i k_i),    k_i = exp(sharpness (q(x).q_i - 4 (l(x) - l_i)^2 - alike)),

kernel regression (Nadaraya 1964, Watson 1964) with the drawn colour as one more place, which stays where nothing looks
alike. The more both pictures as a whole are of one kind, the less alike their places need be.

Found on held-out photographs: mutual nearest neighbours alone, and neighbours that vote for their displacement, reject
no more than a higher threshold does; references at other scales add wrong matches as well as right ones. As hints to
the network, or in place of its mean, colours of references made it draw their opposite beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.networks.encoder import load_encoder

_SHARPNESS = 25.0
_ALIKE = 0.9
"""Cosine from which on places of pictures of different kinds count as alike."""
_LUMA = 4.0
"""What the square of a difference of luma takes from the cosine."""
_KIND, _LESS = 0.3, 1.2
"""Cosine from which on pictures are of one kind, and how much less alike places need be for each 1 beyond it."""

_encoder = cache(load_encoder)
"""That knows kinds of things as it was trained to, while that of a prior was trained on."""


class Looks(NamedTuple):
    """What a grey picture looks like.

    Attributes:
        keys: (D, N), of its places, row by row, of unit length.
        luma: (N,), of its places.
        kind: (C,), of all of it, of unit length.
        size: rows and columns of places.
    """

    keys: Tensor
    luma: Tensor
    kind: Tensor
    size: tuple[int, int]


class Places(NamedTuple):
    """The places of a picture in colours: their looks in grey, and their chroma (3, N), RGB less the luma."""

    looks: Looks
    chroma: Tensor


class Told(NamedTuple):
    """What references tell of the places of a picture.

    Attributes:
        chroma: (1, 3, h, w), sum_i k_i c_i / (1 + sum_i k_i).
        doubt: (1, 1, h, w), 1 / (1 + sum_i k_i), the share of what is drawn.
        sources: (h, w), the numbers of the places that look most alike, counted through all references.
    """

    chroma: Tensor
    doubt: Tensor
    sources: Tensor


def looks_of(luma: Tensor, prior: ConditionalPrior) -> Looks:
    """What a grey picture (1, 1, H, W) in [0, 1] looks like to a prior that has a network of the mean chroma.

    A third of the keys each are the two coarser maps of the encoder, and what the mean chroma is a convolution of.
    """
    assert prior.chroma is not None
    with torch.no_grad():
        seen, maps = prior.chroma.seen(luma)
        sized = [F.interpolate(value.float(), seen.shape[-2:], mode="bilinear") for value in (seen, *maps[1:])]
        keys = torch.cat([F.normalize(value, dim=1) for value in sized], dim=1) / len(sized) ** 0.5
        kind = F.normalize(_encoder().of_gray(luma.cpu())[-1].mean((0, 2, 3)), dim=0)
    height, width = seen.shape[-2:]
    small = F.interpolate(luma, (height, width), mode="area")
    return Looks(keys[0].flatten(1), small.flatten(), kind, (height, width))


def places_of(rgb: Tensor, luma: Tensor, prior: ConditionalPrior) -> Places:
    """The places of a picture (1, 3, H, W) in [0, 1], with its luma."""
    looks = looks_of(luma, prior)
    return Places(looks, F.interpolate(rgb, looks.size, mode="area")[0].flatten(1) - looks.luma)


def told_by(references: Sequence[Places], looks: Looks) -> Told:
    """What references tell of a picture."""
    total, chroma = torch.ones_like(looks.luma), looks.luma.new_zeros(3, len(looks.luma))
    best, sources, before = torch.full_like(total, -torch.inf), torch.zeros_like(total, dtype=torch.long), 0
    for reference, colours in references:  # one by one: those of an album would take gigabytes together
        alike = _ALIKE - _LESS * float((looks.kind @ reference.kind - _KIND).clamp(min=0))
        steps = looks.luma[:, None] - reference.luma
        logits = _SHARPNESS * (looks.keys.T @ reference.keys - _LUMA * steps.square() - alike)
        weights = logits.exp()
        total += weights.sum(1)
        chroma += colours @ weights.T
        highest, number = logits.max(1)
        sources = torch.where(highest > best, before + number, sources)
        best = torch.maximum(highest, best)
        before += logits.shape[1]
    shape = (1, -1, *looks.size)
    return Told((chroma / total).reshape(shape), (1 / total).reshape(shape), sources.reshape(looks.size))
