"""Colours of references: which places look alike, and what they tell."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from small_chroma import chroma_prior
from torch import Tensor

from scoreinv.conditional.matching import Looks, Places, looks_of, places_of, told_by
from scoreinv.conditional.prior import ConditionalPrior

SIDE, DEPTH = 10, 400
WEIGHTS = torch.tensor([0.299, 0.587, 0.114])
ALIKE = math.exp(25 * (1 - 0.9))
"""How much a place of the same looks counts beside what is drawn."""


@pytest.fixture(scope="module")
def prior() -> ConditionalPrior:
    return chroma_prior()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unlike(seed: int = 0, kind: int = 0) -> Looks:
    """Of a picture none of whose places looks like another; kind: of all of it."""
    keys = F.normalize(drawn(DEPTH, SIDE * SIDE, seed=seed), dim=0)
    return Looks(keys, torch.full((SIDE * SIDE,), 0.5), F.one_hot(torch.tensor(kind), 3).float(), (SIDE, SIDE))


CHROMA = drawn(3, SIDE, SIDE, seed=6)


def test_a_translated_copy_matches_by_its_displacement() -> None:
    looks = unlike()
    moved = looks.keys.unflatten(1, (SIDE, SIDE)).roll((2, 3), (1, 2)).flatten(1)
    copy = Places(looks._replace(keys=moved, kind=unlike(kind=1).kind), CHROMA.roll((2, 3), (1, 2)).flatten(1))
    told = told_by([copy], looks)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    assert (told.sources == (rows + 2) % SIDE * SIDE + (columns + 3) % SIDE).all()
    torch.testing.assert_close(told.doubt, torch.full_like(told.doubt, 1 / (1 + ALIKE)), rtol=0.01, atol=0)
    torch.testing.assert_close(told.chroma[0], ALIKE * CHROMA / (1 + ALIKE), rtol=0, atol=1e-3)


def test_noise_matches_nothing() -> None:
    told = told_by([Places(unlike(1, kind=1), CHROMA.flatten(1))], unlike())
    assert told.doubt.min() > 0.999
    assert told.chroma.abs().max() < 1e-3


def test_pictures_of_one_kind_need_be_less_alike_and_other_luma_more() -> None:
    """A cosine of .6 and a difference of luma of .2, which counts as .16 of it, on both sides of the threshold."""
    keys = torch.eye(2)[:, :1]
    one = Looks(keys, torch.tensor([0.5]), torch.tensor([1.0, 0.0]), (1, 1))
    like = one._replace(keys=torch.tensor([[0.6], [0.8]]))
    for other, cosine, alike in (
        (like, 0.6, 0.9 - 1.2 * 0.7),
        (like._replace(kind=torch.tensor([0.0, 1.0])), 0.6, 0.9),
        (like._replace(luma=torch.tensor([0.7])), 0.6 - 4 * 0.04, 0.9 - 1.2 * 0.7),
    ):
        told = told_by([Places(other, torch.zeros(3, 1))], one)
        assert float(told.doubt) == pytest.approx(1 / (1 + math.exp(25 * (cosine - alike))), rel=1e-4)


def test_several_references_tell_what_one_of_all_their_places_does() -> None:
    whole, parts = unlike(), (slice(0, 30), slice(30, None))
    colours = CHROMA.flatten(1)
    cut = [Places(whole._replace(keys=whole.keys[:, part], luma=whole.luma[part]), colours[:, part]) for part in parts]
    once, twice = told_by([Places(whole, colours)], whole), told_by(cut, whole)
    assert (once.sources == twice.sources).all()
    torch.testing.assert_close(once.chroma, twice.chroma)
    torch.testing.assert_close(once.doubt, twice.doubt)


def test_a_picture_is_told_its_own_colours(prior: ConditionalPrior) -> None:
    """Of blocks of colour that the grey tells apart, by networks of random weights."""
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 2)
    rgb = rgb.repeat_interleave(8, 3)
    luma = torch.einsum("c,bchw->bhw", WEIGHTS, rgb)[:, None]
    own, looks = places_of(rgb, luma, prior), looks_of(luma, prior)
    torch.testing.assert_close(looks.keys.square().sum(0), torch.ones(64))
    torch.testing.assert_close(looks.luma, luma[0, 0, ::8, ::8].flatten())
    torch.testing.assert_close(own.chroma, (rgb - luma)[0, :, ::8, ::8].flatten(1))
    assert (told_by([own], looks).sources.flatten() == torch.arange(64)).all()
