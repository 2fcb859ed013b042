"""Priors that are shown what a picture shows: their network, their files, training, and colours drawn by them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from support.mixture import gaussian
from support.small_chroma import chroma_prior
from support.small_conditional import SMALL, conditional_prior, random_prior
from torch import Tensor, nn

from scoreinv import guidance
from scoreinv.conditional.colour import ColourPrior, check_references, trained_task, view_gray
from scoreinv.conditional.prior import known_gray_weights
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.guidance import Conditioned, Observation
from scoreinv.models.config import ColourConfig
from scoreinv.networks.encoder import FEATURES
from scoreinv.operators import ObservedComponents, gray
from scoreinv.operators.luma import luma
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError
from scoreinv.tasks.colorize import colorize
from scoreinv.training.config import DataConfig, TrainingConfig
from scoreinv.training.data.pictures import load_pictures
from scoreinv.training.data.prints import on_old_print
from scoreinv.training.learners import ConditionalLearner, NoisyBatch, ObservationConfig, ObservedBatch, luma_features
from scoreinv.training.presets import conditional_training
from scoreinv.windows import Tiled
from scoreinv.windows.transforms import crops

SHOWN = replace(SMALL, multipliers=(1, 1, 1), condition_channels=17, feature_channels=FEATURES)
CONFIG = ColourConfig(SHOWN, VE(0.01, 20.0), ResidualPreconditioning(luma_scale=2), image_size=16, encoder_scale=4)


@pytest.fixture(scope="module")
def prior() -> ColourPrior:
    return random_prior(CONFIG)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        path = tmp_path / "data" / ("few" if number < 4 else "many") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((90, 80), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "data"


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gray_picture(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def given(prior: ColourPrior, height: int, width: int, luma: Tensor | None = None) -> Conditioned:
    operator = gray("rec601", height, width)
    features = None if luma is None else prior.gray_features(luma)
    return guidance.given(prior, Observation(operator, operator(draw(1, 3, height, width, seed=1)), features=features))


def training(folder: Path) -> TrainingConfig:
    data = DataConfig(str(folder), mode="zooms", holdout_fraction=0.2)
    observations = ObservationConfig(0.1, 0.0, 0.6, 0.2, 0.1, 0.0, other_films=0.5)
    config = conditional_training(VE(0.01, 20.0), data)
    settings = {"batch_size": 4, "steps": 3, "validation_images": 4, "sample_every": 0}
    learner = ConditionalLearner(focus=(-0.5, 2.0), observations=observations)
    return replace(config, model=CONFIG, learner=learner, **settings)


def test_the_network_is_told_what_the_picture_shows(prior: ColourPrior) -> None:
    x = draw(1, 3, 16, 16)
    one, other, none = (
        given(prior, 16, 16, shown).noise(x, 0.5)
        for shown in (gray_picture(64, 64), gray_picture(64, 64, seed=1), None)
    )
    assert not torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(one, none, atol=1e-3)
    nothing = given(prior, 16, 16, gray_picture(64, 64))
    nothing.maps = (*nothing.maps[:3], *map(torch.zeros_like, nothing.maps[3:]))
    torch.testing.assert_close(nothing.noise(x, 0.5), none)


def test_windows_see_their_part_of_it(prior: ColourPrior) -> None:
    """Each row of a batch is a window of one sample, with its part of each map, also of those that samples share."""
    whole, boxes = given(prior, 16, 32, gray_picture(64, 128)), [(0, 0, 16, 16), (0, 16, 16, 16)]
    parts = [crops(values, boxes, 2, (16, 32)) for values in whole.maps]
    assert [part.shape for part in parts[2:]] == [
        (4, 1, 32, 32),
        (4, FEATURES[0], 8, 8),
        (4, FEATURES[1], 4, 4),
        (4, 320, 2, 2),
    ]
    for part, all_of_it in zip(parts, whole.maps, strict=True):
        halves = all_of_it.chunk(2, dim=3)
        for row in range(4):
            torch.testing.assert_close(part[row], halves[row // 2][0], equal_nan=True)
    x = draw(2, 3, 16, 32)
    found = tiled(whole, 16, 8).noise(x, 0.5)
    windows = prior.noise(crops(x, boxes, 2, (16, 32)), 0.5, *parts)
    torch.testing.assert_close(found[:, :, :, :8], windows[:2, :, :, :8])


def tiled(condition: Conditioned, tile: int, overlap: int, **settings: Any) -> Conditioned:
    return Conditioned(Tiled(condition.prior, tile, overlap, **settings), condition.observation, condition.maps)


def test_pictures_without_their_whole_luma_are_not_looked_at(prior: ColourPrior) -> None:
    x0, z, t = draw(2, 3, 16, 16).clamp(-1, 1), draw(2, 3, 16, 16, seed=1), torch.full((2,), 0.5, dtype=torch.float64)
    losses, batch = ConditionalLearner().relative_losses, NoisyBatch(x0, t, z)
    observed = torch.zeros(2, 3, 16, 16, dtype=torch.bool)
    observed[:, 0] = True
    observed[1, 0, 3, 4] = False
    operator = ObservedComponents(observed, prior.preconditioning.basis)
    y = operator(x0)
    pictures = [gray_picture(64, 64, seed).expand(2, -1, -1, -1) for seed in (0, 1)]
    shown = [luma_features(prior, observed, picture) for picture in pictures]
    first, second = (
        losses(guidance.given(prior, Observation(operator, y, features=features)), batch) for features in shown
    )
    unseen = losses(guidance.given(prior, Observation(operator, y)), batch)
    assert abs(first[0] - second[0]) > 1e-4
    torch.testing.assert_close(first[1], second[1])
    torch.testing.assert_close(first[1], unseen[1])
    none = luma_features(prior, torch.zeros_like(observed), pictures[0])
    assert [tuple(value.shape[1:]) for value in none] == [tuple(value.shape[1:]) for value in shown[0]]
    assert not any(value.any() for value in none)


def test_layers_of_the_features_have_a_gradient_in_each_step(prior: ColourPrior) -> None:
    """Also where no picture shows its whole luma: processes that train together wait for each other's."""
    x0, z, t = draw(2, 3, 16, 16).clamp(-1, 1), draw(2, 3, 16, 16, seed=1), torch.full((2,), 0.5, dtype=torch.float64)
    batch = ObservedBatch(x0, t, z, torch.zeros(2, 3, 16, 16, dtype=torch.bool), torch.zeros(2) > 0)
    batch = replace(batch, encoder_luma=gray_picture(64, 64).expand(2, -1, -1, -1))
    prior.zero_grad()
    ConditionalLearner().losses(prior, batch).sum().backward()
    lacking = [name for name, value in prior.network.named_parameters() if value.requires_grad and value.grad is None]
    assert not lacking
    prior.zero_grad()


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_scale": 0},
        {"network": replace(SHOWN, feature_channels=())},
        {"network": replace(SHOWN, feature_channels=(40, 112))},
        {"encoder_scale": 3},
    ],
)
def test_network_and_encoder_belong_together(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"encoder|feature"):
        replace(CONFIG, **change)


@pytest.mark.parametrize("full", [(64, 96), (31, 48), (32, 47)])
def test_a_grey_picture_is_viewed_at_the_sizes_that_the_prior_takes(prior: ColourPrior, full) -> None:
    """Twice the size for the finer luma, if the picture has it; four times for the encoder, in multiples of 32."""
    asked = []

    def luma_at(height: int, width: int) -> np.ndarray:
        asked.append((height, width))
        return np.random.default_rng(height).random((height, width), np.float32)

    seen = view_gray(prior, luma_at, full, (16, 24))
    finer = full == (64, 96)
    assert asked == [(32, 48) if finer else (16, 24), (64, 96)]
    if finer:
        np.testing.assert_allclose(seen.luma, seen.fine.reshape(16, 2, 24, 2).mean((1, 3)), rtol=1e-6)
        assert np.array_equal(seen.fine, luma_at(32, 48))
    else:
        assert seen.fine is None
        assert np.array_equal(seen.luma, luma_at(16, 24))
    assert np.array_equal(seen.encoder_luma[0, 0].numpy(), luma_at(64, 96))
    for found, expected in zip(seen.features, prior.gray_features(seen.encoder_luma), strict=True):
        assert torch.equal(found, expected)
    plain = view_gray(gaussian(VE()), luma_at, full, (16, 24))
    assert (plain.fine, plain.features, plain.encoder_luma) == (None, None, None)


def test_the_uses_of_a_model(prior: ColourPrior) -> None:
    fill, plain = conditional_prior(), gaussian(VE())
    assert [trained_task(model) for model in (prior, fill, plain)] == ["colour", "fill", None]
    assert [known_gray_weights(model) for model in (prior, plain)] == ["rec601", None]
    chroma = chroma_prior()
    assert check_references(chroma) is chroma
    for model in (prior, fill, plain):
        with pytest.raises(InputError, match="no support for reference photos"):
            check_references(model)


def test_the_encoder_is_run_once_a_picture(prior: ColourPrior) -> None:
    calls = []
    hook = prior.encoder.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
    colorize(gray_picture(48, 70)[0, 0].numpy(), prior=prior, steps=3, samples=2)
    hook.remove()
    assert calls == [(1, 3, 64, 96)]


def test_batches_have_the_luma_that_the_encoder_is_shown(photographs: Path) -> None:
    config = training(photographs)
    pictures = load_pictures(config.data, config.drawn_side, 3)
    source = config.source(pictures, 16, 0)

    def drawn(**shares: float) -> ObservedBatch:
        learner = replace(config.learner, observations=ObservationConfig(0.1, 0.0, 0.6, 0.2, 0.1, 0.0, **shares))
        return learner.draw(source, 0, range(16))

    other, same, printed, coloured = drawn(other_films=0.5), drawn(), drawn(old_prints=0.5), drawn(colour_films=0.5)
    for batch in (other, same, printed):
        assert batch.images.shape == (16, 3, 16, 16)
        assert batch.fine.shape == (16, 3, 32, 32)
        assert batch.encoder_luma.shape == (16, 1, 64, 64)
        rgb = (batch.images + 1) / 2
        shown = nn.functional.avg_pool2d(batch.encoder_luma, 4)[:, 0]
        torch.testing.assert_close(luma_of(rgb), shown)
    for changed in (other, printed):
        differ = (changed.images - same.images).abs().amax((1, 2, 3)) > 1e-3
        assert 2 < differ.sum() < 14
        assert not differ[~same.observed[:, 0].flatten(1).any(1)].any()
    assert 2 < ((coloured.images - same.images).abs().amax((1, 2, 3)) > 1e-3).sum() < 14
    torch.testing.assert_close(coloured.encoder_luma, same.encoder_luma)


def luma_of(rgb: Tensor) -> Tensor:
    return torch.from_numpy(luma(rgb.permute(0, 2, 3, 1).numpy()))


def test_an_old_print_has_other_tones_and_the_tint_of_the_picture_within_its_grey_edge() -> None:
    rgb = np.full((64, 64, 3), (0.6, 0.5, 0.4), np.float32)
    chroma = rgb[0, 0] - luma(rgb[0, 0])
    edges, lumas = [], []
    for seed in range(40):
        found = on_old_print(rgb, "rec601", np.random.default_rng(seed))
        after = found - luma(found)[..., None]
        factor = (after * chroma).sum(-1) / (chroma**2).sum()
        assert factor[24:40, 24:40].mean() == pytest.approx(1, abs=0.15)  # but for what is clipped, and JPEG
        edges.append((np.abs(ndimage.uniform_filter(factor, 5)) < 0.1).any())
        lumas.append(luma(found)[24:40, 24:40].mean())
    assert np.std(lumas) > 0.05
    assert 8 < sum(edges) < 32
