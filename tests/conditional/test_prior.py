"""Networks that take an observation: their reading, the wrapper, what they are shown, and what they learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from support.small_conditional import SMALL, conditional_prior
from torch import Tensor, nn

from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.guidance import ConstrainedPC, Observation, given, refusal
from scoreinv.models.config import FillConfig, ModelConfig
from scoreinv.operators import ObservedComponents, gray, mask
from scoreinv.operators.luma import colour_basis
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import EDM
from scoreinv.prior import Clipped
from scoreinv.samplers import DPMpp2M, NoiseStream
from scoreinv.sdes import SDE, VE, VP
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.tasks.inpaint import inpaint
from scoreinv.tasks.requests import NARROW_FILL_STEPS
from scoreinv.training.config import DataConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.data import batches
from scoreinv.training.data.synthetic_damage import draw_hole
from scoreinv.training.learners import ConditionalLearner, NoisyBatch, ObservationConfig, draw_observed
from scoreinv.training.loop import train
from scoreinv.windows import Tiled

pytestmark = pytest.mark.portable


def draw(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def holes(count: int = 2, side: int = 16, seed: int = 0) -> ObservedComponents:
    return mask((torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) < 0.5).float())


# --- the reading of the network ---------------------------------------------------------------------------------------


def contrast(m: Tensor) -> Tensor:
    def mean(x: Tensor, size: int) -> Tensor:
        values = ndimage.uniform_filter(x.double().numpy(), (1, 1, size, size), mode="nearest")
        return torch.from_numpy(values).float()

    detail = m - mean(m, 5)
    return detail / (mean(detail.square(), 9) + 3e-4).sqrt()


@pytest.mark.parametrize("sde", [VE(0.01, 20.0), VP()], ids=["ve", "vp"])
@pytest.mark.parametrize("t", [0.02, 0.5, 1.0])
def test_the_denoised_picture_is_the_formula(sde: SDE, t: float) -> None:
    prior = conditional_prior(sde)
    x, operator = draw((2, 3, 16, 16)), holes()
    y = operator(draw((2, 3, 16, 16), 1))
    reading = prior.preconditioning
    condition = given(prior, Observation(operator, y))
    time = torch.tensor(t, dtype=torch.float64)
    alpha, s = sde.alpha(time).float(), sde.noise_to_signal(time).float()
    m, v = condition.maps[0], condition.maps[1]
    u = rotated(x / alpha, reading.basis)
    free = (v > 0).float()
    nothing = given(prior, Observation(mask(torch.zeros(1, 1, 16, 16)), torch.zeros_like(y)))
    total = nothing.maps[1]
    known = torch.cat([m, 1 - free, 1 - (v / total).sqrt(), contrast(m)], 1)
    output = prior.network(free * (u - m) * v**0.25 / (s**2 + v) ** 0.75, s.double().expand(2), known)
    expected = rotated(m + v / (s**2 + v) * (u - m) + s * (v / (s**2 + v)).sqrt() * output, reading.basis.T)
    torch.testing.assert_close(condition.denoise(x, t), expected, atol=2e-4 * float(s + 1), rtol=1e-4)


def test_observed_components_of_the_estimate_are_the_observation() -> None:
    prior, x0 = conditional_prior(), draw((2, 3, 16, 16), 3)
    operators = [
        holes(),
        gray("rec601", 16, 16),
        ObservedComponents((torch.rand(2, 3, 16, 16) < 0.5).float(), torch.from_numpy(colour_basis())),
    ]
    for operator in operators:
        condition = given(prior, Observation(operator, operator(x0)))
        for t in (0.1, 0.5, 1.0):
            estimate = condition.denoise(draw((2, 3, 16, 16)) * prior.sde.sigma(torch.tensor(t)), t)
            assert (operator(estimate) - operator(x0)).abs().max() < 2e-5
        torch.testing.assert_close(operator(condition.finish(draw((2, 3, 16, 16)))), operator(x0))


def test_observed_components_of_the_noisy_state_do_not_count() -> None:
    prior, operator = conditional_prior(), holes()
    condition = given(prior, Observation(operator, operator(draw((2, 3, 16, 16), 3))))
    x, other = draw((2, 3, 16, 16)), draw((2, 3, 16, 16), 1)
    changed = x + operator(other)
    unobserved = operator(torch.ones(2, 3, 16, 16)) == 0
    torch.testing.assert_close(condition.denoise(x, 0.5)[unobserved], condition.denoise(changed, 0.5)[unobserved])


def test_nothing_observed_is_the_unconditional_prior() -> None:
    prior, x = conditional_prior(), draw((2, 3, 16, 16))
    nothing = mask(torch.zeros(1, 1, 16, 16))
    for t in (0.1, 0.9):
        unseen = given(prior, Observation(nothing, torch.zeros_like(x)))
        torch.testing.assert_close(unseen.noise(x, t), prior.noise(x, t))


def test_the_initial_estimate_of_a_grey_pictures_colours_is_the_grey_picture() -> None:
    prior, shown = conditional_prior(), draw((2, 1, 16, 16)).clamp(-1, 1).expand(-1, 3, -1, -1)
    operator = gray("rec601", 16, 16)
    condition = given(prior, Observation(operator, operator(shown)))
    torch.testing.assert_close(condition.initial_picture(), shown)
    assert (condition.maps[1][:, 0] == 0).all()
    assert (condition.maps[1][:, 1:] > 0.02).all()


def test_large_noise_keeps_its_digits_in_bfloat16() -> None:
    """Only the network may be rounded: at sigma 80 a noise prediction in bfloat16 would be wrong by whole pictures."""
    prior, operator = conditional_prior(VE(0.01, 80.0)), holes()
    x0, z = draw((2, 3, 16, 16), 3).clamp(-1, 1), draw((2, 3, 16, 16), 4)
    condition = given(prior, Observation(operator, operator(x0)))
    exact = condition.denoise(x0 + 80 * z, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = condition.denoise(x0 + 80 * z, 1.0)
    assert (rounded - exact).abs().max() < 0.1


def test_narrow_holes_take_few_evaluations_and_each_its_own_way() -> None:
    prior = conditional_prior()
    image = np.random.default_rng(0).random((64, 160, 3), dtype=np.float32)
    scratch, more, wide = (np.zeros((64, 160), dtype=bool) for _ in range(3))
    scratch[20:23, 5:40] = True
    more[:] = scratch
    more[10:40, 130:133] = True
    wide[20:33, 5:18] = True
    alone = inpaint(image, scratch, prior=prior, estimate="sample")
    assert alone.nfe == NARROW_FILL_STEPS
    assert inpaint(image, scratch, prior=prior, steps=2).nfe == 2
    assert inpaint(image, wide, prior=conditional_prior(image_size=64), steps=5).nfe == 1 + 5
    several = inpaint(image, scratch, prior=prior, samples=3)
    np.testing.assert_allclose(several.samples[0], alone.image, atol=1e-4)
    np.testing.assert_allclose(
        inpaint(image, more, prior=prior, estimate="sample").image[scratch], alone.image[scratch], atol=1e-4
    )
    assert several.std is not None
    assert several.std[scratch].mean() > 0.05
    np.testing.assert_array_equal(alone.image[~scratch], image[~scratch])


# --- the wrapper ------------------------------------------------------------------------------------------------------


def test_windows_see_the_same_initial_estimate() -> None:
    """Of the whole picture, not of the window; and the observation stays exact."""
    prior, operator = conditional_prior(), holes(3, 32)
    y, x = operator(draw((3, 3, 32, 32), 1)), draw((3, 3, 32, 32))
    whole, tiled = (given(model, Observation(operator, y)) for model in (prior, Tiled(prior, 16, 4)))
    part = [values[..., :16, :16] for values in (x, *whole.maps)]
    torch.testing.assert_close(tiled.noise(x, 0.5)[..., :8, :8], prior.noise(part[0], 0.5, *part[1:])[..., :8, :8])
    assert (operator(tiled.denoise(x, 0.5)) - y).abs().max() < 2e-5


def test_any_sampler_draws_with_the_observation_exact() -> None:
    prior, operator, x0 = conditional_prior(), holes(2), draw((2, 3, 16, 16), 1)
    condition = given(prior, Observation(operator, operator(x0)))
    result = DPMpp2M(steps=4).sample(condition, (2, 3, 16, 16), rng=NoiseStream(0, 2))
    observed = operator(torch.ones_like(x0)) == 1
    assert torch.equal(result.x0[observed], x0[observed])
    assert list(result.nfe) == [4, 4]


def test_priors_without_observations_and_other_operators_are_refused() -> None:
    network = replace(SMALL, condition_channels=0)
    plain = ModelConfig(network, VE(), EDM(), image_size=16).build()
    operator = holes()
    y = torch.zeros(2, 3, 16, 16)
    once = given(conditional_prior(), Observation(operator, y))
    for prior, reason in (
        (plain, "conditional training"),
        (Clipped(plain), "conditional training"),
        (ConstrainedPC(conditional_prior(), Observation(operator, y)), "given an observation"),
        (once, "given an observation"),
    ):
        with pytest.raises(InputError, match=reason):
            given(prior, Observation(operator, y))
        assert refusal(prior, Observation(operator, y))
    with pytest.raises(InputError, match="rec601"):
        given(conditional_prior(), Observation(gray("average", 16, 16), y))
    channel = mask(torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 16, 16))
    with pytest.raises(InputError, match="whole pixels"):
        given(conditional_prior(), Observation(channel, y))
    assert refusal(conditional_prior(), Observation(operator, y)) is None
    with pytest.raises(InputError, match="without noise"):
        given(conditional_prior(), Observation(operator, y, noise_std=0.1))


def test_network_and_reading_belong_together() -> None:
    with pytest.raises(CheckpointError, match="condition_channels"):
        ModelConfig(SMALL, VE(), EDM())
    for network in (replace(SMALL, condition_channels=0), replace(SMALL, channels=1)):
        with pytest.raises(CheckpointError, match="3 channels and 12 condition_channels"):
            FillConfig(network, VE(), ResidualPreconditioning())


# --- what it is shown -------------------------------------------------------------------------------------------------


def test_holes_are_of_many_sizes_and_never_empty_or_everything() -> None:
    shares = []
    for index in range(500):
        hole = draw_hole(64, batches.stream(1, batches.OBSERVED, 0, index))
        assert hole.any()
        assert not hole.all()
        shares.append(hole.mean())
    assert np.quantile(shares, 0.1) < 0.15
    assert np.quantile(shares, 0.9) > 0.7


def test_shares_that_are_rounded_add_up() -> None:
    rounded = ObservationConfig(*[0.1666667] * 6)
    draw_observed(rounded, 16, batches.stream(1, batches.OBSERVED, 0, 0))


# --- what it learns ---------------------------------------------------------------------------------------------------


def test_the_loss_is_the_error_over_the_expected_one_of_the_initial_estimate() -> None:
    """With F = 0 and large noise: |u0 - m|^2 over the sum of v."""
    prior = conditional_prior(VE(0.01, 500.0))
    nn.init.zeros_(prior.network.conv_out.weight)
    x0, z = draw((2, 3, 16, 16)).clamp(-1, 1), draw((2, 3, 16, 16), 1)
    observed = (torch.rand(2, 3, 16, 16) < 0.6).float()
    t = torch.ones(2, dtype=torch.float64)
    operator = ObservedComponents(observed, prior.preconditioning.basis)
    condition = given(prior, Observation(operator, operator(x0)))
    mean, variance = condition.maps
    error = (rotated(x0, prior.preconditioning.basis) - mean).square().flatten(1).sum(1)
    losses, batch = ConditionalLearner().relative_losses, NoisyBatch(x0, t, z)
    loss = losses(condition, batch)
    torch.testing.assert_close(loss, error / variance.flatten(1).sum(1), rtol=0.02, atol=1e-3)
    nothing = losses(given(prior, Observation(mask(0 * observed), 0 * x0)), batch)
    torch.testing.assert_close(nothing, losses(prior, batch))


class _Smooth:
    """Gaussian pictures, grey axis only, with the covariance exp(-|distance| / 6) and unit-free variance 0.25."""

    def __init__(self, side: int) -> None:
        position = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
        distance = np.abs(position[:, None] - position[None]).sum(-1)
        self.covariance = torch.from_numpy(0.06 * np.exp(-distance / 6.0))
        self.side = side

    def draw(self, count: int, seed: int) -> Tensor:
        root = torch.linalg.cholesky(self.covariance)
        return (draw((count, self.side**2), seed).double() @ root.T).reshape(count, 1, self.side, self.side)

    def posterior_mean(self, y: Tensor, observed: Tensor) -> Tensor:
        known = observed.flatten() > 0
        weights = torch.linalg.solve(self.covariance[known][:, known], self.covariance[known])
        return (y.flatten(1)[:, known] @ weights).reshape(y.shape)


@pytest.mark.slow
def test_a_trained_network_finds_the_posterior_mean_of_gaussian_pictures(tmp_path: Path) -> None:
    """One evaluation at sigma_max comes much nearer to the exact conditional mean than what it starts from."""
    side, pictures = 8, _Smooth(8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, picture in enumerate(pictures.draw(2000, 0)):
        levels = ((picture[0] + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        Image.fromarray(levels).convert("RGB").save(folder / f"{index}.png")
    network = replace(SMALL, width=16, multipliers=(1, 2))
    config = TrainingConfig(
        FillConfig(network, VE(0.02, 10.0), ResidualPreconditioning(), (-1.0, 1.0), side),
        DataConfig(str(folder), scales=(1.0,), holdout_fraction=0),
        ConditionalLearner(observations=ObservationConfig(0.1, 0.9, 0, 0, 0, 0)),
        OptimizerConfig(learning_rate=3e-3, warmup=50, anneal="cosine"),
        batch_size=64,
        steps=700,
        precision="float32",
        validate_every=0,
        sample_every=0,
    )
    prior = train(config, tmp_path / "run").trained
    truth = pictures.draw(200, 1)
    observed = torch.ones(1, 1, side, side)
    observed[..., 2:6, 3:6] = 0
    exact = pictures.posterior_mean(truth, observed)
    operator = mask(observed)
    x0 = truth.float().expand(-1, 3, -1, -1)
    condition = given(prior, Observation(operator, operator(x0)))
    with torch.no_grad():
        estimate = condition.denoise(10 * draw(tuple(x0.shape), 5), 1.0).mean(1, keepdim=True)
    initial = rotated(condition.maps[0], condition.prior.preconditioning.basis.T).mean(1, keepdim=True)
    hole = observed[0, 0] == 0
    error = [(value - exact)[..., hole].square().mean().sqrt() for value in (estimate, initial)]
    assert error[0] < 0.65 * error[1]
