"""How torch's threads wait for each other: without spinning, unless the user has decided."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scoreinv.cli.runtime import WAITING


def environment(**given: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in WAITING} | given


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "1000"}, None),
        ({"KMP_BLOCKTIME": "1"}, None),
    ],
)
def test_the_command_line_waits_passively_unless_the_user_has_decided(given, policy):
    code = (
        "import os, sys; from scoreinv.cli.main import main; sys.argv = ['scoreinv', '--version']; main(); "
        "print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(**given)
    )
    assert done.stdout.splitlines()[-1] == str(policy)


def test_the_runtime_of_torch_has_taken_it(photo, mask, model):
    """By GNU OpenMP's own account of its settings, which it gives when it is loaded."""
    words = ["inpaint", photo, "--mask", mask, "--model", model, "--steps", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "scoreinv", *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(OMP_DISPLAY_ENV="VERBOSE"),
    )
    turns = [line.split("=")[1].strip(" '") for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not turns:
        pytest.skip("this torch has another OpenMP")
    assert turns == ["0"]
