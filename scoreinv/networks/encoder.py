"""EfficientNet-Lite0, a network pretrained on classification, as an encoder of image features.

(Tan & Le 2019, arXiv 1905.11946; Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite".)

Blocks of a pointwise, a depthwise and a pointwise convolution with residual connections (Sandler et al. 2018), with
ReLU6 and without squeeze-and-excitation. Batch norms are folded into the convolutions. The classification head is left
out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import Layers, convolved

STRIDES = (8, 16, 32)
"""Strides of the feature maps in pixels."""

FEATURES = (40, 112, 320)
"""Channels of the feature maps."""

FINE_STRIDES = (2, 4)
"""Strides of the finer maps, which only `Encoder.all_maps` returns."""

FINE_FEATURES = (16, 24)
"""Channels of the finer maps."""

_STAGES = (
    # blocks, kernel, stride, expansion, outputs
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LAST = (0, 1, 2, 4, 6)  # last stage of each resolution


class Encoder(nn.Module):
    """Feature maps of pictures.

    `forward` maps pictures (B, 3, H, W) in [0, 1], sides multiples of 32, to three maps (B, C, H / s, W / s), for the
    strides s of `STRIDES` and C = `FEATURES` channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        self.stages: Layers[nn.Sequential] = Layers()
        inputs = 32
        for blocks, kernel, stride, expansion, outputs in _STAGES:
            stage = nn.Sequential()
            for number in range(blocks):
                stage.append(_Block(inputs, outputs, kernel, 1 if number else stride, expansion))
                inputs = outputs
            self.stages.append(stage)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return self.all_maps(pictures)[len(FINE_STRIDES) :]

    def all_maps(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the finer maps, then those of `forward`: (B, C, H / stride, W / stride) of pictures (B, 3, H, W)."""
        # The model was trained on (value - 127) / 128 of 8-bit values.
        h = ((pictures * 255 - 127) / 128).to(self.stem.weight.dtype)
        h = F.relu6(self.stem(h), inplace=True)
        maps = []
        for number, stage in enumerate(self.stages):
            h = stage(h)
            if number in _LAST:
                maps.append(h)
        return tuple(maps)

    def of_gray(self, luma: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of grey pictures (B, 1, H, W), scaled to an rms over the channels of 1 at each position.

        So all-zero features differ from those of every picture.
        """
        pictures = luma.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        maps = (value.to(luma.dtype) for value in self(pictures))
        return tuple(value * (value.square().mean(1, keepdim=True) + 1e-6).rsqrt() for value in maps)


class _Convolution(nn.Conv2d):
    """A convolution with TensorFlow's padding: if it is odd, the larger part is below and to the right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.stride[0] > 1:  # padding the filter costs less than padding the pictures
            weight = F.pad(weight, (1, 0, 1, 0))
        return convolved(self, x, weight, self.bias)


class _Block(nn.Module):
    """A pointwise expansion, a depthwise filter, and a projection; residual if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = _Convolution(inputs, width, 1) if expansion > 1 else None
        self.filter = _Convolution(width, width, kernel, stride, groups=width)
        self.project = _Convolution(width, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        h = self.project(F.relu6(self.filter(h), inplace=True))
        return x + h if self.residual else h
