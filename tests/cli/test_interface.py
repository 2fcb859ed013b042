"""Help, version, usage: what every command has."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from scoreinv.cli.app import PANELS, _command

COMMANDS = [
    *(
        "restore",
        "inpaint",
        "damage",
        "colorize",
        "denoise",
        "upscale",
        "deblur",
        "sample",
        "interpolate",
        "train",
        "likelihood",
    ),
    *("serve", "evaluate", "convert"),
    *("models list", "models show"),
]
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
HEAVY = ["torch", "numpy", "PIL", "scipy", "cv2", "skimage"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_common_options_that_a_command_uses(scoreinv, command):
    outcome = scoreinv(*command.split(), "--help")
    assert outcome.code == 0
    unused = UNUSED.get(command, [])
    words = outcome.out.replace(",", " ").split()
    assert [option for option in COMMON if (option in words) == (option in unused)] == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen_and_leaks_no_types(scoreinv, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = scoreinv(*command.split(), "--help").out
    assert len(page.splitlines()) <= 40
    assert max(map(len, page.splitlines())) <= 100
    assert re.search(r"<\w+|\bint\b|\bfloat\b|\bx<|{", page) is None
    # An example or two under what the command does, and the researcher's options below all others.
    assert re.search(rf"\n\n  scoreinv {command}", page)
    above, _, below = page.partition("For scripts and researchers")
    assert command == "" or ("--debug" not in above and "--debug" in below and "--help-all explains" in below)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_help_fit_a_plain_terminal(scoreinv, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    above = scoreinv(*command.split(), "--help").out.partition("\n╭")[0].rstrip()
    *_, examples = above.split("\n\n")
    assert [line for line in examples.splitlines() if not line.startswith(f"  scoreinv {command}")] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_all_explains_every_option(scoreinv, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    few, all_of_them = (scoreinv(*command.split(), option) for option in ("--help", "--help-all"))
    assert all_of_them.code == 0
    named = set(re.findall(r"--[a-z][a-z-]+", few.out))
    assert [option for option in named if not re.search(rf"│.*{option}\b.* {{2,}}\w+", all_of_them.out)] == []
    assert "│ --debug  " in all_of_them.out


def test_options_that_a_command_has_no_use_for_still_pass(scoreinv, model):
    assert scoreinv("models", "list", "--seed", 3, "--overwrite", "--quiet").code == 0


def test_a_model_is_shown_in_lines_for_people(scoreinv, model):
    shown = scoreinv("models", "show", model).out.splitlines()
    assert "kind: file" in shown
    assert shown[shown.index("config:") + 1].startswith("  network")
    assert "  data_range: [-1.0, 1.0]" in shown
    assert [line for line in shown if re.fullmatch(r" *[\w-]+:( .+)?", line) is None] == []


@pytest.mark.parametrize(
    ("words", "others"),
    [(["inpaint", "--help"], ["train", "sample"]), (["models", "list", "-h"], ["batch"]), (["-h"], [])],
)
def test_help_loads_nothing_heavy(words, others):
    """Nor typer's parser of values, which is built on pydantic, nor other commands."""
    unwanted = [*HEAVY, "pydantic", *(f"scoreinv.cli.{name}" for name in others)]
    code = (
        f"import sys; from scoreinv.cli.main import main; sys.argv = ['scoreinv', *{words}]; main(); "
        f"print([name for name in {unwanted} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout.startswith("Usage: scoreinv")


@pytest.mark.parametrize("words", [["--help"], ["inpaint", "--help"], ["models", "list", "--help"]])
def test_the_page_made_at_once_is_the_parsers(scoreinv, words, capsys):
    """What typer's parser shows, which has all commands built, is the same page."""
    at_once = scoreinv(*words).out
    with pytest.raises(SystemExit):
        _command(*PANELS).main(words, prog_name="scoreinv")
    assert capsys.readouterr().out.strip() == at_once.strip()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nonsense", "--help"], 2, "nonsense"),
        (["--help-all"], 2, "--help-all"),
        (["inpaint", "--version", "--help"], 0, "scoreinv "),
        (["inpaint", "photo.png", "--mask", "mask.png", "--help"], 0, "Usage: scoreinv inpaint"),
        (["inpaint", "--mask", "mask.png", "--", "--help"], 2, "no such file"),
    ],
)
def test_help_beside_other_words(scoreinv, words, code, said):
    outcome = scoreinv(*words)
    assert outcome.code == code
    assert said in outcome.out + outcome.err


@pytest.mark.parametrize("words", [["--version"], ["inpaint", "--version"], ["models", "list", "--version"]])
def test_version(scoreinv, words):
    from scoreinv.version import __version__

    outcome = scoreinv(*words)
    assert (outcome.code, outcome.out) == (0, f"scoreinv {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["inpaint"],
        ["inpaint", "photo.png"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--steps", "none"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--no-such-option"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--method", "magic"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--start", "soon"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--estimate", "mean"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--uncertainty", "u.png"],
        ["colorize", "photo.png", "--gray-weights", "rec2020"],
        ["denoise", "photo.png", "--noise", "-1"],
        ["denoise", "photo.png", "--noise", "nan"],
        ["denoise", "photo.png", "--noise", "256"],
        ["denoise", "photo.png", "--steps", "4"],
        ["denoise", "photo.png", "--uncertainty", "u.png"],
        ["upscale", "photo.png", "--factor", "1"],
        ["upscale", "photo.png", "--factor", "5"],
        ["upscale", "photo.png", "--factor", "2.5"],
        ["upscale", "photo.png", "--downsampling", "nearest"],
        ["upscale", "photo.png", "--method", "magic"],
        ["upscale", "photo.png", "--method", "mmps", "--estimate", "mean"],
        ["upscale", "photo.png", "--method", "dpir", "--samples", "2"],
        ["deblur", "photo.png"],
        ["deblur", "photo.png", "--kernel", "gaussian"],
        ["deblur", "photo.png", "--kernel", "gaussian:0"],
        ["deblur", "photo.png", "--kernel", "gaussian:wide"],
        ["deblur", "photo.png", "--kernel", "motion:5"],
        ["deblur", "photo.png", "--kernel", "missing.png"],
        ["train"],
        ["train", "--sde", "ve", "--config", "x.json"],
        ["train", "--sde", "ve", "--resume"],
        ["train", "--sde", "ve", "--data", "nowhere"],
        ["train", "--config", "nowhere.json"],
        ["train", "--config", "ve/no_such_model"],
        ["train", "--sde", "vp", "--sigma-max", "50"],
        ["sample", "--sampler", "ode", "--steps", "5"],
        ["likelihood", "photo.png", "--precision", "bfloat16"],
        ["likelihood", "photo.png", "--steps", "0"],
        ["likelihood", "photo.png", "--steps", "4", "--rtol", "1e-3"],
        ["inpaint", "photo.png", "--mask", "mask.png", "--mask-threshold", "1"],
        ["colorize", "photo.png", "--method", "pc", "--temperature", "0.9"],
        ["colorize", "photo.png", "--start", "1", "--temperature", "0.9"],
        ["sample", "--model", "ve/church_ncsnpp_continuous", "-n", "1"],
        ["interpolate", "photo.png"],
        ["interpolate", "photo.png", "photo.png", "-n", "1"],
        ["interpolate", "photo.png", "photo.png", "--temperature", "-1"],
        ["serve", "--port", "65536"],
        ["serve", "--host", "no such host"],
        ["serve", "--model", "no_such_model"],
        ["models", "show", "no_such_model"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(scoreinv, photo, mask, words):
    outcome = scoreinv(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("scoreinv: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_no_arguments_show_the_help(scoreinv):
    outcome = scoreinv("models")
    assert outcome.code in (0, 2)  # versions of typer differ
    assert "list" in outcome.out + outcome.err
    assert "error" not in outcome.err


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


def test_models(scoreinv, model):
    import json

    listed = json.loads(scoreinv("models", "list", "--json").out)["models"]
    assert "ve/cifar10_ncsnpp_continuous" in [entry["name"] for entry in listed]
    shown = json.loads(scoreinv("models", "show", model, "--json").out)["models"][0]
    assert shown["config"]["sde"] == {"name": "ve", "sigma_min": 0.01, "sigma_max": 10.0, "steps": 1000}
    assert shown["parameters"] > 0
