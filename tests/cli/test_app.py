"""The commands, and their defaults by the environment and `scoreinv.toml`; completion of the shell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own settings are none of a test's."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    return home


def outputs(outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [Path(path).name for path in json.loads(outcome.out)["outputs"]]


TWO = ["photo_inpainted.1.png", "photo_inpainted.2.png"]


@pytest.mark.parametrize("words", [["--version"], ["inpaint", "--version"], ["models", "list", "--version"]])
def test_version(scoreinv, words):
    from scoreinv.system.version import __version__

    outcome = scoreinv(*words)
    assert (outcome.code, outcome.out) == (0, f"scoreinv {__version__}\n")


def test_no_arguments_show_the_help(scoreinv):
    outcome = scoreinv("models")
    assert outcome.code in (0, 2)  # versions of typer differ
    assert "list" in outcome.out + outcome.err
    assert "error" not in outcome.err


def test_options_by_the_environment(scoreinv, photo, mask, monkeypatch):
    monkeypatch.setenv("SCOREINV_INPAINT_SAMPLES", "2")
    monkeypatch.setenv("SCOREINV_JSON", "1")
    monkeypatch.setenv("SCOREINV_SEED", "5")
    monkeypatch.setenv("SCOREINV_INPAINT_SEED", "6")
    monkeypatch.setenv("SCOREINV_COLORIZE_SAMPLES", "nonsense of another command")
    outcome = scoreinv("inpaint", photo, "--mask", mask)
    assert outputs(outcome) == TWO
    assert json.loads(outcome.out)["seed"] == 6  # that of the command goes before that of all
    typed = scoreinv("inpaint", photo, "--mask", mask, "--samples", 1, "--seed", 7)
    assert outputs(typed) == ["photo_inpainted.png"]
    assert json.loads(typed.out)["seed"] == 7


def test_options_by_a_file(scoreinv, photo, mask, tmp_path, monkeypatch):
    (tmp_path / "scoreinv.toml").write_text("json = true\nseed = 3\n[inpaint]\nsamples = 2\nmask-threshold = 0.25\n")
    outcome = scoreinv("inpaint", photo, "--mask", mask)
    assert outputs(outcome) == TWO
    assert json.loads(outcome.out)["seed"] == 3
    monkeypatch.setenv("SCOREINV_INPAINT_SAMPLES", "1")
    assert outputs(scoreinv("inpaint", photo, "--mask", mask)) == ["photo_inpainted.png"]


def test_a_file_names_options_as_they_are_typed(scoreinv, tmp_path):
    for name in ("class", "not-a-class"):
        (tmp_path / "scoreinv.toml").write_text(f'[sample]\n{name} = "cat"\n')
        outcome = scoreinv("sample", "--dry-run")
        assert (outcome.code, "has no classifier" in outcome.err) == (2, name == "class")


def test_the_file_of_the_working_folder_goes_before_the_users(scoreinv, photo, mask, model, tmp_path):

    own = Path(typer.get_app_dir("scoreinv"))
    own.mkdir(parents=True)
    (own / "scoreinv.toml").write_text("json = true\n[inpaint]\nsamples = 3\n[models.show]\njson = false\n")
    (tmp_path / "scoreinv.toml").write_text("[inpaint]\nsamples = 2\n")
    assert outputs(scoreinv("inpaint", photo, "--mask", mask)) == TWO
    assert scoreinv("models", "show", model).out.startswith("name: ")


@pytest.mark.slow
def test_defaults_of_a_group_of_commands(scoreinv, model, tmp_path):
    """They are of those that have such an option, and give way to those of a single one, wherever it stands."""
    (tmp_path / "scoreinv.toml").write_text("[models.list]\njson = false\n[models]\njson = true\n")
    assert scoreinv("models", "show", model).out.startswith("{")
    assert not scoreinv("models", "list").out.startswith("{")
    assert "is no option" not in scoreinv("models").err


def test_a_flag_that_was_set_for_good_is_switched_off_by_what_is_typed(scoreinv, photo, mask, tmp_path, monkeypatch):
    (tmp_path / "scoreinv.toml").write_text("overwrite = true\n[inpaint]\ninvert-mask = true\n")
    words = ("inpaint", photo, "--mask", mask)
    assert scoreinv(*words).code == 0
    inverted = (tmp_path / "photo_inpainted.png").read_bytes()
    assert scoreinv(*words, "--no-invert-mask").code == 0
    assert (tmp_path / "photo_inpainted.png").read_bytes() != inverted
    kept = scoreinv(*words, "--no-overwrite")
    assert (kept.code, ": exists" in kept.err) == (2, True)
    monkeypatch.setenv("SCOREINV_INPAINT_OVERWRITE", "1")
    assert scoreinv(*words, "--no-overwrite").code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[inpaint]\nsample = 2", "scoreinv.toml: sample is not an option of inpaint: see scoreinv inpaint --help-all"),
        (
            "samples = 2",
            "scoreinv.toml: samples is not an option of all commands: put it in a table, such as [inpaint]",
        ),
        ("[inpint]\nsamples = 2", "scoreinv.toml: [inpint] is not a command: see scoreinv --help"),
        ("seed = [1]", "scoreinv.toml: seed: give one text, number, true or false"),
        ("[inpaint]\ngrow = true", "scoreinv.toml: Invalid value for '--grow'"),
        ("[inpaint]\nsamples = 0", "scoreinv.toml: --samples must be"),
        ("[inpaint\n", "scoreinv.toml: is not TOML"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(scoreinv, photo, mask, tmp_path, text, message):
    (tmp_path / "scoreinv.toml").write_text(text)
    outcome = scoreinv("inpaint", photo, "--mask", mask)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert outcome.err.startswith(f"scoreinv: error: {message}")
    for question in ("--help-all", "--help", "-h", "--version"):  # the remedy names the first
        assert scoreinv("inpaint", question).code == 0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SCOREINV_THREADS", "many", "Invalid value for '--threads'"),
        ("SCOREINV_INPAINT_SAMPLES", "0", "--samples must be"),
    ],
)
def test_a_wrong_value_of_the_environment_names_its_variable(scoreinv, photo, mask, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    outcome = scoreinv("inpaint", photo, "--mask", mask)
    assert outcome.code == 2
    assert outcome.err.startswith(f"scoreinv: error: {variable}: {said}")


def test_a_misspelt_variable_is_named(scoreinv, photo, mask, monkeypatch):
    wrong = {"SCOREINV_INPAINT_SAMPELS", "SCOREINV_SEDE", "SCOREINV_SAMPLES"}
    right = {"SCOREINV_INPAINT_SEED", "SCOREINV_SEED", "SCOREINV_COLORIZE_SAMPELS", "SCOREINV_MODELS_LIST_SEED"}
    for name in wrong | right:
        monkeypatch.setenv(name, "2")
    outcome = scoreinv("inpaint", photo, "--mask", mask, "--dry-run")
    assert (outcome.code, outcome.err.count("\n")) == (0, 1)
    assert {name for name in wrong | right if name in outcome.err.replace(",", "").replace(":", "").split()} == wrong


@pytest.mark.parametrize("shell", ["bash", pytest.param("fish", marks=pytest.mark.slow)])
def test_completion_of_the_shell(shell, tmp_path):
    def asked(**variables: str) -> str:
        words = [sys.executable, "-m", "scoreinv"]
        environment = os.environ | variables
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout

    assert "_SCOREINV_COMPLETE" in asked(_SCOREINV_COMPLETE=f"source_{shell}")
    typed = {
        "bash": {"COMP_WORDS": "scoreinv inpaint --overw", "COMP_CWORD": "2"},
        "fish": {"_TYPER_COMPLETE_ARGS": "scoreinv inpaint --overw", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    assert "--overwrite" in asked(_SCOREINV_COMPLETE=f"complete_{shell}", **typed[shell])


def typed(option: Any, value: Any) -> list[str]:
    """Return the words of an option; none for None."""
    if isinstance(value, bool):
        return [max(option.opts if value else option.secondary_opts, key=len)]
    return [] if value is None else [f"{option.opts[-1]}={value}"]
