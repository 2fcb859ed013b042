"""Levels of noise: closed forms for white noise, and the denoiser's adapters, which vanish for it."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from scoreinv.networks.ffdnet import FFDNet, FFDNetConfig
from scoreinv.networks.noise_levels import COMPONENTS, energies, level_of_values, of_gray

STD = 0.1


def white(channels: int = 3) -> torch.Tensor:
    z = torch.randn(8, channels, 128, 128, generator=torch.Generator().manual_seed(0))
    return STD * z.expand(-1, 3, -1, -1)


def levels_of(noise: torch.Tensor) -> torch.Tensor:
    return energies(noise).mean((0, 2, 3), keepdim=True).sqrt()


def test_white_noise_has_one_level():
    torch.testing.assert_close(levels_of(white()), torch.full((1, COMPONENTS, 1, 1), STD), rtol=0.03, atol=0)


def test_grey_noise_has_the_level_of_colour_noise_with_its_effect():
    """Along the grey axis it is sqrt(3) times the deviation of a value."""
    levels = levels_of(white(1))
    assert levels[0, 1::2].abs().max() < 1e-6
    assert float(level_of_values(levels)) == pytest.approx(STD, rel=0.03)
    torch.testing.assert_close(of_gray(levels), torch.full_like(levels, 3**0.5 * STD), rtol=0.05, atol=0)


@pytest.fixture
def networks():
    """A small FFDNet, and the same with adapters of random weights."""
    torch.manual_seed(0)
    plain = FFDNetConfig(width=8, layers=4).build()
    adapted = replace(plain.config, adapters=4).build()
    adapted.load_state_dict(plain.state_dict(), strict=False)
    return plain.double(), adapted.double()


def test_adapters_change_nothing_for_white_noise(networks):
    plain, adapted = networks
    x, level = torch.rand(2, 3, 16, 12, dtype=torch.float64), torch.tensor([0.1, 0.3], dtype=torch.float64)
    levels = level[:, None, None, None].expand(2, COMPONENTS, 8, 6)
    found = adapted.denoised(x, levels)
    torch.testing.assert_close(found, plain.stack(x, level[:, None, None, None]))
    uneven = levels * torch.linspace(0.5, 1.5, COMPONENTS)[:, None, None]
    assert (adapted.denoised(x, uneven) - found).abs().max() > 1e-3


class Shrinking(FFDNet):
    """A stack that returns x / (1 + level)."""

    def stack(self, x, level, log_ratios=None):
        return x / (1 + F.interpolate(level, scale_factor=2.0))


def test_two_scales_have_their_levels():
    """The larger of luma and chroma; the coarse level counts half in a picture of half the size."""
    network = Shrinking(FFDNetConfig(width=8, layers=3))
    x = torch.rand(1, 3, 8, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
    levels = torch.tensor([9.0, 9.0, 0.2, 0.1, 0.4, 0.6])[:, None, None].expand(1, -1, 32, 48)
    found = network.at_two_scales(x, levels)
    means = [F.avg_pool2d(each, 2) for each in (found, x)]
    centres = [each[..., 2::4, 2::4] for each in means]
    torch.testing.assert_close(centres[0], centres[1] / 1.3)
    fine = x + torch.rand(1, 3, 1, 1) * (-1.0) ** torch.arange(96)  # vanishes at half the size
    torch.testing.assert_close(network.at_two_scales(fine, levels) - found, (fine - x) / 1.2)


def test_the_reach_is_the_radius_of_the_receptive_field(networks):
    adapted = networks[1]
    side, centre = 64, 32
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    levels = torch.linspace(0.05, 0.2, COMPONENTS, dtype=torch.float64)[:, None, None].expand(1, -1, 32, 32)
    adapted.denoised(x, levels)[..., centre : centre + 2, centre : centre + 2].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    farthest = max(centre + 1 - int(rows.min()), int(rows.max()) - centre)
    assert adapted.reach - 2 < farthest <= adapted.reach  # pixels come in pairs
