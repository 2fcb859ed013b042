"""The network of the mean chroma: what it computes, the estimate that starts from it, its file, its training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.small_chroma import CONFIG, chroma_prior
from torch import Tensor, nn

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.guidance import Observation, given
from scoreinv.models.catalogue import describe
from scoreinv.models.codec import decode, encode
from scoreinv.models.config import ColourConfig
from scoreinv.models.model_file import read_metadata, read_model, save
from scoreinv.networks.chroma import TUNED_STAGES
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.sdes import VE
from scoreinv.system.errors import CheckpointError
from scoreinv.training.config import DataConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.learners import ChromaLearner, ObservationConfig, ObservedBatch
from scoreinv.training.presets import conditional_training
from scoreinv.training.run import initial_model

AXES = ResidualPreconditioning()


@pytest.fixture(scope="module")
def prior() -> ColourPrior:
    return chroma_prior()


def luma(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


GRAY = ObservationConfig(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


def training(folder: Path, steps: int = 3) -> TrainingConfig:
    return replace(
        conditional_training(VE(0.01, 20.0), DataConfig(str(folder), mode="zooms", holdout_fraction=0.2)),
        model=CONFIG,
        learner=ChromaLearner(focus=(-0.5, 2.0), observations=GRAY),
        optimizer=OptimizerConfig(1e-3, warmup=5, anneal="constant"),
        batch_size=4,
        steps=steps,
        validation_images=4,
        sample_every=0,
        precision="float32",
    )


def test_gradients_reach_the_decoder_and_the_last_stages_only() -> None:
    network = chroma_prior().chroma
    network.train_last_stages()
    network(luma(32, 32))[0].square().sum().backward()
    trained = {name for name, value in network.named_parameters() if value.grad is not None}
    stages = {int(name.split(".")[2]) for name in trained if name.startswith("encoder.stages.")}
    assert stages == set(range(7 - TUNED_STAGES, 7))
    assert not any(name.startswith("encoder.stem") for name in trained)
    assert {"conv_out.weight", "coarse_in.weight", "middle.1.query.weight"} <= trained


def seen(pictures: Tensor, observed: Tensor, features: tuple[Tensor, ...] | None = None) -> Observation:
    operator = ObservedComponents(observed, AXES.basis)
    return Observation(operator, operator(pictures), features=features)


def test_the_initial_estimate_starts_from_the_expected_chroma_and_bends_it_to_what_is_known(
    prior: ColourPrior,
) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(1, 3, 16, 16, generator=generator) * 2 - 1
    expected = torch.randn(1, 2, 2, 2, generator=generator) * 0.2
    at_size = nn.functional.interpolate(expected, size=(16, 16), mode="bilinear", align_corners=False)
    observed = torch.zeros(1, 3, 16, 16)
    observed[:, 0] = 1
    found = given(prior, seen(pictures, observed, (expected,)))
    truth = rotated(pictures, AXES.basis)
    torch.testing.assert_close(found.maps[0][:, :1], truth[:, :1])
    centred_mean = rotated(found.maps[0], AXES.basis.T)
    torch.testing.assert_close(AXES.chroma_beyond_gray(centred_mean), at_size, atol=1e-6, rtol=1e-5)

    observed[:, 1:, 3:5, 6:9] = 1  # a hint: the estimate is it there, and elsewhere what its deviation smoothly leaves
    hinted = given(prior, seen(pictures, observed, (expected,)))
    torch.testing.assert_close(hinted.maps[0][:, 1:, 3:5, 6:9], truth[:, 1:, 3:5, 6:9])
    deviation = AXES.chroma_beyond_gray(pictures) - at_size
    known = observed[:, 1:] * observed[:, :1]
    smooth = smooth_estimate(deviation, known, torch.tensor(AXES.details[1:]))
    beyond = AXES.chroma_beyond_gray(rotated(hinted.maps[0], AXES.basis.T))
    torch.testing.assert_close(beyond, at_size + smooth.mean, atol=1e-5, rtol=1e-4)


def test_a_file_has_both_networks(prior: ColourPrior, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(prior, path)
    again = read_model(path)
    assert read_metadata(path)[0] == CONFIG
    weights = [value for part in prior.parts().values() for value in part.parameters()]
    assert describe(str(path))["parameters"] == sum(value.numel() for value in weights)
    for value, expected in zip(again.gray_features(luma(64, 64)), prior.gray_features(luma(64, 64)), strict=True):
        torch.testing.assert_close(value, expected)
    without = replace(CONFIG, chroma=False).build()
    save(without, tmp_path / "without.safetensors")
    assert (tmp_path / "without.safetensors").stat().st_size < path.stat().st_size / 10
    described = encode(replace(CONFIG, chroma=False))
    del described["chroma"]  # as files of before have it
    assert decode(ColourConfig, described) == replace(CONFIG, chroma=False)


def test_a_file_that_lacks_it_is_refused(prior: ColourPrior, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    without = chroma_prior()
    without.parts = lambda: {"": without.network}
    save(without, path)
    with pytest.raises(CheckpointError, match=r"lacks the tensor chroma\."):
        read_model(path)


def test_chroma_needs_whole_maps_of_the_encoder() -> None:
    with pytest.raises(CheckpointError, match="multiple of 32"):
        replace(CONFIG, image_size=CONFIG.image_size + 4)


def test_the_loss_is_the_error_over_that_of_grey(tmp_path: Path) -> None:
    """A vivid picture whose colours are half right counts no more than a pale one; of a grey one any colour counts."""
    learner, prior = ChromaLearner(), initial_model(training(tmp_path), chroma_prior())
    strength = torch.tensor([0.0, 0.2, 1.0])[:, None, None, None]
    images = strength * torch.tensor([0.9, -0.5, 0.3])[:, None, None].expand(-1, 16, 16)
    empty = torch.empty(0)
    batch = ObservedBatch(images, *4 * [empty], encoder_luma=luma(64, 64).expand(3, -1, -1, -1))
    truth = AXES.chroma_beyond_gray(images)
    energy = truth.square().mean((1, 2, 3)) / AXES.chroma_variance
    assert 0.2 < energy[1] < 0.3 < 5 < energy[2]
    nn.init.zeros_(learner.network(prior).conv_out.weight)
    nn.init.zeros_(learner.network(prior).conv_out.bias)
    ignorant = energy / (energy + 0.15)
    torch.testing.assert_close(learner.losses(prior, batch), ignorant)
    assert learner.baseline_loss(prior, batch) == pytest.approx(ignorant.mean().item())
    half = truth.mean((2, 3)) / 2
    for row, share in ((1, 0.25), (2, 0.25)):
        learner.network(prior).conv_out.bias.data.copy_(half[row])
        assert learner.losses(prior, batch)[row].item() == pytest.approx(share * ignorant[row].item(), rel=1e-3)
    assert learner.losses(prior, batch)[0].item() == pytest.approx(0.25 * energy[2].item() / 0.15, rel=1e-3)
