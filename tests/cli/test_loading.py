"""Models as a user names them: on a device, in a folder, of the hub."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

DIFFUSERS = Path(__file__).parents[1] / "data" / "diffusers"


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's that holds google/small, and no network."""
    home = tmp_path / "hub"
    repository = home / "hub" / "models--google--small"
    shutil.copytree(DIFFUSERS / "ncsnpp", repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads the environment once."""
    return subprocess.run([sys.executable, "-m", "scoreinv", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_an_absent_device(scoreinv, photo, mask, device):

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has an accelerator")
    for method in ((), ("--method", "biharmonic")):
        outcome = scoreinv("inpaint", photo, "--mask", mask, "--device", device, *method)
        assert outcome.code == 2
        assert outcome.err == f"scoreinv: error: --device {device}: not available (available: cpu)\n"


def test_verbose_says_what_was_chosen_and_why(scoreinv, photo, mask, model, monkeypatch):
    monkeypatch.setenv("SCOREINV_PRECISION", "float32")
    outcome = scoreinv("inpaint", photo, "--mask", mask, "-v", "--device", "cpu")
    assert outcome.code == 0
    for said in (
        "--precision float32, from the environment",
        f"model {model}: {model}",
        "device cpu (requested)",
        "precision float32",
        "method pc,",
    ):
        assert f"scoreinv: {said}" in outcome.err or said in outcome.err
    silent = scoreinv("inpaint", photo, "--mask", mask, "-q", "--overwrite")
    assert (silent.code, silent.err) == (0, "")


@pytest.mark.slow
def test_a_model_of_the_hub_without_a_network(hub, photo, mask):
    outcome = run("inpaint", str(photo), "--mask", str(mask), "--model", "hf:google/absent")
    assert outcome.returncode == 2
    assert outcome.stderr.count("\n") == 1
    assert "config.json" in outcome.stderr
    assert "FOLDER/" in outcome.stderr  # `convert` has no --model
