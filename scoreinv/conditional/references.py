"""Colours of references: what a grey picture takes from photographs in colours, where places of both look alike.

It is attention, or kernel regression (Nadaraya 1964, Watson 1964). A place of the picture has a query q of unit length
(`PlaceNetwork`), a luma l, and the chroma d that is drawn without references; place i of the references has a key q_i,
a luma l_i and a chroma c_i:

    c = (d + sum_i k_i min(1, l / l_i) c_i) / (1 + sum_i k_i),
    k_i = exp(sharpness (q . q_i - luma (l - l_i)^2 - alike)) B(p, p_i)^stuff min(1, p(c_i) / p_i(c_i))

- d counts as one more place, so that it stays where nothing looks alike.
- What is darker than in the reference takes as much less of its chroma, as in shade.
- The less two pictures resemble each other where they do most (`resemblance`), the more alike places need be.
- p is the density of the chroma that a place may have by its look (`Colours`), and B the coefficient of Bhattacharyya
  (1943) of two: leaf and petal are parts of one flower, but of two stuffs. By Bayes' rule, a colour that is less likely
  here than there tells as much against the match.
- Neighbours of one thing vote: where the mean of sum_i k_i / (1 + sum_i k_i) among them is t, the share of the
  references becomes t^2 / (t^2 + (1 - t)^2).

Tried on held-out photographs, and left out: mutual nearest neighbours, and neighbours that vote for their displacement,
reject no more than a higher threshold does; references at other scales add wrong matches as well as right ones; colours
of references as hints to the network, or in place of its mean, made it draw their opposite beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.networks.encoder import load_encoder
from scoreinv.networks.place_embedding import load_place_network
from scoreinv.prior import Prior
from scoreinv.system.errors import InputError

_SHARPNESS = 25.0
_LUMA = 4.0
"""Weight of the squared difference of luma, which is taken from the cosine."""
_ALIKE = 0.68
"""Cosine at which places of pictures of one kind count as much as the drawn colour."""
_KIND, _UNLIKE = 0.8, 3.0
"""`resemblance` from which on pictures are of one kind, and how much the cosine must rise for each 1 below it."""
_BEST = 0.25
"""Share of the places, the best matched ones, by which `resemblance` goes."""
_STUFF = 8.0
"""Power of Bhattacharyya's coefficient."""
_DARKEST = 0.05
"""Luma that is added to both before they are divided."""
_REACH, _SHADE, _SEEN = 5.0, 0.06, 12.0
"""Of neighbours that vote: standard deviations of distance, in places, and of luma; sharpness of their likeness."""

_encoder = cache(load_encoder)
"""ImageNet's, which knows kinds of things; that of a prior was trained further, for colours."""
_network = cache(load_place_network)


class Looks(NamedTuple):
    """What a grey picture looks like.

    Attributes:
        keys: (D, N), of its places, row by row, of unit length.
        seen: (S, N), what the prior's colours of its places depend on, of unit length.
        colours: (K, N), the shares of the colours that its places may have.
        luma: (N,), of its places.
        size: rows and columns of places.
    """

    keys: Tensor
    seen: Tensor
    colours: Tensor
    luma: Tensor
    size: tuple[int, int]


class Places(NamedTuple):
    """The places of a picture in colours: their looks in grey, and their chroma (3, N), RGB less the luma."""

    looks: Looks
    chroma: Tensor


class Told(NamedTuple):
    """What references tell of the places of a picture.

    Attributes:
        chroma: (1, 3, h, w), the references' times their share.
        doubt: (1, 1, h, w), the share of the drawn chroma, 1 less theirs.
    """

    chroma: Tensor
    doubt: Tensor


def check_references(prior: Prior) -> ConditionalPrior:
    """Return the prior. Raise InputError if it takes no references, since it has no network of the mean chroma."""
    if not isinstance(prior, ConditionalPrior) or prior.chroma is None:
        raise InputError("this model compares no pictures: scene takes references")
    return prior


def looks_of(luma: Tensor, prior: ConditionalPrior) -> Looks:
    """What a grey picture (1, 1, H, W) in [0, 1] looks like to a prior that has a network of the mean chroma."""
    with torch.no_grad():
        maps = maps_of(luma, prior)
        keys, colours = _network()(maps)
    height, width = maps[0].shape[-2:]
    small = F.interpolate(luma.cpu(), (height, width), mode="area")
    return Looks(keys, F.normalize(maps[0], dim=1)[0].flatten(1), colours, small.flatten(), (height, width))


def maps_of(luma: Tensor, prior: ConditionalPrior) -> list[Tensor]:
    """The maps that `PlaceNetwork` takes, on the CPU."""
    assert prior.chroma is not None
    seen, maps = prior.chroma.seen(luma)
    large = _encoder().of_gray(F.interpolate(luma.cpu(), scale_factor=2, mode="bilinear"))
    return [value.float().cpu() for value in (seen, *maps[1:], *large[1:])]


def places_of(rgb: Tensor, luma: Tensor, prior: ConditionalPrior) -> Places:
    """The places of a picture (1, 3, H, W) in [0, 1], with its luma."""
    looks = looks_of(luma, prior)
    return Places(looks, F.interpolate(rgb.cpu(), looks.size, mode="area")[0].flatten(1) - looks.luma)


def told_by(references: Sequence[Places], looks: Looks) -> Told:
    """What references tell of a picture."""
    total, chroma = torch.ones_like(looks.luma), looks.luma.new_zeros(3, len(looks.luma))
    for reference, colours in references:  # one by one: those of an album would take gigabytes together
        steps = looks.luma[:, None] - reference.luma
        close = looks.keys.T @ reference.keys - _LUMA * steps.square()
        logits = _SHARPNESS * (close - _ALIKE - _UNLIKE * (_KIND - resemblance(close)).clamp(min=0))
        weights = logits.exp() * _of_one_stuff(looks, reference, colours)
        total += weights.sum(1)
        shade = ((looks.luma[:, None] + _DARKEST) / (reference.luma + _DARKEST)).clamp(max=1)
        chroma += colours @ (shade * weights).T
    shared = torch.cat([chroma, torch.ones_like(total)[None]]) / total @ _neighbours(looks).T
    chroma, doubt = shared.reshape(1, 4, *looks.size).split((3, 1), dim=1)
    trust = 1 - doubt
    votes = trust.square() + doubt.square()  # so that most of a thing decides for all of it
    return Told(chroma * trust / votes, doubt.square() / votes)


def resemblance(close: Tensor) -> Tensor:
    """How much two pictures resemble each other, of how alike their places are (N, M), in [-1, 1].

    It is the mean of the best matches of that one whose best are worse: of pictures of one kind much has a good match,
    of others at most what all pictures have.
    """
    best = [close.amax(axis).topk(math.ceil(_BEST * close.shape[1 - axis])).values.mean() for axis in (0, 1)]
    return torch.minimum(*best)


def _of_one_stuff(looks: Looks, reference: Looks, chroma: Tensor) -> Tensor:
    """How far places of a picture and of a reference of this chroma are of one stuff, by colours: (N, M), at most 1."""
    with torch.no_grad():
        gaussians = _network().colours.log_densities(chroma).softmax(0)  # a factor of the chroma cancels
    alike = (looks.colours.sqrt().T @ reference.colours.sqrt()) ** _STUFF
    return alike * (looks.colours.T @ gaussians / (reference.colours * gaussians).sum(0)).clamp(max=1)


def _neighbours(looks: Looks) -> Tensor:
    """The shares (N, N), rows of sum 1, that places have of what a place is told: near ones of the same thing.

    What is beside a thing is often told what the thing is, since the encoder's maps are coarse.
    """
    places = torch.cartesian_prod(*(torch.arange(count, dtype=torch.float32) for count in looks.size))
    far = torch.cdist(places, places) / _REACH
    lighter = (looks.luma[:, None] - looks.luma) / _SHADE
    return (_SEEN * (looks.seen.T @ looks.seen) - (far.square() + lighter.square()) / 2).softmax(1)
