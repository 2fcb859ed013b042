"""Guidance by likelihoods and by null-space projection, against exact conditionals of Gaussians."""

import math
from collections.abc import Callable

import pytest
import torch
from support.mixture import SDES, SHAPE, BatchStream, correlated, gaussian
from torch import Tensor

from scoreinv.guidance import (
    DDRM,
    DPIR,
    DPS,
    MMPS,
    ClassifierGuidance,
    ConstrainedPC,
    DiffPIR,
    GivenObservation,
    Observation,
    PiGDM,
)
from scoreinv.guidance.likelihood_guidance import _DIVERGED, LikelihoodGuidance
from scoreinv.operators import LinearOperator, gray, mask
from scoreinv.prior import Prior
from scoreinv.samplers import ODE, DPMpp2M, NoiseStream, resampling_times, uniform_times
from scoreinv.sdes import SDE, VE, VP, as_time, broadcast
from scoreinv.system.errors import InputError, ScoreinvError

pytestmark = pytest.mark.portable


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
METHODS: dict[str, Callable[[Prior, LinearOperator, Tensor], Prior]] = {
    "dps": lambda prior, operator, y: DPS(prior, Observation(operator, y, 0.3)),
    "pigdm": lambda prior, operator, y: PiGDM(prior, Observation(operator, y, 0.1), 0.25),
    "mmps": lambda prior, operator, y: MMPS(prior, Observation(operator, y, 0.1), 12),
    "diffpir": lambda prior, operator, y: DiffPIR(prior, Observation(operator, y)),
}
EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@NAMES
@ANY
@pytest.mark.parametrize("std", [0.0, 0.05, 0.5])
def test_pigdm_is_exact_for_white_gaussian_data(name: str, operator: LinearOperator, std: float) -> None:
    prior = gaussian(SDES[name], std=0.5)
    y = operator(prior.sample(1, torch.Generator().manual_seed(3)))
    y = y + std * operator(draw(1, *SHAPE, seed=5))
    for t in (0.05, 0.4, 0.9):
        x = prior.sample(5, torch.Generator().manual_seed(4), t)
        exact = prior.conditional(operator, y, std).noise(x, t)
        torch.testing.assert_close(
            PiGDM(prior, Observation(operator, y, std), 0.25).noise(x, t), exact, rtol=1e-6, atol=1e-8
        )


class Linear(Prior):
    """A denoised mean D(x) = M x of any M (12, 12), as of a network whose Jacobian is no covariance."""

    data_range = (-1.0, 1.0)

    def __init__(self, sde: SDE, matrix: Tensor) -> None:
        self.sde, self.matrix = sde, matrix

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        alpha, sigma = (broadcast(coefficient(as_time(t)), x) for coefficient in (self.sde.alpha, self.sde.sigma))
        return (x - alpha * (x.flatten(1) @ self.matrix.T).unflatten(1, SHAPE)) / sigma


@NAMES
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("std", [0.0, 0.1])
def test_mmps_solves_for_any_jacobian(name: str, symmetric: bool, std: float) -> None:
    """noise - sigma J^T A^T S^-1 (y - A D), S = (sigma^2 / alpha) A J^T A^T + std^2, by a dense solver."""
    jacobian = draw(12, 12, seed=2)
    jacobian = (jacobian + jacobian.T) / 2 if symmetric else jacobian
    prior, y, x, t = Linear(SDES[name], jacobian), draw(1, 7, 1, 1, seed=3), draw(4, *SHAPE, seed=4), as_time(0.4)
    alpha, sigma, a = prior.sde.alpha(t), prior.sde.sigma(t), MIXED.matrix
    scatter = sigma**2 / alpha * a @ jacobian.T @ a.T + std**2 * torch.eye(7)
    residual = (y - MIXED(prior.denoise(x, t))).flatten(1)
    gradient = torch.linalg.solve(scatter, residual.T).T @ a @ jacobian
    exact = prior.noise(x, t) - sigma * gradient.unflatten(1, SHAPE)
    torch.testing.assert_close(
        MMPS(prior, Observation(MIXED, y, std), iterations=7).noise(x, t), exact, rtol=1e-6, atol=1e-8
    )


@NAMES
@pytest.mark.parametrize(("strength", "noise_std"), [(0.3, 0.2), (4.0, 0.2), (1.0, 0.0)])
def test_diffpir_corrects_the_mean_by_its_equation(name: str, strength: float, noise_std: float) -> None:
    """D' = D + A^T (A A^T + strength std^2 / s^2)^-1 (y - A D), s = sigma / alpha, by a dense solver."""
    prior, y, x, t = correlated(SDES[name]), draw(1, 7, 1, 1, seed=3), draw(4, *SHAPE, seed=4), as_time(0.4)
    a, mean = MIXED.matrix, prior.denoise(x, t)
    level = strength * (noise_std / prior.sde.noise_to_signal(t)) ** 2
    correction = torch.linalg.solve(a @ a.T + level * torch.eye(7), (y - MIXED(mean)).flatten(1).T).T @ a
    corrected = DiffPIR(prior, Observation(MIXED, y, noise_std), strength).denoise(x, t)
    torch.testing.assert_close(corrected, mean + correction.unflatten(1, SHAPE), rtol=1e-5, atol=1e-7)


@NAMES
def test_dps_is_the_gradient_of_its_likelihood(name: str) -> None:
    prior = correlated(SDES[name])
    y, x, t = LEFT(draw(1, *SHAPE)), draw(4, *SHAPE, seed=1).requires_grad_(), torch.full((4,), 0.3).double()
    mean = prior.denoise(x, t)
    log_likelihood = -(y - LEFT(mean)).square().sum() / (2 * 0.3**2)
    (gradient,) = torch.autograd.grad(log_likelihood, x)
    expected = prior.noise(x, t) - broadcast(prior.sde.sigma(t), x) * gradient
    torch.testing.assert_close(DPS(prior, Observation(LEFT, y, 0.3)).noise(x, t), expected)


@pytest.mark.parametrize(("name", "operator"), [(name, A) for name in METHODS for A in (GRAY, MEANS, MIXED)])
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


@pytest.mark.parametrize(
    "sampler",
    [
        DPMpp2M(steps=40),
        *(pytest.param(each, marks=pytest.mark.slow) for each in (DPMpp2M(1.0, steps=60), ODE(rtol=1e-4, atol=1e-4))),
    ],
)
def test_samples_of_a_gaussian_posterior_have_its_moments(sampler: object) -> None:
    prior = correlated(SDES["ve"]).component(0)
    y = LEFT(prior.sample(1, torch.Generator().manual_seed(3)))
    guided = MMPS(prior, Observation(LEFT, y), iterations=12)
    x0 = sampler.sample(guided, (500, *SHAPE), rng=BatchStream(0, 500)).x0
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
def test_vector_jacobian_products_are_counted(method: Callable[..., Prior]) -> None:
    prior = gaussian(SDES["ve"], (3, 2, 2))
    operator = mask((draw(3, 1, 2, 2) > 0).double())
    guided = method(prior, operator, operator(draw(3, 3, 2, 2, seed=1)))
    count = {"DiffPIR": 0, "MMPS": 13}.get(type(guided).__name__, 1)
    assert guided.vjps_per_noise == count
    classified = ClassifierGuidance(prior, lambda x, t: x.flatten(1)[:, :2], 0)
    assert method(classified, operator, operator(draw(3, 3, 2, 2, seed=1))).vjps_per_noise == count + 1


@EVERY
def test_the_guided_noise_has_the_precision_of_the_state_and_no_graph(method: Callable[..., Prior]) -> None:
    prior = gaussian(SDES["vp"])
    guided, x = method(prior, LEFT, LEFT(draw(1, *SHAPE))), draw(2, *SHAPE, seed=1).float()
    with torch.no_grad():
        noise = guided.noise(x, 0.4)
    assert noise.dtype == torch.float32
    assert not noise.requires_grad


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (1, 7, 2, 1), (2, 7, 1, 1)])
def test_an_observation_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    x, y, noise = draw(3, *SHAPE), draw(*shape), NoiseStream(0, 3, dtype=torch.float64)
    prior = gaussian(SDES["vp"])
    for method in METHODS.values():
        with pytest.raises(InputError, match="shape"):
            method(prior, MIXED, y).noise(x, 0.4)
    with pytest.raises(InputError, match="shape"):
        ConstrainedPC(prior, Observation(MIXED, y)).constrain(x, 0.4, x)
    with pytest.raises(InputError, match="shape"):
        DPIR().sample(GivenObservation(prior, Observation(MIXED, y)), (3, *SHAPE), rng=noise)
    with pytest.raises(InputError, match="shape"):
        DDRM().sample(GivenObservation(prior, Observation(LEFT, draw(1, 3, 2, 1))), (3, *SHAPE), rng=noise)


def test_settings_that_are_none() -> None:
    prior, y = gaussian(SDES["ve"]), torch.zeros(1, *SHAPE).double()
    for wrong in (
        lambda: DPS(prior, Observation(LEFT, y, 0.0)),
        lambda: PiGDM(prior, Observation(LEFT, y[0], 0.1)),
        lambda: PiGDM(prior, Observation(LEFT, y, -1.0)),
        lambda: PiGDM(prior, Observation(LEFT, y), variance=0.0),
        lambda: MMPS(prior, Observation(LEFT, y), iterations=0),
        lambda: DiffPIR(prior, Observation(LEFT, y, -0.1)),
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


@NAMES
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_means_far_beyond_the_range_and_its_noise_are_divergence(name: str, data_range: tuple[float, float]) -> None:
    """Of either sign; and so is a gradient that is not finite, wherever the mean is."""

    class Known(Prior):
        """The denoised mean is `mean` of any state."""

        def __init__(self, mean: float) -> None:
            self.sde, self.data_range, self.mean = SDES[name], data_range, mean

        def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
            alpha, sigma = (broadcast(of(as_time(t)), x) for of in (self.sde.alpha, self.sde.sigma))
            return (x - alpha * (self.mean + 0 * x)) / sigma

    class Pulled(LikelihoodGuidance):
        pull = 1.0

        def back_projected(self, mean: Tensor, t: Tensor, transpose: object) -> Tensor:
            return torch.full_like(mean, self.pull)

    x, y = draw(2, *SHAPE), torch.zeros(2, *SHAPE).double()
    for t in (0.05, 0.9):
        most = _DIVERGED * (data_range[1] - data_range[0] + float(SDES[name].noise_to_signal(as_time(t))))
        for mean in (0.9 * most, -0.9 * most):
            prior = Known(mean)
            torch.testing.assert_close(Pulled(prior, Observation(LEFT, y)).noise(x, t), prior.noise(x, t))
        for mean in (1.1 * most, -1.1 * most, math.nan):
            with pytest.raises(ScoreinvError, match="Pulled: the guidance diverges"):
                Pulled(Known(mean), Observation(LEFT, y)).noise(x, t)
        Pulled.pull = math.inf
        with pytest.raises(ScoreinvError, match="diverges"):
            Pulled(gaussian(SDES[name]), Observation(LEFT, y)).noise(x, t)
        Pulled.pull = 1.0
