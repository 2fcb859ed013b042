"""Single steps against the paper's formulas, grids, and orders of convergence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mixture import SDES, SHAPE, BatchStream, correlated, gaussian
from scipy.integrate import solve_ivp

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.samplers import (
    PC,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    Langevin,
    NoiseStream,
    ReverseDiffusion,
    State,
    karras_times,
    log_times,
    uniform_times,
)
from scoreinv.samplers.ode import encode
from scoreinv.samplers.runge_kutta import rk45
from scoreinv.sdes import VE, time_at

CONTINUOUS = pytest.mark.parametrize("sde", [SDES["ve"], SDES["vp"], SDES["subvp"]], ids=["ve", "vp", "subvp"])
EVERY_SDE = pytest.mark.parametrize("sde", SDES.values(), ids=SDES.keys())
START, END = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)


def exact_flow(prior, x, t, s):
    """The probability flow of `gaussian` from t to s: (x - alpha m) / std is kept."""
    times = torch.stack([torch.as_tensor(t, dtype=torch.float64), torch.as_tensor(s, dtype=torch.float64)])
    alpha, sigma = prior.sde.alpha(times), prior.sde.sigma(times)
    mean, std = alpha * 0.3, (alpha**2 * 0.25 + sigma**2).sqrt()
    return mean[1] + std[1] / std[0] * (x - mean[0])


def one_step(step, sde, t=0.6, s=0.55):
    """x, score, z and the state after one step of a predictor."""
    prior = correlated(sde)
    x = prior.sample(4, torch.Generator().manual_seed(0), t)
    t, s = torch.tensor(t, dtype=torch.float64), torch.tensor(s, dtype=torch.float64)
    z = BatchStream(5, 4).normal(x.shape)
    return x, prior.score(x, t), z, step.step(prior, x, t, s, BatchStream(5, 4))


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


@EVERY_SDE
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


@EVERY_SDE
def test_forward_jump_has_the_marginal(sde):
    prior = gaussian(sde, (1, 4, 4))
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.2)
    up = sde.diffuse(x, END, START, torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double())
    alpha, sigma = sde.alpha(START), sde.sigma(START)
    assert float(up.std()) == pytest.approx(float((alpha**2 * 0.25 + sigma**2).sqrt()), rel=0.01)
    assert float(up.mean()) == pytest.approx(float(alpha * 0.3), abs=0.01 * float(up.std()))


def grid_error(sampler, prior, x):
    """Error of a sampler's end, which is the denoised state at .2, against the exact flow."""
    result = sampler.sample(prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8))
    expected = prior.denoise(exact_flow(prior, x, 0.8, 0.2), 0.2)
    return float((result.x0 - expected).abs().max())


@CONTINUOUS
def test_orders_of_convergence(sde):
    """Halving the steps: twice the error for Euler and reverse diffusion, four times for the multistep solver."""
    prior = gaussian(sde)
    x = prior.sample(16, torch.Generator().manual_seed(0), 0.8)
    low, high = sde.noise_to_signal(torch.stack([END, START])).log()

    def uniform(n):
        return tuple(torch.linspace(0.8, 0.2, n + 1, dtype=torch.float64).tolist())

    def logarithmic(n):
        return (0.8, *time_at(sde, torch.linspace(high, low, n + 1, dtype=torch.float64).exp())[1:].tolist())

    for predictor in (EulerMaruyama(0.0), ReverseDiffusion(0.0)):
        coarse, fine = (grid_error(PC(predictor, corrector_steps=0, times=uniform(n)), prior, x) for n in (200, 400))
        assert 1.85 < coarse / fine < 2.2
    coarse, fine = (grid_error(DPMpp2M(times=logarithmic(n)), prior, x) for n in (20, 40))
    assert 3.4 < coarse / fine < 4.6


@pytest.mark.parametrize("eta", [0.3, 1.0])
@EVERY_SDE
def test_multistep_sde_noise_is_exact_for_a_point(sde, eta):
    """Data at one point: D is constant, so the SDE variant is exact in any number of steps, for any eta."""
    prior = gaussian(sde, std=1e-9)
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.8)
    after = []
    DPMpp2M(eta, times=(0.8, 0.5, 0.2)).sample(
        prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8), callback=after.append
    )
    for progress in after[:2]:
        t = torch.tensor(progress.t, dtype=torch.float64)
        assert float(progress.x.std()) == pytest.approx(float(sde.sigma(t)), rel=0.01)
        assert float(progress.x.mean()) == pytest.approx(float(sde.alpha(t) * 0.3), abs=0.01 * float(sde.sigma(t)))


@EVERY_SDE
def test_s_noise_is_of_the_noise_that_is_added(sde):
    """Data at one point, one step: what is left of the first noise has its own size, and all together
    sigma_s^2 (e^(-2 h) + s_noise^2 (1 - e^(-2 h))) for eta = 1, h the step in log(alpha / sigma)."""
    prior, states = gaussian(sde, std=1e-9), []
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.8)
    DPMpp2M(1.0, times=(0.8, 0.75), s_noise=1.5).sample(
        prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8), callback=states.append
    )
    t, s = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.75, dtype=torch.float64)
    kept = (sde.noise_to_signal(s) / sde.noise_to_signal(t)) ** 2
    variance = sde.sigma(s) ** 2 * (kept + 1.5**2 * (1 - kept))
    assert float(states[0].x.std()) == pytest.approx(float(variance.sqrt()), rel=0.01)
    with pytest.raises(InputError, match="s_noise must be positive, not 0"):
        DPMpp2M(s_noise=0)


@EVERY_SDE
def test_multistep_history_restarts_after_a_jump(sde):
    """The steps after a jump up are those of a solver that begins there."""
    prior, states = correlated(sde), []
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.8)
    noise = BatchStream(0, 4)
    whole = DPMpp2M(times=(0.8, 0.6, 0.4, 0.7, 0.5, 0.3))
    result = whole.sample(prior, x.shape, rng=noise, start=State(x, 0.8), callback=states.append)
    jumped = State(states[2].x, 0.7)
    again = DPMpp2M(times=(0.7, 0.5, 0.3)).sample(prior, x.shape, rng=noise, start=jumped)
    assert torch.allclose(again.x0, result.x0, atol=1e-12)


def velocity(prior, x, t):
    """dx/dt of the probability flow at times t (B,): f - g^2 score / 2 (Song et al. 2021, eq. 13)."""
    drift, strength = (rate.reshape(-1, 1, 1, 1) for rate in (prior.sde.drift_rate(t), prior.sde.diffusion_squared(t)))
    return drift * x - strength / 2 * prior.score(x, t)


def by_scipy(prior, x, start, end, tolerance):
    """scipy's RK45 of one sample (C, H, W) in t."""

    def alone(t, y):
        time = torch.tensor([t], dtype=torch.float64)
        return velocity(prior, torch.from_numpy(y).reshape(1, *SHAPE), time).flatten().numpy()

    return solve_ivp(alone, (start, end), x.flatten().numpy(), method="RK45", rtol=tolerance, atol=tolerance / 10)


@CONTINUOUS
def test_rk45_is_scipy_s_one_sample_at_a_time(sde):
    """As many evaluations, up to a step that rounding may cost, and the same ends, in both directions."""
    prior = correlated(sde)
    x = prior.sample(3, torch.Generator().manual_seed(1), 0.3)
    x[1] *= 3

    def flow(t, y):
        return velocity(prior, y.reshape(-1, *SHAPE), t).flatten(1)

    for end in (1.0, sde.sampling_end):
        y, nfe = rk45(flow, x.flatten(1), 0.3, end, 1e-6, 1e-7, lambda *_: None)
        for i in range(3):
            reference = by_scipy(prior, x[i], 0.3, end, 1e-6)
            assert abs(reference.nfev - int(nfe[i])) <= 6
            # A step more would move the end by its own error, a small part of the tolerance.
            assert np.abs(reference.y[:, -1] - y[i].numpy()).max() < (1e-9 if reference.nfev == nfe[i] else 1e-5)


@EVERY_SDE
def test_the_flow_is_the_paper_s(sde):
    """What `encode` solves in variables of its own is the equation in t."""
    prior = correlated(sde)
    x = prior.sample(2, torch.Generator().manual_seed(1), 1e-5)
    z = encode(prior, x, rtol=1e-7, atol=1e-7).z
    for i in range(2):
        expected = by_scipy(prior, x[i], 1e-5, 1.0, 1e-7).y[:, -1].reshape(SHAPE)
        torch.testing.assert_close(z[i], torch.from_numpy(expected), rtol=0, atol=2e-5 * sde.prior_std)


def test_rk45_error_follows_the_tolerance():
    prior = gaussian(SDES["vp"])
    x = prior.sample(4, torch.Generator().manual_seed(1), 1e-5)
    exact = exact_flow(prior, x, 1e-5, 1.0)
    errors, evaluations = [], []
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        result = encode(prior, x, rtol=tolerance, atol=tolerance)
        errors.append(float((result.z - exact).abs().max()))
        evaluations.append(int(result.nfe.max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8
    assert all(error < 20 * tolerance for error, tolerance in zip(errors, (1e-3, 1e-5, 1e-7, 1e-9), strict=True))
    assert evaluations == sorted(evaluations)


@EVERY_SDE
@pytest.mark.parametrize("spacing", [uniform_times, log_times, karras_times])
def test_grids(sde, spacing):
    times = spacing(sde, 20, 0.9)
    assert times.dtype == torch.float64
    assert len(times) == 20
    assert (times[1:] < times[:-1]).all()
    assert float(times[0]) == 0.9
    assert float(times[-1]) == pytest.approx(sde.sampling_end, abs=1e-12)
    ratio = sde.noise_to_signal(times)
    even = {uniform_times: times, log_times: ratio.log(), karras_times: ratio ** (1 / 7)}[spacing]
    assert torch.allclose(even.diff(), even.diff().mean().expand(19), rtol=1e-4)
    assert spacing(sde, 1, 1.0).tolist() == [1.0]


@pytest.mark.parametrize(
    ("settings", "start", "message"),
    [
        ({"steps": 0}, None, "step"),
        ({"times": ()}, None, "at least one"),
        ({"times": (1.0, 1.0)}, None, "move"),
        ({"times": (1.2, 0.5)}, None, r"\[0, 1\]"),
        ({"times": (1.0, 0.0)}, None, "noise"),
        ({"times": (0.5, 0.1)}, None, "start"),
        ({"times": (1.0, 0.1)}, 0.5, "begins"),
        ({"steps": 5}, 1e-4, "later"),
    ],
)
@pytest.mark.parametrize("sampler", [PC, DPMpp2M, Heun])
def test_wrong_grids_are_named(sampler, settings, start, message):
    state = None if start is None else State(torch.zeros(1, *SHAPE), start)
    with pytest.raises(InputError, match=message):
        sampler(**settings).sample(gaussian(SDES["vp"]), (1, *SHAPE), rng=NoiseStream(0, 1), start=state)


def test_other_wrong_settings_are_named():
    for build in (lambda: ReverseDiffusion(1.5), lambda: EulerMaruyama(-1), lambda: DPMpp2M(eta=2)):
        with pytest.raises(InputError, match="eta must"):
            build()
    with pytest.raises(InputError, match="corrector"):
        PC(corrector_steps=-1)
    for snr in (-0.1, float("nan")):
        with pytest.raises(InputError, match="snr must be"):
            PC(snr=snr)
    with pytest.raises(InputError, match="s_tmin and s_tmax must be"):
        Heun(s_tmin=2.0, s_tmax=1.0)
    with pytest.raises(InputError, match="variance must be"):
        Ancestral("less")
    start = State(torch.zeros(1, 3, 4, 4), 0.5)
    with pytest.raises(InputError, match="shape"):
        PC(steps=2).sample(gaussian(SDES["vp"]), (1, *SHAPE), rng=NoiseStream(0, 1), start=start)


def test_a_prior_that_is_not_finite_ends_the_ode():
    prior = gaussian(VE(0.01, 20.0))
    prior.means = prior.means * float("nan")
    with pytest.raises(ScoreinvError, match="finite"):
        encode(prior, torch.zeros(1, *SHAPE, dtype=torch.float64))


def test_noise_streams():
    whole = NoiseStream(3, 6)
    part = NoiseStream(3, 2, first=4)
    shape = (3, 20, 20)
    for kind in ("normal", "rademacher", "normal"):
        a, b = getattr(whole, kind)((6, *shape)), getattr(part, kind)((2, *shape))
        assert torch.equal(a[4:], b)
        assert a.dtype == torch.float32
        assert abs(float(a.mean())) < 0.05
        assert float(a.var()) == pytest.approx(1, abs=0.06)
        assert len({float(row.sum()) for row in a}) == 6
    assert set(NoiseStream(3, 1).rademacher((1, *shape)).unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(NoiseStream(4, 1).normal((1, *shape)), NoiseStream(3, 1).normal((1, *shape)))
    with pytest.raises(InputError, match="seed"):
        NoiseStream(-1, 1)
    with pytest.raises(InputError, match="6 samples"):
        whole.normal((5, *shape))
