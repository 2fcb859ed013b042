"""Conditions: the constrained PC method, classifier gradients and tiles, against closed forms."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from mixture import SDES, SHAPE, BatchStream, Mixture, correlated, energy_distance, energy_threshold, gaussian

from scoreinv.errors import InputError
from scoreinv.guidance import ClassifierGuidance, Clipped, ConstrainedPC, Tiled
from scoreinv.operators import crops, gray, mask
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers import ODE, PC, AnnealedLangevin, DPMpp2M, Langevin, NoiseStream
from scoreinv.sdes import as_time, broadcast

LEFT = mask((torch.arange(2) < 1).double().expand(1, 1, 2, 2))
GRAY = gray("rec601", 2, 2)
COUNT = 600
CONTINUOUS = pytest.mark.parametrize("name", ["ve", "vp", "subvp"])


# --- constrained PC ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operator"), [("ve", LEFT), ("vp", GRAY), ("subvp", LEFT), ("ve", GRAY)])
def test_constrained_pc_approaches_the_exact_conditional(name, operator):
    """Energy distance to exact conditional samples at 0, 4 and 16 corrector steps: it falls to a third and again to
    half, to 4 % of the first in all, which is far above the noise of the statistic."""
    prior = correlated(SDES[name])
    y = operator(prior.sample(1, torch.Generator().manual_seed(7)))
    exact = prior.conditional(operator, y).sample(COUNT, torch.Generator().manual_seed(1))
    assert (operator(exact) - y).abs().max() < 1e-6
    distances = []
    for steps in (0, 4, 16):
        sampler = PC(corrector=AnnealedLangevin(), corrector_steps=steps, snr=0.3, steps=60)
        result = sampler.sample(ConstrainedPC(prior, operator, y), (COUNT, *SHAPE), rng=BatchStream(3, COUNT))
        assert (operator(result.x0) - y).abs().max() < 1e-12
        distances.append(energy_distance(result.x0, exact))
    assert distances[1] < distances[0] / 3
    assert distances[2] < distances[1] / 2
    assert distances[2] < 0.04 * distances[0]
    assert distances[0] > 10 * energy_threshold(prior.conditional(operator, y), COUNT, 10)


@CONTINUOUS
@pytest.mark.parametrize("sampler", [PC(steps=8, corrector_steps=2), DPMpp2M(1.0, steps=8), DPMpp2M(steps=8)])
def test_observed_components_are_at_the_time_that_the_state_is_at(name, sampler):
    """After each step the observed noise (A x - alpha y)/sigma at the new time is standard normal."""
    sde, states = SDES[name], []
    prior = gaussian(sde, (3, 8, 8))
    operator = gray("rec601", 8, 8)
    y = operator(prior.sample(1, torch.Generator().manual_seed(0)))
    result = sampler.sample(
        ConstrainedPC(prior, operator, y), (40, 3, 8, 8), rng=BatchStream(3, 40), callback=states.append
    )
    assert len(states) == 8
    noises = []
    for progress in states[:-1]:
        t = torch.tensor(progress.t, dtype=torch.float64)
        noise = (operator(progress.x) - sde.alpha(t) * y)[:, 0] / sde.sigma(t)
        assert float(noise.mean()) == pytest.approx(0, abs=5 / 40 / 64**0.5 * 40**0.5)
        assert float(noise.var()) == pytest.approx(1, abs=0.15)
        noises.append(noise)
    changes = [(b - a).abs().max() for a, b in pairwise(noises)]
    if sampler == DPMpp2M(steps=8):  # an ODE keeps one noise
        assert max(changes) < 1e-9
    else:
        assert min(changes) > 1
    assert torch.allclose(operator(result.x0), y.expand(40, -1, -1, -1))


class Recorder(PriorWrapper):
    """Writes down what happens: evaluations and constraints with their times."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.events: list[tuple[str, float]] = []
        self.noises: list[torch.Tensor] = []

    def noise(self, x, t):
        self.events.append(("evaluate", float(torch.as_tensor(t).flatten()[0])))
        return super().noise(x, t)

    def constrain(self, x, t, z):
        self.events.append(("constrain", float(t)))
        self.noises.append(z)
        return super().constrain(x, t, z)

    def windows(self, boxes, samples):
        return self


def test_order_of_evaluations_and_constraints():
    """The initial state at t, after each corrector step at t, after the predictor at s, with fresh noise each time."""
    prior = Recorder(gaussian(SDES["vp"]))
    PC(corrector=Langevin(), times=(1.0, 0.6, 0.2)).sample(prior, (1, *SHAPE), rng=NoiseStream(0, 1))
    evaluate, constrain = "evaluate", "constrain"
    assert prior.events == [
        (constrain, 1.0),
        (evaluate, 1.0),
        (constrain, 1.0),
        (evaluate, 1.0),
        (constrain, 0.6),
        (evaluate, 0.6),
        (constrain, 0.6),
        (evaluate, 0.6),
        (constrain, 0.2),
        (evaluate, 0.2),
        (constrain, 0.2),
        (evaluate, 0.2),
    ]
    assert len({float(z.sum()) for z in prior.noises}) == len(prior.noises)


def test_known_pixels_are_exact_and_unknown_ones_are_those_of_the_state():
    generator = torch.Generator().manual_seed(0)
    operator = mask((torch.rand(1, 1, 8, 8, generator=generator) > 0.5).float())
    picture = torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1
    x0 = torch.randn(2, 3, 8, 8, generator=generator) * 100
    prior = ConstrainedPC(gaussian(SDES["vp"], (3, 8, 8)), operator, operator(picture))
    observed = operator.observed.bool().expand(2, 3, 8, 8)
    finished = prior.finish(x0)
    assert torch.equal(finished[observed], picture[observed])
    assert torch.equal(finished[~observed], x0[~observed])


def test_ode_samples_of_a_constrained_prior_keep_the_observation():
    prior = correlated(SDES["vp"])
    y = LEFT(prior.sample(3, torch.Generator().manual_seed(7)))
    batch = ODE().sample(ConstrainedPC(prior, LEFT, y), (3, *SHAPE), rng=NoiseStream(0, 3, dtype=torch.float64))
    assert torch.equal(LEFT(batch.x0), y)
    alone = ODE().sample(
        ConstrainedPC(prior, LEFT, y[1:2]), (1, *SHAPE), rng=NoiseStream(0, 1, first=1, dtype=torch.float64)
    )
    assert torch.allclose(alone.x0[0], batch.x0[1], atol=1e-9)


@CONTINUOUS
def test_ode_solvers_agree_on_the_constrained_flow(name):
    """From one draw, with one noise for the trajectory, the adaptive and the multistep solver end at one picture."""
    prior = correlated(SDES[name])
    y = GRAY(prior.sample(1, torch.Generator().manual_seed(7)))
    adaptive, multistep, free = (
        sampler.sample(condition, (4, *SHAPE), rng=NoiseStream(0, 4, dtype=torch.float64)).x0
        for sampler, condition in (
            (ODE(1e-6, 1e-6), ConstrainedPC(prior, GRAY, y)),
            (DPMpp2M(steps=400), ConstrainedPC(prior, GRAY, y)),
            (ODE(1e-6, 1e-6), prior),
        )
    )
    assert (adaptive - multistep).abs().max() < 2e-3
    assert (adaptive - GRAY.pinv(y) - (free - GRAY.pinv(GRAY(free)))).abs().max() > 0.1


# --- classifier guidance ----------------------------------------------------------------------------------------------


@CONTINUOUS
def test_an_exact_classifier_turns_the_mixture_into_its_component(name):
    """grad log p(x) + grad log p(k|x) = grad log p(x|k), a label for each sample; a scale multiplies the gradient."""
    prior = correlated(SDES[name])
    labels = torch.tensor([0, 1, 2, 1])
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.4)

    def classifier(x, t):
        assert t.shape == (len(x),)
        return prior.responsibilities(x, t).log()

    expected = torch.cat([prior.component(int(k)).noise(x[i : i + 1], 0.4) for i, k in enumerate(labels)])
    guided = ClassifierGuidance(prior, classifier, labels)
    assert torch.allclose(guided.noise(x, 0.4), expected)
    twice = ClassifierGuidance(prior, classifier, labels, scale=2)
    assert torch.allclose(twice.noise(x, 0.4), 2 * expected - prior.noise(x, 0.4))


def test_class_conditional_samples():
    prior = correlated(SDES["vp"])
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 2)
    x = DPMpp2M(steps=30).sample(guided, (800, *SHAPE), rng=BatchStream(0, 800)).x0
    exact = prior.component(2).sample(800, torch.Generator().manual_seed(1))
    assert energy_distance(x, exact) < energy_threshold(prior.component(2), 800)


def test_guided_noise_is_differentiable():
    """The Jacobian of the guided noise is the component's: the classifier's own Hessian is in it."""
    prior = correlated(SDES["vp"])
    guided = ClassifierGuidance(prior, lambda x, t: prior.responsibilities(x, t).log(), 1)
    x = prior.sample(1, torch.Generator().manual_seed(0), 0.4)

    def jacobian(p: Prior) -> torch.Tensor:
        return torch.autograd.functional.jacobian(lambda v: p.noise(v, 0.4), x)

    assert torch.allclose(jacobian(guided), jacobian(prior.component(1)))
    assert not torch.allclose(jacobian(guided), jacobian(prior))
    with torch.no_grad():
        assert not guided.noise(x, 0.4).requires_grad
    constrained = Tiled(ConstrainedPC(guided, LEFT, LEFT(x)), 2, 0)
    assert torch.allclose(jacobian(constrained), jacobian(prior.component(1)))


# --- clipping ---------------------------------------------------------------------------------------------------------


@CONTINUOUS
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 0.5)])
def test_estimates_are_clipped_to_the_range_of_pictures(name, data_range):
    """Black and white are the prior's own, wherever they lie; within them nothing is changed."""
    prior = gaussian(SDES[name], (3, 8, 8), std=2.0)
    prior.data_range = data_range
    x = prior.sample(3, torch.Generator().manual_seed(0), 0.4)
    estimate, clipped = prior.denoise(x, 0.4), Clipped(prior).denoise(x, 0.4)
    torch.testing.assert_close(clipped, estimate.clamp(*data_range))
    inside = (estimate > data_range[0]) & (estimate < data_range[1])
    assert 0.1 < inside.double().mean() < 0.9
    assert torch.equal(Clipped(prior).noise(x, 0.4)[inside], prior.noise(x, 0.4)[inside])


# --- tiles ------------------------------------------------------------------------------------------------------------


class Scene(Prior):
    """Pixels apart, each Gaussian with its own mean: position and sample matter, the neighbours do not."""

    data_range = (-1.0, 1.0)

    def __init__(self, means: torch.Tensor, stride: int = 1) -> None:
        self.sde, self.means, self.stride = SDES["vp"], means, stride
        self.seen: list[tuple[int, ...]] = []

    def noise(self, x, t):
        height, width = x.shape[-2:]
        assert height % self.stride == 0
        assert width % self.stride == 0
        self.seen.append(tuple(x.shape))
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        return sigma * (x - alpha * self.means) / (alpha**2 * 0.04 + sigma**2)

    def windows(self, boxes, samples):
        if self.means.shape[-1] > 1:
            means = crops(self.means, boxes, samples)
        else:
            means = self.means if len(self.means) == 1 else self.means.repeat(len(boxes), 1, 1, 1)
        scene = self if means is self.means else Scene(means, self.stride)
        scene.seen = self.seen
        return scene


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


SIZES = pytest.mark.parametrize(("height", "width"), [(24, 40), (37, 21), (8, 8), (7, 30), (5, 6), (9, 8)])
MEANS = {"anywhere": (1, 1, 1, 1), "per sample": (2, 1, 1, 1), "per pixel": (1, 3, -1, -1), "both": (2, 3, -1, -1)}


@SIZES
@pytest.mark.parametrize("overlap", [0, 3, 4])
@pytest.mark.parametrize("kind", MEANS)
def test_tiled_prior_of_separate_pixels_is_the_prior(kind, overlap, height, width):
    """Windows see their own place and sample, the blend adds up to 1, and sides respect the stride."""
    shape = [height if n == -1 and i == 2 else width if n == -1 else n for i, n in enumerate(MEANS[kind])]
    scene = Scene(random(*shape), stride=4)
    free = Scene(scene.means)
    x, t = random(2, 3, height, width), torch.tensor([0.3, 0.8], dtype=torch.float64)
    tiled = Tiled(scene, 8, overlap)
    assert torch.allclose(tiled.noise(x, t), free.noise(x, t), atol=1e-12)
    assert max(h for _, _, h, _ in scene.seen) <= 8
    assert max(w for _, _, _, w in scene.seen) <= 8


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 9), (20, 2)])
def test_pictures_smaller_than_the_stride(height, width):
    scene = Scene(random(1, 1, 1, 1), stride=4)
    x = random(1, 3, height, width)
    assert torch.allclose(Tiled(scene, 8, 2).noise(x, 0.4), Scene(scene.means).noise(x, 0.4))


def test_memory_bound_does_not_change_the_estimate():
    x = random(2, 3, 40, 40)
    scene = Scene(random(2, 1, 1, 1))
    together, apart = Tiled(scene, 8, 2), Tiled(scene, 8, 2, pixels_at_once=3 * 2 * 64)
    expected = together.noise(x, 0.4)
    assert max(n for n, *_ in scene.seen) == 2 * 49
    scene.seen.clear()
    assert torch.allclose(apart.noise(x, 0.4), expected, atol=1e-12)
    assert max(n for n, *_ in scene.seen) == 6


def test_blend_is_continuous_across_windows():
    """Windows that disagree (each subtracts its own mean): no jump over the overlap larger than the ramp's step."""

    class OwnMean(Scene):
        def noise(self, x, t):
            return x - x + x.mean((1, 2, 3), keepdim=True)

    x = torch.arange(64, dtype=torch.float64).expand(1, 1, 16, 64)
    blended = Tiled(OwnMean(torch.zeros(1, 1, 1, 1)), 16, 8).noise(x, 0.4)
    assert float(blended[0, 0].diff(dim=1).abs().max()) <= 8 / 8 * 1.01
    assert float(blended[0, 0, 0, -1] - blended[0, 0, 0, 0]) == pytest.approx(48)


@pytest.mark.parametrize("sampler", [PC(steps=6), DPMpp2M(steps=6), DPMpp2M(1.0, steps=6), ODE(1e-3, 1e-3)])
def test_tiles_outside_and_inside_of_a_condition(sampler):
    """Tiled(condition(prior)), condition(Tiled(prior)) and condition(prior) are one sampler for separate pixels."""
    scene = Scene(random(2, 3, 13, 22))
    observed = mask((random(1, 1, 13, 22) > 0).double())
    y = observed(random(2, 3, 13, 22))
    plain = ConstrainedPC(scene, observed, y)
    samples = [
        sampler.sample(prior, (2, 3, 13, 22), rng=NoiseStream(1, 2, dtype=torch.float64))
        for prior in (plain, Tiled(plain, 8, 3), ConstrainedPC(Tiled(scene, 8, 3), observed, y))
    ]
    for result in samples[1:]:
        assert torch.allclose(result.x0, samples[0].x0, atol=1e-9)
        # Rounding may cost an adaptive solver a step.
        assert (result.nfe - samples[0].nfe).abs().max() <= (6 if isinstance(sampler, ODE) else 0)
        assert torch.equal(observed(result.x0), y)


def test_windows_of_conditions_crop_what_they_hold():
    y = random(2, 3, 13, 22)
    operator = mask((random(1, 1, 13, 22) > 0).double())
    inner = ConstrainedPC(Scene(random(2, 3, 13, 22)), operator, operator(y))
    x, z, t = random(2, 3, 13, 22), random(2, 3, 13, 22) * 2, torch.tensor([0.4, 0.7], dtype=torch.float64)
    window = Tiled(inner, 8, 2).windows([(3, 4, 6, 9)], 2)

    def cut(picture: torch.Tensor) -> torch.Tensor:
        return picture[..., 3:9, 4:13]

    assert torch.allclose(window.constrain(cut(x), t, cut(z)), cut(inner.constrain(x, t, z)))
    assert torch.allclose(window.finish(cut(x)), cut(inner.finish(x)))
    assert torch.allclose(window.noise(cut(x), t), cut(inner.noise(x, t)))


def test_guidance_inside_tiles_classifies_each_window():
    """Logits that are sums over pixels: each window's gradient differs from the whole picture's, and is per window."""
    labels = torch.tensor([1, 0])
    weights = random(1, 3, 1, 1)

    def classifier(x, t):
        total = (x * weights).sum((1, 2, 3)) / 10
        return torch.stack([-total, total], 1)

    scene = Scene(random(1, 1, 1, 1))
    x = random(2, 3, 8, 16)
    tiled = Tiled(ClassifierGuidance(scene, classifier, labels), 8, 0).noise(x, 0.4)
    halves = [ClassifierGuidance(scene, classifier, labels).noise(half, 0.4) for half in x.split(8, dim=3)]
    assert torch.allclose(tiled, torch.cat(halves, 3))
    outside = ClassifierGuidance(Tiled(scene, 8, 0), classifier, labels).noise(x, 0.4)
    assert torch.allclose(outside, ClassifierGuidance(scene, classifier, labels).noise(x, 0.4))
    assert not torch.allclose(outside, tiled)


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (6, 0), (8, 8), (8, -1)])
def test_wrong_tiles_are_named(tile, overlap):
    with pytest.raises(InputError, match="tile"):
        Tiled(Scene(random(1, 1, 1, 1), stride=4), tile, overlap)


def test_wrong_observation_is_named():
    with pytest.raises(InputError, match="shape"):
        ConstrainedPC(gaussian(SDES["vp"]), LEFT, torch.zeros(3, 2, 2))


def test_mixture_conditional_is_the_joint_restricted():
    """The test's own ground truth: log p(x) - log p(x | y) is the same for all x with A x = y."""
    prior: Mixture = correlated(SDES["vp"])
    y = LEFT(prior.sample(1, torch.Generator().manual_seed(7)))
    conditional = prior.conditional(LEFT, y)
    draws = conditional.sample(200, torch.Generator().manual_seed(1))
    # density of the unobserved half under each component, by its marginal covariance
    free = (LEFT.observed.expand(1, *SHAPE) == 0).flatten()
    parts = [
        torch.distributions.MultivariateNormal(mean[free], covariance[free][:, free]).log_prob(
            draws.flatten(1)[:, free]
        )
        for mean, covariance in zip(conditional.means.flatten(1), conditional.covariances(), strict=True)
    ]
    log_conditional = (torch.stack(parts) + conditional.weights.log()[:, None]).logsumexp(0)
    difference = prior.log_prob(draws) - log_conditional
    assert float(difference.std()) < 1e-6
