"""The network that detects damage, and its file."""

import math
from dataclasses import replace

import pytest
import torch

from scoreinv.models.catalogue import load_kind
from scoreinv.models.config import DetectorConfig
from scoreinv.networks.blocks import freeze_norms
from scoreinv.networks.detector import _VETO_FLOOR, DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES, FINE_FEATURES, FINE_STRIDES, STRIDES
from scoreinv.system.errors import CheckpointError

SMALL = DetectorConfig(DetectorNetworkConfig(widths=(4, 4, 8, 8), coarse_width=8, regions=3), image_size=32)


def test_the_maps_of_the_encoder_go_on_where_those_of_before_end():
    encoder = SMALL.build().encoder
    pictures = torch.rand(1, 3, 64, 96)
    maps = encoder.all_maps(pictures)
    assert [tuple(value.shape[1:]) for value in maps] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip((*FINE_FEATURES, *FEATURES), (*FINE_STRIDES, *STRIDES), strict=True)
    ]
    for value, before in zip(maps[2:], encoder(pictures), strict=True):
        torch.testing.assert_close(value, before)


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


@pytest.mark.parametrize(("added", "veto"), [(-0.7, 2.6), (5.0, 0.5), (3.7, 2.6)])
def test_the_second_levels_add_odds_and_veto_what_is_sure_and_they_alone_are_trained(added, veto):
    torch.manual_seed(4)
    plain = SMALL.network.build().eval()
    both = replace(SMALL.network, second=True).build().eval()
    both.load_state_dict(plain.state_dict(), strict=False)
    assert both.second is not None
    pictures = torch.rand(1, 3, 32, 64)
    maps = SMALL.build().encoder.all_maps(pictures)
    expected = plain(pictures, maps)
    both.second.out.weight.data.zero_()
    both.second.out.bias.data.fill_(-40)
    torch.testing.assert_close(both(pictures, maps), expected)
    both.second.out.bias.data = torch.tensor([added, veto])
    odds = expected.exp() + math.exp(added)
    vetoed = (odds / (1 + math.exp(veto))).log()
    unsure = odds.log().clamp(max=_VETO_FLOOR)  # what a veto leaves is marked at the usual sensitivity as before
    torch.testing.assert_close(both(pictures, maps), torch.maximum(vetoed, unsure))
    freeze_norms(both.train())
    found = both(pictures, maps)
    torch.testing.assert_close(found, vetoed)
    found.sum().backward()
    learnt = {name for name, parameter in both.named_parameters() if parameter.grad is not None}
    assert learnt
    assert all(name.startswith("second.") for name in learnt)
