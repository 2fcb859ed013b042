"""Resampling by two keeps constants and matches its definition."""

import torch
import torch.nn.functional as F

from scoreinv.networks.resampling import downsample, upsample


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
