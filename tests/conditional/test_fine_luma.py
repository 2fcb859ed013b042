"""Luma known finer than the picture: its reading, windows and turns, training with it, and what colours gain."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.small_conditional import SMALL, random_prior
from torch import Tensor

from scoreinv import guidance
from scoreinv.conditional.initial_estimate import block_means
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.guidance import Conditioned, Observation
from scoreinv.models.config import FillConfig
from scoreinv.models.model_file import read_model, save
from scoreinv.operators import LinearOperator, gray
from scoreinv.operators.luma import luma
from scoreinv.operators.pixelwise import rotated
from scoreinv.prior import ScorePrior
from scoreinv.sdes import VE
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.tasks.colorize import colorize
from scoreinv.training.config import DataConfig, TrainingConfig
from scoreinv.training.data.pictures import Pictures
from scoreinv.training.learners import ConditionalLearner, ObservationConfig
from scoreinv.training.presets import conditional_training
from scoreinv.windows import Tiled
from scoreinv.windows.transforms import MIRRORED

READING = ResidualPreconditioning(luma_scale=2)
NETWORK = replace(SMALL, condition_channels=READING.condition_channels)
CONFIG = FillConfig(NETWORK, VE(0.01, 20.0), READING, (-1.0, 1.0), 16)


def prior() -> ScorePrior:
    return random_prior(CONFIG)


def picture(count: int = 1, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def given(fine: Tensor | None, x0: Tensor, operator: LinearOperator | None = None, **windows: Any) -> Conditioned:
    operator = gray("rec601", *x0.shape[-2:]) if operator is None else operator
    model = Tiled(prior(), **windows) if windows else prior()
    return guidance.given(model, Observation(operator, operator(x0), fine=fine))


def test_the_condition_has_the_details_and_their_strength() -> None:
    """What each of 2x2 pixels has beyond their mean, over its rms in 9x9 blocks, and the log of that rms."""
    fine = picture()
    condition, seen = given(fine, block_means(fine)), []
    condition.prior.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[2]))
    condition.noise(picture(1, 16, 16, 1), 0.5)
    gray = rotated(fine, READING.basis)[0, 0].double().numpy()
    blocks = np.stack([gray[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    detail = blocks - blocks.mean(0)
    strength = np.sqrt(ndimage.uniform_filter((detail**2).mean(0), 9, mode="nearest") + 3e-4)
    expected = np.concatenate([detail / strength, np.log(strength)[None] + 2.5])
    np.testing.assert_allclose(seen[0][0, 12:].numpy(), expected, atol=2e-5)


def test_grey_weights_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="rec601"):
        colorize(np.full((64, 64), 0.5), prior=prior(), method="conditioned", gray_weights="average")
    assert given(picture().double(), picture(1, 16, 16)).noise(picture(1, 16, 16), 0.5).dtype == torch.float32


def test_windows_and_turns_take_the_finer_luma_along() -> None:
    fine = picture(2, 48, 64)
    x0, x = block_means(fine), picture(2, 24, 32, 1)
    condition = given(fine, x0)
    seen: list[Tensor] = []
    condition.prior.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[2]))
    condition.noise(x, 0.5)
    Conditioned(Tiled(condition.prior, 16, 8), condition.observation, condition.maps).noise(x, 0.5)
    whole, first = seen[0], seen[1][:2]  # strengths are of 9x9 pixels, fewer at a window's border
    torch.testing.assert_close(first[:, 12:, 4:12, 4:12], whole[:, 12:, 4:12, 4:12])
    shared = given(fine[:1], x0)
    torch.testing.assert_close(shared.noise(x, 0.5)[:1], condition.noise(x, 0.5)[:1], atol=1e-5, rtol=1e-4)
    windows = {"tile": 32, "overlap": 0, "orientations": MIRRORED}
    mirrored, both = given(fine.flip(-1), x0.flip(-1), **windows), given(fine, x0, **windows)
    torch.testing.assert_close(mirrored.noise(x.flip(-1), 0.5), both.noise(x, 0.5).flip(-1), atol=1e-5, rtol=1e-4)


def test_pictures_that_are_too_small_are_not_enlarged() -> None:
    """Luma of 20 pixels for a model of 16 has no finer one: it is known exactly, and its texture is not invented."""
    gray, seen = np.random.default_rng(0).uniform(0.3, 0.7, (20, 20)).astype(np.float32), []
    model = prior()
    model.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[2]))
    colorize(gray, prior=model, estimate="mean")
    assert (seen[0][:, 12:] == 0).all()
    colorize(np.repeat(np.repeat(gray, 2, 0), 2, 1), prior=model, estimate="mean")
    assert (seen[-1][:, 12:] != 0).any()


@pytest.mark.parametrize("size", [(9, 7), (16, 16), (64, 64), (33, 70)])
def test_pictures_of_any_size_are_coloured(size: tuple[int, int]) -> None:
    gray = np.random.default_rng(0).uniform(0.2, 0.8, size).astype(np.float32)
    for asked in ({"estimate": "mean"}, {"steps": 2, "samples": 3}, {"steps": 2, "method": "pc"}):
        np.testing.assert_allclose(luma(colorize(gray, prior=prior(), **asked).image), gray, atol=1e-4)


def test_batches_hold_the_pictures_at_both_scales() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    config = _config(Path())
    source = config.source(Pictures(("one",), ((pixels,),)), 200, 0)
    batch = config.learner.draw(source, 0, range(200))
    assert batch.images.shape == batch.noise.shape == batch.observed.shape == (200, 3, 16, 16)
    shown = batch.fine.isfinite().flatten(1).all(1)
    assert batch.fine.shape == (200, 3, 32, 32)
    assert 1 <= (~shown).sum() <= 25  # 5 % of 200, within 5 standard deviations
    torch.testing.assert_close(block_means(batch.fine[shown]), batch.images[shown])
    losses = [config.learner.losses(prior(), some) for some in (batch, replace(batch, fine=None))]
    assert (losses[0] != losses[1])[shown & batch.observed[:, 0].flatten(1).any(1)].all()
    again = config.learner.draw(source, 0, range(3, 6))
    torch.testing.assert_close(again.images, batch.images[3:6])


def test_the_network_takes_as_many_channels_as_the_scale_needs(tmp_path: Path) -> None:
    assert [ResidualPreconditioning(luma_scale=scale).condition_channels for scale in (1, 2, 3)] == [12, 17, 22]
    with pytest.raises(CheckpointError, match="conditional"):
        replace(CONFIG, preconditioning=ResidualPreconditioning())
    for scale in (0, -1, 2.0, "2", True):
        with pytest.raises(CheckpointError, match="luma_scale"):
            replace(CONFIG, preconditioning=ResidualPreconditioning(luma_scale=scale))
    save(prior(), tmp_path / "model.safetensors")
    assert read_model(tmp_path / "model.safetensors").preconditioning == READING


def _config(folder: Path) -> TrainingConfig:
    config = conditional_training(VE(0.01, 20.0), DataConfig(source=str(folder), scales=(1.0,), holdout_fraction=0.2))
    observations = ObservationConfig(nothing=0.1, holes=0.1, gray=0.5, hints=0.1, damaged_gray=0.1, refined=0.1)
    learner = ConditionalLearner(focus=(-0.5, 2.0), observations=observations)
    return replace(config, model=CONFIG, learner=learner, batch_size=4, steps=3, validation_images=4, sample_every=0)
