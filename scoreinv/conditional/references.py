"""Transfer of chroma to a grey picture from similar places of colour photographs, the references.

This is attention, or kernel regression (Nadaraya 1964, Watson 1964). A place is a cell of the feature maps. A place of
the grey picture has a query q of unit length (`networks.place_embedding`), a luma l and the chroma d drawn by the
prior. Place i of the references has a key q_i, a luma l_i and a chroma c_i. The resulting chroma is

    c = (d + sum_i k_i min(1, l / l_i) c_i) / (1 + sum_i k_i),
    k_i = exp(sharpness (q . q_i - luma (l - l_i)^2 - threshold)) B(p, p_i)^material min(1, p(c_i) / p_i(c_i)).

- d counts as one more place, of weight 1, so it remains if no place is similar.
- A place darker than in the reference gets proportionally less chroma, as in shade.
- The threshold is higher for pictures with a lower `resemblance`.
- p is the predicted density of a place's chroma given its features, and B the Bhattacharyya coefficient (1943) of two
  densities: leaf and petal are parts of one flower, but of two materials. By Bayes' rule, a colour c_i that is less
  likely under p than under p_i is evidence against the match.
- Neighbouring places with similar features vote: if the mean of sum_i k_i / (1 + sum_i k_i) among them is t, the weight
  of the references is t^2 / (t^2 + (1 - t)^2).

Rejected on held-out photographs: mutual nearest neighbours, and neighbours that vote for their displacement, reject no
more wrong matches than a higher threshold. References at other scales add wrong matches as well as right ones.
Reference colours as hints to the network, or in place of its mean, made it draw opposite colours beside them.
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
_THRESHOLD = 0.68
"""Cosine at which a place weighs as much as the drawn colour, if the pictures are of one kind."""
_SAME_KIND, _THRESHOLD_RISE = 0.8, 3.0
"""`resemblance` from which pictures are of one kind, and the rise of the threshold per unit of resemblance below it."""
_BEST = 0.25
"""Share of best-matched places in `resemblance`."""
_MATERIAL = 8.0
"""Power of the Bhattacharyya coefficient."""
_DARKEST = 0.05
"""Luma added to numerator and denominator of the ratio l / l_i."""
_REACH, _SHADE, _SIMILARITY = 5.0, 0.06, 12.0
"""Voting neighbours: standard deviations of their distance (in places) and of luma, and factor of the cosine of their
features, as terms of a log weight."""


class GrayPlaces(NamedTuple):
    """The N places of a grey picture, row by row.

    Attributes:
        keys: (D, N), of unit length.
        features: (S, N), the features from which the prior predicts chroma, of unit length.
        colour_weights: (K, N), mixture weights of the density p of each place's chroma.
        luma: (N,), in [0, 1].
        size: rows and columns of places.
    """

    keys: Tensor
    features: Tensor
    colour_weights: Tensor
    luma: Tensor
    size: tuple[int, int]


class ColourPlaces(NamedTuple):
    """The N places of a colour photograph.

    Attributes:
        gray: its places in grey.
        chroma: (3, N), RGB less the luma.
        components: (K, N), posterior probabilities of the mixture's components given the chroma.
    """

    gray: GrayPlaces
    chroma: Tensor
    components: Tensor


class ReferenceColours(NamedTuple):
    """Colours of references for the places of a picture: the result is chroma + prior_weight d.

    Attributes:
        chroma: (1, 3, h, w), times the references' weight.
        prior_weight: (1, 1, h, w), the weight of the drawn chroma d, in [0, 1].
    """

    chroma: Tensor
    prior_weight: Tensor


def match_references(references: Sequence[ColourPlaces], gray: GrayPlaces) -> ReferenceColours:
    """Return the colours of the references for a grey picture."""
    total, chroma = torch.ones_like(gray.luma), gray.luma.new_zeros(3, len(gray.luma))
    for reference, colours, components in references:  # one at a time: all places of an album would take gigabytes
        luma_steps = gray.luma[:, None] - reference.luma
        similarities = gray.keys.T @ reference.keys - _LUMA * luma_steps.square()
        rise = _THRESHOLD_RISE * (_SAME_KIND - resemblance(similarities)).clamp(min=0)
        logits = _SHARPNESS * (similarities - _THRESHOLD - rise)
        weights = logits.exp() * _material_similarity(gray, reference, components)
        total += weights.sum(1)
        shade = ((gray.luma[:, None] + _DARKEST) / (reference.luma + _DARKEST)).clamp(max=1)
        chroma += colours @ (shade * weights).T
    averaged = torch.cat([chroma, torch.ones_like(total)[None]]) / total @ _neighbours(gray).T
    chroma, prior_weight = averaged.reshape(1, 4, *gray.size).split((3, 1), dim=1)
    weight = 1 - prior_weight
    votes = weight.square() + prior_weight.square()
    return ReferenceColours(chroma * weight / votes, prior_weight.square() / votes)


def resemblance(similarities: Tensor) -> Tensor:
    """Return the resemblance of two pictures, at most 1, from the similarities of their places (N, M).

    A similarity is the cosine of the keys less `_LUMA` times the squared difference of luma. The resemblance is the
    mean similarity of the best-matched places of a picture, for the picture with the lower mean. In pictures of one
    kind many places have a good match; in others only places that all pictures have, such as sky.
    """
    best = [
        similarities.amax(axis).topk(math.ceil(_BEST * similarities.shape[1 - axis])).values.mean() for axis in (0, 1)
    ]
    return torch.minimum(*best)


def similarity_to(chosen: Tensor, gray: GrayPlaces) -> Tensor:
    """Return the similarity in material of each place to the most similar chosen place, (h, w) in [0, 1].

    Args:
        chosen: (h, w) bool, true for one place or more.
    """
    weights = gray.colour_weights
    return _same_material(weights, weights[:, chosen.flatten()]).amax(1).reshape(gray.size)


def _same_material(one: Tensor, other: Tensor) -> Tensor:
    """Return the powers of the Bhattacharyya coefficients of densities (K, N) and (K, M), (N, M)."""
    return (one.sqrt().T @ other.sqrt()) ** _MATERIAL


def _material_similarity(gray: GrayPlaces, reference: GrayPlaces, components: Tensor) -> Tensor:
    """Return the factor B^material min(1, p / p_i) of k_i, (N, M), at most 1."""
    similarity = _same_material(gray.colour_weights, reference.colour_weights)
    ratio = gray.colour_weights.T @ components / (reference.colour_weights * components).sum(0)
    return similarity * ratio.clamp(max=1)


def _neighbours(gray: GrayPlaces) -> Tensor:
    """Return voting weights (N, N) with rows of sum 1, large for near places with similar features and luma.

    Without votes, places beside an object often match its references, because the encoder's maps are coarse.
    """
    places = torch.cartesian_prod(*(torch.arange(count, dtype=torch.float32) for count in gray.size))
    distance = torch.cdist(places, places) / _REACH
    luma_steps = (gray.luma[:, None] - gray.luma) / _SHADE
    cosines = gray.features.T @ gray.features
    return (_SIMILARITY * cosines - (distance.square() + luma_steps.square()) / 2).softmax(1)
