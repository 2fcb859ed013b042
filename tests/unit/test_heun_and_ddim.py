"""EDM's Heun sampler and DDIM: their formulas, orders of convergence, and what noise does."""

from __future__ import annotations

import math

import pytest
import torch
from mixture import SDES, SHAPE, BatchStream, correlated, gaussian
from test_samplers_steps import CONTINUOUS, EVERY_SDE, exact_flow, grid_error, one_step

from scoreinv.errors import InputError
from scoreinv.guidance import ConstrainedPC
from scoreinv.operators import mask
from scoreinv.samplers import DDIM, PC, Ancestral, Heun, State, karras_times
from scoreinv.sdes import time_at


def logarithmic(sde, n):
    """n + 1 times from .8 to .2, even in the logarithm of the noise level."""
    low, high = sde.noise_to_signal(torch.tensor([0.2, 0.8], dtype=torch.float64)).log()
    return (0.8, *time_at(sde, torch.linspace(high, low, n + 1, dtype=torch.float64).exp())[1:].tolist())


@CONTINUOUS
def test_orders_of_convergence(sde):
    """Halving the steps: a fourth of the error for Heun, half of it for DDIM."""
    prior = gaussian(sde)
    x = prior.sample(16, torch.Generator().manual_seed(0), 0.8)
    coarse, fine = (grid_error(Heun(times=logarithmic(sde, n)), prior, x) for n in (20, 40))
    assert 3.6 < coarse / fine < 4.4
    coarse, fine = (grid_error(PC(DDIM(), corrector_steps=0, times=logarithmic(sde, n)), prior, x) for n in (100, 200))
    assert 1.85 < coarse / fine < 2.15


def test_heun_is_edm_s_algorithm_2():
    """Two steps and the last in EDM's own variables: x / alpha, and noise levels, with the noise that was drawn."""
    sde, churn, s_noise = SDES["vp"], 1.2, 1.01
    prior = correlated(sde)
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.8)
    times = torch.tensor([0.8, 0.5, 0.2], dtype=torch.float64)
    levels = sde.noise_to_signal(times).tolist()
    low, high = 0.5 * (levels[1] + levels[2]), 2 * levels[0]
    sampler = Heun(churn, low, high, s_noise, times=tuple(times.tolist()))
    result = sampler.sample(prior, x.shape, rng=BatchStream(3, 4), start=State(x, 0.8))

    noise = BatchStream(3, 4)
    u = x / sde.alpha(times[0])

    def slope(u, level):
        t = time_at(sde, torch.tensor(level, dtype=torch.float64))
        return (u - prior.denoise(sde.alpha(t) * u, t)) / level

    for level, following in zip(levels, (*levels[1:], 0.0), strict=True):
        gamma = min(churn / 3, math.sqrt(2) - 1) if low <= level <= high else 0.0
        raised = level * (1 + gamma)
        if gamma:
            u = u + math.sqrt(raised**2 - level**2) * s_noise * noise.normal(x.shape)
        d = slope(u, raised)
        ahead = u + (following - raised) * d
        if following:
            ahead = u + (following - raised) * (d + slope(ahead, following)) / 2
        u = ahead
    torch.testing.assert_close(result.x0, u, rtol=0, atol=1e-10)


def test_churn_is_bounded_by_what_there_is():
    """A step doubles the noise's variance at most, and adds none beyond the SDE's largest level."""
    prior = correlated(SDES["ve"])
    most, endless = (
        Heun(churn, steps=6).sample(prior, (3, *SHAPE), rng=BatchStream(0, 3)).x0
        for churn in (6 * (math.sqrt(2) - 1), 1e6)
    )
    torch.testing.assert_close(endless, most, rtol=0, atol=1e-9)


@pytest.mark.parametrize("churn", [1.0, 1e6])
def test_churn_keeps_the_marginals(churn):
    """Data at one point: the steps down are exact, and so is the noise that is added before them."""
    sde, told = SDES["ve"], []
    prior = gaussian(sde, std=1e-9)
    x = prior.sample(20000, torch.Generator().manual_seed(0), 1.0)
    Heun(churn, steps=3).sample(prior, x.shape, rng=BatchStream(0, len(x)), callback=told.append)
    for progress in told[:2]:
        sigma = float(sde.sigma(torch.tensor(progress.t, dtype=torch.float64)))
        assert float(progress.x.std()) == pytest.approx(sigma, rel=0.02)


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


@EVERY_SDE
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_noise_is_exact_for_a_point(sde, eta):
    """Data at one point: the marginals hold in any number of steps, for any eta."""
    prior, told = gaussian(sde, std=1e-9), []
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.8)
    PC(DDIM(eta), corrector_steps=0, times=(0.8, 0.5, 0.2)).sample(
        prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8), callback=told.append
    )
    for progress in told[:2]:
        sigma = float(sde.sigma(torch.tensor(progress.t, dtype=torch.float64)))
        assert float(progress.x.std()) == pytest.approx(sigma, rel=0.01)


def test_an_euler_step_of_heun_is_one_of_ddim():
    """With data at one point the slope is the same at both ends, and so are the steps."""
    prior = gaussian(SDES["vp"], std=1e-9)
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.8)
    ends = [
        sampler.sample(prior, x.shape, rng=BatchStream(0, 4), start=State(x, 0.8)).x0
        for sampler in (Heun(times=(0.8, 0.4)), PC(DDIM(), corrector_steps=0, times=(0.8, 0.4)))
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-7)
    assert float((exact_flow(prior, x, 0.8, 0.8) - x).abs().max()) < 1e-9


@pytest.mark.parametrize("churn", [0.0, 8.0])
def test_heun_with_a_constraint_ends_at_the_observation(churn):
    prior = correlated(SDES["vp"])
    operator = mask((torch.arange(2) < 1).double().expand(1, 1, 2, 2))
    y = torch.full((1, *SHAPE), 0.4, dtype=torch.float64)
    result = Heun(churn, steps=12).sample(ConstrainedPC(prior, operator, y), (3, *SHAPE), rng=BatchStream(0, 3))
    assert torch.equal(operator(result.x0), operator(y).expand_as(result.x0))
    assert (result.x0[0] - result.x0[1]).abs().max() > 1e-3


def test_wrong_settings_are_named():
    for build, said in (
        (lambda: Heun(-1), "churn"),
        (lambda: Heun(math.nan), "churn"),
        (lambda: Heun(s_noise=0), "s_noise"),
        (lambda: DDIM(1.1), "eta must"),
    ):
        with pytest.raises(InputError, match=said):
            build()
