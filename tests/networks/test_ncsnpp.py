"""NCSN++: every option of the paper runs, any size that the stride divides, both precisions, both derivatives."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from scoreinv.networks.classifiers import WideResNetConfig
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.prior import ScorePrior
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError

SMALL = NCSNppConfig(width=8, multipliers=(1, 2), blocks=1, dropout=0.0, init_scale=1.0)

OPTIONS = {
    "biggan": {},
    "ddpm blocks": {"block": "ddpm"},
    "ddpm blocks, plain": {"block": "ddpm", "learned_resampling": False},
    "no FIR": {"fir_kernel": None},
    "skip pyramids": {"progressive_input": "input_skip", "progressive_output": "output_skip"},
    "concatenated pyramid": {"progressive_input": "input_skip", "combine": "cat"},
    "residual pyramids": {"progressive_output": "residual"},
    "residual, no FIR": {"progressive_output": "residual", "fir_kernel": None},
    "positional": {"embedding": "positional"},
    "not noise-conditional": {"noise_conditional": False},
    "no rescale": {"skip_rescale": False},
    "patch": {"patch": 2},
    "relu": {"activation": "relu"},
}


def network(**options: object) -> NCSNpp:
    torch.manual_seed(0)
    return NCSNpp(replace(SMALL, **options)).eval()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_option_uses_every_weight_at_any_size(options: dict[str, object]) -> None:
    net = network(**options)
    x = torch.randn(2, 3, 2 * net.stride, 5 * net.stride)
    y = net(x, torch.tensor([0.3, 2.0]))
    assert y.shape == x.shape
    y.square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(
    "config",
    [SMALL, WideResNetConfig(classes=2, depth=10, width=1)],
    ids=["ncsnpp", "wide resnet"],
)
def test_dropout_is_of_training_alone(config: NCSNppConfig | WideResNetConfig) -> None:
    torch.manual_seed(0)
    x, label = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 2.0])
    for dropout, training, changes in ((0.5, True, True), (0.5, False, False), (0.0, True, False)):
        net = replace(config, dropout=dropout).build().train(training)
        assert torch.equal(net(x, label), net(x, label)) != changes


@pytest.mark.parametrize(("block", "shortcut"), [("biggan", 1.0), ("ddpm", 0.1)])
def test_first_weights_have_the_scale_of_their_layer(block: str, shortcut: float) -> None:
    """Attention begins even, branches end at about 0, and DDPM's shortcuts are small (Ho et al. 2020)."""
    torch.manual_seed(0)
    net = NCSNpp(replace(SMALL, width=32, block=block, init_scale=0.0))
    scales = {"query": 0.1, "key": 0.1, "value": 0.1, "output": 1e-10, "conv_out": 1e-10, "shortcut": shortcut}
    found = set()
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            kind = name.rpartition(".")[2]
            fans = layer.weight[0, 0].numel() * sum(layer.weight.shape[:2]) / 2
            bound = math.sqrt(3 * scales.get(kind, 1.0) / fans)
            assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= 1.0001 * bound, name
            found.add(kind)
    assert {*scales} <= found


def test_bfloat16_keeps_the_ends_in_float32_and_stays_close() -> None:
    net = network(width=32).to(memory_format=torch.channels_last)
    x, label = torch.randn(2, 3, 16, 16), torch.tensor([0.3, 2.0])
    with torch.no_grad():
        exact = net(x, label)
        net.set_precision(torch.bfloat16)
        rough = net(x, label)
    assert net.conv_in.weight.dtype == net.conv_out.weight.dtype == torch.float32
    assert net.middle_in.conv_in.weight.dtype == torch.bfloat16
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()


def test_noise_has_a_second_derivative_in_float32() -> None:
    prior = ScorePrior(network(), VE(), EDM())
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    (first,) = torch.autograd.grad(prior.noise(x, 0.5).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.isfinite().all()
    assert second.abs().max() > 0


def test_sizes_that_do_not_fit_are_refused() -> None:
    prior = ScorePrior(network(patch=2), VE(), EDM())
    with pytest.raises(InputError, match="multiples of 4"):
        prior.noise(torch.randn(1, 3, 10, 8), 0.5)
    with pytest.raises(InputError, match="takes pictures of 3 channels, not 1"):
        prior.noise(torch.randn(1, 1, 8, 8), 0.5)
