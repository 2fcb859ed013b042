"""White noise taken off pictures, with priors whose posteriors are known: independent pixels, Gaussian colours."""

import math

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior
from support.independent_pixels import STD, gray_prior, noisy, prior, shrunk, truth

import scoreinv
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import InputError
from scoreinv.tasks.common import noise_range


@pytest.mark.parametrize("options", [{}, {"data_range": (-1.0, 1.0)}, {"sde": VP()}], ids=["VE", "range", "VP"])
def test_the_mean_of_a_noisy_picture_is_exact_in_one_evaluation(options):
    y = noisy(truth(), 0.05).clip(0, 1)
    result = scoreinv.denoise(y, noise_std=0.05, prior=prior(**options))
    np.testing.assert_allclose(result.image, shrunk(y, 0.05), atol=2e-6)
    assert (result.nfe, result.method, result.std) == (1, "exact", None)


def test_samples_of_a_noisy_picture_are_the_posteriors():
    y, std = noisy(truth(), 0.06).clip(0, 1), 0.06
    result = scoreinv.denoise(y, noise_std=std, prior=prior(), samples=6, steps=25)
    values = np.stack(result.samples) - shrunk(y, std)
    deviation = STD * std / math.hypot(STD, std)
    assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)
    assert values.std() == pytest.approx(deviation, rel=0.05)
    assert np.sqrt((result.std**2).mean()) == pytest.approx(deviation, rel=0.05)
    assert (result.nfe, scoreinv.denoise(y, noise_std=std, prior=prior(), samples=2).nfe) == (25, 10)
    mean = scoreinv.denoise(y, noise_std=std, prior=prior(), samples=6, steps=25, estimate="mean")
    np.testing.assert_allclose(mean.image, np.mean(result.samples, 0), atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_noise_of_grey_pictures_is_of_one_channel(mode):
    """Three channels that are alike say no more than one: v / (v + n^2), not v / (v + n^2 / 3)."""
    std = 0.05
    y = noisy(truth(channels=1), std)[..., 0].clip(0, 1)
    pixels = y if mode == "L" else np.repeat(y[..., None], 3, axis=2)
    result = scoreinv.denoise(pixels, noise_std=std, prior=gray_prior()).image
    expected = shrunk(y, std)
    np.testing.assert_allclose(result if mode == "L" else result[..., 1], expected, atol=1e-4)
    sample = scoreinv.denoise(pixels, noise_std=std, prior=gray_prior(), steps=25, estimate="sample").image
    deviation = (sample if mode == "L" else sample[..., 0]) - expected
    assert deviation.std() == pytest.approx(STD * std / math.hypot(STD, std), rel=0.1)
    if mode == "RGB":
        np.testing.assert_allclose(sample, np.repeat(sample[..., :1], 3, axis=2), atol=1e-6)


def test_sampling_of_grey_pictures_begins_at_a_state_of_the_process():
    """Their noise is of the grey axis; what white noise has besides is added."""
    std, states = 0.05, []
    y = noisy(truth(60, 60, channels=1), std)[..., 0].clip(0, 1)
    model = gray_prior()
    read = model.preconditioning.noise

    def seen(network, x, t, sde, data_range):
        states.append((x.clone(), sde.sigma(t)))
        return read(network, x, t, sde, data_range)

    model.preconditioning.noise = seen
    scoreinv.denoise(y, noise_std=std, prior=model, steps=2, estimate="sample")
    x, sigma = states[0]
    axes = torch.linalg.qr(torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]).T)[0]
    rotated = torch.einsum("ck,bchw->kbhw", axes, x).flatten(1)
    assert float(sigma[0]) == pytest.approx(math.sqrt(3) * std, rel=1e-6)
    np.testing.assert_allclose(rotated[1:].std(1), math.sqrt(3) * std, rtol=0.05)
    assert abs(np.corrcoef(rotated[1:])[0, 1]) < 0.1


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_noise_that_was_cut_off_at_black_or_white_is_taken_for_such(end):
    """Dark and light pictures N(m, v), m at half a standard deviation of the noise from the end.

    Uncut, the estimates' mean is m + v / (v + n^2) (mean of y - m). Stored values are off by a fifth of the noise's
    deviation on average, and estimates that take them as they are by v / (v + n^2) of that.
    """
    std, deviation, middle = 0.1, 0.02, abs(end - 0.05)
    model = gaussian_colour_prior(torch.full((3,), middle), torch.eye(3) * deviation**2)
    x = middle + deviation * np.random.default_rng(0).standard_normal((90, 90, 3))
    y = x + std * np.random.default_rng(1).standard_normal(x.shape)
    stored = y.clip(0, 1).astype(np.float32)
    share = deviation**2 / (deviation**2 + std**2)
    right, naive = (middle + share * (values.mean() - middle) for values in (y, stored))
    result = scoreinv.denoise(stored, noise_std=std, prior=model)
    assert result.nfe == 2
    assert abs(result.image.mean() - right) < 0.15 * abs(naive - right)
    drawn = scoreinv.denoise(stored, noise_std=std, prior=model, steps=25, samples=4)
    assert drawn.nfe == 25 + 2  # the mean is estimated first
    assert abs(np.mean([sample.mean() for sample in drawn.samples]) - right) < 0.3 * abs(naive - right)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_little_noise_that_was_cut_off_takes_no_further_evaluation(end):
    """A tenth of the values, of pictures N(m, v) that vary as the noise does: their estimates are off by half of what
    the stored values are off by on average, where these are taken as they are.
    """
    std, deviation, middle = 0.05, 0.05, abs(end - 0.09)
    model = gaussian_colour_prior(torch.full((3,), middle), torch.eye(3) * deviation**2)
    x = middle + deviation * np.random.default_rng(0).standard_normal((90, 90, 3))
    y = x + std * np.random.default_rng(1).standard_normal(x.shape)
    stored = y.clip(0, 1).astype(np.float32)
    right = middle + (y.mean() - middle) / 2
    result = scoreinv.denoise(stored, noise_std=std, prior=model)
    assert result.nfe == 1
    assert abs(result.image.mean() - right) < 0.3 * abs(stored.mean() - y.mean()) / 2


def test_noise_that_the_model_does_not_know():
    model = prior(data_range=(-1.0, 1.0))
    least, largest = noise_range(model)
    assert (least, largest) == pytest.approx((0.0025, 10.0), rel=1e-3)
    out_of_range = r"grey levels of 255 is out of the model's range, from 0.64 to 2550"
    for std, said in ((0.0, out_of_range), (0.002, out_of_range), (11.0, "noise_std must be from 0 to 1, not 11.0")):
        with pytest.raises(InputError, match=said):
            scoreinv.denoise(truth(), noise_std=std, prior=model)
    with pytest.raises(InputError, match=r"out of the model's range, from 1.3 to 127.5"):
        scoreinv.denoise(truth(), noise_std=0.6, prior=prior(sde=VE(0.005, 0.5)))


def scan(std: float, size=(48, 64)) -> np.ndarray:
    """Smooth tones with noise, HxW of uint8."""
    y, x = np.mgrid[: size[0], : size[1]]
    tones = 0.5 + 0.15 * np.sin(x / 9) + 0.15 * np.cos(y / 11)
    return np.rint(255 * noisy(tones, std).clip(0, 1)).astype(np.uint8)


def test_noise_is_estimated_where_it_is_not_given():
    result = scoreinv.denoise(scan(0.05), prior=prior())
    (note,) = result.notes
    assert (note.code, note.level) == ("noise_estimated", "info")
    assert result.noise_std == pytest.approx(0.05, rel=0.4)
    assert note.values["level"] == pytest.approx(255 * result.noise_std)
    given = scoreinv.denoise(scan(0.05), noise_std=result.noise_std, prior=prior())
    assert given.notes == []
    np.testing.assert_array_equal(given.image, result.image)


@pytest.mark.parametrize("samples", [1, 2])
def test_a_picture_with_too_little_noise_for_the_model_comes_back(samples):
    pixels = scan(0.0)
    result = scoreinv.denoise(pixels, prior=prior(sde=VE(0.01, 10.0)), samples=samples)
    (note,) = result.notes
    assert (note.code, note.level, result.nfe) == ("noise_low", "warning", 0)
    assert note.values["level"] == pytest.approx(255 * result.noise_std, abs=1e-6)
    assert len(result.samples) == samples
    for sample in result.samples:
        np.testing.assert_array_equal(sample, pixels)
    assert (result.std is None) if samples == 1 else not result.std.any()
