"""Latent codes: the way between two pictures, and that a code belongs to the data and not to the network."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from support.analytic import gaussian_colour_prior

import scoreinv
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import InputError
from scoreinv.tasks.interpolate import slerp

SDES = pytest.mark.parametrize("sde", [VE(0.005, 20.0), VP()], ids=["VE", "VP"])
MEAN, STD = 0.5, 0.2


def prior(sde, **options):
    return gaussian_colour_prior(torch.full((3,), MEAN), torch.eye(3) * STD**2, sde=sde, **options)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(40, 216, (2, *shape)).astype(np.uint8)


def test_slerp_in_closed_form():
    a, b = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    a[..., 0], b[..., 1] = 2.0, 2.0
    angle = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64) * math.pi / 2
    expected = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    assert torch.allclose(slerp(a, b, [0, 0.25, 0.5, 1]).reshape(4, 2), expected.float(), atol=1e-6)
    assert torch.allclose(slerp(a, 3 * a, [0.5]), 2 * a)
    assert torch.allclose(slerp(a, -a, [0.25]), 0.5 * a)
    z = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    lengths = slerp(z[0], z[1], np.linspace(0, 1, 9)).flatten(1).norm(dim=1)
    assert lengths == pytest.approx(float(z[0].norm()), rel=0.03)


@SDES
def test_the_ends_are_the_pictures(sde):
    a, b = pictures(8, 8, 3)
    result = scoreinv.interpolate(a, b, 5, prior=prior(sde))
    assert len(result.images) == 5
    for end, image in ((a, result.images[0]), (b, result.images[-1])):
        assert image.dtype == np.uint8
        assert abs(image.astype(int) - end).max() <= 1  # rounded down
    fixed = scoreinv.interpolate(a, b, 5, steps=24, prior=prior(sde))
    assert fixed.nfe == round((2 + 5) * 96 / 5)
    for one, other in zip(fixed.images, result.images, strict=True):
        assert abs(one.astype(int) - other).max() <= 2


@pytest.mark.parametrize(("steps", "warned"), [(3, True), (24, False)])
def test_a_warning_of_too_few_steps(caplog, steps, warned):
    a, b = pictures(8, 8, 3)
    narrow = gaussian_colour_prior(torch.full((3,), MEAN), torch.eye(3) * 0.02**2, sde=VP())
    scoreinv.interpolate(a, b, 2, steps=steps, prior=narrow)
    assert ["16 steps suffice" in record.getMessage() for record in caplog.records] == [True] * warned
    caplog.clear()
    scoreinv.interpolate(a, b, 2, steps=steps, temperature=0.9, prior=narrow)
    assert not caplog.records


def test_the_way_between_in_closed_form():
    """The flow of one Gaussian is affine: the middle of the arc decodes to (a + b) / (2 cos(w / 2)), about the mean."""
    sde = VE(0.005, 200.0)  # so that the mean is lost in the noise at t = 1
    a, b = (pictures(8, 8, 3) / 255).astype(np.float32)
    cosine = ((a - MEAN) * (b - MEAN)).sum() / np.linalg.norm(a - MEAN) / np.linalg.norm(b - MEAN)
    expected = MEAN + (a + b - 2 * MEAN) / (2 * math.cos(math.acos(cosine) / 2))
    result = scoreinv.interpolate(a, b, 3, temperature=0.5, prior=prior(sde))
    np.testing.assert_allclose(result.images[1], MEAN + 0.5 * (expected - MEAN), atol=0.01)
    np.testing.assert_allclose(result.images[0], MEAN + 0.5 * (a - MEAN), atol=0.01)


def test_pictures_come_back_in_kind():
    a, b = pictures(4, 8, 3)
    gray = scoreinv.interpolate(a[..., 0], b[..., 0], 2, steps=4, prior=prior(VE())).images
    assert gray[0].shape == (4, 8)
    coloured = scoreinv.interpolate(a[..., 0], b, 2, steps=24, prior=prior(VE())).images
    assert abs(coloured[0].astype(int) - a[..., :1]).max() <= 1
    assert abs(coloured[1].astype(int) - b).max() <= 1
    images = scoreinv.interpolate(Image.fromarray(a), Image.fromarray(b), 2, steps=4, prior=prior(VE())).images
    assert [image.size for image in images] == [(8, 4)] * 2
    tensors = [torch.from_numpy(item).permute(2, 0, 1) / 255 for item in (a, b)]
    assert scoreinv.interpolate(*tensors, 2, steps=4, prior=prior(VE())).images[0].shape == (3, 4, 8)


def test_unfit_pairs_are_refused():
    a, b = pictures(4, 4, 3)
    model = prior(VE())
    for one, other, options, said in (
        (a, b[:, :2], {}, "4x4 and 2x4"),
        (a[:3], b[:3], {}, "multiples of 4 .*: crop the picture"),
        (a, b, {"steps": 0}, "steps must be at least 1"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3, 4, 4), {}, "single pictures"),
        (torch.zeros(3, 4, 4), torch.zeros(2, 3, 4, 4), {}, "single pictures"),
        (a, b, {"temperature": -1.0}, "temperature must be at least 0"),
    ):
        with pytest.raises(InputError, match=said):
            scoreinv.interpolate(one, other, **options, prior=model)
    assert model.preconditioning.windows == []  # told before the network is asked
