"""Moving average, learning rates, configuration: the small parts of training."""

from __future__ import annotations

import copy
import errno
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scoreinv.errors import InputError
from scoreinv.models.published import PUBLISHED
from scoreinv.sdes import VP
from scoreinv.training.config import DataConfig, ObjectiveConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.distributed import World
from scoreinv.training.ema import update_average
from scoreinv.training.metrics import JsonLines
from scoreinv.training.presets import paper_training, small_training
from scoreinv.training.schedule import learning_rate
from scoreinv.training.state import TrainingState


def test_average_warms_up_and_holds_buffers() -> None:
    network = nn.BatchNorm1d(1, dtype=torch.float64)
    del network.num_batches_tracked
    average = copy.deepcopy(network)
    values, expected = [3.0, -1.0, 2.0, 5.0, 7.0], None
    for n, value in enumerate(values, start=1):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data.fill_(value)
        update_average(average, network, n, 0.4)
        decay = min(0.4, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        for tensor in (*average.parameters(), *average.buffers()):
            assert tensor.item() == pytest.approx(expected, rel=1e-12)


def test_learning_rate_warms_up_and_anneals() -> None:
    options = OptimizerConfig(learning_rate=0.1, warmup=4)
    rates = [learning_rate(options, step, step / 10) for step in range(10)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, *[0.1] * 7])
    cosine = replace(options, warmup=0, anneal="cosine")
    assert [learning_rate(cosine, 0, f) for f in (0, 0.5, 1)] == pytest.approx([0.1, 0.05, 0], abs=1e-12)


def test_metrics_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.append({"step": step})
    with log.path.open("a") as file:
        file.write('{"ste')
    log.keep_until(2)
    log.append({"step": 3, "again": True})
    with log.path.open("a") as file:
        file.write('{"ste')
    log.keep_until(sys.maxsize)  # as a run does with its schedule when it is resumed
    log.append({"step": 4})
    assert log.read() == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}, {"step": 4}]


def test_damaged_metrics_are_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a line holds, those before and after it stay."""
    log = JsonLines(tmp_path / "metrics.jsonl")
    damage = [b"\xff\xfe\x00", b"[1, 2]", b'{"loss": 3}', b'{"step": "4"}', b"[" * 100_000, b"null"]
    whole = [b'{"step": %d}' % step for step in range(len(damage) + 1)]
    lines = [line for pair in zip(whole, damage, strict=False) for line in pair]
    log.path.write_bytes(b"\n".join([*lines, whole[-1], b'{"ste']))
    assert [line["step"] for line in log.read()] == list(range(7))
    log.keep_until(5)
    assert log.path.read_text() == "".join(f'{{"step": {step}}}\n' for step in range(6))
    assert "6 damaged lines are dropped" in caplog.text


def test_a_line_after_one_that_a_full_disk_cut_short_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = JsonLines(tmp_path / "metrics.jsonl")
    log.append({"step": 1})

    def full(self: Path, mode: str) -> None:
        with open(self, "a") as file:  # noqa: PTH123 - Path.open is this function
            file.write('{"st')
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "open", full)
        log.append({"step": 2})
    log.append({"step": 3})
    assert log.read() == [{"step": 1}, {"step": 3}]


def test_metrics_that_cannot_be_written_are_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = JsonLines(tmp_path / "absent" / "metrics.jsonl")
    log.append({"step": 1})
    log.append({"step": 2})
    assert caplog.text.count("lines are lost") == 1


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_make_a_whole_configuration(name: str) -> None:
    config = paper_training(name, DataConfig("pictures", mode="resize"))
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (config.objective.times == "continuous") == ("continuous" in name)
    rate = 2e-5 if name in ("vp/bedroom_ddpm", "vp/church_ddpm", "vp/celebahq_ddpm") else 2e-4
    assert config.optimizer == OptimizerConfig(rate, 0.9, 0.999, 1e-8, warmup=5000, clip=1.0)


@pytest.mark.parametrize(
    ("name", "reduction", "ema_decay", "batch_size", "steps"),
    [
        ("ve/cifar10_ncsnpp", "sum", 0.999, 128, 1_300_001),
        ("ve/cifar10_ncsnpp_deep_continuous", "sum", 0.999, 128, 950_001),
        ("ve/church_ncsnpp_continuous", "sum", 0.999, 64, 2_400_001),
        ("ve/ffhq_ncsnpp_continuous", "mean", 0.9999, 8, 2_400_001),
        ("vp/cifar10_ddpm", "mean", 0.9999, 128, 1_300_001),
        ("subvp/cifar10_ddpmpp_deep_continuous", "mean", 0.9999, 128, 950_001),
    ],
)
def test_published_models_are_trained_as_in_the_paper(
    name: str, reduction: str, ema_decay: float, batch_size: int, steps: int
) -> None:
    """Reference: configs/default_*.py and those of the models; one uniform time a picture, weight 1."""
    config = paper_training(name)
    assert (config.objective.reduction, config.ema_decay) == (reduction, ema_decay)
    assert (config.batch_size, config.steps) == (batch_size, steps)
    assert (config.objective.weighting, config.objective.stratified, config.objective.focus) == ("paper", False, None)
    assert (config.data.mode, config.data.flip, config.data.dequantise) == ("resize", True, False)
    assert config.data.holdout_fraction == 0


@pytest.mark.parametrize("name", ["ve/ncsn/cifar10", "ve/ncsnv2/bedroom"])
def test_configurations_of_earlier_networks_are_told_apart_from_unknown_ones(name: str) -> None:
    with pytest.raises(InputError, match="no weights of them were published"):
        paper_training(name)


def test_parts_left_out_of_a_configuration_are_defaults() -> None:
    data = small_training(VP(), DataConfig()).to_dict()
    config = TrainingConfig.from_dict({"model": data["model"], "steps": 5, "objective": {"reduction": "sum"}})
    assert config.objective == ObjectiveConfig(reduction="sum")
    assert config.data == DataConfig()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model"),
        ({"speed": 9}, "speed"),
        ({"steps": None}, "steps or minutes"),
        ({"batch_size": 0}, "batch_size"),
        ({"optimizer": {"rate": 1}}, "rate"),
        ({"objective": {"weighting": "best"}}, "weighting"),
        ({"data": {"scales": [2.0]}}, "scales"),
        ({"data": {"source": ""}}, "data.source is empty"),
        ({"data": {"shares": [["a", 0.5], ["a", 2.0]]}}, "names a folder twice"),
        ({"data": {"memory_gb": float("nan")}}, "memory_gb"),
        ({"data": {"shift": 10**9}}, "shift"),
        ({"data": {"detail_candidates": 10**9}}, "detail_candidates"),
        ({"optimizer": {"learning_rate": float("inf")}}, "learning_rate"),
        ({"optimizer": {"learning_rate": float("nan")}}, "learning_rate"),
        ({"optimizer": {"beta1": 1.0}}, "beta1"),
        ({"optimizer": {"beta2": -0.1}}, "beta2"),
        ({"optimizer": {"epsilon": 0.0}}, "epsilon"),
        ({"optimizer": {"warmup": -1}}, "warmup"),
        ({"optimizer": {"clip": float("nan")}}, "clip"),
        ({"optimizer": {"weight_decay": float("inf")}}, "weight_decay"),
        ({"objective": {"sigma_data": 0.0}}, "sigma_data"),
        ({"objective": {"focus": [0.0, -1.0]}}, "focus"),
        ({"objective": {"focus": [float("nan"), 1.0]}}, "focus"),
        ({"steps": 10**9}, "steps must be from 1 to 999,999,999"),
        ({"minutes": float("nan")}, "minutes"),
        ({"batch_size": 10**12}, "batch_size"),
        ({"seed": 2**63}, "seed"),
        ({"log_every": -1}, "log_every"),
        ({"validation_images": 10**12}, "validation_images"),
        ({"samples": 10**6}, "samples"),
        ({"save_minutes": float("nan")}, "save_minutes"),
    ],
)
def test_bad_configurations_name_the_entry(change: dict, message: str) -> None:
    data = small_training(VP(), DataConfig()).to_dict() | change
    if data["model"] is None:
        del data["model"]
    with pytest.raises(InputError, match=message):
        TrainingConfig.from_dict(data)


def test_a_batch_is_shared_out_evenly_or_not_at_all() -> None:
    worlds = [World(rank, 3, torch.device("cpu")) for rank in range(3)]
    assert [i for world in worlds for i in range(12)[world.part(12)]] == list(range(12))
    with pytest.raises(InputError, match="evenly"):
        worlds[0].part(10)


def test_a_parameter_that_missed_a_step_goes_on_by_its_own_count() -> None:
    """A resumed run is the same, bit for bit: Adam's correction of a moment depends on how often it was taken."""

    def state() -> TrainingState:
        network = nn.ModuleDict({name: nn.Linear(2, 1, bias=False) for name in "ab"})
        for layer in network.values():
            nn.init.constant_(layer.weight, 0.5)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        return TrainingState(network, copy.deepcopy(network), optimizer, nn.ModuleList())

    def step(state: TrainingState, *names: str) -> None:
        state.optimizer.zero_grad()
        sum(state.network[name](torch.tensor([1.0, 3.0])).square() for name in names).sum().backward()
        state.optimizer.step()

    whole, resumed = state(), state()
    step(whole, "a", "b")
    step(whole, "a")
    resumed.restore({name: value.clone() for name, value in whole.tensors().items()}, 2, 0.0)
    for each in (whole, resumed):
        step(each, "a", "b")
    for name in "ab":
        assert torch.equal(whole.network[name].weight, resumed.network[name].weight)
