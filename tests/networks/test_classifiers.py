"""The classifier of noisy pictures: it learns the exact class probabilities, is kept in files, and steers samples."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.gaussian import write_noise_pictures
from torch import nn

from scoreinv.guidance import ClassifierGuidance
from scoreinv.models.catalogue import load_classifier
from scoreinv.models.codec import encode
from scoreinv.models.config import ClassifierConfig, ModelConfig, decode_model
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE, VP, broadcast
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.tasks.generate import generate
from scoreinv.training.config import DataConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.learners import ClassifierLearner
from scoreinv.training.loop import train

DARK, BRIGHT, STD = 0.47, 0.53, 0.1
"""Means and deviation of the values of the two classes on [0, 1]."""

CONFIG = ClassifierConfig(
    WideResNetConfig(channels=1, classes=2, depth=10, width=1, dropout=0.0), VP(), ("bright", "dark"), image_size=8
)

PRIOR = ModelConfig(
    NCSNppConfig(channels=1, width=8, multipliers=(1,), blocks=1, attention_levels=(), progressive_input="none"),
    VP(),
    EDM(),
    image_size=8,
).build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("classes")
    for name, mean in (("bright", BRIGHT), ("dark", DARK)):
        write_noise_pictures(path / name, 100, 16, mean, STD)
    return path


def training(folder: Path, **changes: object) -> TrainingConfig:
    config = TrainingConfig(
        model=CONFIG,
        data=DataConfig(source=str(folder), scales=(1.0,), holdout_fraction=0.2),
        learner=ClassifierLearner(),
        optimizer=OptimizerConfig(learning_rate=5e-3, warmup=15, anneal="cosine"),
        batch_size=48,
        ema_decay=0.97,
        steps=200,
        validate_every=200,
        validation_images=512,
        sample_every=0,
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended."""
    out = tmp_path_factory.mktemp("run") / "out"
    train(training(folder), out)
    return out


def exact_logit(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """log p(bright | x_t) / p(dark | x_t) of values N(mean, STD^2) given by their class, on [-1, 1], (B,)."""
    sde = CONFIG.sde
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    variance = (alpha * 2 * STD).square() + sigma.square()
    gap, middle = alpha * 2 * (BRIGHT - DARK), alpha * (BRIGHT + DARK - 1)
    return ((x - broadcast(middle, x)).flatten(1).sum(1) * gap / variance).float()


@pytest.mark.slow
def test_it_learns_the_exact_probabilities(run: Path) -> None:
    classifier = load_classifier(run)
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(512) % 2
    means = torch.where(labels == 0, 2 * BRIGHT - 1, 2 * DARK - 1).reshape(-1, 1, 1, 1)
    x0 = means + 2 * STD * torch.randn(512, 1, 8, 8, generator=generator)
    t = torch.rand(512, generator=generator, dtype=torch.float64).clamp_min(1e-3)
    x = CONFIG.sde.perturb(x0, t, torch.randn(x0.shape, generator=generator))
    with torch.no_grad():
        logits = classifier(x, t)
    learned, exact = logits.softmax(1)[:, 0], exact_logit(x, t).sigmoid()
    assert (learned - exact).abs().mean() < 0.06
    # As good as the best that there is: its cross-entropy is the exact posterior's.
    chance = torch.stack([exact, 1 - exact], 1)[torch.arange(512), labels]
    cross_entropy = torch.nn.functional.cross_entropy(logits, labels)
    assert cross_entropy < -chance.log().mean() + 0.03
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracy = [line["accuracy"]["by_time"] for line in lines if "accuracy" in line][-1]
    assert accuracy[0] > 0.85
    assert accuracy[-1] < 0.65


def test_the_judge_looks_at_a_rotation_of_each_two_by_two_pixels() -> None:
    stem = ConvNetConfig().build().stem
    basis = stem.basis.flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(12))
    brightness = F.conv2d(torch.full((1, 3, 2, 2), 0.5), stem.basis).flatten()
    torch.testing.assert_close(brightness, torch.tensor([0.5 * 12**0.5] + 11 * [0.0]))
    x = torch.linspace(0.3, 9, 3)[:, None, None] * torch.randn(
        64, 3, 16, 16, generator=torch.Generator().manual_seed(5)
    )
    white = stem.train().norm(F.conv2d(x, stem.basis))
    torch.testing.assert_close(white.std((0, 2, 3)), torch.ones(12), atol=1e-2, rtol=0)


def test_the_guidance_that_is_recommended_with_it() -> None:
    strong = replace(CONFIG, guidance=4.0)
    assert decode_model(encode(strong)) == strong
    torch.manual_seed(0)
    mild, guide = CONFIG.build(), strong.build()
    guide.network.load_state_dict(mild.network.state_dict())

    def drawn(classifier: NoiseClassifier, **options: float) -> np.ndarray:
        return generate(PRIOR, 1, steps=4, classifier=classifier, label=0, **options).images

    np.testing.assert_array_equal(drawn(guide), drawn(mild, guidance=4.0))
    np.testing.assert_array_equal(drawn(guide, guidance=1.0), drawn(mild))
    assert (drawn(guide) != drawn(mild)).any()


def test_the_data_must_have_its_classes(folder: Path, tmp_path: Path) -> None:
    other = replace(CONFIG, classes=("bright", "grey"))
    with pytest.raises(InputError, match="its folders are bright, dark"):
        train(training(folder, model=other), tmp_path / "run")
    with pytest.raises(CheckpointError, match="but 3 names"):
        replace(CONFIG, classes=("a", "b", "c"))


class _Seen(nn.Module):
    """A network that says what it was given: the logits are the first two values of its input, then the level."""

    noise_conditional = True

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.flatten(1)[:, :2], level.to(x)[:, None]], 1)


@pytest.mark.parametrize("sde", [VE(0.01, 10.0), VP()], ids=["VE", "VP"])
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_the_network_sees_the_picture_at_its_own_scale(sde: VE | VP, data_range: tuple[float, float]) -> None:
    """F((x / alpha) / sqrt(s^2 + 1/4), s) / sqrt(1 + (s / 5)^2), of pictures centred on [-1, 1]."""
    classifier = NoiseClassifier(_Seen(), sde, data_range, 8, ("a", "b", "c"))
    low, high = data_range
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.01, 0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    level = sde.sigma(t) / sde.alpha(t) * 2 / (high - low)
    picture = 2 * (x / sde.alpha(t)[:, None, None, None] - low) / (high - low) - 1
    expected = torch.cat([picture.flatten(1)[:, :2] / (level**2 + 0.25).sqrt()[:, None], level[:, None]], 1)
    torch.testing.assert_close(classifier(x, t), expected / (1 + (level / 5) ** 2).sqrt()[:, None])


def test_what_cannot_guide() -> None:
    judge = replace(CONFIG, network=ConvNetConfig(channels=1, classes=2, widths=(16,))).build()
    other = replace(CONFIG, sde=VE()).build()
    for classifier, said in ((judge, "it can evaluate, not guide"), (other, "another SDE")):
        with pytest.raises(InputError, match=said):
            generate(PRIOR, 1, classifier=classifier, label=1)
    for label in (2, -1):
        with pytest.raises(InputError, match="labels are numbers from 0 to 1"):
            ClassifierGuidance(PRIOR, CONFIG.build().eval(), label).noise(torch.zeros(2, 1, 8, 8), 0.5)
    guided = ClassifierGuidance(PRIOR, CONFIG.build().eval(), torch.tensor([0, 1, 0]))
    with pytest.raises(InputError, match="3 labels for"):
        guided.noise(torch.zeros(2, 1, 8, 8), 0.5)
