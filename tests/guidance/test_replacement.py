"""The constrained predictor-corrector method against exact conditionals."""

from itertools import pairwise

import pytest
import torch
from support.mixture import SDES, SHAPE, BatchStream, correlated, energy_distance, energy_threshold, gaussian

from scoreinv.guidance import ConstrainedPC, Observation
from scoreinv.operators import InLight, gray, mask
from scoreinv.operators.tones import srgb
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers import ODE, PC, AnnealedLangevin, DPMpp2M, Langevin, NoiseStream
from scoreinv.system.errors import InputError

pytestmark = pytest.mark.portable

LEFT = mask((torch.arange(2) < 1).double().expand(1, 1, 2, 2))
COUNT = 600
CONTINUOUS = pytest.mark.parametrize("name", ["ve", "vp", "subvp"])


@pytest.mark.slow
def test_constrained_pc_approaches_the_exact_conditional():
    """Energy distance to exact conditional samples at 0, 4 and 16 corrector steps: it falls to a third and again to
    half, to 4 % of the first in all, which is far above the noise of the statistic."""
    prior, operator = correlated(SDES["ve"]), LEFT
    y = operator(prior.sample(1, torch.Generator().manual_seed(7)))
    exact = prior.conditional(operator, y).sample(COUNT, torch.Generator().manual_seed(1))
    assert (operator(exact) - y).abs().max() < 1e-6
    distances = []
    for steps in (0, 4, 16):
        sampler = PC(corrector=AnnealedLangevin(), corrector_steps=steps, snr=0.3, steps=60)
        result = sampler.sample(
            ConstrainedPC(prior, Observation(operator, y)), (COUNT, *SHAPE), rng=BatchStream(3, COUNT)
        )
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
        ConstrainedPC(prior, Observation(operator, y)), (40, 3, 8, 8), rng=BatchStream(3, 40), callback=states.append
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
        self.constrains = True
        self.events: list[tuple[str, float]] = []
        self.noises: list[torch.Tensor] = []

    def noise(self, x, t):
        self.events.append(("evaluate", float(torch.as_tensor(t).flatten()[0])))
        return super().noise(x, t)

    def constrain(self, x, t, z):
        self.events.append(("constrain", float(t)))
        self.noises.append(z)
        return super().constrain(x, t, z)


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
    prior = ConstrainedPC(gaussian(SDES["vp"], (3, 8, 8)), Observation(operator, operator(picture)))
    observed = operator.observed.bool().expand(2, 3, 8, 8)
    finished = prior.finish(x0)
    assert torch.equal(finished[observed], picture[observed])
    assert torch.equal(finished[~observed], x0[~observed])


def test_ode_samples_of_a_constrained_prior_keep_the_observation():
    prior = correlated(SDES["vp"])
    y = LEFT(prior.sample(3, torch.Generator().manual_seed(7)))
    batch = ODE().sample(
        ConstrainedPC(prior, Observation(LEFT, y)), (3, *SHAPE), rng=NoiseStream(0, 3, dtype=torch.float64)
    )
    assert torch.equal(LEFT(batch.x0), y)
    alone = ODE().sample(
        ConstrainedPC(prior, Observation(LEFT, y[1:2])),
        (1, *SHAPE),
        rng=NoiseStream(0, 1, first=1, dtype=torch.float64),
    )
    assert torch.allclose(alone.x0[0], batch.x0[1], atol=1e-9)


def test_wrong_observation_is_named():
    with pytest.raises(InputError, match="shape"):
        ConstrainedPC(gaussian(SDES["vp"]), Observation(LEFT, torch.zeros(3, 2, 2)))
    with pytest.raises(InputError, match="linear operator"):
        ConstrainedPC(gaussian(SDES["vp"]), Observation(InLight(LEFT, srgb()), torch.zeros(1, *SHAPE)))
