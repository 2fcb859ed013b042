"""Model files: round trips, and what each kind of wrong file gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.small_runs import TINY

import scoreinv
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.codec import decode, encode
from scoreinv.models.config import ClassifierConfig, FillConfig, ModelConfig, config_of
from scoreinv.models.model_file import read_metadata, read_model, save
from scoreinv.networks.blocks import conv
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVP
from scoreinv.prior import Network, RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, VE, VP
from scoreinv.system.errors import CheckpointError, InputError

pytestmark = pytest.mark.portable
CONFIG = ModelConfig(NCSNppConfig(width=8, multipliers=(1, 2), blocks=1), VE(0.02, 30.0), EDM(0.4), image_size=16)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    save(CONFIG.build(), path, notes={"hours": 1})
    return path


def test_weights_beyond_half_precision_are_refused(model: Path, tmp_path: Path) -> None:
    prior, path = read_model(model), tmp_path / "large.safetensors"
    with torch.no_grad():
        prior.network.conv_in.weight[0, 0, 0, 0] = 1e5
    with pytest.raises(CheckpointError, match="not finite in float16"):
        save(prior, path, half=True)
    assert not path.exists()
    save(prior, path)


def test_half_precision_halves_the_file(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    save(read_model(model), small, half=True)
    assert small.stat().st_size < 0.6 * model.stat().st_size
    torch.testing.assert_close(
        read_model(small).network.conv_in.weight, read_model(model).network.conv_in.weight, atol=1e-7, rtol=2**-11
    )
    exact, stored = load_file(model), load_file(small)
    for name, value in exact.items():
        assert stored[name].dtype == (torch.float16 if value.ndim > 1 else torch.float32), name
        assert value.ndim > 1 or torch.equal(stored[name], value)


@dataclass(frozen=True)
class PlainConfig:
    """Another kind of network than the U-Net."""

    channels: int = 3
    condition_channels: int = 0
    features: int = 4
    feature_channels = ()
    stride = 2

    def build(self) -> Plain:
        return Plain(self)


class Plain(Network):
    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config, self.channels, self.stride = config, config.channels, config.stride
        self.enter = conv(config.channels, config.features, 3)
        self.leave = conv(config.features, config.channels, 3)

    def forward(self, x: torch.Tensor, label: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.leave(self.enter(x)) + label[:, None, None, None].to(x)

    def set_precision(self, dtype: torch.dtype) -> None:
        self.to(dtype)


def test_files_of_released_versions_name_no_network() -> None:
    written = encode(CONFIG)
    assert "name" not in written["network"]
    assert decode(ModelConfig, written) == CONFIG
    assert decode(ModelConfig, written | {"network": written["network"] | {"name": "ncsnpp"}}) == CONFIG


def test_missing_truncated_and_foreign_files(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model file"):
        scoreinv.load(str(tmp_path / "none.safetensors"))
    with pytest.raises(CheckpointError, match="no bundled model is named 'nonesuch'"):
        scoreinv.load("nonesuch")
    for name in ("x" * 300, f"./{'x' * 300}.safetensors"):
        with pytest.raises(CheckpointError, match=r"[xs]: File name too long"):
            scoreinv.load(name)
    for no_name in ("", None):
        with pytest.raises(CheckpointError, match="a model is a name or a path, not"):
            scoreinv.load(no_name)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: not a readable safetensors"):
        read_model(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="not a scoreinv model"):
        read_model(foreign)


def test_weights_that_are_not_finite(model: Path) -> None:
    with safe_open(model, "pt") as file:
        metadata, weights = file.metadata(), load_file(model)
    weights["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, model, metadata)
    with pytest.raises(CheckpointError, match="not finite"):
        read_model(model)


CONDITIONAL = ResidualPreconditioning(gray_weights="rec709", luma_scale=2)
KINDS = {
    "edm": ModelConfig(TINY, VE(0.02, 30.0), EDM(0.4), (0.0, 1.0), 8, RecommendedSampler("ancestral", snr=0.2)),
    "ddpm": ModelConfig(TINY, DDPM(steps=50), PaperVP(50), image_size=8),
    "ffdnet": ModelConfig(FFDNetConfig(width=8, layers=3), VE(), DataPrediction(0.02), image_size=16),
    "conditional": FillConfig(
        replace(TINY, channels=3, condition_channels=CONDITIONAL.condition_channels), VE(), CONDITIONAL, image_size=8
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_prior_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    config, path = KINDS[name], tmp_path / "model.safetensors"
    prior = config.build()
    assert config_of(prior) == config
    scoreinv.save(prior, path, notes={"by": "hand"})
    again = scoreinv.load(path)
    assert read_metadata(path) == (config, {"by": "hand"})
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
    prior = KINDS["edm"].build()
    with pytest.raises(InputError, match="notes must be a dict, not 'of mine'"):
        scoreinv.save(prior, tmp_path / "model.safetensors", notes="of mine")  # type: ignore[arg-type]
    assert not (tmp_path / "model.safetensors").exists()


class Scaled(EDM):
    pass


class Nameless(torch.nn.Module):
    channels, stride = 1, 1


@pytest.mark.parametrize(
    ("network", "sde", "reading", "said"),
    [
        (Nameless(), VP(), EDM(), "Nameless has no `config`"),
        (TINY.build(), VP(), Scaled(), "Scaled cannot be stored in model files"),
    ],
)
def test_networks_unknown_to_files_are_refused(network, sde, reading, said, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=said):
        scoreinv.save(ScorePrior(network, sde, reading, image_size=8), tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
