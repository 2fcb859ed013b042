"""Colours of references: chroma that a grey picture takes from similar places of colour photographs.

Attention, or kernel regression (Nadaraya 1964, Watson 1964). A place of the picture has a query q of unit length
(`networks.place_embedding`), a luma l and the chroma d drawn by the prior. Place i of the references has a key q_i, a
luma l_i and a chroma c_i:

    c = (d + sum_i k_i min(1, l / l_i) c_i) / (1 + sum_i k_i),
    k_i = exp(sharpness (q . q_i - luma (l - l_i)^2 - alike)) B(p, p_i)^material min(1, p(c_i) / p_i(c_i))

- d counts as one more place, so that it stays if no place is similar.
- A place darker than in the reference takes proportionally less chroma, as in shade.
- Pictures with a lower `resemblance` need a higher similarity of places.
- p is the density of chroma that a place may have by its look, and B the Bhattacharyya coefficient (1943) of two
  densities: leaf and petal are parts of one flower, but of two materials. By Bayes' rule, a colour less likely here
  than there is evidence against the match.
- Neighbours of one thing vote: if the mean of sum_i k_i / (1 + sum_i k_i) among them is t, the weight of the references
  is t^2 / (t^2 + (1 - t)^2).

These were tried on held-out photographs and rejected. Mutual nearest neighbours, and neighbours that vote for their
displacement, reject no more than a higher threshold. References at other scales add wrong matches as well as right
ones. Colours of references as hints to the network, or in place of its mean, made it draw their opposite beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_SHARPNESS = 25.0
_LUMA = 4.0
"""Weight of the squared difference of luma, subtracted from the cosine."""
_ALIKE = 0.68
"""Cosine at which places of pictures of one kind weigh as much as the drawn colour."""
_KIND, _UNLIKE = 0.8, 3.0
"""`resemblance` of pictures of one kind, and the rise of the needed cosine per unit below it."""
_BEST = 0.25
"""Share of best-matched places in `resemblance`."""
_MATERIAL = 8.0
"""Power of the Bhattacharyya coefficient."""
_DARKEST = 0.05
"""Luma added to numerator and denominator of the ratio for shade."""
_REACH, _SHADE, _SEEN = 5.0, 0.06, 12.0
"""Of voting neighbours: standard deviations of distance (in places) and of luma; sharpness of their similarity."""


class Looks(NamedTuple):
    """The places of a grey picture.

    Attributes:
        keys: (D, N), by rows of places, of unit length.
        seen: (S, N), features that determine the prior's chroma, of unit length.
        colours: (K, N), mixture weights of the colours that a place may have.
        luma: (N,).
        size: rows and columns of places.
    """

    keys: Tensor
    seen: Tensor
    colours: Tensor
    luma: Tensor
    size: tuple[int, int]


class Places(NamedTuple):
    """The places of a colour photograph.

    Attributes:
        looks: its places in grey.
        chroma: (3, N), RGB less the luma.
        components: (K, N), posterior probabilities of the mixture's components given the chroma.
    """

    looks: Looks
    chroma: Tensor
    components: Tensor


class ReferenceColours(NamedTuple):
    """Colours of references for the places of a picture.

    Attributes:
        chroma: (1, 3, h, w), times the references' weight.
        prior_weight: (1, 1, h, w), the weight of the drawn chroma.
    """

    chroma: Tensor
    prior_weight: Tensor


def match_references(references: Sequence[Places], looks: Looks) -> ReferenceColours:
    """Return the colours that references give to a picture."""
    total, chroma = torch.ones_like(looks.luma), looks.luma.new_zeros(3, len(looks.luma))
    for reference, colours, components in references:  # one at a time: all places of an album would take gigabytes
        steps = looks.luma[:, None] - reference.luma
        cosines = looks.keys.T @ reference.keys - _LUMA * steps.square()
        logits = _SHARPNESS * (cosines - _ALIKE - _UNLIKE * (_KIND - resemblance(cosines)).clamp(min=0))
        weights = logits.exp() * _material_similarity(looks, reference, components)
        total += weights.sum(1)
        shade = ((looks.luma[:, None] + _DARKEST) / (reference.luma + _DARKEST)).clamp(max=1)
        chroma += colours @ (shade * weights).T
    averaged = torch.cat([chroma, torch.ones_like(total)[None]]) / total @ _neighbours(looks).T
    chroma, prior_weight = averaged.reshape(1, 4, *looks.size).split((3, 1), dim=1)
    weight = 1 - prior_weight
    votes = weight.square() + prior_weight.square()
    return ReferenceColours(chroma * weight / votes, prior_weight.square() / votes)


def resemblance(cosines: Tensor) -> Tensor:
    """Return the resemblance of two pictures from the cosines of their places (N, M), in [-1, 1].

    It is the mean of the best matches of one picture, the one with the lower mean. In pictures of one kind many places
    have a good match; in others only places that all pictures have.
    """
    best = [cosines.amax(axis).topk(math.ceil(_BEST * cosines.shape[1 - axis])).values.mean() for axis in (0, 1)]
    return torch.minimum(*best)


def similarity_to(places: Tensor, looks: Looks) -> Tensor:
    """Return the similarity in material of each place to the most similar of some places, (h, w) in [0, 1].

    Args:
        places: (h, w) bool, at least one.
    """
    return _same_material(looks.colours, looks.colours[:, places.flatten()]).amax(1).reshape(looks.size)


def _same_material(one: Tensor, other: Tensor) -> Tensor:
    """Return the powers of the Bhattacharyya coefficients of densities (K, N) and (K, M), (N, M)."""
    return (one.sqrt().T @ other.sqrt()) ** _MATERIAL


def _material_similarity(looks: Looks, reference: Looks, components: Tensor) -> Tensor:
    """Return the factor of k_i by the densities of chroma, (N, M), at most 1."""
    similarity = _same_material(looks.colours, reference.colours)
    ratio = looks.colours.T @ components / (reference.colours * components).sum(0)
    return similarity * ratio.clamp(max=1)


def _neighbours(looks: Looks) -> Tensor:
    """Return voting weights (N, N) with rows of sum 1: near places of the same thing.

    The encoder's maps are coarse, so that places beside a thing often match its references.
    """
    places = torch.cartesian_prod(*(torch.arange(count, dtype=torch.float32) for count in looks.size))
    far = torch.cdist(places, places) / _REACH
    lighter = (looks.luma[:, None] - looks.luma) / _SHADE
    return (_SEEN * (looks.seen.T @ looks.seen) - (far.square() + lighter.square()) / 2).softmax(1)
