"""Help, version, usage: what every command has."""

from __future__ import annotations

import json
import re
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
    "serve": ["--seed", "--overwrite"],
    "interpolate": ["--seed"],
    "evaluate": ["--seed", "--overwrite", "--precision"],
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


def test_options_that_a_command_has_no_use_for_still_pass(scoreinv):
    assert scoreinv("models", "list", "--seed", 3, "--overwrite", "--quiet").code == 0


@pytest.mark.parametrize("words", [["inpaint", "--help"], ["models", "list", "-h"], ["-h"]])
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


@pytest.mark.parametrize("words", [["--version"], ["inpaint", "--version"], ["models", "list", "--version"]])
def test_version(scoreinv, words):
    from scoreinv.version import __version__

    outcome = scoreinv(*words)
    assert (outcome.code, outcome.out) == (0, f"scoreinv {__version__}\n")


def test_no_arguments_show_the_help(scoreinv):
    outcome = scoreinv("models")
    assert outcome.code in (0, 2)  # versions of typer differ
    assert "list" in outcome.out + outcome.err
    assert "error" not in outcome.err


def test_what_follows_two_dashes_is_no_option(scoreinv):
    outcome = scoreinv("damage", "--", "--help")
    assert (outcome.code, "--help: no such file" in outcome.err) == (2, True)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_an_absent_device(scoreinv, photo, mask, device):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has an accelerator")
    for method in ((), ("--method", "biharmonic")):
        outcome = scoreinv("inpaint", photo, "--mask", mask, "--device", device, *method)
        assert outcome.code == 2
        assert outcome.err == f"scoreinv: error: --device {device}: there is none here (available: cpu)\n"


def test_debug_shows_the_traceback(scoreinv, mask):
    outcome = scoreinv("inpaint", "missing.png", "--mask", mask, "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.endswith("scoreinv: error: missing.png: no such file: check the path\n")


def test_an_unexpected_error_is_one_line_with_its_type(scoreinv, photo, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("scoreinv.imaging.read.read_picture", broken)
    outcome = scoreinv("denoise", photo)
    assert outcome.code == 1
    assert outcome.err == "scoreinv: error: ZeroDivisionError: by zero (--debug shows where)\n"


def test_models(scoreinv, model):
    listed = json.loads(scoreinv("models", "list", "--json").out)["models"]
    assert "ve/cifar10_ncsnpp_continuous" in [entry["name"] for entry in listed]
    shown = json.loads(scoreinv("models", "show", model, "--json").out)["models"][0]
    assert shown["config"]["sde"] == {"name": "ve", "sigma_min": 0.01, "sigma_max": 10.0, "steps": 1000}
    assert shown["parameters"] > 0


def test_a_model_is_shown_in_lines_for_people(scoreinv, model):
    shown = scoreinv("models", "show", model).out.splitlines()
    assert "kind: file" in shown
    assert shown[shown.index("config:") + 1].startswith("  network")
    assert "  data_range: [-1.0, 1.0]" in shown
    assert [line for line in shown if re.fullmatch(r" *[\w-]+:( .+)?", line) is None] == []
