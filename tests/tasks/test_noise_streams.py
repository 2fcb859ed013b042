"""Noise of a picture's own: standard normal, the same at every size of the picture, another for other pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.tasks.noise_streams import PictureNoise, ddof_of_pairs, noise_weights_of

CPU = torch.device("cpu")


def weights(pixels: np.ndarray) -> np.ndarray:
    return noise_weights_of(pictures_from_api(pixels)[0][0])


def scene(seed: int, side: int = 64) -> np.ndarray:
    """Smooth light and dark, side x side in [0, 1]."""
    coarse = np.random.default_rng(seed).random((6, 6), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


def drawn(own: np.ndarray, numbers: range, height: int = 12, width: int = 12) -> Tensor:
    return PictureNoise(3, numbers, own, CPU).normal((len(numbers), 3, height, width))


def test_the_noise_is_standard_normal_and_fresh_at_every_draw() -> None:
    noise = PictureNoise(0, range(0, 40, 2), weights(scene(0)), CPU)
    first, second = (noise.normal((20, 3, 16, 16)).double() for _ in range(2))
    for z in (first, second):  # 15,360 values: the mean's standard error is 0.008, the deviation's 0.006
        assert abs(z.mean()) < 0.035
        assert z.std() == pytest.approx(1, abs=0.03)
    count = first.numel()
    assert abs((first * second).mean()) < 5 / count**0.5
    for moved in (first.roll(1, 3), first.roll(1, 2), first.roll(1, 1), first.roll(1, 0)):
        assert abs((first * moved).mean()) < 5 / count**0.5


def test_pairs_are_opposite_and_samples_are_what_they_are_alone() -> None:
    own = weights(scene(0))
    four = drawn(own, range(4))
    assert torch.equal(four[0], -four[1])
    assert torch.equal(four[2], -four[3])
    assert not torch.allclose(four[0], four[2])
    assert torch.equal(drawn(own, range(3, 4))[0], four[3])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_the_spread_of_pairs_is_the_deviation_of_one(count: int) -> None:
    """By n - 1 it is 1.41 times that for a pair, and the variance of three was a third too large by n - 1 of odd n."""
    draws = np.stack([drawn(weights(scene(seed)), range(count), 32, 32).numpy() for seed in range(2)], 1)
    variance = draws.var(0, ddof=ddof_of_pairs(count))
    assert variance.mean() == pytest.approx(1, abs=0.06)  # 6,144 values, of few pairs each


def test_pictures_beside_others_have_the_noise_that_they_have_alone() -> None:
    one, other = weights(scene(0)), weights(scene(1))
    both = PictureNoise(3, [0, 1, 0], np.stack([one, one, other]), CPU).normal((3, 3, 12, 12))
    torch.testing.assert_close(both[:2], drawn(one, range(2)))
    torch.testing.assert_close(both[2:], drawn(other, range(1)))


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_of_another_size_has_the_same_noise(seed: int) -> None:
    large = scene(seed, 400)
    own = weights(large)
    assert np.linalg.norm(own) == pytest.approx(1)
    for side in (399, 317, 90):
        small = np.asarray(Image.fromarray(large).resize((side, side), Image.Resampling.BOX))
        assert own @ weights(small) > 0.999
    assert own @ weights((255 * large).round().astype(np.uint8)) > 0.999
    z = drawn(own, range(1))
    wider = drawn(own, range(1), 13, 14)
    torch.testing.assert_close(wider[..., :12, :12], z)
