"""The metrics of a run in TensorBoard."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from gaussian import write_noise_pictures
from small_runs import tiny_run

from scoreinv.errors import InputError
from scoreinv.training.loop import train

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra 'tensorboard'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_noise_pictures(tmp_path / "data", 12, 8, 0.6, 0.1)
    return tmp_path / "data"


def shown(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars that TensorBoard finds, by name: (step, value) in the order in which they are written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def written(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The same of `metrics.jsonl`."""
    found: dict[str, list[tuple[int, float]]] = {}
    for text in (out / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        step = line.pop("step")
        entries = {f"{name}/mean": value["mean"] for name, value in line.items() if isinstance(value, dict)}
        entries |= {name: value for name, value in line.items() if not isinstance(value, dict)}
        for name, value in entries.items():
            found.setdefault(name, []).append((step, pytest.approx(value, rel=1e-6)))
    return found


@needs_tensorboard
def test_it_shows_the_metrics_and_goes_on_with_them(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(tiny_run(folder, steps=8), out)
    assert not (out / "tensorboard").exists()
    for steps in (8, 12):  # what came before is shown too; a second run of it repeats nothing
        train(tiny_run(folder, steps=steps), out, resume=True, tensorboard=True)
        assert shown(out) == written(out)
    assert [step for step, _ in shown(out)["loss"]] == [4, 8, 12]
    assert "validation/mean" in shown(out)


@needs_tensorboard
def test_other_files_of_its_folder_stay(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "tensorboard").mkdir(parents=True)
    (tmp_path / "out" / "tensorboard" / "notes.txt").write_text("mine")
    train(tiny_run(folder, steps=4), tmp_path / "out", tensorboard=True)
    assert (tmp_path / "out" / "tensorboard" / "notes.txt").read_text() == "mine"
    (tmp_path / "other" / "tensorboard").mkdir(parents=True)
    (tmp_path / "other" / "tensorboard" / "events.out.tfevents.1.host.1.0").write_bytes(b"of another run")
    with pytest.raises(InputError, match=r"events\.out.*is there already"):
        train(tiny_run(folder, steps=4), tmp_path / "other", tensorboard=True)


def test_without_tensorboard(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'scoreinv\[tensorboard\]'"):
        train(tiny_run(folder, steps=4), tmp_path / "out", tensorboard=True)
    assert not (tmp_path / "out").exists()
