"""The sampler that starts at the posterior mean, against posteriors in closed form."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scoreinv.guidance import ConstrainedPC, Observation, PosteriorFlow
from scoreinv.guidance.solvers.posterior_flow import LAST, Correction, blurred
from scoreinv.operators import mask
from scoreinv.prior import Prior
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import SDE, VE, VP, as_time, broadcast
from scoreinv.system.errors import Cancelled, InputError, SettingError

pytestmark = pytest.mark.portable

SHAPE = (3, 3, 16, 16)


class Posterior(Prior):
    """N(mean, B^T diag(variance) B): independent values along the axes of colour space that are the rows of B."""

    data_range = (-1.0, 1.0)

    def __init__(self, sde: SDE, mean: Tensor, variance: Tensor, basis: Tensor) -> None:
        self.sde, self.mean, self.variance, self.basis = sde, mean, variance, basis

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        s = broadcast(self.sde.noise_to_signal(t), x)
        apart = torch.einsum("kc,bchw->bkhw", self.basis, x / broadcast(self.sde.alpha(t), x) - self.mean)
        return torch.einsum("kc,bkhw->bchw", self.basis, apart * s / (s.square() + self.variance))


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def basis() -> Tensor:
    return torch.linalg.qr(drawn((3, 3), 7)).Q


def started(sampler: PosteriorFlow, prior: Prior, seed: int = 0) -> Tensor:
    """The state of unit variance that `sampler` starts from, along the axes."""
    noise = NoiseStream(seed, 3)
    noise.normal(SHAPE)  # that of the mean
    white, errors = (torch.einsum("kc,bchw->bkhw", sampler.basis, noise.normal(SHAPE)) for _ in range(2))
    first = broadcast([*sampler.levels(prior), torch.zeros(3)][0], white)
    norm = (first.square() + sampler.variance).sqrt().clamp_min(1e-12)
    return (first * white + sampler.variance.sqrt() * blurred(errors, sampler.reach)) / norm


def posterior(sde: SDE, share_known: float = 0.5) -> Posterior:
    variance = torch.from_numpy(np.random.default_rng(1).uniform(0.001, 0.2, SHAPE).astype(np.float32))
    variance[..., : int(16 * share_known)] = 0
    return Posterior(sde, 0.3 * drawn(SHAPE, 2), variance, basis())


@pytest.mark.parametrize("reach", [(), (0.0, 1.5, 2.0)])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("sde", [VE(0.0001, 1000.0), VP(beta_min=1e-3)], ids=["ve", "vp"])
def test_any_number_of_steps_is_exact_where_the_error_is_as_expected(sde, steps, reach) -> None:
    prior = posterior(sde)
    sampler = PosteriorFlow(prior.variance, basis(), steps, reach, last=1e-3)  # where the denoised mean is the state
    result = sampler.sample(prior, SHAPE, rng=NoiseStream(0, 3))
    z = started(sampler, prior)
    expected = prior.mean + torch.einsum("kc,bkhw->bchw", basis(), prior.variance.sqrt() * z)
    tolerance = 2e-3 if isinstance(sde, VE) else 0.01  # at the highest noise level the mean is not quite the mean
    torch.testing.assert_close(result.x0, expected, atol=tolerance, rtol=0)
    assert result.nfe.tolist() == [steps] * 3


@pytest.mark.parametrize("steps", [2, 4])
def test_of_an_error_the_last_step_keeps_what_it_says(steps: int) -> None:
    prior = posterior(VE(0.0001, 1000.0))
    sampler = PosteriorFlow(prior.variance, basis(), steps)
    kept = prior.variance / (LAST**2 + prior.variance).sqrt()
    expected = prior.mean + torch.einsum("kc,bkhw->bchw", basis(), kept * started(sampler, prior))
    x0 = sampler.sample(prior, SHAPE, rng=NoiseStream(0, 3)).x0
    torch.testing.assert_close(x0, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("sde", [VE(0.0001, 1000.0), VP(beta_min=1e-3)], ids=["ve", "vp"])
def test_after_the_first_step_a_force_linear_in_the_angle_is_integrated_exactly(sde) -> None:
    """Whatever the lengths of the steps; the first takes the force for constant."""
    variance = torch.full(SHAPE, 0.05)

    def force(angle: Tensor) -> Tensor:
        return 0.3 + 0.8 * angle

    class Linear(Posterior):
        def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
            s = broadcast(sde.noise_to_signal(as_time(t)), x)
            q = (x / broadcast(sde.alpha(as_time(t)), x) - self.mean) / (s.square() + self.variance).sqrt()
            angle = torch.atan2(s, self.variance.sqrt())
            return q * angle.sin() - force(angle) * angle.cos()

    prior = Linear(sde, 0.3 * drawn(SHAPE, 2), variance, torch.eye(3))
    sampler = PosteriorFlow(variance, torch.eye(3), 4, mean=prior.mean)
    first, second, last = (torch.atan(level[0] / 0.05**0.5).float() for level in sampler.levels(prior))
    noise = NoiseStream(0, 3)
    q = first.sin() * noise.normal(SHAPE) + first.cos() * noise.normal(SHAPE)
    q = q + (first - second) * force(first) + (second - last) * force((second + last) / 2)
    expected = prior.mean + 0.05**0.5 * (q * last.cos() + force(last) * last.sin())
    x0 = sampler.sample(prior, SHAPE, rng=NoiseStream(0, 3)).x0
    torch.testing.assert_close(x0, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sde", [VE(0.0001, 1000.0), VP(beta_min=1e-3)], ids=["ve", "vp"])
def test_only_the_pixels_of_a_correction_move_above_the_last_level(sde) -> None:
    class Halved(Posterior):
        """0 outside the correction, as windows around its pixels are."""

        def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
            return super().noise(x, t) * pixels

    prior = posterior(sde, share_known=0)
    pixels = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    pixels[..., 8:] = True
    settings = {"variance": 3 * prior.variance, "basis": basis(), "mean": prior.mean, "last": 0.2, "steps": 5}
    halved = Halved(prior.sde, prior.mean, prior.variance, basis())
    samplers = [
        PosteriorFlow(**settings, correction=Correction(pixels, halved)),
        PosteriorFlow(**settings, correction=Correction(pixels, prior)),
        PosteriorFlow(**settings, correction=Correction(torch.ones_like(pixels), prior)),
    ]
    limited, same, everywhere = (sampler.sample(prior, SHAPE, rng=NoiseStream(0, 3)) for sampler in samplers)
    torch.testing.assert_close(limited.x0, same.x0, atol=1e-5, rtol=0)
    assert (same.x0 - everywhere.x0)[..., :8].abs().amax() > 0.05
    assert [result.nfe.tolist() for result in (limited, everywhere)] == [[4] * 3] * 2


@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_the_levels_go_from_three_times_the_rms_of_what_is_unknown_to_seven_grey_levels(data_range):
    prior = posterior(VE(0.01, 80.0), share_known=0.75)
    prior.data_range = data_range
    first, *_, last = PosteriorFlow(prior.variance, basis(), 4).levels(prior)
    torch.testing.assert_close(first, 3 * prior.variance[..., 12:].flatten(1).double().mean(1).sqrt())
    seven = 7 / 255 * (data_range[1] - data_range[0])
    torch.testing.assert_close(last, torch.full_like(last, seven), rtol=0.01, atol=0)


@pytest.mark.parametrize("sde", [VE(0.01, 80.0), VP()], ids=["ve", "vp"])
def test_levels_of_a_known_picture_and_below_the_noise_of_the_sde(sde: SDE) -> None:
    """Two evaluations have a level each even so; and what is known is the mean itself, to which `finish` is applied."""

    class Marked(Posterior):
        def finish(self, x0: Tensor) -> Tensor:
            return x0 + 1

    prior = posterior(sde, share_known=1)
    first, last = PosteriorFlow(prior.variance, basis(), 3).levels(prior)
    torch.testing.assert_close(last, torch.full((3,), LAST, dtype=torch.float64))
    torch.testing.assert_close(first, 2 * last)
    least = PosteriorFlow(prior.variance, basis(), 2, last=0.0).levels(prior)[0]
    torch.testing.assert_close(least, sde.noise_to_signal(as_time(sde.sampling_end)).expand(3))
    marked = Marked(sde, prior.mean, prior.variance, basis())
    for steps in (1, 3):
        x0 = (
            PosteriorFlow(prior.variance, basis(), steps, mean=prior.mean)
            .sample(marked, SHAPE, rng=NoiseStream(0, 3))
            .x0
        )
        torch.testing.assert_close(x0, prior.mean + 1, atol=1e-5, rtol=0)


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    prior = posterior(VE(0.01, 80.0))
    together = PosteriorFlow(2 * prior.variance, basis()).sample(prior, SHAPE, rng=NoiseStream(5, 3)).x0
    alone = Posterior(prior.sde, prior.mean[1:2], prior.variance[1:2], basis())
    one = (
        PosteriorFlow(2 * prior.variance[1:2], basis())
        .sample(alone, (1, *SHAPE[1:]), rng=NoiseStream(5, 1, first=1))
        .x0
    )
    torch.testing.assert_close(together[1:2], one, atol=1e-5, rtol=1e-5)


def test_it_tells_of_each_evaluation_and_stops() -> None:
    prior = posterior(VE(0.01, 80.0))
    told: list[tuple[float, int]] = []
    PosteriorFlow(prior.variance, basis(), 3).sample(
        prior, SHAPE, rng=NoiseStream(0, 3), callback=lambda progress: told.append((progress.fraction, progress.nfe))
    )
    assert told == [(pytest.approx(1 / 3), 1), (pytest.approx(2 / 3), 2), (1.0, 3)]
    told.clear()
    PosteriorFlow(prior.variance, basis(), 3, mean=prior.mean).sample(
        prior, SHAPE, rng=NoiseStream(0, 3), callback=lambda progress: told.append((progress.fraction, progress.nfe))
    )
    assert told == [(pytest.approx(1 / 2), 1), (1.0, 2)]
    with pytest.raises(Cancelled):
        PosteriorFlow(prior.variance, basis()).sample(prior, SHAPE, rng=NoiseStream(0, 3), callback=lambda _: False)


def test_a_prior_that_has_to_be_constrained_is_refused() -> None:
    prior = posterior(VE(0.01, 80.0))
    given = ConstrainedPC(prior, Observation(mask(torch.ones(1, 1, 16, 16)), prior.mean))
    with pytest.raises(InputError, match="without constraints"):
        PosteriorFlow(prior.variance, basis()).sample(given, SHAPE, rng=NoiseStream(0, 3))
    with pytest.raises(SettingError) as caught:
        PosteriorFlow(prior.variance, basis(), 0)
    assert caught.value.setting == "steps"


def test_blurred_noise_has_unit_variance_everywhere_and_hangs_together() -> None:
    white = drawn((400, 2, 12, 12), 3)
    errors = blurred(white, (0.0, 2.0))
    assert torch.equal(errors[:, 0], white[:, 0])
    own = errors[:, 1]
    torch.testing.assert_close(own.var(0), torch.ones(12, 12), atol=0.4, rtol=0)  # of 400 draws
    assert own.var() == pytest.approx(1, abs=0.05)
    beside = (own[:, :, 1:] * own[:, :, :-1]).mean()
    assert float(beside) == pytest.approx(np.exp(-1 / 16), abs=0.05)  # of a Gaussian of deviation 2, at distance 1


def test_errors_that_hang_together_are_kept_in_the_mean_of_pixels() -> None:
    """Of a block of 4x4 pixels the mean's deviation is a quarter where they are independent."""
    prior = Posterior(VE(0.0001, 1000.0), torch.zeros(SHAPE), torch.full(SHAPE, 0.09), torch.eye(3))

    def deviation(reach: tuple[float, ...]) -> float:
        found = [
            PosteriorFlow(prior.variance, torch.eye(3), 1, reach).sample(prior, SHAPE, rng=NoiseStream(seed, 3)).x0
            for seed in range(20)
        ]
        return float(torch.nn.functional.avg_pool2d(torch.cat(found), 4).std()) / 0.3

    assert deviation(()) == pytest.approx(0.25, rel=0.1)
    assert deviation((2.0, 2.0, 2.0)) > 0.6
