"""Checkpoints and configurations of the reference implementation: what is read of them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scoreinv.models.official import load_official, read_official_config
from scoreinv.system.errors import CheckpointError

PARITY = Path(__file__).parents[1] / "data" / "parity"


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2_64", "NCSNv2_256"])
def test_networks_that_do_not_run_in_the_reference(name: str, tmp_path: Path) -> None:
    """Their configurations lack what those of the others have: the answer is about the network, not about that."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"model": {"name": name, "nf": 128}, "data": {}, "training": {}}))
    with pytest.raises(CheckpointError, match="only ncsnpp and ddpm are"):
        read_official_config(str(path))


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
