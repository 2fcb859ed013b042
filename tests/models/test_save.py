"""`scoreinv.save` and `load`: a prior holds all that its file needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import TINY

import scoreinv
from scoreinv.conditional.prior import ResidualPreconditioning
from scoreinv.errors import CheckpointError, InputError
from scoreinv.models.config import ClassifierConfig, ModelConfig, config_of
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVP, Preconditioning
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP

CONDITIONAL = ResidualPreconditioning(gray_weights="rec709", luma_scale=2)
CONFIGS = {
    "edm": ModelConfig(TINY, VE(0.02, 30.0), EDM(0.4), (0.0, 1.0), 8, RecommendedSampler("ancestral", snr=0.2)),
    "ddpm": ModelConfig(TINY, DDPM(steps=50), PaperVP(50), image_size=8),
    "ffdnet": ModelConfig(FFDNetConfig(width=8, layers=3), VE(), DataPrediction(0.02), image_size=16),
    "conditional": ModelConfig(
        replace(TINY, channels=3, condition_channels=CONDITIONAL.condition_channels), VE(), CONDITIONAL, image_size=8
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_prior_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    config, path = CONFIGS[name], tmp_path / "model.safetensors"
    prior = config.build()
    assert config_of(prior) == config
    scoreinv.save(prior, path, notes={"by": "hand"})
    again = scoreinv.load(path)
    assert type(again) is type(prior)
    assert config_of(again) == config
    weights = again.network.state_dict()
    for key, value in prior.network.state_dict().items():
        assert torch.equal(weights[key], value)


@pytest.mark.parametrize("network", [ConvNetConfig(classes=2), WideResNetConfig(depth=10, width=1, classes=2)])
def test_a_classifier_comes_back_as_it_was(network: ConvNetConfig | WideResNetConfig, tmp_path: Path) -> None:
    config = ClassifierConfig(network, VP(), ("cat", "dog"), image_size=32, guidance=2.0)
    scoreinv.save(config.build(), tmp_path / "model.safetensors")
    again = scoreinv.load_classifier(tmp_path / "model.safetensors")
    assert config_of(again) == config


def test_notes_are_entries(tmp_path: Path) -> None:
    prior = CONFIGS["edm"].build()
    with pytest.raises(InputError, match="notes must be a dict, not 'of mine'"):
        scoreinv.save(prior, tmp_path / "model.safetensors", notes="of mine")  # type: ignore[arg-type]
    assert not (tmp_path / "model.safetensors").exists()


class Scaled(EDM):
    pass


class Plain(torch.nn.Module):
    channels, stride = 1, 1


@pytest.mark.parametrize(
    ("network", "sde", "reading", "said"),
    [
        (Plain(), VP(), EDM(), "Plain has no `config`"),
        (TINY.build(), VP(), Scaled(), "Scaled has no name in model files"),
    ],
)
def test_what_files_do_not_know_is_said(
    network: torch.nn.Module, sde: SDE, reading: Preconditioning, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=said):
        scoreinv.save(ScorePrior(network, sde, reading, image_size=8), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_rooms_of_the_core_are_reached_from_the_front_door() -> None:
    code = "import sys, scoreinv; assert 'torch' not in sys.modules; "
    code += "print(scoreinv.samplers.PC, scoreinv.guidance.DPS, scoreinv.operators.mask, scoreinv.sdes.VE)"
    assert "DPS" in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"samplers", "guidance", "operators", "sdes", "save"} <= set(dir(scoreinv))
