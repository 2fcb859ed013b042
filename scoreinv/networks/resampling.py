"""Up- and downsampling by two: plain, or anti-aliased by a FIR filter.

The FIR filters follow StyleGAN2 (Karras et al. 2020) and Zhang 2019: the outer product of a 1-D kernel, normalised to
preserve constants, with zero padding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import conv


def _fir_weight(kernel: tuple[int, ...], x: Tensor, gain: float = 1.0) -> Tensor:
    """Return the depthwise filter (C, 1, k, k) for x of shape (B, C, H, W)."""
    taps = torch.tensor(kernel, dtype=x.dtype, device=x.device)
    taps = taps / taps.sum()
    return (gain * torch.outer(taps, taps)).expand(x.shape[1], 1, -1, -1)


def _filter(x: Tensor, kernel: tuple[int, ...], pad: tuple[int, int], stride: int = 1, gain: float = 1.0) -> Tensor:
    """Pad both axes by (before, after) zeros, convolve, and keep every stride-th value."""
    weight = _fir_weight(kernel, x, gain).flip(2, 3)
    if pad[0] != pad[1]:
        x = F.pad(x, (*pad, *pad))
        pad = (0, 0)
    return F.conv2d(x, weight, padding=pad[0], stride=stride, groups=x.shape[1])


def downsample(x: Tensor, kernel: tuple[int, ...] | None) -> Tensor:
    """Halve the size: by the mean of 2x2 pixels, or FIR filter and decimation."""
    if kernel is None:
        return F.avg_pool2d(x, 2)
    extra = len(kernel) - 2
    return _filter(x, kernel, ((extra + 1) // 2, extra // 2), stride=2)


def upsample(x: Tensor, kernel: tuple[int, ...] | None) -> Tensor:
    """Double the size: by the nearest neighbour, or zero insertion and FIR filter."""
    if kernel is None:
        return F.interpolate(x, scale_factor=2, mode="nearest")
    size = len(kernel)
    extra = size - 2
    before = (extra + 1) // 2 + 1
    # A transposed convolution inserts the zeros; its padding is size - 1 less the zeros before.
    crop = size - 1 - before
    # In float32: on a CPU the depthwise convolution is 10 to 50 times slower in bfloat16.
    with torch.autocast(x.device.type, enabled=False):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        full = F.conv_transpose2d(wide, _fir_weight(kernel, wide, gain=4.0), stride=2, groups=x.shape[1])
    return full[..., crop : crop + 2 * x.shape[-2], crop : crop + 2 * x.shape[-1]].to(x.dtype)


class _Resample(nn.Module):
    def __init__(self, inputs: int, outputs: int, learned: bool, kernel: tuple[int, ...] | None) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = conv(inputs, outputs, 3) if learned else None


class Downsample(_Resample):
    """Half the size, with a learned 3x3 convolution (if `learned`) and the FIR filter (if `kernel`)."""

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is None:
            return downsample(x, self.kernel)
        weight, bias = self.conv.weight, self.conv.bias
        if self.kernel is None:
            return F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, bias, stride=2)
        extra = len(self.kernel)  # (k - 2) + (3 - 1): one padding for filter and convolution
        return F.conv2d(_filter(x, self.kernel, ((extra + 1) // 2, extra // 2)), weight, bias, stride=2)


class Upsample(_Resample):
    """Twice the size, with a learned 3x3 convolution (if `learned`) and the FIR filter (if `kernel`)."""

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is None:
            return upsample(x, self.kernel)
        if self.kernel is None:
            return self.conv(upsample(x, None))
        transposed = self.conv.weight.flip(2, 3).transpose(0, 1)
        h = F.conv_transpose2d(x, transposed, stride=2)
        extra = len(self.kernel) - 4  # (k - 2) - (3 - 1)
        h = _filter(h, self.kernel, ((extra + 1) // 2 + 1, extra // 2 + 1), gain=4.0)
        return h if self.conv.bias is None else h + self.conv.bias[:, None, None]
