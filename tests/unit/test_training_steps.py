"""Steps of a run against a loop written by hand: the optimiser, the clipping, the dropout and the moving average."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from gaussian import standard_normal, write_noise_pictures
from safetensors.torch import load_file
from small_runs import TINY
from torch import Tensor, nn

from scoreinv.models.config import ModelConfig
from scoreinv.networks.classifiers import WideResNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig, ResidualBlock
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE
from scoreinv.training.batches import DROPOUT, BatchSource, stream
from scoreinv.training.config import DataConfig, ObjectiveConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.loop import train
from scoreinv.training.losses import ScoreLearner
from scoreinv.training.pictures import load_pictures

STEPS = 3


def _config(folder: Path) -> TrainingConfig:
    """Every number differs from its default, and matters: rates that rise, gradients that are clipped, a large epsilon.

    Adam divides by the gradient's size; where that is small rounding decides, and the epsilon keeps it small.
    """
    return TrainingConfig(
        model=ModelConfig(replace(TINY, dropout=0.4), VE(0.01, 10.0), EDM(), (-1.0, 1.0), 8),
        data=DataConfig(str(folder), scales=(1.0,), holdout_fraction=0.0),
        objective=ObjectiveConfig(weighting="uniform", reduction="sum"),
        optimizer=OptimizerConfig(
            learning_rate=0.02,
            beta1=0.6,
            beta2=0.8,
            epsilon=0.01,
            warmup=2,
            clip=0.7,
            weight_decay=0.3,
            anneal="cosine",
        ),
        batch_size=4,
        ema_decay=0.25,
        steps=STEPS,
        seed=5,
        precision="float32",
        sample_every=0,
        snapshot_every=0,
    )


@dataclass
class _Walk:
    """What a loop leaves: the weights, their average, and the gradient's norm before clipping at each step."""

    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    norms: list[float]


def _by_hand(config: TrainingConfig) -> _Walk:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) on clipped gradients, and the average of the weights."""
    options = config.optimizer
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        prior = config.model.build()
    # Dropout draws its masks in the order of memory, so the layout must be the run's.
    prior.network.to(memory_format=torch.channels_last).train()
    pictures = load_pictures(config.data, 8, 1)
    source = BatchSource(config, pictures, config.batch_size, config.seed)
    values = dict(prior.network.named_parameters())
    first = {name: torch.zeros_like(value) for name, value in values.items()}
    second = {name: torch.zeros_like(value) for name, value in values.items()}
    average: dict[str, Tensor] = {}
    norms = []
    for step in range(config.steps):
        batch = source.batch(step)
        with torch.random.fork_rng([]):
            torch.manual_seed(int(stream(config.seed, DROPOUT, step).integers(2**63)))
            loss = ScoreLearner(config).losses(prior, batch).mean()
        gradients = dict(zip(values, torch.autograd.grad(loss, list(values.values())), strict=True))
        norms.append(math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values())))
        share = min(1.0, options.clip / norms[-1])
        rate = options.learning_rate * min(1, (step + 1) / options.warmup)
        rate *= (1 + math.cos(math.pi * step / config.steps)) / 2
        decay = min(config.ema_decay, (2 + step) / (11 + step)) if step else 0.0
        with torch.no_grad():
            for name, value in values.items():
                gradient = share * gradients[name]
                first[name] = options.beta1 * first[name] + (1 - options.beta1) * gradient
                second[name] = options.beta2 * second[name] + (1 - options.beta2) * gradient**2
                mean = first[name] / (1 - options.beta1 ** (step + 1))
                size = (second[name] / (1 - options.beta2 ** (step + 1))).sqrt()
                value.mul_(1 - rate * options.weight_decay).sub_(rate * mean / (size + options.epsilon))
                average[name] = decay * average.get(name, value) + (1 - decay) * value
    return _Walk({name: value.detach() for name, value in values.items()}, average, norms)


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    write_noise_pictures(tmp_path / "data", 6, 8, 0.6, 0.1)
    return _config(tmp_path / "data")


def _trained(config: TrainingConfig, out: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and averaged weights of a run."""
    train(config, out)
    state = load_file(out / f"state/{config.steps:09d}.safetensors")
    parts = ("network.", "average.")
    return tuple({k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in parts)


def test_three_steps_are_those_of_a_loop_written_by_hand(config: TrainingConfig, tmp_path: Path) -> None:
    start = {name: value.clone() for name, value in _start(config).named_parameters()}
    expected = _by_hand(config)
    assert min(expected.norms) > config.optimizer.clip  # or the clipping would not be seen
    weights, average = _trained(config, tmp_path / "out")
    for name, value in expected.weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
        torch.testing.assert_close(average[name], expected.average[name], rtol=1e-3, atol=1e-5)
    moved = max(float((weights[name] - value.detach()).abs().max()) for name, value in start.items())
    assert moved > 1e-2  # a thousand times the tolerance


def _start(config: TrainingConfig) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        return config.model.build().network


def test_gradients_are_not_clipped_where_no_norm_is_given(config: TrainingConfig, tmp_path: Path) -> None:
    config = replace(config, steps=1, optimizer=replace(config.optimizer, clip=0.0))
    unclipped = replace(config, optimizer=replace(config.optimizer, clip=1e9))
    weights, _ = _trained(config, tmp_path / "out")
    for name, value in _by_hand(unclipped).weights.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def _blocks(dropout: float) -> list[nn.Module]:
    """A residual block of each network, of 16 features in and out."""
    plus = ResidualBlock(16, 16, NCSNppConfig(width=16, dropout=dropout))
    wide = WideResNetConfig(classes=2, depth=10, width=1, dropout=dropout).build().blocks[0]
    return [plus, wide]


@pytest.mark.parametrize("index", [0, 1], ids=["NCSN++", "wide residual network"])
def test_a_block_in_training_drops_features_at_its_rate(index: int) -> None:
    block = _blocks(0.3)[index].train()
    block.conv_out = nn.Identity()  # what it is given is the block's output but for the shortcut
    x, embedding = standard_normal((4, 16, 16, 16), 1), standard_normal((4, block.embed.in_features), 2)
    given: list[Tensor] = []
    block.conv_out.register_forward_pre_hook(lambda module, arguments: given.append(arguments[0]))
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.manual_seed(0)
        block(x, embedding)
        block.eval()(x, embedding)
    dropped, whole = given
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.7)
    count = kept.numel()
    assert abs(float(kept.sum()) - 0.7 * count) < 5 * (0.3 * 0.7 * count) ** 0.5
