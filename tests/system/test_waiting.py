"""How many threads torch takes, and how they wait for each other: spinning briefly, unless the user has decided."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from scoreinv.system.machine import set_threads
from scoreinv.system.waiting import VARIABLES


def environment(**given: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | given


@pytest.mark.parametrize(
    ("given", "first", "told"),
    [
        ({}, "pass", "PASSIVE 3000 False"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "pass", "ACTIVE None False"),
        ({}, "sys.modules['torch'] = None", "None None True"),  # whose runtime has looked already
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "sys.modules['torch'] = None", "PASSIVE None False"),
    ],
)
def test_where_scoreinv_is_imported_first_threads_sleep_soon_unless_the_user_has_decided(given, first, told):
    shown = "os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'), scoreinv.system.waiting.spinning"
    code = f"import os, sys; {first}; import scoreinv; print({shown})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(**given)
    )
    assert done.stdout.split() == told.split()


@pytest.mark.slow
def test_the_runtime_of_torch_has_taken_it():
    """By GNU OpenMP's own account of its settings, which it gives when it is loaded.

    Threads that spin while they wait took four to eight times as long beside two other processes on two cores.
    """
    words = [sys.executable, "-c", "import scoreinv, torch"]
    settings = environment(OMP_DISPLAY_ENV="VERBOSE")
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=settings)
    turns = [line.split("=")[1].strip(" '") for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not turns:
        pytest.skip("this torch has another OpenMP")
    assert turns == ["3000"]


def test_a_command_takes_no_more_threads_than_its_container_allows(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("scoreinv.system.machine.container_limits", lambda: (float("inf"), 2))
    try:
        for given, threads in ((None, 2), ("5", 5)):  # what the user has decided stands
            torch.set_num_threads(5)
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            if given is not None:
                monkeypatch.setenv("OMP_NUM_THREADS", given)
            set_threads(None)
            assert torch.get_num_threads() == threads
        set_threads(3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
