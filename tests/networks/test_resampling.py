"""Resampling by two keeps constants and matches its definition."""

import pytest
import torch
import torch.nn.functional as F

from scoreinv.networks.resampling import Downsample, Upsample, downsample, upsample


def test_fir_resampling_keeps_constants_and_matches_its_definition() -> None:
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = torch.outer(taps, taps)
    for channel in range(3):
        plane = x[:, channel : channel + 1]
        down = F.conv2d(F.pad(plane, (1, 1, 1, 1)), kernel[None, None], stride=2)
        torch.testing.assert_close(downsample(x, (1, 3, 3, 1))[:, channel : channel + 1], down)
        zeros = torch.zeros(2, 1, 12, 16, dtype=torch.float64)
        zeros[..., ::2, ::2] = plane
        up = F.conv2d(F.pad(zeros, (2, 1, 2, 1)), 4 * kernel[None, None])
        torch.testing.assert_close(upsample(x, (1, 3, 3, 1))[:, channel : channel + 1], up)
    inside = upsample(torch.ones(1, 1, 6, 6), (1, 3, 3, 1))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.ones_like(inside))


@pytest.mark.parametrize(
    "kernel", [None, (1, 3, 3, 1), (1, 1), (1, 2, 1), (3, 2, 1), (1, 2, 4, 2, 3), (1, 2, 3, 4, 2, 1)]
)
def test_learned_resampling_is_resampling_when_its_convolution_is_the_identity(kernel: tuple[int, ...] | None) -> None:
    x = torch.randn(1, 2, 8, 8)
    rim = 2 if kernel is None or len(kernel) <= 4 else 4
    up = Upsample(2, 2, True, kernel)
    with torch.no_grad():
        up.conv.weight.zero_()
        up.conv.weight[range(2), range(2), 1, 1] = 1
        assert up(x).shape == (1, 2, 16, 16)
        inner = slice(rim, -rim)
        torch.testing.assert_close(up(x)[..., inner, inner], upsample(x, kernel)[..., inner, inner])
        if kernel is not None:
            down = Downsample(2, 2, True, kernel)
            down.conv.load_state_dict(up.conv.state_dict())
            inner = slice(rim // 2, -(rim // 2))
            torch.testing.assert_close(down(x)[..., inner, inner], downsample(x, kernel)[..., inner, inner])
