"""Colours from photographs that one has: `like` of `colorize`."""

import gc
import sys
import weakref

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior
from support.small_chroma import chroma_prior

from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.hints import read_references
from scoreinv.models.loading import Models
from scoreinv.models.places import colour_places_of
from scoreinv.operators.luma import luma
from scoreinv.system.errors import InputError
from scoreinv.tasks.colorize import colorize, colorize_picture
from scoreinv.tasks.requests import ColorizeRequest, Inputs

colorize_module = sys.modules["scoreinv.tasks.colorize"]


def blocks(seed: int = 0) -> np.ndarray:
    """Colours that the grey tells apart, 64x64x3 float32."""
    return np.random.default_rng(seed).random((4, 4, 3), np.float32).repeat(16, 0).repeat(16, 1)


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(image - truth).mean())


def test_references_are_the_same_from_python_and_from_files(tmp_path) -> None:
    """Reduced alike, so that `rerun` knows them again; grey ones are left out."""
    large = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    gray = np.zeros((20, 20), np.uint8)
    for name, pixels in (("large.png", large), ("gray.png", gray)):
        write_picture(tmp_path / name, Picture(pixels))
    (read,) = read_references(str(tmp_path / name) for name in ("large.png", "gray.png"))
    (given,) = colorize_module._references_from_api([large, gray])
    assert np.array_equal(read.pixels, given.pixels)


def test_strokes_win_where_they_are_and_references_beyond_a_strong_edge() -> None:
    truth, prior = 0.4 * blocks(2), chroma_prior()
    truth[:, 32:] += 0.55
    gray = luma(truth)
    strokes = np.zeros((64, 64, 4), np.uint8)
    strokes[4:12, 4:12] = (90, 60, 50, 255)
    settings = {"prior": prior, "estimate": "mean", "like": truth}
    like = colorize(gray, **settings).image
    both = colorize(gray, hints=strokes, **settings).image
    colour = strokes[8, 8, :3] / 255
    chroma = (both - gray[..., None])[6:10, 6:10]
    assert np.abs(chroma - (colour - luma(colour))).max() < 0.02
    assert error(both[:, 36:], like[:, 36:]) < 0.01 * error(both[:16, :16], like[:16, :16])


@pytest.mark.parametrize("estimate", ["sample", "mean"])
def test_a_picture_takes_the_colours_of_its_own_photograph(estimate: str) -> None:
    truth, prior = blocks(2), chroma_prior()
    gray = luma(truth)
    settings = {"prior": prior, "estimate": estimate, "steps": 3}
    without = colorize(gray, **settings)
    told = colorize(gray, like=[blocks(7), truth], **settings)
    assert error(told.image, truth) < 0.5 * error(without.image, truth)
    np.testing.assert_allclose(luma(told.image), gray, atol=2e-3)


def test_a_reference_is_looked_at_once_and_not_kept() -> None:
    """A page that runs for days would hold each photograph that somebody took colours from."""
    photo, models, seen = Picture(blocks()), Models(colorize=chroma_prior()), []
    inputs = Inputs(Picture(luma(blocks(1))), references=(photo,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colorize_module, "colour_places_of", lambda *given: seen.append(1) or colour_places_of(*given))
        for seed in (0, 1):
            colorize_picture(inputs, ColorizeRequest(steps=2, seed=seed), models)
    assert len(seen) == 1
    left = weakref.ref(photo)
    del photo, inputs
    gc.collect()
    assert left() is None


def test_wrong_references_are_refused() -> None:
    gray, prior = luma(blocks()), chroma_prior()
    with pytest.raises(InputError, match="like: has no colours"):
        colorize(gray, prior=prior, like=gray)
    with pytest.raises(InputError, match="method conditioned"):
        colorize(gray, prior=prior, like=blocks(), method="pc", steps=2)
    with pytest.raises(InputError, match="use the model scene"):
        colorize(gray, prior=gaussian_colour_prior(torch.zeros(3), torch.eye(3)), like=blocks(), steps=2)
