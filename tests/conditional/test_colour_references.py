"""Colours of references: which places look alike, and what they tell."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.small_chroma import chroma_prior
from torch import Tensor

from scoreinv.conditional import references as matching
from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.references import ColourPlaces, GrayPlaces, match_references, resemblance
from scoreinv.models.places import colour_places_of, gray_places_of, maps_of
from scoreinv.models.weights import load_encoder

SIDE, DEPTH = 10, 400
WEIGHTS = torch.tensor([0.299, 0.587, 0.114])
ALIKE = math.exp(matching._SHARPNESS * (1 - matching._THRESHOLD))
"""How much a place of the same looks counts beside what is drawn."""
ANY = torch.full((48, 1), 1 / 48)
"""Shares of places that may have one colour as well as another."""


@pytest.fixture(scope="module")
def prior() -> ColourPrior:
    return chroma_prior()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unlike(seed: int = 0) -> GrayPlaces:
    """Of a picture none of whose places looks like another."""
    keys = F.normalize(drawn(DEPTH, SIDE * SIDE, seed=seed), dim=0)
    seen = 100 * torch.eye(SIDE * SIDE)  # no place shares with another
    return GrayPlaces(keys, seen, ANY, torch.full((SIDE * SIDE,), 0.5), (SIDE, SIDE))


def photograph(looks: GrayPlaces, chroma: Tensor) -> ColourPlaces:
    """Places whose chroma is as likely by each component."""
    return ColourPlaces(looks, chroma, torch.full((48, chroma.shape[1]), 1 / 48))


CHROMA = drawn(3, SIDE, SIDE, seed=6)


def test_a_translated_copy_matches_by_its_displacement() -> None:
    looks = unlike()
    moved = looks.keys.unflatten(1, (SIDE, SIDE)).roll((2, 3), (1, 2)).flatten(1)
    copy = photograph(looks._replace(keys=moved), CHROMA.roll((2, 3), (1, 2)).flatten(1))
    told = match_references([copy], looks)
    torch.testing.assert_close(
        told.prior_weight, torch.tensor(1 / (1 + ALIKE**2)).expand(1, 1, SIDE, SIDE), rtol=0.01, atol=0
    )
    torch.testing.assert_close(told.chroma[0], CHROMA, rtol=0, atol=1e-3)


def test_pictures_resemble_each_other_as_the_one_does_that_has_more_of_its_own() -> None:
    """Half of a picture is all of another, and an eighth of a third."""
    whole, half, eighth = torch.eye(16), torch.eye(16)[:8], torch.eye(16)[:2]
    for close, much in ((whole, 1), (half, 1), (eighth, 0.5)):
        assert float(resemblance(close)) == float(resemblance(close.T)) == much


def test_darker_places_take_less_colour_and_lighter_ones_no_more() -> None:
    one = GrayPlaces(torch.eye(2), 100 * torch.eye(2), ANY, torch.tensor([0.3, 0.3]), (1, 2))
    chroma = torch.tensor([[0.4, 0.0], [-0.1, 0.0], [-0.2, 0.0]])
    for luma, share in ((0.3, 1), (0.5, 0.35 / 0.55), (0.2, 1)):
        told = match_references([photograph(one._replace(luma=torch.tensor([luma, 0.3])), chroma)], one)
        taken = 1 - float(told.prior_weight[0, 0, 0, 0])
        assert taken > 0.5
        torch.testing.assert_close(told.chroma[0, :, 0, 0], share * chroma[:, 0] * taken)


def test_most_of_a_thing_decides_for_all_of_it() -> None:
    """Of two halves that are seen apart, three fifths of the left one and a fifth of the right one have a match."""
    looks = unlike()._replace(keys=torch.zeros(DEPTH, SIDE * SIDE))
    columns = torch.arange(SIDE).repeat(SIDE)
    matched, left = (columns >= 2) & (columns < 6), columns < 5
    looks.keys[0, matched] = 1
    looks = looks._replace(features=F.one_hot(left.long(), 2).T.float())
    whole = photograph(looks, torch.ones(3, SIDE * SIDE))
    told = match_references([whole], looks)
    trust = 1 - told.prior_weight[0, 0, SIDE // 2]
    assert trust[:2].min() > 0.6  # of themselves nothing
    assert trust[5:].max() < 0.25  # one of them of itself all


def test_places_are_compared_by_maps_of_the_picture_and_of_twice_its_size(prior: ColourPrior) -> None:
    """The features behind the colours, the coarser maps of the prior's encoder, and those of the original one."""
    luma = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, (_, *tuned) = prior.chroma.decoder_features(luma)
        _, *original = load_encoder().of_gray(F.interpolate(luma, scale_factor=2, mode="bilinear"))
        found = maps_of(luma, prior)
    assert len(found) == 5
    for one, expected in zip(found, (features, *tuned, *original), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)


def test_a_picture_is_told_its_own_colours(prior: ColourPrior) -> None:
    """Of blocks of colour that the grey tells apart, by networks of random weights."""
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 2)
    rgb = rgb.repeat_interleave(8, 3)
    luma = torch.einsum("c,bchw->bhw", WEIGHTS, rgb)[:, None]
    own, looks = colour_places_of(rgb, luma, prior), gray_places_of(luma, prior)
    torch.testing.assert_close(looks.keys.square().sum(0), torch.ones(64))
    torch.testing.assert_close(looks.luma, luma[0, 0, ::8, ::8].flatten())
    torch.testing.assert_close(own.chroma, (rgb - luma)[0, :, ::8, ::8].flatten(1))
    chroma = match_references([own], looks).chroma[0].flatten(1)
    correlation = (chroma * own.chroma).sum() / (chroma.norm() * own.chroma.norm())
    assert correlation > 0.8
