"""States of runs: two are kept, and what is no state of the run is not gone on from."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scoreinv.system.errors import InputError
from scoreinv.training.config import TrainingConfig
from scoreinv.training.loop import train
from scoreinv.training.state import TrainingState


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
    resumed.restore({name: value.clone() for name, value in whole.tensors().items()}, 2)
    for each in (whole, resumed):
        step(each, "a", "b")
    for name in "ab":
        assert torch.equal(whole.network[name].weight, resumed.network[name].weight)


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
    """A state with other words about its run, or other tensors."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata if about is None else {"about": about})


def test_a_state_that_cannot_be_read_is_passed_over_in_one_line(
    config: TrainingConfig, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(config, out)
    _rewrite(out / "state/000000002.safetensors", "[" * 100_000)
    caplog.clear()
    with pytest.raises(InputError, match="is there already, and this run has not written it"):
        train(replace(config, steps=3), out, resume=True)
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "000000002.safetensors is unreadable and passed over: " in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"config": {"model": 3}},
        {"step": -1},
        {"of": "another program"},
    ],
    ids=str,
)
def test_a_state_that_says_nonsense_of_itself_is_refused(config: TrainingConfig, out: Path, change: dict) -> None:
    train(config, out)
    state = out / "state/000000002.safetensors"
    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    _rewrite(state, json.dumps(about | change))
    with pytest.raises(InputError, match=r"^\S*000000002\.safetensors: [^\n]*$"):
        train(replace(config, steps=3), out, resume=True)


@pytest.mark.slow
def test_a_state_with_other_tensors_is_refused(config: TrainingConfig, out: Path) -> None:
    train(config, out)
    state = out / "state/000000002.safetensors"
    whole = state.read_bytes()

    def cut(tensors: dict[str, Tensor], name: str) -> None:
        tensors[name] = tensors[name].flatten()[:1].clone()

    names = load_file(state)
    for part in ("network.", "exp_avg_sq."):
        name = next(name for name, value in names.items() if name.startswith(part) and value.numel() > 1)
        for change in (lambda tensors, name=name: cut(tensors, name), lambda tensors, name=name: tensors.pop(name)):
            _rewrite(state, change=change)
            with pytest.raises(InputError, match=r"000000002\.safetensors: this state is of another model"):
                train(replace(config, steps=3), out, resume=True)
            state.write_bytes(whole)
