"""Help: what every command has."""

import subprocess
import sys

import pytest

from scoreinv.cli.app import COMMANDS, GROUPS

ALL = [*(name for name in COMMANDS if name not in GROUPS), "models list", "models show"]


COMMON = [
    *("--seed", "--overwrite", "--dry-run", "--quiet", "--verbose"),
    *("--device", "--precision", "--threads", "--json", "--debug", "--version"),
]


UNUSED = {
    "select": ["--seed", "--device", "--precision"],
    "damage": ["--seed"],
    "serve": ["--seed", "--overwrite"],
    "interpolate": ["--seed"],
    "evaluate": ["--seed", "--overwrite", "--precision"],
    "compare": ["--seed", "--device", "--precision", "--threads"],
    "rerun": ["--seed"],
    "convert": ["--seed", "--device", "--precision", "--threads"],
    "models list": ["--seed", "--overwrite", "--dry-run", "--quiet", "--device", "--precision", "--threads"],
    "models show": ["--seed", "--overwrite", "--dry-run", "--quiet", "--device", "--precision", "--threads"],
}
"""Common options that a command takes, so that published lines go on working, and has no use for."""


@pytest.mark.parametrize("command", ALL)
def test_help_is_a_screen_and_help_all_names_all_options_that_a_command_uses(scoreinv, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    page, full = scoreinv(*command.split(), "--help"), scoreinv(*command.split(), "--help-all")
    assert (page.code, full.code) == (0, 0)
    assert len(page.out.splitlines()) <= 54
    unused = UNUSED.get(command, [])
    words = full.out.split()
    assert [option for option in COMMON if (option in words) == (option in unused)] == []
    assert len(full.out) > len(page.out)
    assert f"scoreinv {command} " in page.out  # an example


def test_options_that_a_command_has_no_use_for_still_pass(scoreinv, model):
    assert scoreinv("models", "show", model, "--seed", 3, "--overwrite", "--quiet").code == 0


@pytest.mark.parametrize("words", [["models", "list", "-h"], ["-h"]])
def test_help_loads_nothing_heavy(words):
    heavy = ["torch", "numpy", "PIL", "scipy", "cv2", "skimage"]
    unwanted = [*heavy, *(["scoreinv.cli.train"] if len(words) > 1 else [])]
    code = (
        f"import sys; from scoreinv.cli.main import main; sys.argv = ['scoreinv', *{words}]; main(); "
        f"print([name for name in {unwanted} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Usage: scoreinv" in done.stdout
