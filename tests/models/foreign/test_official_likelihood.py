"""Likelihood, latent codes and ODE samples agree with the reference implementation (RK45 at 1e-7, in float64 there)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import scoreinv
from scoreinv.models.foreign.official import load_official, read_official_config
from scoreinv.prior import ScorePrior

DATA = Path(__file__).parents[2] / "data" / "parity"
FOLDERS = ["subvp_cifar10_ddpmpp_continuous", "vp_cifar10_ddpmpp_continuous"]


def model_and_data(name: str) -> tuple[ScorePrior, dict[str, Tensor]]:
    folder = DATA / name
    prior = load_official(folder / "checkpoint.pth", read_official_config(str(folder / "config.json")), ema=True)
    return prior, {key: value.float() for key, value in load_file(folder / "io.safetensors").items()}


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_likelihood_and_samples_item_by_item(name: str) -> None:
    prior, data = model_and_data(name)
    result = scoreinv.bits_per_dim(prior, data["data"], probe=data["eps"], rtol=1e-7, atol=1e-7)
    assert largest(result.bits_per_dim - data["bpd"]) < 1e-3
    assert largest(result.latent - data["z"]) < 5e-3
    assert len(set(result.nfe.tolist())) > 1  # each item has its own steps
    sample = scoreinv.decode(prior, data["z"], rtol=1e-7, atol=1e-7)
    assert largest(sample.x0 - data["ode_sample"]) < 5e-2
    # Forwards again, the latent code comes back.
    code = scoreinv.encode(prior, data["data"], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(code.z, result.latent, atol=1e-3, rtol=0)
