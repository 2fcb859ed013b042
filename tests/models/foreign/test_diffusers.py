"""Models in the format of the diffusers library give what it gives (tests/data/diffusers, by make_diffusers.py)."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import scoreinv
from scoreinv.models.foreign.diffusers import WEIGHTS_FILES, fetch, read_diffusers_config
from scoreinv.models.foreign.published import PUBLISHED
from scoreinv.prior import RecommendedSampler
from scoreinv.samplers import PC
from scoreinv.sdes import DDPM, VE
from scoreinv.system.errors import CheckpointError
from scoreinv.tasks.generate import generate, make_sampler
from scoreinv.tasks.sampling_settings import SamplerSettings

pytestmark = pytest.mark.portable

DATA = Path(__file__).parents[2] / "data" / "diffusers"


def io(name: str) -> dict[str, Tensor]:
    return load_file(DATA / name / "io.safetensors")


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Largest of max|value - reference| / rms(reference) over the items."""
    error = (value - reference).abs().flatten(1).amax(1)
    return float((error / reference.square().flatten(1).mean(1).sqrt()).max())


@pytest.mark.parametrize("name", ["ncsnpp", "heads"])
def test_scores(name: str) -> None:
    prior, data = scoreinv.load(DATA / name), io(name)
    assert isinstance(prior.sde, VE)
    assert prior.data_range == (0.0, 1.0)
    sigma = data["label"].double()
    t = (sigma / prior.sde.sigma_min).log() / (torch.tensor(prior.sde.sigma_max) / prior.sde.sigma_min).log()
    with torch.no_grad():
        assert relative_error(prior.score(data["x"], t), data["output"]) < 5e-4


def test_noise_of_ddpm() -> None:
    prior, data = scoreinv.load(DATA / "ddpm"), io("ddpm")
    assert prior.sde == DDPM(0.1, 10.0, 20)
    with torch.no_grad():
        noise = prior.noise(data["x"], data["label"].double() / 19)
    assert relative_error(noise, data["output"]) < 5e-4


class Recorded:
    """Noise drawn before: the initial state, then that of each step."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = iter(draws)
        self.device = torch.device("cpu")

    def normal(self, *_: object) -> Tensor:
        return next(self.draws)

    def like(self, x: Tensor) -> Tensor:
        return next(self.draws)


def test_the_pipeline_of_ddpm() -> None:
    """With the same noise the same picture: posterior variance, clipped estimates, as the folder's scheduler says."""
    from scoreinv.prior import Clipped

    prior, data = scoreinv.load(DATA / "ddpm"), io("ddpm")
    sampler = make_sampler(prior, SamplerSettings("pc"))
    assert isinstance(sampler, PC)
    assert prior.sampler.clip
    result = sampler.sample(Clipped(prior), tuple(data["picture"].shape), rng=Recorded(data["noise"]))
    assert relative_error(result.x0, data["picture"]) < 5e-4
    assert generate(prior, 1).images.shape == (1, 16, 16, 3)


def test_the_published_shape_is_the_papers_network(tmp_path: Path) -> None:
    """google/ncsnpp-church-256 has the configuration of the paper's own checkpoint: groups by our rule, one head."""
    widths = [128, 128, 256, 256, 256, 256, 256]
    down = ["SkipDownBlock2D"] * 7
    up = ["SkipUpBlock2D"] * 7
    down[4], up[2] = "AttnSkipDownBlock2D", "AttnSkipUpBlock2D"
    options = json.loads((DATA / "ncsnpp" / "config.json").read_text())
    options |= {"block_out_channels": widths, "down_block_types": down, "up_block_types": up}
    options |= {"sample_size": 256, "layers_per_block": 2}
    (tmp_path / "config.json").write_text(json.dumps(options))
    shutil.copy(DATA / "ncsnpp" / "scheduler_config.json", tmp_path)
    ours, theirs = PUBLISHED["ve/church_ncsnpp_continuous"], read_diffusers_config(tmp_path)
    differences = {
        key: (value, vars(theirs.network)[key])
        for key, value in vars(ours.network).items()
        if vars(theirs.network)[key] != value
    }
    assert differences == {}
    assert (ours.sde, ours.sampler, ours.data_range) == (theirs.sde, theirs.sampler, theirs.data_range)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "ncsnpp", tmp_path / "folder"))


def test_network_and_scheduler_may_lie_in_folders_of_their_own(folder: Path) -> None:
    expected = scoreinv.load(folder)
    for name, files in (("unet", ("config.json", WEIGHTS_FILES[0])), ("scheduler", ("scheduler_config.json",))):
        (folder / name).mkdir()
        for file in files:
            (folder / file).rename(folder / name / file)
    found = scoreinv.load(folder)
    assert found.sde == expected.sde
    assert found.image_size == expected.image_size
    for value, before in zip(found.network.parameters(), expected.network.parameters(), strict=True):
        assert torch.equal(value, before)


def test_a_folder_without_a_scheduler_takes_the_usual_noise_levels(folder: Path, caplog) -> None:
    (folder / "scheduler_config.json").unlink()
    assert scoreinv.load(folder).sde == VE(0.01, 1348.0, 2000)
    assert "no scheduler_config.json" in caplog.text


def altered(name: str, folder: Path, **files: dict[str, object]) -> Path:
    """Copy a model, with changes of entries of its `config` or its `scheduler_config`."""
    copy = Path(shutil.copytree(DATA / name, folder / "altered"))
    for file, changes in files.items():
        path = copy / f"{file}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return copy


UNSUPPORTED: dict[tuple[str, str], dict[str, object]] = {
    ("ncsnpp", "config"): {
        "down_block_types": ["CrossAttnDownBlock2D"] * 4,
        "block_out_channels": [8, 12, 32, 32],
        "mid_block_scale_factor": 1,
        "in_channels": 4,
        "out_channels": 4,
        "up_block_types": ["SkipUpBlock2D"] * 3,
        "time_embedding_type": "positional",
        "_class_name": "UNet2DConditionModel",
        "class_embed_type": "timestep",
    },
    ("ddpm", "config"): {"flip_sin_to_cos": True, "freq_shift": 0, "downsample_padding": 1, "time_embedding_dim": 7},
    ("ddpm", "scheduler_config"): {"beta_schedule": "squaredcos_cap_v2"},
}


@pytest.mark.parametrize(
    ("name", "file", "entry", "value"),
    [(*place, *change) for place, entries in UNSUPPORTED.items() for change in entries.items()],
)
def test_unsupported_entries_are_named(tmp_path: Path, name: str, file: str, entry: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=rf"{file}\.json: {entry} = .* is not supported"):
        scoreinv.load(altered(name, tmp_path, **{file: {entry: value}}))


@pytest.mark.parametrize(
    ("schedule", "sampler"),
    [
        ({}, RecommendedSampler("ancestral_posterior", "none", steps=20, clip=True)),
        ({"variance_type": "fixed_large"}, RecommendedSampler("ancestral", "none", steps=20, clip=True)),
        ({"clip_sample": False}, RecommendedSampler("ancestral_posterior", "none", steps=20, clip=False)),
    ],
)
def test_the_sampler_of_a_schedule(tmp_path: Path, schedule: dict[str, object], sampler: RecommendedSampler) -> None:
    found = read_diffusers_config(
        altered("ddpm", tmp_path, scheduler_config=schedule, config={"sample_size": [32, 16]})
    )
    assert found.sampler == sampler
    assert found.image_size == 16  # the shorter side


@pytest.mark.parametrize("kept", WEIGHTS_FILES)
def test_a_model_of_the_hub_is_fetched_by_its_name_and_revision(monkeypatch, tmp_path: Path, kept: str) -> None:
    """Pickled weights only if there are no others."""
    asked = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns[-2:]))
        assert {"config.json", "unet/config.json", "scheduler_config.json"} <= {*allow_patterns}
        if f"unet/{kept}" in allow_patterns:
            (tmp_path / "unet").mkdir(exist_ok=True)
            (tmp_path / "unet" / kept).touch()
        return str(tmp_path)

    monkeypatch.setattr(pytest.importorskip("huggingface_hub"), "snapshot_download", download)
    tried = WEIGHTS_FILES[: WEIGHTS_FILES.index(kept) + 1]
    assert fetch("hf:owner/name@v1") == tmp_path
    assert asked == [("owner/name", "v1", [name, f"unet/{name}"]) for name in tried]
    asked.clear()
    fetch("hf:owner/name")
    assert asked[0][1] is None
    shutil.rmtree(tmp_path / "unet")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(CheckpointError, match="holds no model"):
        fetch("hf:owner/name")


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("executed",))


def test_damaged_weights(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    name = "mid_block.attentions.0.to_q.weight"

    save_file({key: value for key, value in tensors.items() if key != name}, weights)
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        scoreinv.load(folder)
    save_file(tensors | {"surplus": torch.zeros(1)}, weights)
    with pytest.raises(CheckpointError, match="unknown tensor surplus"):
        scoreinv.load(folder)
    save_file(tensors | {name: torch.zeros(3, 3)}, weights)
    with pytest.raises(CheckpointError, match="has shape"):
        scoreinv.load(folder)
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, weights)
    with pytest.raises(CheckpointError, match="not finite"):
        scoreinv.load(folder)
    save_file(tensors, weights)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        scoreinv.load(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match="no such model file"):
        scoreinv.load(folder)

    monkeypatch.chdir(tmp_path)
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"conv_in.weight": Payload()}))
    with pytest.raises(CheckpointError, match="nothing was executed"):
        scoreinv.load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_damaged_configuration(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        scoreinv.load(folder)
