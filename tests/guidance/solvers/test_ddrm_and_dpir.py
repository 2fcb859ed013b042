"""DiffPIR, DDRM and half-quadratic splitting: against their equations, and exact posteriors of Gaussians."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.mixture import SDES, BatchStream, Mixture
from torch import Tensor

from scoreinv.guidance import DDRM, DPIR, MMPS, ConstrainedPC, DiffPIR, GivenObservation, Observation
from scoreinv.operators import Blur, LinearOperator, downsampling, gray, kernels, mask, valid_blur
from scoreinv.samplers import DDIM, DPMpp2M, NoiseStream, State
from scoreinv.sdes import SDE, as_time
from scoreinv.system.errors import InputError

pytestmark = pytest.mark.portable

SIDE = 6
SHAPE = (3, SIDE, SIDE)
SIZE = math.prod(SHAPE)
GENERATOR = torch.Generator().manual_seed(0)
GAUSSIAN = torch.from_numpy(kernels.gaussian(0.5))
LOPSIDED = torch.tensor([[0.1, 0.6, 0.1], [0.0, 0.15, 0.05]])

OPERATORS: dict[str, LinearOperator] = {
    "mask": mask((torch.rand(1, 1, SIDE, SIDE, generator=GENERATOR) > 0.5).double()),
    "gray": gray("rec601", SIDE, SIDE),
    "blur": Blur(LOPSIDED, SIDE, SIDE),
    "valid blur": valid_blur(LOPSIDED, SIDE - 1, SIDE - 2),
    "area": downsampling(2, SIDE, SIDE),
    "bicubic": downsampling(3, SIDE, SIDE, "bicubic"),
    "both": downsampling(2, SIDE, SIDE) @ Blur(GAUSSIAN, SIDE, SIDE),
}
EVERY = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
SPECTRAL = pytest.mark.parametrize("name", ["mask", "gray", "blur", "area", "bicubic"])


def smooth(sde: SDE, std: float = 0.4) -> Mixture:
    """A Gaussian whose values are the more correlated the nearer they are, as those of pictures."""
    places = torch.stack(torch.meshgrid(*[torch.arange(n).double() for n in SHAPE], indexing="ij")).flatten(1).T
    distance = torch.cdist(places * torch.tensor([0.7, 1.0, 1.0]).double(), places * torch.tensor([0.7, 1.0, 1.0]))
    values, axes = torch.linalg.eigh(std**2 * (-distance / 2).exp())
    means = torch.full((1, *SHAPE), 0.2, dtype=torch.float64)
    return Mixture(sde, torch.ones(1).double(), means, values[None], axes[None])


def matrix(operator: LinearOperator) -> Tensor:
    """A, dense."""
    return operator(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).flatten(1).T


def observe(prior: Mixture, operator: LinearOperator, noise_std: float, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    y = operator(prior.sample(1, generator))
    seen = (matrix(operator).abs().sum(1) > 1e-9).reshape(y.shape[1:])
    return y + noise_std * seen * torch.randn(y.shape, generator=generator, dtype=torch.float64)


def noisy(prior: Mixture, t: float, count: int = 3) -> Tensor:
    return prior.sample(count, torch.Generator().manual_seed(4), t)


# --- all methods of guidance, under every operator --------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("sde", "noise_std"), [("ve", 0.0), pytest.param("vp", 0.05, marks=pytest.mark.slow), ("subvp", 0.2)]
)
def test_mmps_is_exact_for_gaussian_data(operator, sde, noise_std):
    prior = smooth(SDES[sde])
    y = observe(prior, operator, noise_std)
    x, t = noisy(prior, 0.6), as_time(0.6)
    exact = prior.conditional(operator, y, noise_std).noise(x, t)
    found = MMPS(prior, Observation(operator, y, noise_std), iterations=60).noise(x, t)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


@EVERY
def test_diffpir_minimises_its_objective(operator):
    prior, noise_std, strength, t = smooth(SDES["vp"]), 0.2, 0.7, 0.5
    y, x = observe(prior, operator, noise_std), noisy(prior, t)
    mean = prior.denoise(x, t)
    level = prior.sde.noise_to_signal(as_time(t))
    a = matrix(operator)
    weight = strength * noise_std**2 / level**2
    left = a.T @ a + weight * torch.eye(SIZE)
    right = y.flatten() @ a + weight * mean.flatten(1)
    expected = torch.linalg.solve(left, right.T).T.reshape(x.shape)
    found = DiffPIR(prior, Observation(operator, y, noise_std), strength).denoise(x, t)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("sampler", [DDIM, DPMpp2M])
def test_a_step_has_the_papers_zeta(sampler, eta):
    """Algorithm 1 of DiffPIR, with the zeta that its docstring gives."""
    prior, t, lower = smooth(SDES["vp"]), as_time(0.5), as_time(0.4)
    sde, x = prior.sde, noisy(prior, 0.5)
    ratio = sde.noise_to_signal(lower) / sde.noise_to_signal(t)
    zeta = eta**2 * (1 - ratio**2) if sampler is DDIM else 1 - ratio ** (2 * eta)
    old, fresh = prior.noise(x, t), BatchStream(5, 3).normal(x.shape)
    noise = (1 - zeta).sqrt() * old + zeta.sqrt() * fresh
    if sampler is DDIM:
        found = DDIM(eta).step(prior, x, t, lower, BatchStream(5, 3))
    else:
        (_, found), _ = DPMpp2M(eta).states(prior, x, torch.stack([t, lower]), BatchStream(5, 3))
    torch.testing.assert_close(found, sde.alpha(lower) * prior.denoise(x, t) + sde.sigma(lower) * noise)


# --- DDRM -------------------------------------------------------------------------------------------------------------


def paper_step(
    settings: DDRM,
    given: Observation,
    a: Tensor,
    x: Tensor,
    mean: Tensor,
    s: float,
    r: float,
    z: Tensor,
    first: bool = False,
) -> Tensor:
    """Eq. 7 (first) and 8 of the paper, component by component, with a dense decomposition; x / alpha in and out."""
    u, values, vt = torch.linalg.svd(a)
    count = int((values > 1e-9).sum())
    told = (u.T @ given.y.flatten())[:count] / values[:count]
    state, mean, z = vt @ x, vt @ mean, vt @ z
    kept = math.sqrt(1 - settings.eta**2)
    out = torch.empty_like(state)
    for i in range(len(state)):
        tau = given.noise_std / float(values[i]) if i < count else math.inf
        if first:
            out[i] = told[i] + math.sqrt(s**2 - tau**2) * z[i] if tau < s else state[i]
        elif i >= count:
            out[i] = mean[i] + kept * r * (state[i] - mean[i]) / s + settings.eta * r * z[i]
        elif r < tau:
            out[i] = mean[i] + kept * r * (told[i] - mean[i]) / tau + settings.eta * r * z[i]
        else:
            rest = math.sqrt(r**2 - (settings.eta_b * tau) ** 2)
            out[i] = (1 - settings.eta_b) * mean[i] + settings.eta_b * told[i] + rest * z[i]
    return vt.T @ out


@SPECTRAL
@pytest.mark.parametrize("sde", ["ve", "vp"])
@pytest.mark.parametrize("noise_std", [0.0, 0.3])
def test_ddrm_takes_the_papers_steps(name, sde, noise_std):
    prior, operator = smooth(SDES[sde]), OPERATORS[name]
    y = observe(prior, operator, noise_std)
    settings, given = DDRM(eta=0.7, eta_b=0.9, steps=6), Observation(operator, y, noise_std)
    told, draws, a = {}, Recorded(), matrix(operator)
    # At t = 0.5 the state tells some components of a blurred picture more clearly than a noisy observation does.
    start = State(noisy(prior, 0.5, 1), 0.5) if noise_std else None
    target, record = GivenObservation(prior, given), lambda p: told.update({p.step: p})
    x0 = settings.sample(target, (1, *SHAPE), rng=Recorded(), callback=record, start=start).x0
    states = [told[step] for step in range(1, 7)]  # the last report of each
    times = [start.t if start else 1.0, *(progress.t for progress in states[:-1])]
    levels = [float(prior.sde.noise_to_signal(as_time(t))) for t in times]
    alphas = [float(prior.sde.alpha(as_time(t))) for t in times]
    x = (start.x if start else prior.sde.prior_std * draws.normal((1, *SHAPE))).flatten() / alphas[0]
    x = paper_step(settings, given, a, x, x, levels[0], 0.0, draws.normal((1, *SHAPE)).flatten(), first=True)
    for k in range(1, len(times)):
        mean = prior.denoise((alphas[k - 1] * x).reshape(1, *SHAPE), times[k - 1]).flatten()
        x = paper_step(settings, given, a, x, mean, levels[k - 1], levels[k], draws.normal((1, *SHAPE)).flatten())
        torch.testing.assert_close(states[k - 1].x.flatten(), alphas[k] * x, rtol=1e-5, atol=1e-6)
    end = prior.denoise((alphas[-1] * x).reshape(1, *SHAPE), times[-1])
    torch.testing.assert_close(x0, end if noise_std else operator.replace(end, y), rtol=1e-5, atol=1e-6)


class Recorded(NoiseStream):
    """The same float64 draws each time."""

    def __init__(self) -> None:
        super().__init__(11, 1, dtype=torch.float64)


def test_refusals_of_the_solvers():
    prior, blur = smooth(SDES["ve"]), OPERATORS["blur"]
    observation = Observation(blur, blur(torch.zeros(1, *SHAPE).double()))
    guided = ConstrainedPC(prior, observation)
    for settings in ({"eta": 1.2}, {"eta_b": -0.1}, {"times": (1.0, 0.5, 0.7)}, {"times": (1.0, 0.5, 0.5)}):
        with pytest.raises(InputError):
            DDRM(**settings)
    for sampler, target in (
        (DDRM(), GivenObservation(prior, replace(observation, operator=OPERATORS["valid blur"]))),
        *((sampler, target) for sampler in (DDRM(), DPIR()) for target in (prior, guided)),
        (DPIR(), GivenObservation(guided, observation)),
    ):
        with pytest.raises(InputError):
            sampler.sample(target, (1, *SHAPE), rng=Recorded())
    for wrong in (lambda: DiffPIR(prior, observation, strength=0.0), lambda: replace(observation, noise_std=-0.1)):
        with pytest.raises(InputError):
            wrong()


# --- half-quadratic splitting -----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("noise_std", [0.0, 0.15])
def test_half_quadratic_splitting_comes_near_the_posterior_mean(operator, noise_std):
    prior = smooth(SDES["ve"])
    y = observe(prior, operator, noise_std)
    exact, _ = prior.conditional(operator, y, noise_std).moments()
    initial = prior.moments()[0].reshape(1, *SHAPE)
    start = State(initial, 0.6)
    observation = Observation(operator, y, noise_std)
    found = DPIR(steps=12).sample(GivenObservation(prior, observation), (1, *SHAPE), rng=Recorded(), start=start)
    before, after = (initial.flatten() - exact).norm(), (found.x0.flatten() - exact).norm()
    assert after < 0.45 * before
    assert int(found.nfe[0]) == 12
    if noise_std == 0:
        seen = operator(found.x0)
        torch.testing.assert_close(seen, y.expand_as(seen), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_half_quadratic_splitting_takes_the_papers_steps(share):
    """The observation is given, or depends in part on the estimate."""
    prior, operator, noise_std = smooth(SDES["vp"]), OPERATORS["valid blur"], 0.2
    y = observe(prior, operator, noise_std)
    a, x = matrix(operator), prior.moments()[0].flatten() + 0.5
    times = (0.7, 0.4, 0.2)
    start = State(prior.sde.alpha(as_time(times[0])) * x.reshape(1, *SHAPE), times[0])
    for t in times:
        s = float(prior.sde.noise_to_signal(as_time(t)))
        left = a.T @ a / noise_std**2 + 0.4 / s**2 * torch.eye(SIZE)
        observed = (1 - share) * y.flatten() + share * a @ x
        z = torch.linalg.solve(left, a.T @ observed / noise_std**2 + 0.4 / s**2 * x)
        x = prior.denoise(prior.sde.alpha(as_time(t)) * z.reshape(1, *SHAPE), t).flatten()
    complete = (lambda seen: (1 - share) * y + share * seen) if share else None
    given = GivenObservation(prior, Observation(operator, y, noise_std))
    settings = DPIR(0.4, times=times, complete=complete)
    found = settings.sample(given, (1, *SHAPE), rng=Recorded(), start=start).x0
    torch.testing.assert_close(found.flatten(), x, rtol=1e-5, atol=1e-6)


def test_estimates_are_per_sample():
    """No row knows the others."""
    prior, operator = smooth(SDES["ve"]), OPERATORS["blur"]
    y = torch.cat([observe(prior, operator, 0.1, seed) for seed in (1, 2)])
    both, second = (
        DDRM(steps=4).sample(
            GivenObservation(prior, Observation(operator, y[first:], 0.1)),
            (2 - first, *SHAPE),
            rng=NoiseStream(0, 2 - first, first=first, dtype=torch.float64),
        )
        for first in (0, 1)
    )
    np.testing.assert_allclose(both.x0[1], second.x0[0], atol=1e-9)
