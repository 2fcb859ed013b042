"""Enlarged photographs: the network's estimate, its consistency with the photograph, and samples around it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from support.independent_pixels import apply

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.operators import downsampling
from scoreinv.system.errors import Cancelled, SettingError
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.upscale import upscaling_windows

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def large(rows: int = 144, columns: int = 192) -> np.ndarray:
    """Return a part of a photograph, HxWx3 in [0, 1]."""
    return read_picture(PHOTOS / "facade.jpg").rgb()[184 : 184 + rows, 288 : 288 + columns]


def small(photo: np.ndarray, factor: int = 2, kind: str = "area") -> np.ndarray:
    """Return the photograph, reduced and rounded to 8 bits."""
    values = apply(downsampling(factor, *photo.shape[:2], kind), photo)
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def rms(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(float) - other).mean()))


@pytest.mark.parametrize(
    ("factor", "kind"),
    [(2, "area"), (3, "bicubic"), (4, "area")],
    ids=["twice", "three times", "four times"],
)
def test_an_enlarged_picture_reduces_to_the_one_that_was_given(factor, kind):
    """Up to the rounding of the result."""
    y = small(large(), factor, kind)
    outcome = scoreinv.upscale(y, factor, downsampling=kind)
    again = small(outcome.image / np.float32(255), factor, kind)
    assert rms(again, y) < 0.2
    assert abs(again.astype(int) - y).max() <= 1


def test_samples_beyond_the_memory_are_refused_before_the_work(limit):
    y = small(large(24, 32))
    results = 2 * 2 * 2 * y.nbytes  # two of twice the width and height
    for free, refusal in ((results - 1, SettingError), (results, Cancelled)):
        told: list[float] = []
        limit(memory=free)
        with pytest.raises(refusal):
            scoreinv.upscale(y, 2, samples=2, callback=lambda done, told=told: told.append(done) or len(told) < 2)


def test_a_grey_photograph_in_three_channels_stays_grey():
    y = np.repeat(small(large(48, 64))[..., 1:2], 3, axis=2)
    image = scoreinv.upscale(y, noise_std=0.0).image
    assert (image == image[..., :1]).all()


def test_the_estimate_is_nearer_to_the_photograph_than_interpolation():
    photo = 255 * large()
    for factor, share in ((2, 0.88), (4, 0.92)):
        y = small(photo / 255, factor)
        cubic = Image.fromarray(y).resize(photo.shape[1::-1], Image.Resampling.BICUBIC)
        outcome = scoreinv.upscale(y, factor)
        assert (outcome.method, outcome.nfe, outcome.notes) == ("network", 1, [])
        assert rms(outcome.image, photo) < share * rms(np.asarray(cubic), photo)


def test_the_blocks_of_a_jpeg_are_not_enlarged():
    """Its quantisation is the noise: the result keeps to the file within it, and is nearer to the photograph."""
    photo = 255 * large()
    file = io.BytesIO()
    Image.fromarray(small(photo / 255)).save(file, "JPEG", quality=75)
    stored = Image.open(file)
    y = np.asarray(stored)
    noise_std = float(np.std((y - small(photo / 255).astype(float)) @ [0.299, 0.587, 0.114])) / 255
    outcome, exact = scoreinv.upscale(y), scoreinv.upscale(y, noise_std=0.0)
    assert outcome.noise_std == pytest.approx(noise_std, rel=0.4)
    assert [note.code for note in outcome.notes] == ["noise_estimated"]
    residual = rms(small(outcome.image / np.float32(255)), y)
    assert 1 < residual < 255 * noise_std
    assert rms(outcome.image, photo) < 0.98 * rms(exact.image, photo)


@pytest.mark.parametrize(("level", "factor", "given"), [(10, 2, True), (30, 3, True), (30, 3, False)])
def test_noise_is_removed_first(level, factor, given):
    """With noise beyond that of its training, the network's output is without limit."""
    photo = large()
    noise = level * np.random.default_rng(0).standard_normal((144 // factor, 192 // factor, 3))
    y = np.rint((small(photo, factor) + noise).clip(0, 255)).astype(np.uint8)
    outcome = scoreinv.upscale(y, factor, noise_std=level / 255 if given else None)
    assert 255 * outcome.noise_std == pytest.approx(level, rel=0.35)
    assert rms(small(outcome.image / np.float32(255), factor), small(photo, factor)) < 0.7 * level


@pytest.mark.parametrize("factor", [2, 4])
def test_contrasts_that_the_network_does_not_know_come_out_as_they_are(factor):
    """White specks and lines on black became bursts of colours, some pixels wide."""
    y = np.zeros((64, 64, 3), np.uint8)
    y[8::16, 8::16] = y[40:42] = y[:, 50] = 255
    image = scoreinv.upscale(y, factor, noise_std=0.0).image.astype(int)
    plain = y.repeat(factor, 0).repeat(factor, 1)
    far = ~ndimage.binary_dilation(plain[..., 0] > 0, iterations=3 * factor)
    assert far.any()
    assert image[far].max() < 12
    assert rms(image.reshape(64, factor, 64, factor, 3).mean((1, 3)), y) < 8


def test_windows_give_the_picture_of_the_whole():
    y = np.rint(255 * read_picture(PHOTOS / "facade.jpg").rgb()[:344, :96]).astype(np.uint8)
    assert [len(upscaling_windows(height, 96, 23)) for height in (280, 344)] == [1, 2]
    whole, parts = (scoreinv.upscale(y[:height], noise_std=0.0).image for height in (280, 344))
    assert abs(parts[:400].astype(int) - whole[:400]).max() <= 1


def test_samples_vary_around_the_estimate():
    """Their mean is near it, and they differ where it is uncertain: at edges more than in flat parts."""
    y = small(large(96, 96))
    estimate = scoreinv.upscale(y).image
    outcome = scoreinv.upscale(y, samples=4, estimate="mean", steps=4)
    assert 0 < rms(outcome.image, estimate) < 10
    steep = np.abs(np.diff(estimate.astype(float).mean(2), axis=1, append=0)) > 12
    assert outcome.std[steep].mean() > 1.2 * outcome.std[~steep].mean() > 0


def test_turned_estimates_are_averaged():
    y, shares = small(large(64, 64)), []
    one, eight = (scoreinv.upscale(y, noise_std=0.0, orientations=count) for count in (1, 8))
    assert (one.nfe, eight.nfe) == (1, 8)
    turned = scoreinv.upscale(np.rot90(y).copy(), noise_std=0.0, orientations=8, callback=shares.append)
    assert abs(np.rot90(eight.image).astype(int) - turned.image).max() <= 1
    assert (one.image != eight.image).any()
    assert shares == sorted(shares)
    assert len(set(shares)) > 8


@pytest.mark.parametrize("factor", [2, 4])
def test_the_callback_is_called_within_a_window(factor):
    """At most four convolutions, a fifth of a window's, run between two calls."""
    model = scoreinv.load_upscaler("upscaler")
    calls, numbers = 0, []

    def called(_: float) -> None:
        nonlocal calls
        calls += 1

    for layer in (layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)):
        layer.register_forward_hook(lambda *_: numbers.append(calls))
    scoreinv.upscale(small(large(48, 48)), factor, model=model, callback=called)
    assert len(numbers) > 20
    assert max(np.bincount(numbers)) <= 4


def test_another_upscaler_is_a_model_or_its_file():
    y = small(large(48, 64))
    bundled = scoreinv.upscale(y, noise_std=0.1)
    loaded = scoreinv.load_upscaler("upscaler")
    with torch.no_grad():
        loaded.network.x2.conv_out.bias[0] += 0.1  # one of the four pixels: the correction keeps their mean
    assert (scoreinv.upscale(y, model=loaded, noise_std=0.1).image != bundled.image).any()
    file = PRETRAINED / "upscaler" / "model.safetensors"
    assert (scoreinv.upscale(y, noise_std=0.1, model=file).image == bundled.image).all()
    with pytest.raises(SettingError, match="load_upscaler"):
        scoreinv.upscale(y, model=object())
