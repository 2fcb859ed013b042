"""Guidance by likelihoods and by null-space projection, against exact conditionals of Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mixture import SDES, SHAPE, BatchStream, Mixture, correlated, energy_distance, gaussian
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.guidance import DDNM, DPS, MMPS, ClassifierGuidance, ConstrainedPC, PiGDM, Tiled
from scoreinv.operators import LinearOperator, gray, mask
from scoreinv.prior import Prior
from scoreinv.samplers import (
    ODE,
    PC,
    Ancestral,
    AnnealedLangevin,
    EulerMaruyama,
    Heun,
    Multistep,
    NoCorrector,
    ProbabilityFlow,
    resampling_times,
    uniform_times,
)
from scoreinv.sdes import VE, VP, as_time, broadcast, time_at


class Matrix(LinearOperator):
    """Any A, (m, 12), of pictures (3, 2, 2); observations are (B, m, 1, 1)."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix.T)[..., None, None]

    def adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ self.matrix).unflatten(1, SHAPE)

    def pinv(self, y: Tensor) -> Tensor:
        return (y.flatten(1) @ torch.linalg.pinv(self.matrix).T).unflatten(1, SHAPE)

    def windows(self, boxes: object, samples: int) -> Matrix:
        return self


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LEFT = mask((torch.arange(2) < 1).double().expand(1, 1, 2, 2))
GRAY = gray("rec601", 2, 2)
MEANS = Matrix(torch.block_diag(*[torch.full((1, 4), 0.25, dtype=torch.float64)] * 3))
"""Of 2x2 pixels: A A^T = I / 4."""
BLUR = Matrix(
    torch.block_diag(*[torch.tensor([[4, 2, 2, 1], [2, 4, 1, 2], [2, 1, 4, 2], [1, 2, 2, 4]]) / 9.0] * 3).double()
)
"""Singular values 1, 1/3, 1/3 and 1/9."""
MIXED = Matrix(draw(7, 12, seed=8))
ANY = pytest.mark.parametrize(
    "operator", [LEFT, GRAY, MEANS, BLUR, MIXED], ids=["mask", "gray", "means", "blur", "mixed"]
)
NAMES = pytest.mark.parametrize("name", ["ve", "vp", "subvp"])
OPERATORS = pytest.mark.parametrize("operator", [LEFT, GRAY], ids=["mask", "gray"])
METHODS: dict[str, Callable[[Prior, LinearOperator, Tensor], Prior]] = {
    "dps": lambda prior, operator, y: DPS(prior, operator, y, 0.3),
    "pigdm": lambda prior, operator, y: PiGDM(prior, operator, y, 0.1, 0.25),
    "mmps": lambda prior, operator, y: MMPS(prior, operator, y, 0.1, 12),
    "ddnm": lambda prior, operator, y: DDNM(prior, operator, y, 0.1),
}
EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@NAMES
@OPERATORS
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_mmps_is_exact_for_gaussian_data(name: str, operator: LinearOperator, t: float) -> None:
    prior = correlated(SDES[name]).component(0)
    y = operator(prior.sample(1, torch.Generator().manual_seed(3)))
    x = prior.sample(5, torch.Generator().manual_seed(4), t)
    exact = prior.conditional(operator, y).noise(x, t)
    torch.testing.assert_close(MMPS(prior, operator, y, iterations=12).noise(x, t), exact, rtol=1e-5, atol=1e-6)


def posterior_noise(prior: Mixture, operator: LinearOperator, y: Tensor, std: float, x: Tensor, t: float) -> Tensor:
    """-sigma grad log p_t(x | y) of a Gaussian prior, y = A x0 + std n: its posterior is a Gaussian, diffused."""
    mean, covariance = prior.moments()
    matrix = operator(torch.eye(12, dtype=torch.float64).reshape(12, *SHAPE)).flatten(1).T
    seen = matrix.abs().sum(1) > 0
    matrix, values = matrix[seen], y.flatten()[seen]
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + std**2 * torch.eye(len(matrix)))
    posterior_mean, posterior = mean + gain @ (values - matrix @ mean), covariance - gain @ matrix @ covariance
    alpha, sigma = prior.sde.alpha(as_time(t)), prior.sde.sigma(as_time(t))
    total = alpha**2 * posterior + sigma**2 * torch.eye(12)
    return (sigma * torch.linalg.solve(total, (x.flatten(1) - alpha * posterior_mean).T).T).reshape(x.shape)


@NAMES
@ANY
@pytest.mark.parametrize("std", [0.0, 0.05, 0.5])
def test_pigdm_is_exact_for_white_gaussian_data(name: str, operator: LinearOperator, std: float) -> None:
    prior = gaussian(SDES[name], std=0.5)
    y = operator(prior.sample(1, torch.Generator().manual_seed(3)))
    y = y + std * operator(draw(1, *SHAPE, seed=5))
    for t in (0.05, 0.4, 0.9):
        x = prior.sample(5, torch.Generator().manual_seed(4), t)
        exact = posterior_noise(prior, operator, y, std, x, t)
        torch.testing.assert_close(PiGDM(prior, operator, y, std, 0.25).noise(x, t), exact, rtol=1e-6, atol=1e-8)


@NAMES
def test_dps_is_the_gradient_of_its_likelihood(name: str) -> None:
    prior = correlated(SDES[name])
    y, x, t = LEFT(draw(1, *SHAPE)), draw(4, *SHAPE, seed=1).requires_grad_(), torch.full((4,), 0.3).double()
    mean = prior.denoise(x, t)
    log_likelihood = -(y - LEFT(mean)).square().sum() / (2 * 0.3**2)
    (gradient,) = torch.autograd.grad(log_likelihood, x)
    expected = prior.noise(x, t) - broadcast(prior.sde.sigma(t), x) * gradient
    torch.testing.assert_close(DPS(prior, LEFT, y, 0.3).noise(x, t), expected)


@ANY
def test_noisy_observations_are_weighed_against_the_prior(operator: LinearOperator) -> None:
    """MMPS with noise: the score of the Gaussian posterior of y = A x0 + noise, diffused."""
    std, t = 0.4, 0.5
    prior = correlated(SDES["ve"]).component(1)
    y = operator(prior.sample(1, torch.Generator().manual_seed(3)))
    x = prior.sample(5, torch.Generator().manual_seed(4), t)
    exact = posterior_noise(prior, operator, y, std, x, t)
    torch.testing.assert_close(MMPS(prior, operator, y, std, 12).noise(x, t), exact, rtol=1e-5, atol=1e-6)


@NAMES
@OPERATORS
def test_ddnm_takes_the_observed_part_from_the_observation(name: str, operator: LinearOperator) -> None:
    prior = correlated(SDES[name])
    y, x = operator(draw(1, *SHAPE)), draw(4, *SHAPE, seed=1)
    for t in (0.01, 0.5, 1.0):
        mean, corrected = prior.denoise(x, t), DDNM(prior, operator, y).denoise(x, t)
        torch.testing.assert_close(operator(corrected), y.expand_as(x), rtol=1e-6, atol=1e-8)
        hidden = corrected - operator.pinv(operator(corrected))
        torch.testing.assert_close(hidden, mean - operator.pinv(operator(mean)), rtol=1e-6, atol=1e-8)


ALL = mask(torch.ones(1, 1, 2, 2).double())
REVERSE_SDE = pytest.mark.parametrize(
    "sampler",
    [Multistep(1.0, steps=100), PC(corrector_steps=0, steps=300), PC(Ancestral(), corrector_steps=0, steps=300)],
    ids=["multistep", "reverse diffusion", "ancestral"],
)


@pytest.mark.parametrize("name", ["ve", "vp", "ddpm"])
@REVERSE_SDE
def test_noisy_ddnm_draws_from_the_exact_posterior(name: str, sampler: PC | Multistep) -> None:
    """Values N(0.3, 0.5^2) seen as 0.7 with noise 0.3: N(0.594, 0.257^2). An observation that is imposed at every step,
    as if its noise were new each time, gives 0.68 and 0.11."""
    prior, y = gaussian(SDES[name]), torch.full((1, *SHAPE), 0.7).double()
    x0 = sampler.sample(DDNM(prior, ALL, y, 0.3), (700, *SHAPE), noise=BatchStream(0, 700)).x0
    assert float(x0.mean()) == pytest.approx(0.594, abs=0.01)
    assert float(x0.std()) == pytest.approx(0.257, rel=0.04)


@pytest.mark.parametrize("name", ["ve", "vp"])
@pytest.mark.parametrize(
    ("sampler", "tolerance"),
    [(PC(steps=300), 0.08), (PC(corrector=AnnealedLangevin(), steps=300), 0.08), (Heun(churn=40, steps=100), 0.2)],
    ids=["langevin", "annealed", "churn"],
)
def test_correctors_and_churn_do_not_forget_an_observation_with_noise(
    name: str, sampler: PC | Heun, tolerance: float
) -> None:
    """The same in 192 values, which Langevin steps want: below the noise of y they would walk to N(0.3, 0.5^2).

    Heun's steps add no noise there, and its deviation is somewhat small.
    """
    shape = (3, 8, 8)
    prior, y = gaussian(SDES[name], shape), torch.full((1, *shape), 0.7).double()
    everything = mask(torch.ones(1, 1, 8, 8).double())
    x0 = sampler.sample(DDNM(prior, everything, y, 0.3), (60, *shape), noise=BatchStream(0, 60)).x0
    assert float(x0.mean()) == pytest.approx(0.594, abs=0.02)
    assert float(x0.std()) == pytest.approx(0.257, rel=tolerance)


@pytest.mark.parametrize("name", ["ve", "vp", "ddpm"])
@pytest.mark.parametrize(("steps", "tolerance"), [(8, 0.3), (14, 0.12), (20, 0.08)])
def test_noisy_ddnm_draws_nearly_from_it_in_few_steps(name: str, steps: int, tolerance: float) -> None:
    """The same example; the paper's DDNM+ gives 0.53 to 0.67 and 0.05 to 0.13 there."""
    prior, y = gaussian(SDES[name]), torch.full((1, *SHAPE), 0.7).double()
    sampler = Multistep(1.0, steps=steps)
    x0 = sampler.sample(DDNM(prior, ALL, y, 0.3), (700, *SHAPE), noise=BatchStream(0, 700)).x0
    assert float(x0.mean()) == pytest.approx(0.594, abs=0.015)
    assert float(x0.std()) == pytest.approx(0.257, rel=tolerance)


@pytest.mark.parametrize("name", ["ve", "vp"])
def test_noisy_ddnm_of_correlated_values_in_few_steps(name: str) -> None:
    """Seen and hidden values of a Gaussian, of which the seen ones tell the hidden ones."""
    prior = correlated(SDES[name]).component(0)
    mean, covariance = prior.moments()
    matrix = LEFT(torch.eye(12, dtype=torch.float64).reshape(12, *SHAPE)).flatten(1).T
    y = LEFT(prior.sample(1, torch.Generator().manual_seed(3)) + 0.3 * draw(1, *SHAPE, seed=5))
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + 0.09 * torch.eye(12))
    mean = mean + gain @ (y.flatten() - matrix @ mean)
    spread = (covariance - gain @ matrix @ covariance).diagonal().sqrt()
    x0 = Multistep(1.0, steps=12).sample(DDNM(prior, LEFT, y, 0.3), (2000, *SHAPE), noise=BatchStream(0, 2000)).x0
    assert ((x0.flatten(1).mean(0) - mean) / spread).abs().max() < 0.35
    ratio = x0.flatten(1).std(0) / spread
    assert ratio.min() > 0.8
    assert ratio.max() < 1.15


@NAMES
@pytest.mark.parametrize("operator", [GRAY, MEANS], ids=["gray", "means"])
def test_noisy_ddnm_weighs_what_is_observed(name: str, operator: LinearOperator) -> None:
    """Of what A sees the posterior of the noise in it, of the rest the prior."""
    prior, std = gaussian(SDES[name]), 0.1
    y = operator(torch.full((1, *SHAPE), 0.9).double())
    x0 = Multistep(1.0, steps=100).sample(DDNM(prior, operator, y, std), (1500, *SHAPE), noise=BatchStream(0, 1500)).x0
    unit = torch.eye(12, dtype=torch.float64).reshape(12, *SHAPE)
    own = (operator(unit).square().flatten(1).sum(0)).clamp_min(1e-9) * 0.25  # the prior's variance of each of A x
    exact = (own * y.flatten() + std**2 * operator(torch.full((1, *SHAPE), 0.3).double()).flatten()) / (own + std**2)
    deviation = (own * std**2 / (own + std**2)).sqrt()
    seen = own > 1e-6
    found = operator(x0).flatten(1)[:, seen]
    assert ((found.mean(0) - exact[seen]).abs() < 5 * deviation[seen] / 1500**0.5 + 0.01 * deviation[seen]).all()
    torch.testing.assert_close(found.std(0), deviation[seen], rtol=0.1, atol=0)
    rest = x0 - operator.pinv(operator(x0))
    expected = 0.25 * (12 - len(found[0])) / 12
    assert float(rest.flatten(1).var(0).mean()) == pytest.approx(expected, rel=0.08)


@NAMES
@pytest.mark.parametrize(("operator", "level"), [(LEFT, 0.3), (MEANS, 0.6)], ids=["mask", "means"])
def test_the_state_of_noisy_ddnm_has_the_observations_noise_as_a_part_of_its_own(
    name: str, operator: LinearOperator, level: float
) -> None:
    prior = gaussian(SDES[name])
    y, x, z = operator(draw(1, *SHAPE)), draw(3, *SHAPE, seed=1), draw(3, *SHAPE, seed=2)
    guided = DDNM(prior, operator, y, 0.3)
    assert guided.release == pytest.approx(float(time_at(prior.sde, as_time(level))))
    below, above = 0.9 * guided.release, min(1.0, 1.2 * guided.release)
    times = torch.tensor([below, guided.release, above], dtype=torch.float64)
    held = guided.constrain(x, times, z)
    assert torch.equal(held[0], x[0])
    alpha, sigma = (broadcast(of(times), x) for of in (prior.sde.alpha, prior.sde.sigma))
    missing = (sigma**2 - (alpha * level) ** 2).clamp(min=0).sqrt()
    assert missing[1] < 1e-6 < missing[2]
    torch.testing.assert_close(operator(held)[1:], (alpha * y + missing * operator(z))[1:])
    hidden = held - operator.pinv(operator(held))
    torch.testing.assert_close(hidden, x - operator.pinv(operator(x)))
    # It is not imposed in other ways: not on estimates, not at the end.
    torch.testing.assert_close(guided.noise(x, 0.4), prior.noise(x, 0.4))
    assert torch.equal(guided.finish(x), x)
    assert torch.equal(DDNM(prior, operator, y, 1e4).constrain(x, as_time(1.0), z), x)  # never clear enough


def test_a_grid_visits_where_an_observation_lets_go() -> None:
    guided = DDNM(gaussian(SDES["ve"]), LEFT, torch.zeros(1, *SHAPE).double(), 0.3)
    for sampler in (Multistep(1.0, steps=7), PC(steps=7)):
        times: list[float] = []
        sampler.sample(guided, (1, *SHAPE), noise=BatchStream(0, 1), callback=lambda told, t=times: t.append(told.t))
        assert guided.release in times
        assert len(times) == 7
        assert times == sorted(times, reverse=True)


def test_what_noisy_ddnm_cannot_do_is_refused() -> None:
    prior, y = gaussian(SDES["vp"]), torch.zeros(1, *SHAPE).double()
    for operator in (BLUR, MIXED):
        with pytest.raises(InputError, match="use PiGDM or MMPS"):
            DDNM(prior, operator, operator(y), 0.1)
        DDNM(prior, operator, operator(y))
    hidden = mask(torch.zeros(1, 1, 2, 2).double())
    assert DDNM(prior, hidden, y, 0.1).level == pytest.approx(0.1)
    guided = ClassifierGuidance(DDNM(prior, LEFT, y, 0.1), lambda x, t: x.flatten(1), 0)
    for sampler in (
        ODE(),
        Multistep(),
        PC(ProbabilityFlow(), NoCorrector()),
        PC(EulerMaruyama(0.0), corrector_steps=0),
    ):
        with pytest.raises(InputError, match="needs a sampler that adds noise"):
            sampler.sample(guided, (1, *SHAPE), noise=BatchStream(0, 1))


@pytest.mark.parametrize(
    ("name", "operator"), [(name, A) for name in METHODS for A in (GRAY, MEANS, MIXED) if (name, A) != ("ddnm", MIXED)]
)
def test_the_guided_noise_is_differentiable_in_the_state(name: str, operator: LinearOperator) -> None:
    method = METHODS[name]
    guided = method(correlated(SDES["vp"]), operator, operator(draw(1, *SHAPE)))
    x, direction = draw(2, *SHAPE, seed=1), draw(2, *SHAPE, seed=2)
    probe = x.clone().requires_grad_()
    cotangent = draw(2, *SHAPE, seed=3)
    (product,) = torch.autograd.grad(guided.noise(probe, 0.4), probe, cotangent)
    step = 1e-5
    with torch.no_grad():
        difference = (guided.noise(x + step * direction, 0.4) - guided.noise(x - step * direction, 0.4)) / (2 * step)
    torch.testing.assert_close((product * direction).sum(), (difference * cotangent).sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sampler", [Multistep(steps=40), Multistep(1.0, steps=60), ODE(rtol=1e-4, atol=1e-4)])
def test_samples_of_a_gaussian_posterior_have_its_moments(sampler: object) -> None:
    prior = correlated(SDES["ve"]).component(0)
    y = LEFT(prior.sample(1, torch.Generator().manual_seed(3)))
    guided = MMPS(prior, LEFT, y, iterations=12)
    x0 = sampler.sample(guided, (500, *SHAPE), noise=BatchStream(0, 500)).x0
    torch.testing.assert_close(LEFT(x0), y.expand_as(x0), rtol=0, atol=1e-9)
    mean, covariance = prior.conditional(LEFT, y).moments()
    found = x0.flatten(1)
    spread = covariance.diagonal().clamp_min(1e-12).sqrt()
    assert ((found.mean(0) - mean).abs() < 5 * spread / 500**0.5 + 0.01).all()
    free = spread > 1e-4
    ratio = found.std(0)[free] / spread[free]
    assert ratio.min() > 0.85
    assert ratio.max() < 1.15


@EVERY
def test_windows_and_counts(method: Callable[..., Prior]) -> None:
    prior = gaussian(SDES["ve"], (3, 2, 2))
    operator = mask((draw(3, 1, 2, 2) > 0).double())
    y, x = operator(draw(3, 3, 2, 2, seed=1)), draw(3, 3, 2, 2, seed=2)
    guided = method(prior, operator, y)
    whole = guided.noise(x, 0.5)
    torch.testing.assert_close(guided.windows([(0, 0, 2, 2)], 3).noise(x, 0.5), whole)
    assert Tiled(guided, 2, 0).vjps_per_noise == guided.vjps_per_noise
    assert guided.vjps_per_noise == {"DDNM": 0, "MMPS": 13}.get(type(guided).__name__, 1)


def test_settings_that_are_none() -> None:
    prior, y = gaussian(SDES["ve"]), torch.zeros(1, *SHAPE).double()
    for wrong in (
        lambda: DPS(prior, LEFT, y, 0.0),
        lambda: PiGDM(prior, LEFT, y, -1.0),
        lambda: PiGDM(prior, LEFT, y, variance=0.0),
        lambda: MMPS(prior, LEFT, y, iterations=0),
        lambda: DDNM(prior, LEFT, y, -0.1),
    ):
        with pytest.raises(InputError):
            wrong()


def test_resampling_goes_through_each_stretch_again() -> None:
    grid = resampling_times(VE(), 7, jump=3, repeats=2)
    steps = [round((1 - t) * 6) for t in grid]
    assert steps == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6]
    torch.testing.assert_close(
        torch.tensor(resampling_times(VP(), 20, repeats=1), dtype=torch.float64), uniform_times(VP(), 20)
    )
    with pytest.raises(InputError, match="at least 1"):
        resampling_times(VE(), 10, repeats=0)


def test_resampling_brings_replacement_nearer_to_the_exact_conditional() -> None:
    prior = correlated(SDES["vp"])
    y = LEFT(prior.sample(1, torch.Generator().manual_seed(7)))
    exact = prior.conditional(LEFT, y).sample(600, torch.Generator().manual_seed(1))
    distances = []
    for repeats in (1, 8):
        times = resampling_times(prior.sde, 41, jump=4, repeats=repeats)
        sampler = PC(Ancestral(), NoCorrector(), corrector_steps=0, times=times)
        x0 = sampler.sample(ConstrainedPC(prior, LEFT, y), (600, *SHAPE), noise=BatchStream(3, 600)).x0
        distances.append(energy_distance(x0, exact))
    assert distances[1] < 0.25 * distances[0]
