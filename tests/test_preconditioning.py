"""EDM as published, and the preconditionings' conditions."""

from dataclasses import replace

import pytest
import torch

from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig
from scoreinv.preconditioning import EDM, PaperVE, PaperVP, Preconditioning
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE, VE, VP
from scoreinv.system.errors import InputError

SMALL = NCSNppConfig(width=8, multipliers=(1, 2), blocks=1, dropout=0.0, init_scale=1.0)


def network(**options: object) -> NCSNpp:
    torch.manual_seed(0)
    return NCSNpp(replace(SMALL, **options)).eval()


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


def test_paper_ve_needs_ve() -> None:
    with pytest.raises(InputError, match="VE"):
        ScorePrior(network(), VP(), PaperVE())


@pytest.mark.parametrize(
    ("reading", "sde", "label", "factor"),
    [
        (PaperVE(), VE(0.01, 50.0), [0.01, 0.01 * 5000**0.25], [-1.0, -1.0]),
        (PaperVE(scale_by_sigma=False), VE(0.01, 50.0), [0.01, 0.01 * 5000**0.25], [-0.01, -0.01 * 5000**0.25]),
        (PaperVP(9), VP(), [0.0, 2.0], [1.0, 1.0]),
    ],
)
def test_readings_of_the_paper(reading: Preconditioning, sde: SDE, label: list[float], factor: list[float]) -> None:
    """noise = -F or -sigma F(x, sigma) for VE, F(x, t (N - 1)) for VP, with x centred."""
    seen: list[torch.Tensor] = []

    def network(x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        seen.extend((x, label))
        return 3 * x

    x, t = torch.tensor([0.25, 2.0])[:, None, None, None], torch.tensor([0.0, 0.25], dtype=torch.float64)
    noise = reading.noise(network, x, t, sde, (0.0, 1.0))  # type: ignore[arg-type]
    torch.testing.assert_close(seen[0].flatten(), torch.tensor([-0.5, 3.0]))
    torch.testing.assert_close(seen[1], torch.tensor(label, dtype=torch.float64))
    torch.testing.assert_close(noise.flatten(), 3 * torch.tensor([-0.5, 3.0]) * torch.tensor(factor))


def test_the_index_of_a_discrete_ve_model_counts_from_the_largest_noise() -> None:
    """Level i of N is at t = i / (N - 1), and its label is N - 1 - i."""
    labels: list[torch.Tensor] = []

    def record(x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        labels.append(label)
        return torch.ones_like(x)

    sde, t = VE(0.01, 50.0, steps=11), torch.tensor([0.0, 0.3, 1.0])
    noise = PaperVE("index").noise(record, torch.zeros(3, 1, 2, 2), t, sde, (-1.0, 1.0))  # type: ignore[arg-type]
    torch.testing.assert_close(labels[0], torch.tensor([10.0, 7.0, 0.0]))
    torch.testing.assert_close(noise, -torch.ones(3, 1, 2, 2))
