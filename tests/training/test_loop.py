"""Whole runs: they are a loop written by hand, reach the optimum, and resume with the same bits after kills."""

import copy
import errno
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gaussian import GaussianPrior, write_noise_pictures
from PIL import Image
from safetensors.torch import load_file
from small_runs import TINY, tiny_run
from torch import Tensor, nn

from scoreinv.models.codec import encode
from scoreinv.models.config import ModelConfig
from scoreinv.models.model_file import read_metadata, read_model, save
from scoreinv.preconditioning import EDM
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.sdes import VE, SubVP
from scoreinv.system.errors import Cancelled, InputError, ScoreinvError
from scoreinv.training import run as run_module
from scoreinv.training.config import DataConfig, ObjectiveConfig, OptimizerConfig, TrainingConfig, read_config
from scoreinv.training.data.batches import DROPOUT, Batch, BatchSource, held_out_batch, stream
from scoreinv.training.data.pictures import load_pictures, split
from scoreinv.training.distributed import World
from scoreinv.training.ema import update_average
from scoreinv.training.loop import Trainer, deferred_signals, learning_rate, train
from scoreinv.training.losses import ScoreLearner
from scoreinv.training.metrics import TrainProgress
from scoreinv.training.run import RunRecord, TrainingRun, TrainingState

pytestmark = pytest.mark.usefixtures("single_thread")


def _stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> object:
    """A callback that cancels the run after a step; reports are made at every step."""
    monkeypatch.setattr("scoreinv.training.loop._CALLBACK_SECONDS", 0.0)

    def callback(progress: TrainProgress) -> bool | None:
        return False if progress.step >= step else None

    return callback


def _assert_same_bits(one: Path, other: Path, step: int) -> None:
    for name in (f"state/{step:09d}.safetensors", "model.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key


def test_average_warms_up_and_holds_buffers() -> None:
    network = nn.BatchNorm1d(1, dtype=torch.float64)
    average = copy.deepcopy(network)
    values, expected = [3.0, -1.0, 2.0, 5.0, 7.0], None
    for n, value in enumerate(values, start=1):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data.fill_(value)
        update_average(average, network, n, 0.4)
        decay = min(0.4, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        for tensor in (*average.parameters(), average.running_mean, average.running_var):
            assert tensor.item() == pytest.approx(expected, rel=1e-12)
        assert average.num_batches_tracked.item() == value  # a whole number, which has no average


def test_learning_rate_warms_up_and_anneals() -> None:
    options = OptimizerConfig(learning_rate=0.1, warmup=4)
    rates = [learning_rate(options, step, step / 10) for step in range(10)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, *[0.1] * 7])
    cosine = replace(options, warmup=0, anneal="cosine")
    assert [learning_rate(cosine, 0, f) for f in (0, 0.5, 1)] == pytest.approx([0.1, 0.05, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("steps", "minutes", "expected"), [(None, 0.1, (6, 6.0)), (100, 0.1, (6, 6.0)), (4, 10.0, (4, 4.0))]
)
def test_a_run_ends_by_steps_or_by_training_time_over_all_resumptions(
    config, out, monkeypatch, steps, minutes, expected
) -> None:
    """Loading does not count. Each step takes a second; the first call is ended after two."""
    now = 100.0
    monkeypatch.setattr("scoreinv.training.loop.monotonic", lambda: now)
    monkeypatch.setattr("scoreinv.training.loop._CALLBACK_SECONDS", 0.0)
    add_gradients = Trainer.add_gradients

    def slow(self: Trainer, batch: Batch) -> Tensor:
        nonlocal now
        now += 1
        return add_gradients(self, batch)

    monkeypatch.setattr(Trainer, "add_gradients", slow)
    config = replace(config, steps=steps, minutes=minutes)
    reports: list[TrainProgress] = []

    def callback(progress: TrainProgress) -> bool:
        reports.append(progress)
        return len(reports) != 2

    with pytest.raises(Cancelled):
        train(config, out, callback=callback)
    now += 50
    result = train(config, out, resume=True, callback=callback)
    assert (result.steps, result.seconds) == expected
    end = expected[0]
    assert [report.fraction for report in reports] == pytest.approx([step / end for step in range(1, end + 1)])
    assert [report.seconds_left for report in reports] == pytest.approx([end - step for step in range(1, end + 1)])
    assert {report.images_per_second for report in reports} == {config.batch_size}


def test_states_are_saved_after_the_minutes_that_are_asked(config, out, monkeypatch) -> None:
    """Each step takes a second; a state is due after a second and a half, and at the end."""
    now, saved = 100.0, []
    add_gradients, save_state = Trainer.add_gradients, run_module.save_state

    def slow(self: Trainer, batch: Batch) -> Tensor:
        nonlocal now
        now += 1
        return add_gradients(self, batch)

    def noted(folder: Path, state: TrainingState, record: RunRecord) -> None:
        saved.append((state.step, record.step, record.seconds))
        save_state(folder, state, record)

    monkeypatch.setattr("scoreinv.training.loop.monotonic", lambda: now)
    monkeypatch.setattr("scoreinv.training.loop.save_state", noted)
    monkeypatch.setattr(Trainer, "add_gradients", slow)
    train(replace(config, steps=5, save_minutes=1.5 / 60), out)
    assert saved == [(2, 2, 2.0), (4, 4, 4.0), (5, 5, 5.0)]


def test_exhausted_memory_has_a_remedy(config: TrainingConfig, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: Trainer, batch: Batch) -> Tensor:
        return torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr(Trainer, "add_gradients", exhausted)
    with pytest.raises(ScoreinvError, match="not enough memory on cpu for batch_size 8, accumulate 1: lower"):
        train(config, out)


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
        steps=3,
        seed=5,
        precision="float32",
        sample_every=0,
        snapshot_every=0,
    )


def _by_hand(config: TrainingConfig) -> tuple[dict[str, Tensor], dict[str, Tensor], list[float]]:
    """Weights by AdamW (Loshchilov & Hutter 2019, algorithm 2), their average, and gradient norms before clipping."""
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
        share = min(1.0, options.clip / norms[-1]) if options.clip else 1.0
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
    return {name: value.detach() for name, value in values.items()}, average, norms


def _trained(config: TrainingConfig, out: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and averaged weights of a run."""
    train(config, out)
    state = load_file(out / f"state/{config.steps:09d}.safetensors")
    parts = ("network.", "average.")
    return tuple({k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in parts)


@pytest.mark.parametrize("clip", [0.7, 0.0])
def test_three_steps_are_those_of_a_loop_written_by_hand(folder: Path, tmp_path: Path, clip: float) -> None:
    """Gradients are clipped, or not (0)."""
    config = _config(folder)
    config = replace(config, optimizer=replace(config.optimizer, clip=clip))
    start = {name: value.clone() for name, value in _start(config).named_parameters()}
    expected, expected_average, norms = _by_hand(config)
    assert min(norms) > config.optimizer.clip  # or the clipping would not be seen
    weights, average = _trained(config, tmp_path / "out")
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
        torch.testing.assert_close(average[name], expected_average[name], rtol=1e-3, atol=1e-5)
    moved = max(float((weights[name] - value.detach()).abs().max()) for name, value in start.items())
    assert moved > 1e-2  # a thousand times the tolerance


def _start(config: TrainingConfig) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        return config.model.build().network


@pytest.mark.slow
def test_training_reaches_the_optimum_of_gaussian_data(tmp_path: Path) -> None:
    """Independent values N(0.4, 0.2^2) on [-1, 1]: the exact prior's loss, on the same held-out noise, is the least."""
    write_noise_pictures(tmp_path / "data", 250, 16, 0.7, 0.1)
    sde, objective = SubVP(), ObjectiveConfig(weighting="paper")
    config = replace(
        tiny_run(tmp_path / "data", steps=240),
        objective=objective,
        optimizer=OptimizerConfig(learning_rate=8e-3, warmup=20, anneal="cosine"),
        batch_size=32,
        ema_decay=0.98,
        validate_every=0,
        validation_images=512,
    )
    config = replace(config, model=replace(config.model, sde=sde))
    result = train(config, tmp_path / "out")
    _, held_out = split(load_pictures(config.data, 8, 1), config.data)
    data = BatchSource(config, held_out, 512, 0).batch(0)
    # Rounding to 8 bits adds the variance of a uniform error.
    exact = GaussianPrior(sde, mean=0.4, variance=0.2**2 + (2 / 255) ** 2 / 12)
    with torch.no_grad():
        least = ScoreLearner(config).losses(exact, data).mean()
        start = ScoreLearner(config).losses(config.model.build(), data).mean()
    assert result.validation.mean > least
    assert result.validation.mean < least + 0.06 * (start - least)


@pytest.mark.slow
def test_a_run_leaves_its_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    config = replace(tiny_run(folder), sample_every=8, snapshot_every=8, save_minutes=0.0)
    result = train(config, out)
    assert read_config(out / "config.json") == config
    assert sorted(path.name for path in (out / "state").iterdir()) == ["000000011.safetensors", "000000012.safetensors"]
    assert (out / "snapshots/step-000000008.safetensors").exists()
    for step in (8, 12):
        assert Image.open(out / f"samples/step-{step:09d}.png").size == (16, 16)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [4, 8, 12]
    assert [line["step"] for line in lines if "validation" in line] == [6, 12]
    assert lines[-1]["images"] == result.images == 96
    saved = read_model(result.model)
    for name, value in result.trained.network.state_dict().items():
        assert torch.equal(saved.network.state_dict()[name], value)
    assert "embedding.frequencies" in saved.network.state_dict()
    with pytest.raises(InputError, match="already"):
        train(config, out)


@pytest.mark.slow
def test_resuming_gives_the_same_bits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(tiny_run(folder, dropout=0.2), precision="bfloat16", accumulate=2)
    before = torch.random.get_rng_state()
    train(config, tmp_path / "whole")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(123)  # the caller's generators must not matter
    out = tmp_path / "parts"
    for step in (5, 6, 9):
        with pytest.raises(Cancelled):
            train(config, out, resume=True, callback=_stop_after(step, monkeypatch))
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "lo')
    train(config, out, resume=True)
    _assert_same_bits(tmp_path / "whole", out, 12)
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [4, 6, 8, 12, 12]


def test_a_run_of_another_kind_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    config = tiny_run(folder, steps=2)
    train(config, tmp_path / "out")
    with pytest.raises(InputError, match="batch_size"):
        train(replace(config, batch_size=4), tmp_path / "out", resume=True)
    wider = replace(config.model, network=replace(TINY, width=16))
    with pytest.raises(InputError, match="another model"):
        train(replace(config, model=wider), tmp_path / "out", resume=True)
    assert read_config(tmp_path / "out" / "config.json") == config
    assert train(replace(config, steps=3), tmp_path / "out", resume=True).steps == 3


_SCRIPT = """
import pathlib, sys, torch
from scoreinv.training.config import read_config
from scoreinv.training.loop import train
torch.set_num_threads(int(sys.argv[3]))
train(read_config(pathlib.Path(sys.argv[1])), sys.argv[2], resume=True)
"""


_KILLED = (
    """
import os, signal
from contextlib import contextmanager
from scoreinv.training import run

write = run.atomic_write

@contextmanager
def killed_at_the_third(path):
    with write(path) as temporary:
        yield temporary
        if path.stem == "000000003":
            os.kill(os.getpid(), signal.SIGKILL)

run.atomic_write = killed_at_the_third
"""
    + _SCRIPT
)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """Killed while it writes a state, which is left under another name and does not count."""
    config = replace(tiny_run(folder, dropout=0.1, steps=4), save_minutes=0.0)
    out = tmp_path / "killed"
    (tmp_path / "config.json").write_text(json.dumps(encode(config)))
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "config.json"), str(out), str(torch.get_num_threads())]
    killed = subprocess.run(command, timeout=300, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((out / "state").glob(".000000003.*.part"))) == 1
    assert [path.name for path in sorted((out / "state").glob("0*"))] == [f"{i:09d}.safetensors" for i in (1, 2)]
    train(config, out, resume=True)
    train(replace(config, save_minutes=5.0), tmp_path / "whole")
    _assert_same_bits(tmp_path / "whole", out, 4)
    assert not list(out.rglob("*.part"))


def test_a_run_reports_what_it_has_measured(config, out, monkeypatch) -> None:
    """In lines of metrics, in the result and in the notes of the model; a loss below the bound is useful."""
    monkeypatch.setattr("scoreinv.training.loop.useful_loss", lambda *_: math.inf)
    config = replace(config, batch_size=4, log_every=1, validate_every=2, optimizer=OptimizerConfig(warmup=2))
    result = train(config, out)
    *losses, held_out = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["images"]) for line in (*losses, held_out)] == [(1, 4), (2, 8), (2, 8)]
    for line in losses:
        assert line["learning_rate"] == learning_rate(config.optimizer, line["step"] - 1, (line["step"] - 1) / 2)
        assert min(line["gradient_norm"], line["images_per_second"], line["seconds"]) > 0
    _, apart = split(load_pictures(config.data, 8, 1), config.data)
    data = held_out_batch(config, apart, config.validation_images)
    with torch.no_grad():
        expected = ScoreLearner(config).losses(result.trained, data).mean().item()
    baseline = ScoreLearner(config).baseline_loss(result.trained, data)
    assert (held_out["validated"], held_out["ignorant"]) == (config.validation_images, pytest.approx(baseline))
    assert held_out["validation"]["mean"] == pytest.approx(expected, rel=1e-5)
    assert (result.loss, result.validation.mean) == (losses[1]["loss"], held_out["validation"]["mean"])
    assert (result.baseline_loss, result.useful) == (held_out["ignorant"], True)
    notes = read_metadata(result.model)[1]
    assert (notes["step"], notes["images"], notes["validation_loss"]) == (2, 8, result.validation.mean)


def test_an_end_that_is_interrupted_was_saved_before(folder, tmp_path, monkeypatch) -> None:
    def interrupted(self: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(replace(tiny_run(folder, steps=2), validate_every=1000, sample_every=1000), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/state").iterdir()] == ["000000002.safetensors"]


def test_whatever_a_callback_raises_the_state_is_saved(config, out, monkeypatch) -> None:
    monkeypatch.setattr("scoreinv.training.loop._CALLBACK_SECONDS", 0.0)

    def callback(progress: TrainProgress) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        train(config, out, callback=callback)
    assert [path.name for path in (out / "state").iterdir()] == ["000000001.safetensors"]
    assert train(config, out, resume=True).steps == 2


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_states_of_which_a_damaged_one_is_passed_over(
    folder, tmp_path, monkeypatch, caplog
) -> None:
    config, out = replace(tiny_run(folder, steps=4), save_minutes=0.0), tmp_path / "out"
    train(config, tmp_path / "whole")
    write = run_module.atomic_write

    def full_after_two(path: Path) -> object:
        if path.parent.name == "state" and int(path.stem) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path)

    monkeypatch.setattr(run_module, "atomic_write", full_after_two)
    with caplog.at_level(logging.ERROR), pytest.raises(ScoreinvError, match="No space left"):
        train(config, out)
    assert "step 3 was not written" in caplog.text
    assert sorted(path.name for path in (out / "state").iterdir()) == ["000000001.safetensors", "000000002.safetensors"]
    monkeypatch.undo()
    newest = out / "state/000000002.safetensors"
    newest.write_bytes(newest.read_bytes()[:5000])
    train(config, out, resume=True)  # from the one before
    assert "000000002.safetensors is unreadable and passed over" in caplog.text
    _assert_same_bits(tmp_path / "whole", out, 4)


def test_a_run_whose_files_could_never_be_written_is_resumed(config, out, monkeypatch) -> None:
    """As where a limit of file sizes lets the model through and no state, which is larger."""

    write = run_module.atomic_write

    def full(path: Path) -> object:
        if path.parent.name == "state":
            raise OSError(errno.EFBIG, "File too large")
        return write(path)

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "atomic_write", full)
        with pytest.raises(ScoreinvError, match="File too large"):
            train(config, out)
    assert not (out / "model.safetensors").exists()
    assert train(config, out, resume=True).steps == 2


@pytest.mark.slow
def test_a_run_that_is_killed_at_once_goes_on_from_the_weights_it_was_given(folder, tmp_path, monkeypatch) -> None:
    config = tiny_run(folder, steps=2)
    init = config.model.build()
    with torch.no_grad():
        for parameter in init.network.parameters():
            parameter.add_(0.01)
    whole = train(config, tmp_path / "whole", init=init).trained.network.state_dict()
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "write_due", lambda *_: 1 / 0)  # before anything else is saved
        with pytest.raises(ZeroDivisionError):
            train(config, tmp_path / "out", init=init)
    resumed = train(config, tmp_path / "out", resume=True).trained.network.state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name])


def test_a_run_whose_initial_weights_could_not_be_written_leaves_nothing_to_resume(config, out, monkeypatch) -> None:
    """A resumed run would start from random weights."""

    def full(path: Path) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_module, "atomic_write", full)
    with pytest.raises(OSError, match="No space left"):
        train(config, out, init=config.model.build())
    assert not out.exists()


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(folder, tmp_path, monkeypatch) -> None:
    config, out = replace(tiny_run(folder), save_minutes=0.0), tmp_path / "out"
    draw = BatchSource.batch

    def poisoned(self: BatchSource, step: int, part: slice = slice(None)) -> object:
        batch = draw(self, step, part)
        return replace(batch, images=batch.images * float("nan")) if step == 3 else batch

    monkeypatch.setattr(BatchSource, "batch", poisoned)
    with pytest.raises(ScoreinvError, match="not finite"):
        train(config, out)
    states = [load_file(path) for path in (out / "state").iterdir()]
    assert all(value.isfinite().all() for state in states for value in state.values())


def test_a_resumed_run_does_not_replace_the_model_of_another(config, out) -> None:
    train(config, out)
    other = config.model.build()
    save(other, out / "model.safetensors", notes={"run": "another"})
    with pytest.raises(InputError, match="this run has not written it"):
        train(replace(config, steps=3), out, resume=True)
    assert train(replace(config, steps=3), out, resume=True, overwrite=True).steps == 3


def test_a_run_is_finished_when_its_model_is_that_of_the_end(config, out) -> None:
    train(config, out)
    run = TrainingRun(out)
    notes = run.finished(config)
    assert notes["ended"] == [2, None]
    assert run.finished(replace(config, steps=3)) is None
    save(read_model(run.model), run.model, notes=notes | {"ended": [1, None]})  # as of a run that was killed
    assert run.finished(config) is None


def test_weights_to_start_from(folder: Path, tmp_path: Path) -> None:
    config = tiny_run(folder, steps=1)
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=1e-9))
    init = replace(config.model).build()
    with torch.no_grad():
        for parameter in init.network.parameters():
            parameter.add_(0.01)
    trained = train(config, tmp_path / "out", init=init).trained.network.state_dict()
    for name, value in init.network.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-6)
    other = replace(config.model, network=replace(TINY, width=16)).build()
    with pytest.raises(InputError, match="another network"):
        train(config, tmp_path / "other", init=other)


def test_a_resumed_run_keeps_the_precision_that_was_measured(config, out, monkeypatch) -> None:
    config = replace(config, precision="auto")
    for measured, steps in ((True, 2), (False, 3)):
        monkeypatch.setattr("scoreinv.training.loop.uses_bfloat16", lambda precision, device, found=measured: found)
        assert train(replace(config, steps=steps), out, resume=True).precision == "bfloat16"


def test_norms_that_a_network_has_not_cannot_be_frozen(config, out) -> None:
    with pytest.raises(InputError, match="no batch norms"):
        train(replace(config, frozen_norms=True), out, init=config.model.build())


def test_a_batch_is_shared_out_evenly_or_not_at_all() -> None:
    worlds = [World(rank, 3, torch.device("cpu")) for rank in range(3)]
    assert [i for world in worlds for i in range(12)[world.part(12)]] == list(range(12))
    with pytest.raises(InputError, match="evenly"):
        worlds[0].part(10)


@pytest.mark.slow
def test_two_processes_match_one_at_the_same_global_batch(folder: Path, tmp_path: Path) -> None:
    # Adam divides by the gradient's size: a large epsilon keeps rounding errors of small gradients small.
    config = replace(tiny_run(folder, steps=6), optimizer=OptimizerConfig(learning_rate=2e-3, warmup=2, epsilon=1e-3))
    train(config, tmp_path / "one")
    (tmp_path / "config.json").write_text(json.dumps(encode(config)))
    (tmp_path / "script.py").write_text(_SCRIPT)
    arguments = [str(tmp_path / "script.py"), str(tmp_path / "config.json"), str(tmp_path / "two"), "1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launched = subprocess.run([*launcher, *arguments], timeout=300, capture_output=True, text=True, check=False)
    assert launched.returncode == 0, launched.stderr
    name = "state/000000006.safetensors"
    one, two = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
    start = config.model.build().network.state_dict()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")
    moved = max(float((one[f"network.{name}"] - value).abs().max()) for name, value in start.items())
    assert moved > 1e-3
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    assert [a for a in losses[0] if a] == pytest.approx([b for b in losses[1] if b], rel=1e-4)


def test_processes_that_found_different_states_train_nothing(config, out, monkeypatch) -> None:
    """As machines do whose folders are not shared: their weights would differ, or they wait for each other for ever."""
    train(config, out)
    states = torch.tensor([2.0, -1.0], dtype=torch.float64)  # this process's, and none in another
    monkeypatch.setattr(World, "mean", lambda self, value: states.mean() if value == states[0] else value)
    with pytest.raises(InputError, match="different states"):
        train(replace(config, steps=3), out, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"accumulate": 4},
        pytest.param(
            {"compile": True},
            marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")],
        ),
    ],
)
def test_a_step_in_parts_or_compiled_is_the_same(folder, tmp_path, monkeypatch, change) -> None:
    """Loss, gradient norm and weights to rounding, also where the run goes on as a whole, and not compiled."""
    compiled: list[nn.Module] = []

    def traced(module: nn.Module) -> None:  # g++ itself would take a minute
        compiled.append(module)
        module.forward = torch.compile(module.forward, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", traced)
    config = tiny_run(folder, steps=4)
    config = replace(config, log_every=1, optimizer=replace(config.optimizer, anneal="constant"))
    train(config, tmp_path / "whole")
    train(replace(config, steps=3, **change), tmp_path / "parts")
    train(config, tmp_path / "parts", resume=True)
    assert len(compiled) == change.get("compile", 0)
    lines = [_training_lines(tmp_path / name) for name in ("whole", "parts")]
    for one, other in zip(*lines, strict=True):
        assert one["step"] == other["step"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
    whole, divided = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=2e-4)


def _training_lines(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("work", ["validation", "samples"])
def test_a_signal_ends_validation_and_sampling_and_keeps_the_snapshot(config, out, monkeypatch, caplog, work) -> None:
    config = replace(config, sample_every=2, validate_every=2, snapshot_every=2, batch_size=2, steps=4)
    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)
            assert "finishing the step, saving" in caplog.text

    class Sampler(DPMpp2M):
        def sample(self, *given: object, callback: object, **named: object) -> object:
            return super().sample(*given, callback=lambda progress: (interrupt(), callback(progress))[1], **named)

    measures = ScoreLearner.measures
    with monkeypatch.context() as patch:
        if work == "samples":
            patch.setattr("scoreinv.training.metrics.DPMpp2M", Sampler)
        else:
            patch.setattr(ScoreLearner, "measures", lambda *given: (interrupt(), measures(*given))[1])
        with pytest.raises(KeyboardInterrupt):
            train(config, out)
    assert calls == 1
    assert not (out / "samples").exists()
    assert (out / "snapshots/step-000000002.safetensors").exists()
    assert train(config, out, resume=True).steps == 4


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_samples_of_the_last_step_that_were_interrupted_are_drawn_by_the_resumed_run(config, out, monkeypatch) -> None:
    config = replace(config, sample_every=2)

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise Cancelled

    with monkeypatch.context() as patch:
        patch.setattr("scoreinv.training.loop.write_samples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, out)
    result = train(config, out, resume=True)
    assert result.samples == out / "samples/step-000000002.png"
    assert result.samples.exists()


def test_a_run_without_lines_of_metrics_holds_few_losses(config, out, monkeypatch) -> None:
    monkeypatch.setattr(TrainingConfig, "log_every", 2)
    losses: list[float] = []
    write_due = Trainer.write_due

    def kept(self: Trainer, loss: Tensor, norm: Tensor) -> None:
        losses.append(loss.item())
        write_due(self, loss, norm)
        assert len(self.losses) <= 2

    monkeypatch.setattr(Trainer, "write_due", kept)
    result = train(replace(config, steps=5, log_every=0), out)
    assert result.loss == pytest.approx(sum(losses[-2:]) / 2)


def test_a_start_that_is_interrupted_leaves_no_folder(config, out, monkeypatch) -> None:
    def interrupted(*given: object) -> Batch:
        raise KeyboardInterrupt

    monkeypatch.setattr(BatchSource, "batch", interrupted)  # of the held-out pictures
    with pytest.raises(KeyboardInterrupt):
        train(config, out)
    assert not out.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_signal_is_handed_on_when_the_work_is_done_and_an_ignored_one_stays_ignored() -> None:
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_signals() as noted:
            signal.raise_signal(signal.SIGHUP)
            assert not noted
            signal.raise_signal(signal.SIGTERM)
            assert (noted, came) == ([signal.SIGTERM], [])
            signal.raise_signal(signal.SIGTERM)  # once more: at once
            assert came == [signal.SIGTERM]
        assert came == [signal.SIGTERM, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt), deferred_signals():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
