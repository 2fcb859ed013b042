"""Colours from photographs that one has: `like` of `colorize`, and the picture of what was taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic import gaussian_colour_prior
from small_chroma import chroma_prior

from scoreinv.conditional.references import Told
from scoreinv.imaging.picture import Picture
from scoreinv.operators.colour_space import luma
from scoreinv.system.errors import InputError
from scoreinv.tasks.colorize import colorize
from scoreinv.tasks.references import Reference, matches_of


def blocks(seed: int = 0) -> np.ndarray:
    """Colours that the grey tells apart, 64x64x3 float32."""
    return np.random.default_rng(seed).random((4, 4, 3), np.float32).repeat(16, 0).repeat(16, 1)


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(image - truth).mean())


@pytest.mark.parametrize("estimate", ["sample", "mean"])
def test_a_picture_takes_the_colours_of_its_own_photograph(estimate: str) -> None:
    truth, prior = blocks(2), chroma_prior()
    gray = luma(truth)
    settings = {"prior": prior, "estimate": estimate, "steps": 3}
    without = colorize(gray, **settings)
    told = colorize(gray, like=[blocks(7), truth], **settings)
    assert without.matches is None
    assert error(told.image, truth) < 0.5 * error(without.image, truth)
    np.testing.assert_allclose(luma(told.image), gray, atol=2e-3)
    assert told.matches.shape == (64, 64 + 2 * (64 + 8), 3)


def test_what_is_no_reference() -> None:
    gray, prior = luma(blocks()), chroma_prior()
    with pytest.raises(InputError, match="like: is grey"):
        colorize(gray, prior=prior, like=gray)
    with pytest.raises(InputError, match="method conditioned"):
        colorize(gray, prior=prior, like=blocks(), method="pc", steps=2)
    with pytest.raises(InputError, match="scene takes references"):
        colorize(gray, prior=gaussian_colour_prior(torch.zeros(3), torch.eye(3)), like=blocks(), steps=2)


def test_what_was_taken_is_shown_and_the_rest_is_pale() -> None:
    """Of two places of the picture the left one is taken from the lower place of the reference."""
    rgb = np.zeros((16, 8, 3), np.float32)
    rgb[:8], rgb[8:] = (1, 0, 0), (0, 0, 1)
    reference = Reference.of(Picture(blocks()), chroma_prior())
    reference = Reference(rgb, reference.places)
    told = Told(torch.zeros(1, 3, 1, 2), torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[1, 0]]))
    shown = matches_of(told, np.full((8, 16), 0.5, np.float32), [reference])
    assert shown.shape == (16, 16 + 8 + 8, 3)
    assert (shown[:8, :8] == (0, 0, 255)).all()
    assert (shown[8:, 24:] == (0, 0, 255)).all()
    for pale in (shown[:8, 8:16], shown[:8, 24:]):
        assert (np.ptp(pale, axis=-1) == 0).all()
        assert pale.min() > 170
