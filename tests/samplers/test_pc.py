"""Predictors and correctors: single steps against the paper's formulas, and orders of convergence."""

import math

import numpy as np
import pytest
import torch
from support.gaussian import GaussianPrior
from support.mixture import SDES, SHAPE, BatchStream, correlated, gaussian
from support.solvers import EVERY_SDE, grid_error, logarithmic, one_step

from scoreinv.samplers import (
    DDIM,
    PC,
    Ancestral,
    AnnealedLangevin,
    EulerMaruyama,
    Langevin,
    NoiseStream,
    ReverseDiffusion,
    State,
)
from scoreinv.system.errors import InputError

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_euler_maruyama_vp(eta):
    x, score, z, after = one_step(EulerMaruyama(eta), SDES["vp"])
    beta, dt = 0.1 + 0.6 * 19.9, 0.05
    drift = -beta * x / 2 - (1 + eta) / 2 * beta * score
    assert torch.allclose(after, x - drift * dt + math.sqrt(eta * beta * dt) * z)


def test_reverse_diffusion_is_the_reversed_smld_and_ddpm_chain():
    x, score, z, after = one_step(ReverseDiffusion(), SDES["ve"])
    sigma_t, sigma_s = 0.01 * 2000**0.6, 0.01 * 2000**0.55
    g2 = sigma_t**2 - sigma_s**2
    assert torch.allclose(after, x + g2 * score + math.sqrt(g2) * z)
    x, score, z, after = one_step(ReverseDiffusion(), SDES["vp"])
    beta = 1 - math.exp(-((0.1 * 0.6 + 9.95 * 0.6**2) - (0.1 * 0.55 + 9.95 * 0.55**2)))
    assert torch.allclose(after, (2 - math.sqrt(1 - beta)) * x + beta * score + math.sqrt(beta) * z)
    x, score, _, after = one_step(ReverseDiffusion(eta=0.0), SDES["vp"])
    assert torch.allclose(after, (2 - math.sqrt(1 - beta)) * x + beta / 2 * score)


def test_ancestral_is_the_paper_s():
    x, score, z, after = one_step(Ancestral(), SDES["ve"])
    sigma_t, sigma_s = 0.01 * 2000**0.6, 0.01 * 2000**0.55
    g2 = sigma_t**2 - sigma_s**2
    assert torch.allclose(after, x + g2 * score + math.sqrt(sigma_s**2 * g2 / sigma_t**2) * z)
    _, _, _, after = one_step(Ancestral("forward"), SDES["ve"])
    assert torch.allclose(after, x + g2 * score + math.sqrt(g2) * z)
    x, score, z, after = one_step(Ancestral(), SDES["vp"])
    beta = 1 - math.exp(-((0.1 * 0.6 + 9.95 * 0.6**2) - (0.1 * 0.55 + 9.95 * 0.55**2)))
    assert torch.allclose(after, (x + beta * score) / math.sqrt(1 - beta) + math.sqrt(beta) * z)
    with pytest.raises(InputError, match="SubVP"):
        one_step(Ancestral(), SDES["subvp"])


@pytest.mark.parametrize(("name", "a"), [("ve", 1.0), ("vp", 1 - 12.04 / 1000), ("subvp", 1 - 12.04 / 1000)])
def test_langevin_step_sizes(name, a):
    """e = 2 a (snr |z|/|score|)^2 of each sample alone, and 2 a (snr sigma)^2; a = 1 - beta(.6)/1000, or 1 for VE."""
    prior = correlated(SDES[name])
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.6)
    t = torch.tensor(0.6, dtype=torch.float64)
    score, z = prior.score(x, t), BatchStream(5, 4).normal(x.shape)
    norm = (z.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
    size = 2 * a * (0.16 * norm) ** 2
    after = Langevin().step(prior, x, t, 0.16, BatchStream(5, 4))
    assert torch.allclose(after, x + size * score + (2 * size).sqrt() * z)
    size = 2 * a * (0.16 * SDES[name].sigma(t)) ** 2
    after = AnnealedLangevin().step(prior, x, t, 0.16, BatchStream(5, 4))
    assert torch.allclose(after, x + size * score + (2 * size).sqrt() * z)


@pytest.mark.parametrize("sde", [SDES["ve"], SDES["ddpm"]], ids=["ve", "ddpm"])
def test_langevin_holds_the_marginal_in_192_dimensions(sde):
    """From 0.8 of the right spread to the stationary variance of this step size: 1/(1 - snr^2) and the random norms'
    share, 1.05 in all at 192 dimensions and snr .16 (it would be 1.6 at 8)."""
    prior, t = gaussian(sde, (3, 8, 8)), torch.tensor(0.5, dtype=torch.float64)
    x = 0.8 * prior.sample(150, torch.Generator().manual_seed(0), 0.5)
    noise, ratios = BatchStream(1, 150), []
    variance = float(sde.alpha(t) ** 2 * 0.25 + sde.sigma(t) ** 2)
    for i in range(120):
        x = Langevin().step(prior, x, t, 0.16, noise)
        if i >= 80:
            ratios.append(float(x.var()) / variance)
    assert np.mean(ratios) == pytest.approx(1.05, abs=0.01)


def test_wrong_settings_are_named():
    for build in (lambda: ReverseDiffusion(1.5), lambda: EulerMaruyama(-1), lambda: DDIM(1.1)):
        with pytest.raises(InputError, match="eta must"):
            build()
    with pytest.raises(InputError, match="corrector"):
        PC(corrector_steps=-1)
    for snr in (-0.1, float("nan")):
        with pytest.raises(InputError, match="snr must be"):
            PC(snr=snr)
    with pytest.raises(InputError, match="variance must be"):
        Ancestral("less")
    start = State(torch.zeros(1, 3, 4, 4), 0.5)
    with pytest.raises(InputError, match="shape"):
        PC(steps=2).sample(gaussian(SDES["vp"]), (1, *SHAPE), rng=NoiseStream(0, 1), start=start)


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


def test_in_few_steps_with_a_corrector_it_leaves_no_noise():
    """As the scripts of the core draw, in sixty: reverse diffusion takes a step for a short one."""
    prior = GaussianPrior(SDES["vp"], 0.2, 0.02**2)
    stds = []
    for predictor in (DDIM(1.0), ReverseDiffusion()):
        drawn = PC(predictor, snr=0.1, steps=60).sample(prior, (4, 3, 16, 16), rng=NoiseStream(0, 4)).x0
        stds.append(float(drawn.std()))
    assert stds[0] < 0.02
    assert stds[1] > 0.025


@pytest.mark.parametrize(
    "sde", [SDES["ve"], *(pytest.param(SDES[name], marks=pytest.mark.slow) for name in ("vp", "subvp"))], ids=str
)
def test_orders_of_convergence(sde):
    """Halving the steps halves the error of Euler's method, reverse diffusion and DDIM."""
    prior = gaussian(sde)
    x = prior.sample(16, torch.Generator().manual_seed(0), 0.8)
    for predictor in (EulerMaruyama(0.0), ReverseDiffusion(0.0)):
        grids = (tuple(torch.linspace(0.8, 0.2, n + 1, dtype=torch.float64).tolist()) for n in (200, 400))
        coarse, fine = (grid_error(PC(predictor, corrector_steps=0, times=grid), prior, x) for grid in grids)
        assert 1.85 < coarse / fine < 2.2
    coarse, fine = (grid_error(PC(DDIM(), corrector_steps=0, times=logarithmic(sde, n)), prior, x) for n in (100, 200))
    assert 1.85 < coarse / fine < 2.15
