"""How many threads torch takes, and how they wait for each other: spinning briefly, unless the user has decided."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scoreinv.system import threads
from scoreinv.system.threads import WAITING, limit_threads, yield_to_load


def environment(**given: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in WAITING} | given


def test_the_import_leaves_the_environment_of_its_host_alone() -> None:
    code = "import os; before = dict(os.environ); import scoreinv; scoreinv.load; print(dict(os.environ) == before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.split() == ["True"]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have torch's threads spin on two processors; returns the file that states the load, of one own thread now."""
    own, load = tmp_path / "task" / "7", tmp_path / "loadavg"
    own.mkdir(parents=True)
    (own / "stat").write_text("7 (a (name) R) R 1 7 7 0")
    load.write_text("0.00 0.00 0.00 1/300 7")
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    for name, value in (("_advised", False), ("_LOAD", load), ("_OWN_THREADS", own.parent)):
        monkeypatch.setattr(threads, name, value)
    monkeypatch.setattr(threads, "processors", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return load


def threads_inside() -> int:
    with yield_to_load():
        return torch.get_num_threads()


@pytest.mark.usefixtures("two_threads")
def test_spinning_threads_leave_busy_processors_to_others(busy, monkeypatch, caplog) -> None:
    assert (threads_inside(), caplog.messages) == (2, [])
    busy.write_text("0.20 0.10 0.10 7/300 7")  # six processes that have just begun
    assert (threads_inside(), torch.get_num_threads()) == (1, 2)
    with pytest.raises(ZeroDivisionError), yield_to_load():
        raise ZeroDivisionError
    assert (threads_inside(), torch.get_num_threads()) == (1, 2)
    assert len(caplog.messages) == 1
    busy.write_text("6.00 6.00 6.00 1/300 7")  # and have just ended
    assert threads_inside() == 2
    busy.unlink()  # another system
    assert threads_inside() == 2
    monkeypatch.setattr(threads, "processors", lambda: 1)  # in a container
    assert threads_inside() == 1


@pytest.mark.usefixtures("two_threads")
def test_sleeping_threads_are_not_limited(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy.write_text("9.00 9.00 9.00 9/300 7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert threads_inside() == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1 PASSIVE 3000"),
        ({"OPENBLAS_NUM_THREADS": "3"}, "3 PASSIVE 3000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "1 ACTIVE None"),
    ],
)
def test_a_command_decides_on_its_threads_before_numpy_and_torch_are_imported(given, expected) -> None:
    code = (
        "import os, sys, scoreinv.__main__ as command\n"
        f"names = {('OPENBLAS_NUM_THREADS', *WAITING[:2])}\n"
        "command.run = lambda: print({'numpy', 'torch'} & {*sys.modules}, *map(os.environ.get, names)) or 0\n"
        "command.main()"
    )
    settings = {name: value for name, value in environment().items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings | given
    )
    assert done.stdout.split() == ["set()", *expected.split()]


def test_nested_limits_are_lifted_one_by_one() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with limit_threads(2):
            with limit_threads(1):
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
