"""Checkpoints and configurations of the reference implementation: what is read of them, and what is refused."""

import json
from pathlib import Path

import pytest

from scoreinv.models.foreign.official import load_official, read_official_config
from scoreinv.preconditioning import PaperVP
from scoreinv.prior import RecommendedSampler
from scoreinv.system.errors import CheckpointError

PARITY = Path(__file__).parents[2] / "data" / "parity"


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2_64", "NCSNv2_256"])
def test_networks_that_do_not_run_in_the_reference(name: str, tmp_path: Path) -> None:
    """Their configurations lack what those of the others have: the answer is about the network, not about that."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"model": {"name": name, "nf": 128}, "data": {}, "training": {}}))
    with pytest.raises(CheckpointError, match="only ncsnpp and ddpm are"):
        read_official_config(str(path))


NEEDED = {
    "data": ("image_size", "num_channels", "centered"),
    "training": ("sde", "continuous"),
    "ddpm": (
        *("name", "nf", "ch_mult", "num_res_blocks", "attn_resolutions", "resamp_with_conv", "conditional", "dropout"),
        *("nonlinearity", "num_scales"),
    ),
    "ncsnpp": (
        *("resblock_type", "fir", "fir_kernel", "skip_rescale", "progressive", "progressive_input"),
        *("progressive_combine", "embedding_type", "init_scale"),
    ),
    "vesde": ("sigma_min", "sigma_max", "scale_by_sigma"),
    "vpsde": ("beta_min", "beta_max"),
    "subvpsde": ("beta_min", "beta_max"),
}


@pytest.mark.parametrize("folder", sorted(PARITY.iterdir()), ids=lambda folder: folder.name)
def test_a_configuration_needs_only_the_entries_of_its_sde_and_network(folder: Path, tmp_path: Path) -> None:
    """Published VE configurations at 1024 pixels have no beta_min and no beta_max."""
    whole = json.loads((folder / "config.json").read_text())
    model = NEEDED["ddpm"] + NEEDED[whole["training"]["sde"]]
    model += NEEDED["ncsnpp"] if whole["model"]["name"] == "ncsnpp" else ()
    needed = {"model": model, "data": NEEDED["data"], "training": NEEDED["training"]}
    least = {section: {entry: whole[section][entry] for entry in entries} for section, entries in needed.items()}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(least | {"sampling": whole["sampling"]}))
    config = read_official_config(str(path))
    assert config == read_official_config(str(folder / "config.json"))
    prior = load_official(folder / "checkpoint.pth", config, ema=True)
    assert prior.sde == config.sde
    for section, entries in needed.items():
        for entry in entries:
            lacking = {**least, section: {name: value for name, value in least[section].items() if name != entry}}
            path.write_text(json.dumps(lacking))
            with pytest.raises(CheckpointError, match=entry if entry != "name" else "None"):
                read_official_config(str(path))


@pytest.mark.parametrize(("name", "labels"), [("vp_ddpm_cifar10", 500), ("vp_cifar10_ddpmpp_continuous", 1000)])
def test_labels_of_a_chain_count_its_steps(name: str, labels: int, tmp_path: Path) -> None:
    """Continuous models have labels up to 999, whatever the grid of their sampler."""
    config = json.loads((PARITY / name / "config.json").read_text())
    config["model"]["num_scales"] = 500
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = read_official_config(str(path))
    assert found.preconditioning == PaperVP(labels)
    assert (found.sde.steps, found.sampler.steps) == (500, 500)


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


@pytest.mark.parametrize(
    ("predictor", "corrector", "method", "expected"),
    [
        ("reverse_diffusion", "langevin", "pc", ("reverse_diffusion", "langevin")),
        ("euler_maruyama", "none", "pc", ("euler_maruyama", "none")),
        ("ancestral_sampling", "none", "pc", ("ancestral", "none")),
        ("reverse_diffusion", "ald", "pc", None),
        ("none", "langevin", "pc", None),
        ("reverse_diffusion", "langevin", "ode", None),
    ],
)
def test_a_sampler_is_recommended_if_it_is_of_this_package(predictor, corrector, method, expected, tmp_path) -> None:
    config = json.loads((PARITY / "vp_ddpm_cifar10" / "config.json").read_text())
    config["sampling"] |= {"predictor": predictor, "corrector": corrector, "method": method, "snr": 0.2}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = read_official_config(str(path)).sampler
    if expected is None:
        assert found is None
    else:
        assert found == RecommendedSampler(*expected, 0.2, config["model"]["num_scales"])
