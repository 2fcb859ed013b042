"""Model files: round trips, and what each kind of wrong file gets."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import scoreinv
from scoreinv.errors import CheckpointError
from scoreinv.models import config as model_config
from scoreinv.models.catalogue import describe
from scoreinv.models.codec import decode, encode
from scoreinv.models.config import ModelConfig
from scoreinv.models.model_file import read_metadata, read_model, save
from scoreinv.models.official import load_official, read_official_config
from scoreinv.models.published import PUBLISHED, published
from scoreinv.networks.base import Network
from scoreinv.networks.blocks import conv
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM, PaperVE
from scoreinv.sdes import DDPM, SDE, VE, SubVP
from scoreinv.training.config import DataConfig
from scoreinv.training.presets import paper_training

PARITY = Path(__file__).parents[1] / "data" / "parity"
CONFIG = ModelConfig(NCSNppConfig(width=8, multipliers=(1, 2), blocks=1), VE(0.02, 30.0), EDM(0.4), image_size=16)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    save(CONFIG.build(), path, notes={"hours": 1})
    return path


def test_round_trip(model: Path) -> None:
    prior = read_model(model)
    config, notes = read_metadata(model)
    assert config == CONFIG
    assert notes == {"hours": 1}
    assert prior.sde == CONFIG.sde
    assert prior.image_size == 16
    assert next(prior.network.parameters()).dtype == torch.float32


def test_half_precision_halves_the_file(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    save(read_model(model), small, half=True)
    assert small.stat().st_size < 0.6 * model.stat().st_size
    torch.testing.assert_close(
        read_model(small).network.conv_in.weight, read_model(model).network.conv_in.weight, atol=1e-7, rtol=2**-11
    )


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


def test_another_network_needs_a_line_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_config.NETWORKS, "plain", PlainConfig)
    config = replace(CONFIG, network=PlainConfig(features=5))
    prior, path = config.build(), tmp_path / "plain.safetensors"
    save(prior, path)
    again = read_model(path)
    assert read_metadata(path)[0] == config
    x = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again.noise(x, 0.5), prior.noise(x, 0.5))
    monkeypatch.delitem(model_config.NETWORKS, "plain")
    with pytest.raises(CheckpointError, match=r"plain\.safetensors: .*unknown name 'plain'"):
        read_model(path)


def test_files_of_released_versions_name_no_network() -> None:
    written = encode(CONFIG)
    assert "name" not in written["network"]
    assert decode(ModelConfig, written) == CONFIG
    assert decode(ModelConfig, written | {"network": written["network"] | {"name": "ncsnpp"}}) == CONFIG


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_survive_json(name: str) -> None:
    config = published(name).config
    assert decode(ModelConfig, encode(config)) == config


def test_published_size() -> None:
    """NCSN++ (continuous) on CIFAR-10 has 62 M parameters (Karras et al. 2022, table 1)."""
    with torch.device("meta"):
        network = published("ve/cifar10_ncsnpp_continuous").config.build().network
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(62e6, rel=0.02)


def test_discrete_published_models_use_their_own_table() -> None:
    assert isinstance(published("vp/cifar10_ddpmpp").config.sde, DDPM)
    assert published("ve/cifar10_ncsnpp").config.preconditioning == PaperVE("index")
    assert isinstance(published("subvp/cifar10_ddpm_continuous").config.sde, SubVP)


@pytest.mark.parametrize(
    ("name", "size", "sde", "attention", "snr", "batch", "rate", "parameters"),
    [
        ("ve/celeba_ncsnpp", 64, VE(0.01, 90.0), (2,), 0.17, 128, 2e-4, 62_693_251),
        ("ve/celebahq_ncsnpp_continuous", 1024, VE(0.01, 1348.0, 2000), (6,), 0.15, 8, 2e-4, 105_785_880),
        ("vp/bedroom_ddpm", 256, DDPM(), (4,), 0.075, 64, 2e-5, 111_569_923),
        ("vp/church_ddpm", 256, DDPM(), (4,), 0.075, 64, 2e-5, 111_569_923),
        ("vp/celebahq_ddpm", 256, DDPM(), (4,), 0.075, 64, 2e-5, 111_569_923),
        ("vp/cifar10_ddpm_unconditional", 32, DDPM(), (1,), 0.16, 128, 2e-4, None),
    ],
)
def test_the_references_other_configurations(
    name: str,
    size: int,
    sde: SDE,
    attention: tuple[int, ...],
    snr: float,
    batch: int,
    rate: float,
    parameters: int | None,
) -> None:
    """Settings of the reference's `configs/`, and the weights that its networks have.

    Without conditioning its DDPM cannot be built (it appends to a list that is not there).
    """
    model = published(name)
    config = model.config
    assert (config.image_size, config.sde, config.network.attention_levels) == (size, sde, attention)
    assert (config.sampler.snr, model.batch_size, model.learning_rate) == (snr, batch, rate)
    assert model.reduction == ("mean" if isinstance(sde, DDPM) else "sum")
    assert paper_training(name, DataConfig()).optimizer.learning_rate == rate
    if parameters is not None:
        assert describe(name).parameters == parameters


def test_published_weights_and_those_that_were_not() -> None:
    assert "no weights" in describe("ve/celeba_ncsnpp").source
    assert describe("ve/church_ncsnpp_continuous").source.startswith("hf:")
    with pytest.raises(CheckpointError, match="a published model, not bundled; its weights: no weights"):
        scoreinv.load("vp/bedroom_ddpm")


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2_64", "NCSNv2_256"])
def test_networks_that_do_not_run_in_the_reference(name: str, tmp_path: Path) -> None:
    """Their configurations lack what those of the others have: the answer is about the network, not about that."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"model": {"name": name, "nf": 128}, "data": {}, "training": {}}))
    for config in (str(path), "ve/ncsn/cifar10_5", "ve/ncsnv2/bedroom"):
        with pytest.raises(CheckpointError, match="NCSN and NCSNv2 do not run in the reference"):
            read_official_config(config)


def test_an_unconditional_network_has_no_use_for_noise_levels() -> None:
    """The reference's checkpoint has layers for them in its blocks, which are left; other surplus is refused."""
    folder = PARITY / "ve_ncsnpp_unconditional"
    config = read_official_config(str(folder / "config.json"))
    weights = torch.load(folder / "checkpoint.pth", weights_only=True)["model"]
    assert sum(".Dense_0." in name for name in weights) > 10
    prior = load_official(folder / "checkpoint.pth", config, ema=True)
    assert not any("embed." in name for name in prior.network.state_dict())
    told = replace(config, network=replace(config.network, noise_conditional=True))
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_official(folder / "checkpoint.pth", told, ema=True)


def test_missing_truncated_and_foreign_files(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model file"):
        scoreinv.load(str(tmp_path / "none.safetensors"))
    with pytest.raises(CheckpointError, match="no bundled model is named 'nonesuch'"):
        scoreinv.load("nonesuch")
    for name in ("x" * 300, f"./{'x' * 300}.safetensors"):
        with pytest.raises(CheckpointError, match=r"[xs]: File name too long"):
            scoreinv.load(name)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: not a readable safetensors"):
        read_model(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="not a scoreinv model"):
        read_model(foreign)


def test_a_loaded_model_does_not_hang_on_its_file(model: Path) -> None:
    prior = read_model(model)
    before = {name: value.clone() for name, value in prior.network.state_dict().items()}
    with model.open("r+b") as file:  # in place: who maps the file sees it
        length = int.from_bytes(file.read(8), "little")
        file.seek(8 + length)
        file.write(bytes(model.stat().st_size - 8 - length))
    assert all(torch.equal(value, before[name]) for name, value in prior.network.state_dict().items())


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    prior = CONFIG.build()
    with torch.no_grad():
        prior.network.conv_in.weight[0, 0, 0, 0] = float("nan")
    path = tmp_path / "nan.safetensors"
    save(prior, path)
    with pytest.raises(CheckpointError, match="not finite"):
        read_model(path)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('exploded', 'w')",)


def test_a_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.pth"
    torch.save({"model": {"x": torch.zeros(1)}, "bomb": _Bomb()}, path)
    config = read_official_config("vp/cifar10_ddpm")
    with pytest.raises(CheckpointError, match="nothing was executed"):
        load_official(path, config, ema=True)
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(CheckpointError, match="nothing was executed"):
        load_official(path, config, ema=True)
    assert not (tmp_path / "exploded").exists()


def test_wrong_configurations(tmp_path: Path) -> None:
    checkpoint = PARITY / "vp_ddpm_cifar10" / "checkpoint.pth"
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_official(checkpoint, read_official_config("ve/cifar10_ncsnpp_continuous"), ema=False)
    with pytest.raises(CheckpointError, match="no published model"):
        read_official_config("ve/cifar11")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(CheckpointError, match="not a configuration of the reference"):
        read_official_config(str(bad))
    truncated = tmp_path / "cut.pth"
    truncated.write_bytes(checkpoint.read_bytes()[:10_000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_official(truncated, read_official_config("vp/cifar10_ddpm"), ema=True)
