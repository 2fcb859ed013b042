"""Whole runs: they are a loop written by hand, reach the optimum, and resume with the same bits after kills."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.gaussian import GaussianPrior, write_noise_pictures
from support.shell import image
from support.small_runs import TINY, Watched, file_limit, tiny_run
from torch import Tensor, nn

from scoreinv.models.codec import encode
from scoreinv.models.config import ModelConfig
from scoreinv.models.model_file import read_model, save
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE, SubVP
from scoreinv.system.errors import Cancelled, InputError, ScoreinvError
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.data.batches import DROPOUT, stream
from scoreinv.training.data.pictures import DataConfig, load_pictures, split
from scoreinv.training.distributed import World
from scoreinv.training.fitting import OptimizerConfig
from scoreinv.training.learners import ScoreLearner
from scoreinv.training.loop import deferred_signals, train
from scoreinv.training.metrics import TrainProgress, held_out_batch
from scoreinv.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("single_thread")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="sends signals, or limits the size of files")
STATES = [f"{step:09d}.safetensors" for step in range(13)]


def clock() -> Callable[[], float]:
    """Time in which each step takes a second, so that the callback is called after each."""
    times = count(100)
    return lambda: float(next(times))


def _stop_after(step: int) -> Callable[[TrainProgress], bool]:
    return lambda progress: progress.step < step


def _states(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "state").iterdir())


def _lines(out: Path, name: str = "step") -> list[dict]:
    """The lines of metrics that have an entry."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if name in line]


def _assert_same_bits(one: Path, other: Path, step: int) -> None:
    for name in (f"state/{step:09d}.safetensors", "model.safetensors"):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key


@pytest.mark.parametrize(
    ("steps", "minutes", "expected"), [(None, 0.1, (6, 6.0)), (100, 0.1, (6, 6.0)), (4, 10.0, (4, 4.0))]
)
def test_a_run_ends_by_steps_or_by_training_time_over_all_resumptions(config, out, steps, minutes, expected) -> None:
    """The first call is ended after two steps, of a second each."""
    config = replace(config, steps=steps, minutes=minutes)
    reports: list[TrainProgress] = []

    def callback(progress: TrainProgress) -> bool:
        reports.append(progress)
        return len(reports) != 2

    with pytest.raises(Cancelled):
        train(config, out, callback=callback, clock=clock())
    result = train(config, out, resume=True, callback=callback, clock=clock())
    assert (result.steps, result.seconds) == expected
    end = expected[0]
    assert [report.fraction for report in reports] == pytest.approx([step / end for step in range(1, end + 1)])
    assert [report.seconds_left for report in reports] == pytest.approx([end - step for step in range(1, end + 1)])
    assert {report.images_per_second for report in reports} == {config.batch_size}


def test_states_are_saved_after_the_minutes_that_are_asked(config, out) -> None:
    """Each step takes a second; a state is due after a second and a half, and at the end."""
    found: list[list[str]] = []

    def callback(progress: TrainProgress) -> None:
        found.append(_states(out) if (out / "state").exists() else [])

    train(replace(config, steps=5, save_minutes=1.5 / 60), out, callback=callback, clock=clock())
    assert [names[-1:] for names in found] == [[], [STATES[2]], [STATES[2]], [STATES[4]], [STATES[4]]]
    assert _states(out) == [STATES[4], STATES[5]]
    for step in (4, 5):
        with safe_open(out / "state" / STATES[step], framework="pt") as file:
            about = json.loads(file.metadata()["about"])
        assert (about["step"], about["seconds"]) == (step, step)


def test_exhausted_memory_has_a_remedy(config: TrainingConfig, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(ScoreinvError, match="not enough memory on cpu for batch_size 8, accumulate 1: lower"):
        train(config, out)


def _config(folder: Path) -> TrainingConfig:
    """Every number differs from its default, and matters: rates that rise, gradients that are clipped, a large epsilon.

    Adam divides by the gradient's size; where that is small rounding decides, and the epsilon keeps it small.
    """
    return TrainingConfig(
        model=ModelConfig(replace(TINY, dropout=0.4), VE(0.01, 10.0), EDM(), (-1.0, 1.0), 8),
        data=DataConfig(str(folder), scales=(1.0,), holdout_fraction=0.0),
        learner=ScoreLearner(weighting="uniform", reduction="sum"),
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
    source = config.source(pictures, config.batch_size, config.seed)
    values = dict(prior.network.named_parameters())
    first = {name: torch.zeros_like(value) for name, value in values.items()}
    second = {name: torch.zeros_like(value) for name, value in values.items()}
    average: dict[str, Tensor] = {}
    norms = []
    for step in range(config.steps):
        batch = config.learner.draw(source, step, range(config.batch_size))
        with torch.random.fork_rng([]):
            torch.manual_seed(int(stream(config.seed, DROPOUT, step).integers(2**63)))
            loss = config.learner.losses(prior, batch).mean()
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
    sde, learner = SubVP(), ScoreLearner()
    config = replace(
        tiny_run(tmp_path / "data", steps=240),
        learner=learner,
        optimizer=OptimizerConfig(learning_rate=8e-3, warmup=20, anneal="cosine"),
        batch_size=32,
        ema_decay=0.98,
        validate_every=0,
        validation_images=512,
    )
    config = replace(config, model=replace(config.model, sde=sde))
    result = train(config, tmp_path / "out")
    _, held_out = split(load_pictures(config.data, 8, 1), config.data)
    data = held_out_batch(config, held_out, 512)
    # Rounding to 8 bits adds the variance of a uniform error.
    exact = GaussianPrior(sde, mean=0.4, variance=0.2**2 + (2 / 255) ** 2 / 12)
    with torch.no_grad():
        least = learner.losses(exact, data).mean()
        start = learner.losses(config.model.build(), data).mean()
    assert result.validation.mean > least
    assert result.validation.mean < least + 0.06 * (start - least)


@pytest.mark.slow
def test_a_run_leaves_its_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    config = replace(tiny_run(folder), sample_every=8, snapshot_every=8, save_minutes=0.0)
    result = train(config, out)
    assert read_config(out / "config.json") == config
    assert _states(out) == STATES[11:]
    assert (out / "snapshots/step-000000008.safetensors").exists()
    for step in (8, 12):
        assert image(out / f"samples/step-{step:09d}.png").size == (16, 16)
    assert [line["step"] for line in _lines(out, "loss")] == [4, 8, 12]
    assert [line["step"] for line in _lines(out, "validation")] == [6, 12]
    assert _lines(out)[-1]["images"] == result.images == 96
    saved = read_model(result.model)
    for name, value in result.trained.network.state_dict().items():
        assert torch.equal(saved.network.state_dict()[name], value)
    assert "embedding.frequencies" in saved.network.state_dict()
    with pytest.raises(InputError, match="already"):
        train(config, out)


@pytest.mark.slow
def test_resuming_gives_the_same_bits(folder: Path, tmp_path: Path) -> None:
    config = replace(tiny_run(folder, dropout=0.2), precision="bfloat16", accumulate=2)
    before = torch.random.get_rng_state()
    train(config, tmp_path / "whole")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(123)  # the caller's generators must not matter
    out = tmp_path / "parts"
    for step in (5, 6, 9):
        with pytest.raises(Cancelled):
            train(config, out, resume=True, callback=_stop_after(step), clock=clock())
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "lo')
    train(config, out, resume=True)
    _assert_same_bits(tmp_path / "whole", out, 12)
    assert [line["step"] for line in _lines(out)] == [4, 6, 8, 12, 12]


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

_KILLED = """
import itertools, pathlib, resource, signal, sys, torch
from scoreinv.training.config import read_config
from scoreinv.training.loop import train
torch.set_num_threads(int(sys.argv[3]))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
def limit(progress):
    if progress.step == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
train(read_config(pathlib.Path(sys.argv[1])), sys.argv[2], callback=limit, clock=itertools.count().__next__)
"""


@needs_posix
@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """Killed while it writes a state, which is left under another name and does not count."""
    config = replace(tiny_run(folder, dropout=0.1, steps=4), save_minutes=0.0)
    out = tmp_path / "killed"
    (tmp_path / "config.json").write_text(json.dumps(encode(config)))
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "config.json"), str(out), str(torch.get_num_threads())]
    killed = subprocess.run(command, timeout=300, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGXFSZ, killed.stderr
    assert len(list((out / "state").glob(".000000003.*.part"))) == 1
    assert [path.name for path in sorted((out / "state").glob("0*"))] == STATES[1:3]
    train(config, out, resume=True)
    train(replace(config, save_minutes=5.0), tmp_path / "whole")
    _assert_same_bits(tmp_path / "whole", out, 4)
    assert not list(out.rglob("*.part"))


def test_whatever_a_callback_raises_the_state_is_saved(config, out) -> None:
    def callback(progress: TrainProgress) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        train(config, out, callback=callback, clock=clock())
    assert _states(out) == STATES[1:2]
    assert train(config, out, resume=True).steps == 2


@needs_posix
def test_a_run_without_room_for_its_state_is_resumed_or_leaves_nothing(config, out) -> None:
    """The limit lets snapshots through; a run from given weights begins with its state."""
    model = config.model.build()
    save(model, out.with_name("model.safetensors"))
    size = 2 * out.with_name("model.safetensors").stat().st_size
    with file_limit(size), pytest.raises(OSError, match="File too large"):
        train(config, out, init=model)
    assert not out.exists()
    config = replace(config, snapshot_every=1)
    with file_limit(size), pytest.raises(ScoreinvError, match="make room and resume"):
        train(config, out)
    assert sorted(path.name for path in out.rglob("*.safetensors")) == [f"step-{name}" for name in STATES[1:3]]
    with pytest.raises(InputError, match="resume it, or overwrite it"):
        train(config, out)
    assert train(config, out, resume=True).steps == 2


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(folder, out, monkeypatch) -> None:
    """After the third update the weights are too large for the next loss."""
    updates, step = count(1), torch.optim.AdamW.step

    def poisoned(self: torch.optim.AdamW) -> None:
        step(self)
        if next(updates) == 3:
            for group in self.param_groups:
                for value in group["params"]:
                    value.data.fill_(1e30)

    monkeypatch.setattr(torch.optim.AdamW, "step", poisoned)
    with pytest.raises(ScoreinvError, match="not finite at step 4"):
        train(replace(tiny_run(folder), save_minutes=0.0), out)
    assert _states(out) == STATES[2:4]


def test_a_resumed_run_does_not_replace_the_model_of_another(done, out) -> None:
    other = done.model.build()
    save(other, out / "model.safetensors", notes={"run": "another"})
    with pytest.raises(InputError, match="this run has not written it"):
        train(replace(done, steps=3), out, resume=True)
    assert train(replace(done, steps=3), out, resume=True, overwrite=True).steps == 3


def test_a_run_is_finished_when_its_model_is_that_of_the_end(done, out) -> None:
    run = TrainingRun(out)
    notes = run.finished(done)
    assert notes["ended"] == [2, None]
    assert run.finished(replace(done, steps=3)) is None
    save(read_model(run.model), run.model, notes=notes | {"ended": [1, None]})  # as of a run that was killed
    assert run.finished(done) is None


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


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_resumed_run_keeps_the_precision_that_was_measured(config, out, bfloat16) -> None:
    config = replace(config, precision="auto")
    train(config, out)
    state = out / "state" / STATES[2]
    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    save_file(load_file(state), state, {"about": json.dumps(about | {"bfloat16": bfloat16})})
    result = train(replace(config, steps=3), out, resume=True)
    assert result.precision == ("bfloat16" if bfloat16 else "float32")


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
    losses = [[line["loss"] for line in _lines(tmp_path / run, "loss")] for run in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_processes_that_found_different_states_train_nothing(done, out, monkeypatch) -> None:
    """As machines do whose folders are not shared: their weights would differ, or they wait for each other for ever."""
    states = torch.tensor([2.0, -1.0], dtype=torch.float64)  # this process's, and none in another
    monkeypatch.setattr(World, "mean", lambda self, value: states.mean() if value == states[0] else value)
    with pytest.raises(InputError, match="different states"):
        train(replace(done, steps=3), out, resume=True)


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
    lines = [_lines(tmp_path / name, "loss") for name in ("whole", "parts")]
    for one, other in zip(*lines, strict=True):
        assert one["step"] == other["step"]
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
    whole, divided = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, rtol=1e-3, atol=2e-4)


@needs_posix
@pytest.mark.parametrize(
    ("due", "steps"), [({"validate_every": 2}, 4), ({"sample_every": 2, "validation_images": 0}, 4), ({}, 2)]
)
def test_a_signal_ends_validation_and_sampling_and_keeps_the_snapshot(config, out, caplog, due, steps) -> None:
    """At once, whether the run would go on or not; the resumed run does the work again."""
    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)
            assert "finishing the step, saving" in caplog.text

    model = replace(config.model, sde=Watched(event=interrupt))
    config = replace(config, model=model, snapshot_every=2, batch_size=2, steps=steps, **due)
    with pytest.raises(KeyboardInterrupt):
        train(config, out)
    assert not (out / "samples").exists()
    assert not _lines(out, "validation")
    assert _states(out) == STATES[2:3]
    assert (out / "snapshots/step-000000002.safetensors").exists()
    result = train(config, out, resume=True)
    assert result.steps == steps
    assert (result.samples is not None) == ("sample_every" in due)
    assert (result.validation is None) == ("sample_every" in due)


@needs_posix
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
