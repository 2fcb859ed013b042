"""The blur recipe: turned spectra keep their angle, and the loss is that of kind, size and angle."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pretrained.blur import make as recipe
from scoreinv.models.blur_estimator import ANGLES, RADII, BlurPrediction
from scoreinv.operators import kernels


def test_light_of_values_and_back() -> None:
    values = np.linspace(0, 1, 300)
    srgb = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(recipe.decoded(values), srgb, atol=2e-3)
    np.testing.assert_allclose(recipe.encoded(recipe.decoded(values)), values, atol=1e-6)
    assert recipe.encoded(np.array([-1.0, 3.0])).tolist() == [0, 1]


def test_a_blur_is_a_convolution_on_black() -> None:
    dot = np.zeros((15, 17))
    dot[6, 8] = 1
    for kind, kernel in enumerate((kernels.gaussian(1.0), kernels.disk(2.5), kernels.motion(5, 30)), 1):
        assert np.array_equal(recipe.kernel_of(kind, (1.0, 2.5, 5)[kind - 1], 30), kernel)
        rows, columns = kernel.shape
        found = recipe.blurred(dot, kernel)
        np.testing.assert_allclose(found[6 - rows // 2 :, 8 - columns // 2 :][:rows, :columns], kernel, atol=1e-12)
    assert recipe.blurred(np.ones((9, 9)), kernels.disk(2))[4, 0] < 0.8


def test_spectra_turn_with_their_angles_and_some_are_mirrored() -> None:
    """The column of the angle stays so."""
    torch.manual_seed(0)
    columns = torch.randint(ANGLES, (400,))
    spectra = F.one_hot(columns, ANGLES).float()[:, None, None].repeat(1, 2, RADII, 1)
    spectra = torch.maximum(spectra, spectra.roll(1, 3) / 2)  # the next one tells the direction
    found, angles = recipe.turned(spectra, columns * 180 / ANGLES)
    assert ((angles >= 0) & (angles < 180)).all()
    place = (angles * ANGLES / 180).round().long() % ANGLES
    assert torch.equal(found[:, 1, 3].argmax(1), place)
    after, before = (found[:, 0, 5].gather(1, ((place + step) % ANGLES)[:, None])[:, 0] for step in (1, -1))
    assert torch.equal(after + before, torch.full((400,), 0.5))
    assert 0.35 < (before > 0).float().mean() < 0.65
    assert len(((place - columns) % ANGLES).unique()) == ANGLES


def test_the_loss_is_of_the_kind_the_size_and_the_angle_of_lines() -> None:
    kinds, sizes = torch.tensor([0, 1, 3]), torch.tensor([0.0, 1.5, 2.0])
    angles = torch.tensor([0.0, 50.0, 180 * 23.25 / ANGLES])  # between the last column and the first
    torch.manual_seed(0)
    prediction = BlurPrediction(torch.randn(3, 4), torch.randn(3, 3), 0.3 * torch.randn(3, 3), torch.randn(3, ANGLES))
    found = recipe.loss_of(lambda spectra: prediction, torch.zeros(3, 2, RADII, ANGLES), kinds, sizes, angles)
    kind = -sum(math.log(prediction.kinds[row].softmax(0)[kinds[row]]) for row in range(3)) / 3
    size = 0.0
    for row in (1, 2):
        mean, spread = (float(values[row, kinds[row] - 1]) for values in (prediction.log_size, prediction.log_spread))
        size += ((float(sizes[row]) - mean) / math.exp(spread)) ** 2 / 2 + spread
    odds = prediction.angles[2].softmax(0)
    angle = -(0.75 * math.log(odds[23]) + 0.25 * math.log(odds[0]))
    assert float(found) == pytest.approx(kind + 0.5 * (size + angle) / 3, rel=1e-5)


def test_drawn_blurs_are_of_the_ranges_and_shares_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is sharp has high frequencies."""
    random = np.random.default_rng(1)
    photo = random.integers(0, 256, (260, 300), dtype=np.uint8)
    monkeypatch.setattr(recipe, "SIDE", (128, 130))
    drawn = [recipe.drawn([photo], random) for _ in range(60)]
    counts = np.bincount([kind for _, kind, _, _ in drawn], minlength=4)
    assert 10 <= counts[0] <= 32
    assert counts[1:].min() >= 5
    for spectrum, kind, size, angle in drawn:
        assert spectrum.shape == (2, RADII, ANGLES)
        assert np.isfinite(spectrum).all()
        assert 0 <= angle < 180
        least, most = recipe.SIZES[kind - 1] if kind else (1, 1)
        assert math.log(least) <= size <= math.log(most)
    fine = [spectrum[1, -8:].mean() - spectrum[1, 2:8].mean() for spectrum, *_ in drawn]
    sharp, soft = ([value for value, one in zip(fine, drawn, strict=True) if (one[1] > 0) == blur] for blur in (0, 1))
    assert np.mean(sharp) > np.mean(soft) + 1
