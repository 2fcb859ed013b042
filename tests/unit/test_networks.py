"""The networks: every option of the paper runs, any size that the stride divides, both precisions, both derivatives."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scoreinv.errors import InputError
from scoreinv.networks.blocks import convolved, norm_activate, normalise
from scoreinv.networks.ddpm import ddpm_config
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig
from scoreinv.networks.resampling import Downsample, Upsample, downsample, upsample
from scoreinv.preconditioning import EDM, PaperVE
from scoreinv.prior import ScorePrior
from scoreinv.sdes import VE, VP

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


def test_ddpm_is_a_choice_of_options() -> None:
    net = NCSNpp(ddpm_config(width=32, multipliers=(1, 2), blocks=1))
    assert net.middle_in.norm_in.num_groups == 32
    assert net(torch.randn(1, 3, 8, 8), torch.tensor([5.0])).shape == (1, 3, 8, 8)


def test_a_zero_init_scale_starts_at_zero() -> None:
    y = network(init_scale=0.0)(torch.randn(1, 3, 8, 8), torch.tensor([1.0]))
    assert y.abs().max() < 1e-3


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


def test_fused_norm_and_activation_and_its_gradient() -> None:
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, 16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (2 * torch.randn(3, 16, 6, 10) + 0.5).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(3, 16, 6, 10).bfloat16()
    fused = norm_activate(norm, F.silu, x)
    assert type(fused.grad_fn).__name__ == "_NormSiLUBackward"
    exact = F.silu(norm(x.float()))
    results = torch.autograd.grad(fused, (x, norm.weight, norm.bias), grad)
    targets = torch.autograd.grad(exact, (x, norm.weight, norm.bias), grad.float())
    for result, target in zip((fused, *results), (exact, *targets), strict=True):
        error = (result.float() - target.float()).square().mean().sqrt()
        assert error < 0.008 * target.float().square().mean().sqrt()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
@pytest.mark.parametrize("shape", [(8, 96, 16, 16), (24, 40, 9, 11)])
def test_normalisation_is_exact_where_means_dwarf_deviations(
    dtype: torch.dtype, tolerance: float, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(8, shape[1], eps=1e-6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.rand(shape[1], 1, 1) * torch.randn(shape) + 20 * torch.randn(shape[1], 1, 1)
    x = x.to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        result = normalise(norm, x)
        exact = copy.deepcopy(norm).double()(x.double())
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result.double() - exact).square().mean().sqrt() < tolerance * exact.square().mean().sqrt()


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


@pytest.mark.parametrize("kernel", [None, (1, 3, 3, 1)])
def test_learned_resampling_is_resampling_when_its_convolution_is_the_identity(kernel: tuple[int, ...] | None) -> None:
    x = torch.randn(1, 2, 8, 8)
    up = Upsample(2, 2, True, kernel)
    with torch.no_grad():
        up.conv.weight.zero_()
        up.conv.weight[range(2), range(2), 1, 1] = 1
        torch.testing.assert_close(up(x)[..., 2:-2, 2:-2], upsample(x, kernel)[..., 2:-2, 2:-2])
        if kernel is not None:
            down = Downsample(2, 2, True, kernel)
            down.conv.load_state_dict(up.conv.state_dict())
            torch.testing.assert_close(down(x)[..., 1:-1, 1:-1], downsample(x, kernel)[..., 1:-1, 1:-1])


def test_attention_without_gradient_equals_attention_with_it() -> None:
    net = network()
    x, label = torch.randn(1, 3, 8, 8), torch.tensor([1.0])
    with torch.no_grad():
        quick = net(x, label)
    torch.testing.assert_close(net(x, label), quick, atol=1e-5, rtol=1e-4)


def test_noise_has_a_second_derivative_in_float32() -> None:
    prior = ScorePrior(network(), VE(), EDM())
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    (first,) = torch.autograd.grad(prior.noise(x, 0.5).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.isfinite().all()
    assert second.abs().max() > 0


def test_edm_preconditioning_is_the_published_one() -> None:
    net = network()
    prior = ScorePrior(net, VP(), EDM(0.5))
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.7], dtype=torch.float64)
    alpha = prior.sde.alpha(t)[:, None, None, None].float()
    s = prior.sde.noise_to_signal(t)[:, None, None, None].float()
    scaled = x / alpha
    total = s.square() + 0.25
    output = net(scaled / total.sqrt(), prior.sde.noise_to_signal(t))
    denoised = 0.25 / total * scaled + s * 0.5 / total.sqrt() * output
    torch.testing.assert_close(prior.denoise(x, t), denoised, atol=1e-4, rtol=1e-4)


def test_edm_on_another_range_is_the_same_prior() -> None:
    net = network()
    centred = ScorePrior(net, VE(0.02, 100.0), EDM(), (-1.0, 1.0))
    unit = ScorePrior(net, VE(0.01, 50.0), EDM(), (0.0, 1.0))
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(centred.noise(x, 0.4), unit.noise((x + 1) / 2, 0.4), atol=1e-4, rtol=1e-4)


def test_sizes_that_do_not_fit_are_refused() -> None:
    prior = ScorePrior(network(patch=2), VE(), EDM())
    with pytest.raises(InputError, match="multiples of 4"):
        prior.noise(torch.randn(1, 3, 10, 8), 0.5)
    with pytest.raises(InputError, match="takes pictures of 3 channels, not 1"):
        prior.noise(torch.randn(1, 1, 8, 8), 0.5)


def test_paper_ve_needs_ve() -> None:
    with pytest.raises(InputError, match="VE"):
        ScorePrior(network(), VP(), PaperVE())


@pytest.mark.parametrize("stride", [1, 2])
def test_filters_of_single_channels_are_learnt_in_float32(stride: int) -> None:
    torch.manual_seed(5)
    layer = nn.Conv2d(3, 3, 3, stride, 1, groups=3)
    x, weight, bias = torch.randn(2, 3, 8, 6), torch.randn(3, 1, 3, 3), torch.randn(3)
    expected = torch.stack(
        [F.conv2d(x[:, [c]], weight[[c]], bias[[c]], stride, 1)[:, 0] for c in range(len(weight))], dim=1
    )
    torch.testing.assert_close(convolved(layer, x, weight, bias), expected)
    learnt = weight.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found, frozen = (convolved(layer, x, each, bias) for each in (learnt, weight))
    assert found.dtype == frozen.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-7, atol=1e-6)  # rounded once, at the end
    torch.testing.assert_close(frozen.float(), expected, rtol=0.02, atol=0.05)
    found.float().sum().backward()
    again = weight.clone().requires_grad_()
    F.conv2d(x, again, bias, stride, 1, groups=3).sum().backward()
    torch.testing.assert_close(learnt.grad, again.grad)
