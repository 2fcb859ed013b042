"""What all tasks on photographs have in common in Python: forms, samples, batches and progress."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.formula_detector import FormulaDetector, whites
from support.independent_pixels import HEIGHT, KERNEL, WIDTH, prior, truth

import scoreinv
from scoreinv.system.errors import Cancelled

HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[8:13, 10:17] = True


def inpaint(image: Any, **more: Any) -> Any:
    return scoreinv.inpaint(image, HOLE, prior=prior(), steps=2, **more)


def restore(image: Any, **more: Any) -> Any:
    models = {"detector": FormulaDetector(whites), "filler": prior(), "denoiser": prior(), "colorizer": prior()}
    return scoreinv.restore(image, mask=HOLE, tone=0.0, noise_std=0.05, recolor=True, **models, **more)


CALLS = {
    "inpaint": inpaint,
    "restore": restore,
    "colorize": lambda image, **more: scoreinv.colorize(image, prior=prior(), steps=3, **more),
    "denoise": lambda image, **more: scoreinv.denoise(image, noise_std=0.05, prior=prior(), **more),
    "upscale": lambda image, **more: scoreinv.upscale(image, 3, noise_std=0.05, prior=prior(), **more),
    "deblur": lambda image, **more: scoreinv.deblur(image, kernel=KERNEL, noise_std=0.05, prior=prior(), **more),
}
EVERY = pytest.mark.parametrize("task", CALLS)


def channels_last(image: Any) -> np.ndarray:
    """A result as float64 in [0, 1], HxWxC, of the last picture of a batch."""
    if isinstance(image, torch.Tensor):
        image = (image[-1] if image.ndim == 4 else image).permute(1, 2, 0)
    values = np.asarray(image)
    return values / (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1)


@EVERY
def test_a_result_has_the_form_of_the_picture_and_one_noise(task):
    levels = np.rint(255 * truth()).astype(np.uint8)
    tensor = torch.from_numpy(levels / 255).permute(2, 0, 1)
    single, factor = (levels / 255).astype(np.float32), 3 if task == "upscale" else 1
    expected = channels_last(CALLS[task](levels).image)
    assert expected.shape == (factor * HEIGHT, factor * WIDTH, 3)
    forms = (levels.astype(np.uint16) * 257, single, Image.fromarray(levels), tensor, tensor.float()[None])
    for form in forms:
        image = CALLS[task](form).image
        assert type(image) is type(form)
        assert getattr(image, "dtype", None) == getattr(form, "dtype", None)
        assert getattr(image, "ndim", None) == getattr(form, "ndim", None)
        np.testing.assert_allclose(channels_last(image), expected, atol=0.02)
    gray = CALLS[task](levels[..., 0]).image
    assert gray.shape == (expected.shape if task in ("colorize", "restore") else expected.shape[:2])
    alpha = np.full((HEIGHT, WIDTH, 1), 90, np.uint8)
    transparent = CALLS[task](np.concatenate([levels, alpha], axis=2)).image
    assert (transparent[..., 3] == 90).all()
    np.testing.assert_allclose(channels_last(transparent)[..., :3], expected, atol=0.02)


@EVERY
def test_samples_and_pictures_are_what_they_are_alone(task):
    pictures = torch.from_numpy(np.stack([truth(seed=seed) for seed in (0, 1)])).permute(0, 3, 1, 2)
    together, alone = (CALLS[task](given, samples=2, seed=3) for given in (pictures, pictures[1]))
    assert (together.image.shape[0], len(together.samples), len(together.notes)) == (2, 2, 2)
    for several, own in zip(together.samples, alone.samples, strict=True):
        torch.testing.assert_close(several[1], own, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.std[1], alone.std, atol=1e-4, rtol=0)
    assert (alone.samples[0] - alone.samples[1]).abs().max() > 0.01
    one, other = (CALLS[task](pictures[1], estimate="sample", seed=seed).image for seed in (3, 4))
    torch.testing.assert_close(one, alone.samples[0], atol=1e-4, rtol=0)
    assert (one - other).abs().max() > 0.01


@EVERY
def test_progress_grows_to_one_and_false_stops_the_work(task):
    told: list[float] = []
    CALLS[task](truth(), samples=2, callback=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert len(told) > 2
    with pytest.raises(Cancelled):
        CALLS[task](truth(), callback=lambda share: share < 0.2)
