"""The metric of places, and their colours."""

import math

import torch
from torch.distributions import Normal

from scoreinv.networks.place_embedding import Colours


def test_colours_have_the_density_of_a_mixture() -> None:
    colours, rng = Colours().requires_grad_(False), torch.Generator().manual_seed(1)
    colours.centres[:2], colours.log_width[:] = (
        torch.randn(2, 48, generator=rng),
        0.3 * torch.randn(48, 1, generator=rng),
    )
    shares, chroma = colours(torch.randn(1, 64, 2, 3, generator=rng)), torch.zeros(3, 5)
    torch.testing.assert_close(shares.sum(0), torch.ones(6))
    torch.set_default_dtype(torch.float64)  # as a host may
    try:
        assert colours(torch.randn(1, 64, 2, 3, generator=rng, dtype=torch.float32)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    chroma[:2] = torch.randn(2, 5, generator=rng)
    axes = [Normal(colours.centres[k, None], colours.log_width.exp().T) for k in (0, 1)]
    gaussians = sum(axes[k].log_prob(chroma[k, :, None]) for k in (0, 1)).exp()  # (5, 48)
    torch.testing.assert_close(colours.log_densities(chroma).exp().T @ shares, 2 * math.pi * gaussians @ shares)


def test_a_mean_is_paler_by_as_much_as_hues_cancel() -> None:
    colours = Colours().requires_grad_(False)
    colours.log_width[:] = -20
    colours.centres[:, :3] = torch.tensor([[0.3, -0.3, 0.0], [-0.3, 0.3, 0.4], [0.0, 0.0, -0.4]])
    shares = torch.zeros(48, 3)
    shares[0, 0] = 1  # one colour
    shares[:2, 1] = torch.tensor([0.75, 0.25])  # two of opposite hues
    shares[[0, 2], 2] = 0.5
    strengths = 0.5 * (0.18**0.5 + 0.32**0.5)
    mean = torch.tensor([0.15, 0.05, -0.2]).norm()
    torch.testing.assert_close(colours.paleness(shares), torch.tensor([1.0, 2.0, strengths / mean]))
    colours.log_width[0] = math.log(0.1)  # of a Gaussian in a plane
    torch.testing.assert_close(colours.paleness(shares)[0], torch.tensor((0.2 / 0.18) ** 0.5))
