"""Scores agree with the reference implementation, on networks of its own checkpoint format (tests/data/parity)."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import scoreinv
from scoreinv.cli.main import main

pytestmark = pytest.mark.portable

FOLDERS = sorted((Path(__file__).parents[2] / "data" / "parity").iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_score_of_a_converted_checkpoint_equals_the_reference(folder, tmp_path, monkeypatch) -> None:
    model = tmp_path / "m.safetensors"
    words = ["convert", str(folder / "checkpoint.pth"), "--config", str(folder / "config.json"), "-o", str(model)]
    monkeypatch.setattr(sys, "argv", ["scoreinv", *words])
    assert main() == 0
    prior = scoreinv.load(str(model))
    io = load_file(folder / "io.safetensors")
    with torch.no_grad():
        score = prior.score(io["x"], io["t"])
    reference = io["score"]
    rms = reference.square().mean(dim=(1, 2, 3)).sqrt()
    error = (score - reference).abs().amax(dim=(1, 2, 3))
    assert (error <= 5e-4 * rms).all(), (error / rms).tolist()
