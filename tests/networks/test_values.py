"""Networks of given weights compute what they computed when models were saved: files of released versions keep working.

The values of `tests/data/networks.json` are of float64 weights that follow from the tensors' names and shapes.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork
from scoreinv.models.tone_estimator import PARTS, QUANTILES, ToneNetwork
from scoreinv.networks.chroma import DECODER_FEATURES, ChromaNetwork
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES, FINE_FEATURES, FINE_STRIDES, STRIDES
from scoreinv.networks.ncsnpp import DDPM_UNET, NCSNppConfig
from scoreinv.networks.place_embedding import PlaceNetwork

pytestmark = pytest.mark.portable

VALUES = Path(__file__).parents[1] / "data" / "networks.json"


def numbers(name: str, *shape: int) -> Tensor:
    """Values of mean about 0 and variance 1, float64, that follow from a name."""
    index = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return torch.from_numpy(math.sqrt(2) * np.sin(0.7 * index**2 + crc32(name.encode()) % 1000)).reshape(shape)


def filled(network: nn.Module) -> nn.Module:
    """Give a network weights that keep features of order one."""
    network = network.double().eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        values = numbers(name, *value.shape)
        if name.endswith("running_var"):
            values = values.abs() + 0.5
        elif value.ndim > 1:
            values = values / math.sqrt(value[0].numel())
        else:
            values = 0.3 * values + (1 if name.endswith("weight") else 0)
        value.copy_(values)
    return network


def ncsnpp(config: NCSNppConfig) -> tuple[Tensor, ...]:
    side = 4 * config.stride
    x, label = numbers("x", 2, config.channels, side, side), torch.tensor([0.3, 2.0], dtype=torch.float64)
    condition = numbers("condition", 2, config.condition_channels, side, side) if config.condition_channels else None
    maps = tuple(numbers("map", 1, count, 4 - n, 4 - n) for n, count in enumerate(config.feature_channels))
    return (filled(config.build())(x, label, condition, maps or None),)


def classifier(config: WideResNetConfig | ConvNetConfig) -> tuple[Tensor, ...]:
    network, label = filled(config.build()), torch.tensor([0.3, 2.0], dtype=torch.float64)
    x = numbers("x", 2, 3, 16, 16)
    return network(x, label), network.features(x, label)


def detector() -> tuple[Tensor, ...]:
    config = DetectorNetworkConfig(widths=(4, 4, 8, 8), coarse_width=8, regions=3, second=True)
    network = filled(config.build())
    network.out.bias += 4  # so that the veto has odds to reduce
    channels, strides = (*FINE_FEATURES, *FEATURES), (*FINE_STRIDES, *STRIDES)
    maps = tuple(numbers("map", 1, count, 32 // s, 64 // s) for count, s in zip(channels, strides, strict=True))
    return (network(0.5 + 0.3 * numbers("x", 1, 3, 32, 64), maps),)


def chroma() -> tuple[Tensor, ...]:
    found, maps = filled(ChromaNetwork())(0.5 + 0.3 * numbers("x", 1, 1, 64, 32))
    return found, *maps


def places() -> tuple[Tensor, ...]:
    network = PlaceNetwork()
    channels = [layer.in_channels for layer in network.maps]
    maps = [numbers("map", 1, count, 8 // (1 + n % 2), 6).float() for n, count in enumerate(channels)]
    return filled(network).float()(maps)


def tones() -> tuple[Tensor, ...]:
    rgb = 0.5 + 0.3 * numbers("x", 2, 50, 3)
    quantiles = torch.quantile(rgb, torch.tensor([0.0, *QUANTILES, 1.0]).double(), dim=1).transpose(0, 1)
    ends = (0.5 + 0.3 * numbers("ends", 2, 2, PARTS**2, 3)).sort(2).values
    return filled(ToneNetwork())(rgb, 0.2 * numbers("expected", 2, 50, 3 + DECODER_FEATURES), quantiles, ends)


def blur() -> tuple[Tensor, ...]:
    return filled(BlurNetwork())(numbers("x", 2, 2, RADII, ANGLES) - 3)


SMALL = NCSNppConfig(width=8, multipliers=(1, 2), blocks=2, fourier_scale=1.0)
OPTIONS: dict[str, dict[str, Any]] = {
    "ncsn++": {},
    "ddpm blocks": {"block": "ddpm"},
    "ddpm blocks, plain": {"block": "ddpm", "learned_resampling": False},
    "no fir": {"fir_kernel": None},
    "lopsided fir": {"fir_kernel": (3, 2, 1)},
    "skip pyramids": {"progressive_input": "input_skip", "progressive_output": "output_skip"},
    "concatenated pyramid": {"progressive_input": "input_skip", "combine": "cat"},
    "residual pyramids": {"progressive_output": "residual", "multipliers": (1, 1, 2)},
    "residual pyramids, no fir": {"progressive_output": "residual", "fir_kernel": None},
    "positional, odd": {"embedding": "positional", "width": 9},
    "unconditional": {"noise_conditional": False},
    "no rescaling": {"skip_rescale": False},
    "patch": {"patch": 2},
    "elu": {"activation": "elu"},
    "relu": {"activation": "relu"},
    "lrelu": {"activation": "lrelu"},
    "shown": {"condition_channels": 2, "feature_channels": (5, 3), "patch": 2},
    "heads": {"attention_head": 4, "attention_levels": (0, 1), "up_attention": "each"},
    "groups": {"channels_per_group": 1, "norm_epsilon": 0.1},
}
CASES: dict[str, Callable[[], tuple[Tensor, ...]]] = {
    **{name: lambda changes=changes: ncsnpp(replace(SMALL, **changes)) for name, changes in OPTIONS.items()},
    "ddpm": lambda: ncsnpp(replace(DDPM_UNET, width=32, multipliers=(1, 2), blocks=1)),
    "wide resnet": lambda: classifier(WideResNetConfig(classes=3, depth=10, width=1)),
    "convnet": lambda: classifier(ConvNetConfig(classes=3, widths=(4, 6))),
    "detector": detector,
    "chroma": chroma,
    "places": places,
    "tones": tones,
    "blur": blur,
}


def summary(name: str) -> list[list[float]]:
    """The shape of each output, and its inner products with two vectors of unit length on average."""
    found = []
    for output in CASES[name]():
        values = output.double().flatten()
        vectors = numbers("summary", 2, len(values)) / math.sqrt(len(values))
        found.append([*output.shape, *(float(f"{float(value):.8g}") for value in vectors @ values)])
    return found


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_saved_models(name: str) -> None:
    expected = json.loads(VALUES.read_text())[name]
    found = summary(name)
    assert [len(each) for each in found] == [len(each) for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
