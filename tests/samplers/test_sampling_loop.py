"""Every sampler reaches the mixture, whatever the batch, with true counts."""

import pytest
import torch
from support.mixture import SDES, SHAPE, BatchStream, Mixture, correlated, energy_distance, energy_threshold, gaussian
from support.solvers import CONTINUOUS, grid_error, logarithmic

from scoreinv.guidance import ClassifierGuidance, ConstrainedPC, Observation
from scoreinv.operators import mask
from scoreinv.prior import Prior
from scoreinv.samplers import (
    DDIM,
    ODE,
    PC,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    Langevin,
    NoiseStream,
    NoPredictor,
    ReverseDiffusion,
    State,
)
from scoreinv.system.errors import Cancelled
from scoreinv.windows import Tiled

pytestmark = pytest.mark.portable

COUNT = 1500
SAMPLERS = {  # one of each formula; what eta and the SDE are in it, the files of each sampler test step by step
    "euler-maruyama-subvp": PC(EulerMaruyama(), corrector_steps=0, steps=150),
    "reverse-diffusion-half-vp": PC(ReverseDiffusion(0.5), corrector_steps=0, steps=150),
    "ancestral-ve": PC(Ancestral(), corrector_steps=0, steps=150),
    "ancestral-ddpm": PC(Ancestral(), corrector_steps=0, steps=150),
    "pc-vp": PC(ReverseDiffusion(), AnnealedLangevin(), snr=0.1, steps=150),
    "multistep-subvp": DPMpp2M(steps=30),
    "multistep-sde-vp": DPMpp2M(1.0, steps=120),
    "heun-churn-vp": Heun(30, steps=80),
    "ddim-ve": PC(DDIM(1.0), corrector_steps=0, steps=300),
    "ode-ve": ODE(1e-4, 1e-4),
}
QUICK = ("euler-maruyama-subvp", "ancestral-ddpm", "multistep-subvp", "ode-ve")
RESAMPLING = tuple(i / 50 for i in range(50, 9, -1)) + tuple(i / 50 for i in range(25, 0, -1)) + (0.01, 0.005, 0.001)


@pytest.fixture(scope="module")
def exact() -> torch.Tensor:
    return correlated(SDES["ve"]).sample(COUNT, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def threshold() -> float:
    """The energy distance of two exact sample sets, its mean and 5 standard deviations over 10 pairs: about 0.011."""
    return energy_threshold(correlated(SDES["ve"]), COUNT)


def disagreement(samples: torch.Tensor, prior: Mixture) -> tuple[float, float]:
    """Largest error of the mean in standard errors, and relative error of the total variance."""
    mean, covariance = prior.moments()
    x = samples.flatten(1)
    error = (x.mean(0) - mean).abs() / (covariance.diagonal() / len(x)).sqrt()
    return float(error.max()), float(x.var(0).sum() / covariance.trace()) - 1


def reaches(samples: torch.Tensor, prior: Mixture, exact: torch.Tensor, threshold: float) -> bool:
    """Energy distance below the threshold, means within 5 standard errors, total variance within 5 %."""
    mean_error, variance_error = disagreement(samples, prior)
    return energy_distance(samples, exact) < threshold and mean_error < 5 and abs(variance_error) < 0.05


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SAMPLERS]
)
def test_sampler_reaches_the_mixture(name, exact, threshold):
    prior = correlated(SDES[name.rpartition("-")[2]])
    result = SAMPLERS[name].sample(prior, (COUNT, *SHAPE), rng=BatchStream(3, COUNT))
    assert reaches(result.x0, prior, exact, threshold), (
        energy_distance(result.x0, exact),
        threshold,
        disagreement(result.x0, prior),
    )


@pytest.mark.parametrize(
    "sampler", [PC(Ancestral(), corrector_steps=0, times=RESAMPLING), DPMpp2M(times=RESAMPLING), Heun(times=RESAMPLING)]
)
def test_grids_that_jump_up(sampler, exact, threshold):
    prior = correlated(SDES["vp"])
    result = sampler.sample(prior, (COUNT, *SHAPE), rng=BatchStream(3, COUNT))
    assert energy_distance(result.x0, exact) < threshold
    assert disagreement(result.x0, prior)[0] < 5
    steps = len(RESAMPLING) - 1  # the jump takes none
    assert int(result.nfe[0]) == (2 * steps - 1 if isinstance(sampler, Heun) else steps)


DOWN = (0.8, 0.5, 0.2)


@pytest.mark.parametrize("sde", [SDES["ve"], SDES["ddpm"]], ids=["ve", "ddpm"])
@pytest.mark.parametrize(
    "sampler",
    [
        *(PC(DDIM(eta), corrector_steps=0, times=DOWN) for eta in (0.3, 1.0)),
        *(DPMpp2M(eta, times=DOWN) for eta in (0.3, 1.0)),
        *(Heun(churn, times=DOWN) for churn in (1.0, 1e6)),
    ],
)
def test_the_noise_of_a_step_keeps_the_marginals(sampler, sde):
    """Data at one point: steps are exact in any number, and so is the noise that is added in them or before."""
    prior, told = gaussian(sde, std=1e-9), []
    x = prior.sample(20000, torch.Generator().manual_seed(0), 0.8)
    sampler.sample(prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8), callback=told.append)
    for progress in told[:2]:
        t = torch.tensor(progress.t, dtype=torch.float64)
        assert float(progress.x.std()) == pytest.approx(float(sde.sigma(t)), rel=0.01)
        assert float(progress.x.mean()) == pytest.approx(float(sde.alpha(t) * 0.3), abs=0.01 * float(sde.sigma(t)))


class Calls(Prior):
    """Counts evaluations as rows of the batches that reach the model."""

    def __init__(self, prior: Prior) -> None:
        self.prior, self.sde, self.data_range, self.total = prior, prior.sde, prior.data_range, 0

    def noise(self, x, t):
        self.total += len(x)
        return self.prior.noise(x, t)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (PC(steps=10), 20),
        (PC(steps=10, corrector_steps=3), 40),
        (PC(corrector_steps=0, steps=10), 10),
        (PC(NoPredictor(), Langevin(), steps=10), 11),
        (DPMpp2M(steps=10), 10),
        (DPMpp2M(steps=1), 1),
        (Heun(steps=10), 19),
        (Heun(5, steps=10), 19),
        (Heun(steps=1), 1),
        (PC(DDIM(0.5), corrector_steps=0, steps=10), 10),
        (ODE(1e-3, 1e-3), None),
    ],
)
def test_counts_are_true(sampler, expected):
    prior = Calls(correlated(SDES["subvp"]))
    result = sampler.sample(prior, (3, *SHAPE), rng=NoiseStream(0, 3, dtype=torch.float64))
    assert prior.total == 3 * int(result.nfe.max())  # samples that the ODE solver is done with are evaluated along
    assert expected is None or result.nfe.tolist() == [expected] * 3
    assert result.vjps.tolist() == [0] * 3


class Draws(NoiseStream):
    """Counts how often noise is drawn."""

    drawn = 0

    def normal(self, *arguments) -> torch.Tensor:
        self.drawn += 1
        return super().normal(*arguments)


@pytest.mark.parametrize(
    ("sampler", "free", "held"),
    [
        (PC(steps=3, corrector_steps=2), 1 + 6 + 2, 1 + 6 + 2),  # each state but the first has moved by noise
        (PC(ReverseDiffusion(eta=0.0), corrector_steps=0, steps=3), 1, 1 + 2),
        (DPMpp2M(steps=3), 1, 1),
        (DPMpp2M(times=(1.0, 0.5, 0.8, 0.4, 0.6, 0.2)), 1 + 2, 1),  # each jump up has its own noise
        (DPMpp2M(1.0, steps=3), 1 + 2, 1 + 2),
        (Heun(steps=3), 1, 1),
        (Heun(1.0, steps=3), 1 + 2, 1 + 2 * 2),  # none above the SDE's largest level, where it begins
        (ODE(1e-1, 1e-1), 1, 1),
    ],
)
def test_noise_for_a_constraint_is_drawn_where_there_is_one(sampler, free, held):
    prior, shape = correlated(SDES["vp"]), (2, *SHAPE)
    operator = mask((torch.arange(2) < 1).double().expand(1, 1, 2, 2))
    condition = ConstrainedPC(prior, Observation(operator, torch.zeros(1, *SHAPE, dtype=torch.float64)))
    for target, expected in ((prior, free), (Tiled(prior, 2, 0), free), (condition, free + held)):
        noise = Draws(0, 2, dtype=torch.float64)
        sampler.sample(target, shape, rng=noise)
        assert noise.drawn == expected


def test_vector_jacobian_products_of_guidance_are_counted_apart():
    mixture = correlated(SDES["vp"])
    guided = ClassifierGuidance(mixture, lambda x, t: mixture.responsibilities(x, t).log(), 0)
    for sampler in (PC(steps=5), DPMpp2M(steps=5), Heun(steps=5), ODE(1e-2, 1e-2)):
        result = sampler.sample(guided, (2, *SHAPE), rng=NoiseStream(0, 2, dtype=torch.float64))
        assert torch.equal(result.vjps, result.nfe)


KINDS = (
    PC(steps=20),
    PC(EulerMaruyama(), AnnealedLangevin(), steps=20),
    DPMpp2M(steps=8),
    DPMpp2M(1.0, 8),
    Heun(2.0, steps=5),
    ODE(),
)
EACH_KIND = pytest.mark.parametrize("sampler", KINDS)


@pytest.mark.parametrize(
    ("sampler", "dtype"),
    [(PC(steps=20), torch.float32), *((sampler, torch.float64) for sampler in KINDS)],
)
def test_samples_do_not_depend_on_their_batch(sampler, dtype):
    """Sample i of a seed is the same alone, in a batch, and in a batch that begins elsewhere."""
    prior = correlated(SDES["vp"])
    batch = sampler.sample(prior, (4, *SHAPE), rng=NoiseStream(9, 4, dtype=dtype))
    assert batch.x0.dtype == dtype
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    for i in (0, 3):
        alone = sampler.sample(prior, (1, *SHAPE), rng=NoiseStream(9, 1, first=i, dtype=dtype))
        assert torch.allclose(alone.x0[0], batch.x0[i], atol=tolerance)
    assert (batch.x0[0] - batch.x0[1]).abs().max() > 0.1
    again = sampler.sample(prior, (4, *SHAPE), rng=NoiseStream(9, 4, dtype=dtype))
    assert torch.allclose(again.x0, batch.x0, atol=tolerance)


@EACH_KIND
def test_progress_is_told_and_can_stop_the_work(sampler):
    prior, seen = correlated(SDES["vp"]), []
    arguments = {"rng": NoiseStream(0, 2, dtype=torch.float64)}
    sampler.sample(prior, (2, *SHAPE), callback=seen.append, **arguments)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert [p.step for p in seen] == list(range(1, len(seen) + 1))
    assert all(p.x.shape == (2, *SHAPE) for p in seen)
    with pytest.raises(Cancelled):
        sampler.sample(prior, (2, *SHAPE), callback=lambda p: p.step < 3, **arguments)


@CONTINUOUS
@pytest.mark.parametrize(("sampler", "least", "most"), [(Heun, 3.6, 4.4), (DPMpp2M, 3.4, 4.6)])
def test_order_of_convergence(sde, sampler, least, most):
    """Halving the steps: a fourth of the error."""
    prior = gaussian(sde)
    x = prior.sample(16, torch.Generator().manual_seed(0), 0.8)
    coarse, fine = (grid_error(sampler(times=logarithmic(sde, n)), prior, x) for n in (20, 40))
    assert least < coarse / fine < most
