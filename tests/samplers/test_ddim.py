"""DDIM as a predictor: its formula, and what noise does."""

from __future__ import annotations

import pytest
import torch
from gaussian import GaussianPrior
from mixture import SDES, SHAPE, BatchStream, correlated
from solvers import EVERY_SDE, one_step

from scoreinv.samplers import (
    DDIM,
    PC,
    Ancestral,
    NoiseStream,
    ReverseDiffusion,
    karras_times,
)


@EVERY_SDE
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim_is_the_paper_s(sde, eta):
    x, score, z, after = one_step(DDIM(eta), sde)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = (
        f(torch.tensor([0.6, 0.55], dtype=torch.float64)) for f in (sde.alpha, sde.sigma)
    )
    predicted = (x + sigma_t**2 * score) / alpha_t
    std = eta * sigma_s / sigma_t * (sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2).sqrt()
    expected = alpha_s * predicted - (sigma_s**2 - std**2).sqrt() * sigma_t * score + std * z
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sde", [SDES["ve"], SDES["vp"], SDES["ddpm"]], ids=["ve", "vp", "ddpm"])
def test_ddim_with_eta_1_is_ancestral_sampling(sde):
    ddim, ancestral = (
        PC(predictor, corrector_steps=0, steps=20, spacing=karras_times)
        .sample(correlated(sde), (6, *SHAPE), rng=BatchStream(2, 6))
        .x0
        for predictor in (DDIM(1.0), Ancestral("posterior"))
    )
    torch.testing.assert_close(ddim, ancestral, rtol=0, atol=1e-9)


def test_in_few_steps_with_a_corrector_it_leaves_no_noise():
    """As the scripts of the core draw, in sixty: reverse diffusion takes a step for a short one."""
    prior = GaussianPrior(SDES["vp"], 0.2, 0.02**2)
    stds = []
    for predictor in (DDIM(1.0), ReverseDiffusion()):
        drawn = PC(predictor, snr=0.1, steps=60).sample(prior, (4, 3, 16, 16), rng=NoiseStream(0, 4)).x0
        stds.append(float(drawn.std()))
    assert stds[0] < 0.02
    assert stds[1] > 0.025
