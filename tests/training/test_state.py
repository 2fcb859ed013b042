"""States of runs: two are kept, and a run resumes from its own valid states only."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from scoreinv.system.errors import InputError
from scoreinv.training.config import TrainingConfig
from scoreinv.training.loop import train
from scoreinv.training.run import RunRecord


@pytest.mark.slow
def test_two_saved_states_are_kept_and_never_the_unreadable_instead(config: TrainingConfig, out: Path) -> None:
    config = replace(config, steps=4, save_minutes=0.0)
    train(config, out)
    states = out / "state"
    for path in states.iterdir():
        path.write_bytes(b"damaged")
    train(replace(config, steps=2), out, resume=True, overwrite=True)
    assert sorted(path.name for path in states.iterdir()) == ["000000001.safetensors", "000000002.safetensors"]


def _rewrite(path: Path, about: str | None = None, change: Callable[[dict[str, Tensor]], object] = dict) -> None:
    """Replace the record of a state, or change its tensors."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata if about is None else {"about": about})


def test_a_state_that_cannot_be_read_is_passed_over_in_one_line(done, out, caplog) -> None:
    _rewrite(out / "state/000000002.safetensors", "[" * 100_000)
    caplog.clear()
    with pytest.raises(InputError, match="is there already, and this run has not written it"):
        train(replace(done, steps=3), out, resume=True)
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "000000002.safetensors is unreadable and passed over: " in caplog.text


def _without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.pop(name)


def _cut(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({name: tensors[name].flatten()[:1].clone()})


@pytest.mark.slow
def test_a_state_with_an_invalid_record_or_other_tensors_is_refused(done: TrainingConfig, out: Path) -> None:
    state = out / "state/000000002.safetensors"
    whole, tensors = state.read_bytes(), load_file(state)
    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    invalid = ({"done": {"model": 3}}, {"step": -1}, {"of": "another program"})
    cases = [(json.dumps(about | change), dict, "[^\n]*$") for change in invalid]
    for part in ("network.", "exp_avg_sq."):
        name = next(name for name, value in tensors.items() if name.startswith(part) and value.numel() > 1)
        cases += [(None, change, "this state is of another model") for change in (_without(name), _cut(name))]
    for record, change, message in cases:
        _rewrite(state, record, change)
        with pytest.raises(InputError, match=rf"^\S*000000002\.safetensors: {message}"):
            train(replace(done, steps=3), out, resume=True)
        state.write_bytes(whole)


@pytest.mark.parametrize("change", [{"step": -1}, {"seconds": -1.0}, {"step": -1, "seconds": 3.0}])
def test_invalid_records_are_refused(change: dict[str, float], config: TrainingConfig) -> None:
    with pytest.raises(InputError, match="at least 0"):
        RunRecord(config, "", bfloat16=False, **change)
    assert RunRecord(config, "", bfloat16=False).run != RunRecord(config, "", bfloat16=False).run
