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


def _filter(x: Tensor, kernel: tuple[int, ...], zeros: int, stride: int = 1, gain: float = 1.0) -> Tensor:
    """Pad both axes by so many zeros in all, an odd one before, convolve, and keep every stride-th value."""
    weight, before, after = _fir_weight(kernel, x, gain).flip(2, 3), (zeros + 1) // 2, zeros // 2
    if before != after:
        x, before = F.pad(x, (before, after, before, after)), 0
    return F.conv2d(x, weight, padding=before, stride=stride, groups=x.shape[1])


def downsample(x: Tensor, kernel: tuple[int, ...] | None) -> Tensor:
    """Halve the size: by the mean of 2x2 pixels, or FIR filter and decimation."""
    return F.avg_pool2d(x, 2) if kernel is None else _filter(x, kernel, len(kernel) - 2, stride=2)


def upsample(x: Tensor, kernel: tuple[int, ...] | None) -> Tensor:
    """Double the size: by the nearest neighbour, or zero insertion and FIR filter."""
    if kernel is None:
        return F.interpolate(x, scale_factor=2, mode="nearest")
    # A transposed convolution inserts the zeros.
    crop = (len(kernel) - 2) // 2
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
        # One padding for the filter of k taps and the convolution of 3: (k - 2) + (3 - 1).
        return F.conv2d(_filter(x, self.kernel, len(self.kernel)), weight, bias, stride=2)


class Upsample(_Resample):
    """Twice the size, with a learned 3x3 convolution (if `learned`) and the FIR filter (if `kernel`)."""

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is None:
            return upsample(x, self.kernel)
        if self.kernel is None:
            return self.conv(upsample(x, None))
        # The convolution of 3 taps after zero insertion, as one; its zeros are those of the filter: (k - 4) + (3 - 1).
        h = F.conv_transpose2d(x, self.conv.weight.flip(2, 3).transpose(0, 1), stride=2)
        h = _filter(h, self.kernel, len(self.kernel) - 2, gain=4.0)
        return h if self.conv.bias is None else h + self.conv.bias[:, None, None]
