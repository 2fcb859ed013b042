"""The smooth initial estimate of what is not observed, and the error that it expects of itself."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.restoration import inpaint_biharmonic

from scoreinv.conditional.initial_estimate import TENSION, block_means, push, smooth_estimate
from scoreinv.training.data.pictures import BUILTIN


def uniform(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 53), (64, 64)])
def test_known_values_stay_whatever_stands_in_holes(size: tuple[int, int]) -> None:
    values = uniform((2, 3, *size))
    observed = (uniform((2, 3, *size), 1) < 0.4).float()
    observed[..., 0, 0] = 1
    given = values.masked_fill(observed == 0, float("nan"))  # whatever stands in holes is not looked at
    initial = smooth_estimate(given, observed)
    known = observed > 0
    assert torch.equal(initial.mean[known], values[known])
    assert (initial.variance[known] == 0).all()
    assert (initial.variance[~known] > 0).all()
    assert initial.mean.isfinite().all()


def test_a_constant_is_continued_exactly() -> None:
    observed = torch.zeros(1, 1, 50, 70)
    observed[..., 49, 3] = 1
    torch.testing.assert_close(
        smooth_estimate(torch.full((1, 2, 50, 70), 0.3), observed).mean, torch.full((1, 2, 50, 70), 0.3)
    )


def test_a_wide_hole_between_slopes_overshoots_no_more_than_a_plate_under_tension() -> None:
    """Between slopes of s the plate's middle rises by s / k tanh(k L / 4), with k^2 the tension and L the width."""
    x, slope, width = torch.arange(192.0), 0.02, 80
    begin, end = (192 - width) // 2, (192 + width) // 2
    values = torch.where(x < begin, slope * (x - begin + 1), (slope * (end - x)).clamp_max(0)).expand(1, 1, 192, 192)
    observed = torch.ones(1, 1, 192, 192)
    observed[..., begin:end] = 0
    k = TENSION**0.5
    assert 0 < smooth_estimate(values, observed).mean.max() < slope / k * math.tanh(k * width / 4)


def test_known_means_of_blocks_are_continued_like_pixels() -> None:
    picture = (torch.arange(40.0) / 40).square().expand(1, 1, 40, 40)
    coarse = block_means(picture)
    coarse[..., 15:, :] = float("nan")
    found = smooth_estimate(picture, torch.zeros(1, 1, 40, 40), torch.tensor([[0.1, 0.2, 0.4]]), coarse)
    torch.testing.assert_close(found.mean[..., :24, :36], picture[..., :24, :36], atol=0.03, rtol=0)
    assert (found.variance > 0).all()


def test_pictures_and_channels_are_filled_apart() -> None:
    values, observed = uniform((2, 2, 40, 40)), (uniform((2, 2, 40, 40), 1) < 0.5).float()
    mean = smooth_estimate(values, observed).mean
    torch.testing.assert_close(smooth_estimate(values[1:, 1:], observed[1:, 1:]).mean, mean[1:, 1:])


def test_contrast_and_brightness_pass_through() -> None:
    values, observed = uniform((1, 2, 40, 50)), (uniform((1, 1, 40, 50), 1) < 0.3).float()
    changed = smooth_estimate(3 * values - 1, observed).mean
    torch.testing.assert_close(changed, 3 * smooth_estimate(values, observed).mean - 1, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (200, 130)])
def test_where_nothing_is_known_the_estimate_is_zero_and_the_variance_that_of_the_picture(size) -> None:
    details = torch.tensor([[0.1, 0.2, 0.3, 0.1, 0.4, 0.1, 0.5], [1.0] * 7])
    initial = smooth_estimate(uniform((1, 2, *size)), torch.zeros(1, 2, *size), details)
    assert (initial.mean == 0).all()
    torch.testing.assert_close(initial.variance[0, :, 0, 0], details.sum(1))


@pytest.mark.parametrize("kind", ["pixels", "lines"])
def test_small_holes_in_photographs_are_filled_as_by_biharmonic_interpolation(kind: str) -> None:
    """Within a tenth in rms error of the best classical method there."""
    errors = []
    for path in sorted(BUILTIN.glob("*.jpg"))[:4]:
        photo = np.asarray(Image.open(path).convert("RGB"))[40:136, 40:136] / np.float32(255)
        hole = np.random.default_rng(0).random(photo.shape[:2]) < (0.5 if kind == "pixels" else 0)
        if kind == "lines":
            hole[::16] = hole[1::16] = True
        picture = torch.from_numpy(photo).permute(2, 0, 1)[None]
        filled = smooth_estimate(picture, torch.from_numpy(~hole)[None, None]).mean[0].permute(1, 2, 0).numpy()
        best = inpaint_biharmonic(photo, hole, split_into_regions=True, channel_axis=-1)
        errors.append([np.sqrt(np.mean((value - photo)[hole] ** 2)) for value in (filled, best)])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 1.1 * theirs


def test_variance_is_that_of_the_error_for_a_picture_of_independent_details() -> None:
    """A picture whose details are as supposed: white noise at each octave, held over blocks."""
    details = torch.tensor([[0.05, 0.3, 0.1, 0.2, 0.05, 0.05, 0.05]])
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(400, 1, 32, 32)
    for level, variance in enumerate(details[0, :4]):
        side = 32 >> level
        noise = torch.randn(400, 1, side, side, generator=generator) * variance.sqrt()
        picture += noise.repeat_interleave(1 << level, 2).repeat_interleave(1 << level, 3)
    observed = torch.ones(1, 1, 32, 32)
    observed[..., 8:24, 8:24] = 0
    initial = smooth_estimate(picture, observed, details)
    middle = (slice(None), slice(None), slice(12, 20), slice(12, 20))
    error = (initial.mean - picture)[middle].square().mean()
    expected = initial.variance.expand_as(picture)[middle].mean()
    assert float(error / expected) == pytest.approx(1, abs=0.35)  # levels mix where blocks are cut


def test_the_expected_variance_of_a_pixel_follows_the_energy_of_details_around_it() -> None:
    """In units of the octave's variance, the coarser level's activity counting as two of 5x5 values."""
    values, observed = uniform((1, 1, 16, 16)), torch.ones(1, 1, 16, 16)
    observed[..., 7, 6] = 0
    details = torch.tensor([[0.05, 0.2, 0.3]])
    levels = [(values * observed, observed)]
    for _ in range(4):
        mean, known = (block_means(value) for value in (levels[-1][0], levels[-1][1]))
        levels.append((mean / known, torch.ones_like(known)))

    def around(value: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(value, torch.ones(1, 1, 5, 5), padding=2)

    activity = torch.ones(1, 1, 1, 1)
    for level in (3, 2, 1, 0):
        mean, known = levels[level]
        energy = known * (mean - push(levels[level + 1][0], mean.shape)).square() / details[0, min(level, 2)]
        activity = push(activity, mean.shape)
        activity = ((around(energy) + 2 * activity) / (around(known) + 2)).clamp_min(0.02)
    found = smooth_estimate(values, observed, details).variance
    assert found.flatten().nonzero().numel() == 1
    torch.testing.assert_close(found[..., 7, 6], 0.05 * activity[..., 7, 6])
    flat = smooth_estimate(0 * values, observed, details).variance
    torch.testing.assert_close(flat[..., 7, 6], torch.tensor([[0.05 * 0.02]]))
