"""The network that detects damage, and its file."""

from dataclasses import replace

import pytest
import torch

from scoreinv.models.catalogue import load_kind
from scoreinv.models.config import DetectorConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.system.errors import CheckpointError

SMALL = DetectorConfig(DetectorNetworkConfig(widths=(4, 4, 8, 8), coarse_width=8, regions=3), image_size=32)


def test_a_new_detector_finds_little_and_vetoes_little():
    """Log odds of -3 for damage; second levels add as much, and divide the odds by 1 + exp -4."""
    network = replace(SMALL.network, second=True).build()
    assert network.out.bias.tolist() == [-3]
    assert network.second.out.bias.tolist() == [-3, -4]


def test_no_gradient_reaches_the_encoder():
    detector = SMALL.build()
    detector.logits(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is None for parameter in detector.encoder.parameters())
    assert any(parameter.grad is not None for parameter in detector.network.parameters())


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("prior", "damage", "damage"),
        ("prior", "cifar10-classifier", "classifier"),
        ("prior", "tone", "tone"),
        ("classifier", "photo", "fill"),
        ("damage", "cifar10", "prior"),
        ("damage", "noise", "noise"),
        ("noise", "scene", "colour"),
        ("upscale", "encoder", "encoder"),
    ],
)
def test_a_model_of_another_kind_is_refused(kind, name, found):
    with pytest.raises(CheckpointError, match=f"its kind is {found}, not {kind}"):
        load_kind(kind, name)
