"""The folder of a run: what others wrote stays, one run writes at a time, and one that cannot begin leaves nothing."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gaussian import write_noise_pictures
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_runs import tiny_run
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.files import atomic_write
from scoreinv.models.model_file import read_metadata
from scoreinv.networks.ncsnpp import NCSNpp
from scoreinv.training.config import TrainingConfig
from scoreinv.training.folder import claimed
from scoreinv.training.loop import train
from scoreinv.training.metrics import TrainProgress

Files = dict[str, bytes]


def _files(folder: Path) -> Files:
    """All that is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    write_noise_pictures(tmp_path / "data", 12, 8, 0.6, 0.1)
    return replace(tiny_run(tmp_path / "data", steps=2), validate_every=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


OTHERS = [
    "config.json",
    "model.safetensors",
    "metrics.jsonl",
    "schedule.jsonl",
    "snapshots/step-000000002.safetensors",
    "samples/step-000000002.png",
    "cache/pictures.json",
    "cache/pictures.bin",
    "cache/features.json",
    "cache/features.bin",
]


@pytest.mark.parametrize("resume", [False, True], ids=["new", "resumed"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_run_replaces_nothing_that_it_has_not_written(
    config: TrainingConfig, out: Path, name: str, resume: bool
) -> None:
    path = out / name
    path.parent.mkdir(parents=True)
    path.write_text('{"of": "another program"}')
    before = _files(out)
    with pytest.raises(InputError, match=r"is there already, and this run has not written it: `overwrite=True`"):
        train(config, out, resume=resume)
    assert _files(out) == before
    result = train(config, out, resume=resume, overwrite=True)
    assert result.steps == 2
    assert read_metadata(result.model)[1]["step"] == 2


def test_a_run_whose_states_are_gone_does_not_replace_its_model(
    config: TrainingConfig, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(replace(config, steps=6), out)
    shutil.rmtree(out / "state")
    before = _files(out)
    for resume in (True, False):
        with pytest.raises(InputError, match=r"(model\.safetensors|config\.json): is there already"):
            train(config, out, resume=resume)
    assert _files(out) == before
    (out / "state").mkdir()
    (out / "state/000000006.safetensors").write_bytes(b"damaged")
    (out / "model.safetensors").rename(out / "snapshot")
    with pytest.raises(InputError, match=r"000000006\.safetensors: is there already"):
        train(config, out, resume=True)
    caplog.clear()
    assert train(config, out, resume=True, overwrite=True).steps == 2
    assert "it starts at step 0" in caplog.text


def test_a_run_that_has_states_is_resumed_or_left_alone(config: TrainingConfig, out: Path) -> None:
    train(config, out)
    before = _files(out)
    with pytest.raises(InputError, match="holds a training run already"):
        train(config, out, overwrite=True)
    assert _files(out) == before


def test_a_resumed_run_replaces_only_the_model_and_configuration_of_its_own(config: TrainingConfig, out: Path) -> None:
    train(config, out)
    longer = replace(config, steps=4)
    other = train(replace(config, seed=9), out.with_name("other"))
    for name, content in (
        ("model.safetensors", other.model.read_bytes()),  # of another run with a network of the same shape
        ("model.safetensors", b"damaged"),
        ("config.json", (out.with_name("other") / "config.json").read_bytes()),
        ("config.json", b"{}"),
    ):
        own = (out / name).read_bytes()
        (out / name).write_bytes(content)
        before = _files(out)
        with pytest.raises(InputError, match=f"{name}: is there already"):
            train(longer, out, resume=True)
        assert _files(out) == before
        (out / name).write_bytes(own)
    (out / "config.json").unlink()
    assert train(longer, out, resume=True).steps == 4
    (out / "model.safetensors").unlink()
    assert train(replace(config, steps=5), out, resume=True).model.exists()


def test_a_run_that_was_killed_before_its_first_state_begins_again(
    config: TrainingConfig, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(config, out)
    shutil.rmtree(out / "state")
    (out / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"config\.json: is there already.*`resume=True` goes on with it"):
        train(config, out)
    caplog.clear()
    assert train(config, out, resume=True).steps == 2
    assert [r.levelno for r in caplog.records if "it starts at step 0" in r.message] == [logging.WARNING]


def test_files_that_are_not_of_a_run_stay_whatever_happens(config: TrainingConfig, out: Path) -> None:
    others = [
        "photo.png",
        ".download.part",
        "deep/down/.photo.jpg.k2j3h4k5.part",
        "state/notes.txt",
        "state/1.safetensors",
        "samples/.mine.abcdefgh.part",
        "snapshots/best.safetensors",
        "cache/.other.abcdefgh.part",
    ]
    for name in others:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(name.encode())
    config = replace(config, sample_every=1, snapshot_every=1, save_minutes=0.0)
    part = out / ".model.safetensors.abcdefgh.part"  # nothing of a run that only begins
    part.write_bytes(b"another's")
    train(config, out)
    assert part.read_bytes() == b"another's"
    train(replace(config, steps=3), out, resume=True)
    assert {name: (out / name).read_bytes() for name in others} == {name: name.encode() for name in others}


def test_what_a_killed_run_was_writing_is_cleared_away(config: TrainingConfig, out: Path) -> None:
    config = replace(config, sample_every=1, snapshot_every=1)
    train(config, out)
    written = [out / name for name in _files(out)]
    for path in written:
        with atomic_write(path) as temporary:
            shutil.copy(path, temporary)
        shutil.copy(path, temporary)  # as a kill would have left it
    assert len(list(out.rglob("*.part"))) == len(written)
    train(replace(config, steps=3), out, resume=True)
    assert not list(out.rglob("*.part"))


def _without_pictures(config: TrainingConfig) -> TrainingConfig:
    for path in Path(config.data.source).iterdir():
        path.write_bytes(b"damaged")
    return config


def _with_an_absent_name_held_out(config: TrainingConfig) -> TrainingConfig:
    """Found out after the pictures were decoded, and written to the cache."""
    return replace(config, data=replace(config.data, holdout=("absent.png",), memory_gb=1e-9))


@pytest.mark.parametrize("spoil", [_without_pictures, _with_an_absent_name_held_out])
def test_a_run_that_cannot_begin_leaves_nothing(
    config: TrainingConfig, tmp_path: Path, spoil: Callable[[TrainingConfig], TrainingConfig]
) -> None:
    spoiled = spoil(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.png").write_bytes(b"precious")
    before = _files(tmp_path)
    for out in (tmp_path / "a/b/out", tmp_path / "mine"):
        with pytest.raises(InputError):
            train(spoiled, out)
        assert _files(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.png"]


_HOLDER = """
import sys, time
from pathlib import Path
from scoreinv.training.folder import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_two_runs_do_not_write_into_one_folder_and_a_killed_one_leaves_no_lock(
    config: TrainingConfig, out: Path
) -> None:
    command = [sys.executable, "-c", _HOLDER, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            for resume in (False, True):
                with pytest.raises(InputError, match="another run is writing into this folder"):
                    train(config, out, resume=resume)
        finally:
            holder.kill()
    assert holder.returncode == -signal.SIGKILL
    assert train(config, out).steps == 2
    assert not list(out.glob(".*"))


def test_a_folder_is_claimed_once(out: Path) -> None:
    with claimed(out), pytest.raises(InputError, match="another run"), claimed(out):
        pass
    assert not out.exists()  # nothing was put into it


def test_a_run_in_the_folder_of_its_pictures_does_not_train_on_what_it_draws(config: TrainingConfig) -> None:
    data = Path(config.data.source)
    for out in (data / "run", data):
        train(replace(config, sample_every=1), out)
        assert list((out / "samples").iterdir())
        assert train(replace(config, sample_every=1, steps=3), out, resume=True).steps == 3


def test_changed_pictures_are_noticed_by_a_resumed_run(config: TrainingConfig, out: Path, tmp_path: Path) -> None:
    train(config, out)
    longer = replace(config, steps=3)
    data = Path(config.data.source)
    Image.new("L", (8, 8)).save(data / "more.png")
    before = _files(out)
    with pytest.raises(InputError, match="the pictures are not those that the run"):
        train(longer, out, resume=True)
    assert _files(out) == before
    (data / "more.png").unlink()
    moved = data.rename(tmp_path / "moved")  # the same pictures in another place
    longer = replace(longer, data=replace(longer.data, source=str(moved)))
    assert train(longer, out, resume=True).steps == 3
    picture = moved / "0003.png"
    Image.new("L", (8, 8)).save(picture)
    with pytest.raises(InputError, match="the pictures are not those that the run"):
        train(replace(longer, steps=4), out, resume=True)


def test_a_resumed_run_keeps_the_precision_that_was_measured(
    config: TrainingConfig, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, precision="auto")
    for measured, steps in ((True, 2), (False, 3)):
        monkeypatch.setattr("scoreinv.training.loop.uses_bfloat16", lambda precision, device, found=measured: found)
        assert train(replace(config, steps=steps), out, resume=True).precision == "bfloat16"


def test_two_saved_states_are_kept_and_never_the_unreadable_instead(config: TrainingConfig, out: Path) -> None:
    config = replace(config, steps=4, save_minutes=0.0)
    train(config, out)
    states = out / "state"
    for path in states.iterdir():
        path.write_bytes(b"damaged")
    train(replace(config, steps=2), out, resume=True, overwrite=True)
    assert sorted(path.name for path in states.iterdir()) == ["000000001.safetensors", "000000002.safetensors"]


def _rewrite(path: Path, about: str | None = None, change: Callable[[dict[str, Tensor]], object] = dict) -> None:
    """A state with other words about its run, or other tensors."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata if about is None else {"about": about})


@pytest.mark.parametrize(
    "change",
    [
        {"step": None},
        {"step": "2"},
        {"step": 2.5},
        {"step": -1},
        {"step": 2**70},
        {"step": True},
        {"seconds": []},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"run": 7},
        {"pictures": {"a": 1}},
        {"bfloat16": "yes"},
        {"of": "another program"},
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_state_that_says_nonsense_of_itself_is_passed_over_in_one_line(
    config: TrainingConfig, out: Path, caplog: pytest.LogCaptureFixture, change: dict | str
) -> None:
    train(config, out)
    state = out / "state/000000002.safetensors"
    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    _rewrite(state, change if isinstance(change, str) else json.dumps(about | change))
    before = _files(out)
    caplog.clear()
    with pytest.raises(InputError, match="is there already, and this run has not written it") as refused:
        train(replace(config, steps=3), out, resume=True)
    assert "\n" not in str(refused.value)
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "000000002.safetensors is unreadable and passed over: " in caplog.text
    assert _files(out) == before


@pytest.mark.parametrize("change", [None, 7, [], {}, {"model": 3}, {"model": {}, "steps": "many"}], ids=str)
def test_a_state_without_a_configuration_of_ours_is_refused(config: TrainingConfig, out: Path, change: object) -> None:
    train(config, out)
    state = out / "state/000000002.safetensors"
    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    _rewrite(state, json.dumps(about | {"config": change}))
    with pytest.raises(InputError, match=r"^\S*000000002\.safetensors: [^\n]*$"):
        train(replace(config, steps=3), out, resume=True)


def test_a_state_with_other_tensors_is_refused(config: TrainingConfig, out: Path) -> None:
    train(config, out)
    state = out / "state/000000002.safetensors"
    whole = state.read_bytes()

    def cut(tensors: dict[str, Tensor], name: str) -> None:
        tensors[name] = tensors[name].flatten()[:1].clone()

    names = load_file(state)
    for part in ("network.", "average.", "exp_avg.", "exp_avg_sq."):
        name = next(name for name, value in names.items() if name.startswith(part) and value.numel() > 1)
        for change in (lambda tensors, name=name: cut(tensors, name), lambda tensors, name=name: tensors.pop(name)):
            _rewrite(state, change=change)
            with pytest.raises(InputError, match=r"000000002\.safetensors: this state is of another model"):
                train(replace(config, steps=3), out, resume=True)
            state.write_bytes(whole)


@pytest.mark.parametrize("raised", [BrokenPipeError("the terminal is gone"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_callback_raises_the_state_is_saved(
    config: TrainingConfig, out: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    monkeypatch.setattr("scoreinv.training.loop._REPORT_SECONDS", 0.0)

    def callback(progress: TrainProgress) -> None:
        raise raised

    with pytest.raises(type(raised)):
        train(config, out, callback=callback)
    assert [path.name for path in (out / "state").iterdir()] == ["000000001.safetensors"]
    assert train(config, out, resume=True).steps == 2


def test_a_configuration_with_lists_goes_on_as_it_began(config: TrainingConfig, out: Path) -> None:
    config = replace(config, data=replace(config.data, scales=list(config.data.scales), holdout=[]))
    train(replace(config, steps=1), out)
    assert train(config, out, resume=True).steps == 2


@pytest.mark.parametrize(("steps", "held_out", "grid"), [(2, 32, 4), (20, 48, 4), (100, 240, 13), (1000, 256, 16)])
def test_a_short_run_tells_of_itself_in_proportion(
    config: TrainingConfig, steps: int, held_out: int, grid: int
) -> None:
    config = replace(config, steps=steps, validation_images=256, samples=16)
    assert (config.validated_images, config.grid_images) == (held_out, grid)
    training = 3 * steps * config.batch_size
    assert config.validated_images <= max(32, training / 10)
    assert 18 * config.grid_images <= max(18 * 4, training / 10)
    by_time = replace(config, steps=None, minutes=1.0)
    assert (by_time.validated_images, by_time.grid_images) == (256, 16)


def test_a_short_run_evaluates_the_network_in_proportion(
    config: TrainingConfig, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps of eight pictures, each as dear as three evaluations, and a fifth of that besides at most."""
    config = replace(config, steps=20, validation_images=256, samples=16, sample_every=1000, validate_every=1000)
    evaluated, forward = [], NCSNpp.forward

    def counted(self: NCSNpp, x: Tensor, *labels: Tensor) -> Tensor:
        evaluated.append(0 if self.training else len(x))
        return forward(self, x, *labels)

    monkeypatch.setattr(NCSNpp, "forward", counted)
    train(config, out)
    assert 0 < sum(evaluated) <= 0.2 * 3 * 20 * 8 + 18 * 4
