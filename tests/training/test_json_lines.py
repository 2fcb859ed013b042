"""Lines of metrics survive kills and full disks, and TensorBoard shows them."""

from __future__ import annotations

import errno
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_runs import tiny_run

from scoreinv.system.errors import InputError
from scoreinv.training.json_lines import JsonLines
from scoreinv.training.loop import train

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra 'tensorboard'")


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


def shown(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars that TensorBoard finds, by name: (step, value) in the order in which they are written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.mark.slow
@needs_tensorboard
def test_it_shows_the_metrics_and_goes_on_with_them(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(tiny_run(folder, steps=8), out)
    assert not (out / "tensorboard").exists()
    train(tiny_run(folder, steps=12), out, resume=True, tensorboard=True)  # what came before is shown too
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines if "loss" in line]
    assert [step for step, _ in losses] == [4, 8, 12]
    assert shown(out)["loss"] == losses
    assert "validation/mean" in shown(out)


def test_without_tensorboard(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'scoreinv\[tensorboard\]'"):
        train(tiny_run(folder, steps=4), tmp_path / "out", tensorboard=True)
    assert not (tmp_path / "out").exists()
