"""Configurations of models from strangers: what is wrong with one is said in a line, before anything is built."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import scoreinv
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.catalogue import configuration, load_classifier
from scoreinv.models.codec import decode, encode, parse_json
from scoreinv.models.config import (
    ClassifierConfig,
    ColourConfig,
    DetectorConfig,
    ModelConfig,
    UpscalerConfig,
    decode_model,
)
from scoreinv.models.foreign.official import read_official_config
from scoreinv.models.model_file import read_metadata, read_model, save
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.networks.span import SPANConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVE, PaperVP
from scoreinv.prior import RecommendedSampler
from scoreinv.sdes import DDPM, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError, InputError

PARITY = Path(__file__).parents[1] / "data" / "parity"
NETWORK = NCSNppConfig(width=8, multipliers=(1, 2), blocks=1)
CONFIG = ModelConfig(NETWORK, VE(0.02, 30.0), EDM(0.4), image_size=16, sampler=RecommendedSampler("ancestral"))
SHOWN = ColourConfig(
    replace(NETWORK, condition_channels=12, feature_channels=FEATURES[1:]),
    VP(),
    ResidualPreconditioning(),
    image_size=16,
    encoder_scale=4,
)
HALVED = ResidualPreconditioning(luma_scale=2)
HALVING = replace(SHOWN.network, condition_channels=HALVED.condition_channels)
CLASSIFIER = ClassifierConfig(WideResNetConfig(classes=2, depth=10, width=1), VP(), ("a", "b"), image_size=8)
JUDGE = replace(CLASSIFIER, network=ConvNetConfig(classes=2, widths=(16, 32)))
EACH = pytest.mark.parametrize("config", [CONFIG, SHOWN, JUDGE], ids=["prior", "shown", "judge"])


def changed(data: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The configuration with the entry at a path replaced; taken out where the value is `...`."""
    first, *rest = path
    if rest:
        return data | {first: changed(data[first], tuple(rest), value)}
    return {key: entry for key, entry in data.items() if key != first} | ({} if value is ... else {first: value})


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("network",), 3, "network = 3 is not supported: this entry must be a JSON object"),
        (("network", "colour"), 1, "NCSNppConfig has no entry network.colour"),
        (("network", "name"), "transformer", "unknown name 'transformer'"),
        (("network", "width"), "8", "network.width = '8' is not supported: this entry must be a whole number"),
        (("network", "width"), 0, "width must be from 1 to 8,192, not 0"),
        (("network", "multipliers"), [], "the number of multipliers must be from 1 to 10"),
        (("network", "block"), "resnet", "must be one of 'biggan', 'ddpm'"),
        (("network", "fir_kernel"), [0, 0], "must not add up to 0"),
        (("network", "groups"), [3] * 24, "channels do not make 3 groups"),
        (("network", "feature_channels"), [1], "feature_channels"),
        (("network", "channels_per_group"), 64, "do not make a group of 64"),
        (("sde", "sigma_min"), 40.0, "the VE SDE needs sigma_min below sigma_max"),
        (("sde",), {}, "sde lacks 'name'"),
        (("preconditioning", "sigma_data"), float("inf"), "must be a finite number"),
        (("data_range",), [1, -1], "data_range must be two ascending numbers"),
        (("image_size",), 15, "image_size must be a multiple of 2"),
        (("preconditioning",), ..., "lacks 'preconditioning'"),
        (("sampler", "clip"), "yes", "this entry must be true or false"),
        (("sampler", "predictor"), "magic", "sampler.predictor = 'magic'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    model = tmp_path / "m.safetensors"
    metadata = {"format": "scoreinv", "config": json.dumps(changed(encode(CONFIG), path, value))}
    save_file({"a": torch.zeros(1)}, model, metadata)
    for read in (read_model, configuration):
        with pytest.raises(CheckpointError) as caught:
            read(model)
        assert str(caught.value).startswith(f"{model}: ")
        assert str(caught.value).count(str(model)) == 1
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(CONFIG, sde=VP(), preconditioning=PaperVE()), "needs the VE SDE"),
        (lambda: replace(CONFIG, sde=DDPM(steps=10)), "beta_max below"),
        (lambda: VP(beta_max=1000.0), "beta_max"),
        (lambda: VE(1e-30, 1.0), "sigma_min"),
        (lambda: ResidualPreconditioning(details=((0.1,), (0.1,))), "three lists"),
        (lambda: ResidualPreconditioning(details=((0.1,), (0.1,), (0.0,))), "details"),
        (lambda: ResidualPreconditioning(gray_weights="green"), "grey weights"),
        (lambda: NCSNppConfig(multipliers=(1,) * 10, blocks=17), "blocks of all levels"),
        (lambda: WideResNetConfig(depth=11), "6 n"),
        (lambda: ConvNetConfig(widths=()), "widths"),
        (lambda: replace(CLASSIFIER, classes=("a",)), "2 classes, but 1 names"),
        (lambda: replace(CLASSIFIER, data_range=(1.0, -1.0)), "data_range must be two ascending numbers"),
        (lambda: replace(CLASSIFIER, image_size=0), "image_size must be"),
        (lambda: DetectorConfig(DetectorNetworkConfig(), image_size=33), "image_size must be a multiple of 32, not 33"),
        (lambda: UpscalerConfig(SPANConfig(), image_size=0), "image_size must be"),
        (
            lambda: replace(SHOWN, network=replace(SHOWN.network, feature_channels=())),
            "feature_channels must be the last",
        ),
        (lambda: replace(SHOWN, encoder_scale=0), "encoder_scale must be"),
        (lambda: replace(SHOWN, encoder_scale=3, preconditioning=HALVED, network=HALVING), "a multiple of luma_scale"),
    ],
)
def test_ranges(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_a_file_whose_configuration_asks_for_the_moon(tmp_path: Path) -> None:
    """100 kB that ask for 10^11 weights: neither memory is taken nor time, and the line says what does not fit."""
    path = tmp_path / "moon.safetensors"
    prior = CONFIG.build()
    save(prior, path)
    moon = replace(CONFIG, network=replace(NETWORK, width=8192, multipliers=(16,) * 10, blocks=16), image_size=512)
    tensors = load_file(path)
    save_file(tensors, path, {"format": "scoreinv", "config": json.dumps(encode(moon))})
    with pytest.raises(CheckpointError, match="do not belong together"):
        read_model(path)


def test_models_beyond_the_memory_are_not_begun(tmp_path: Path, limit: Callable[..., None]) -> None:
    path = tmp_path / "m.safetensors"
    save(CONFIG.build(), path)
    limit(memory=1000)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: needs about .* GB of memory"):
        read_model(path)


@EACH
def test_loading_leaves_the_random_state_alone(config: ModelConfig | ClassifierConfig, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = config.build()
    save(model, path)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = load_classifier(path) if isinstance(config, ClassifierConfig) else scoreinv.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    ours, theirs = dict(again.network.named_buffers()), dict(model.network.named_buffers())
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():  # constants too, which are not in the file
        assert torch.equal(value, theirs[name]), name
    assert not any(parameter.is_meta for parameter in again.network.parameters())
    assert all(parameter.requires_grad for parameter in again.network.parameters())


def test_weights_of_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(CONFIG.build(), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = "conv_in.weight"
    save_file(tensors | {name: tensors[name].to(torch.int32)}, path, metadata)
    with pytest.raises(CheckpointError, match=f"{name} holds I32"):
        read_model(path)
    save_file(tensors | {name: tensors[name][:, :1].contiguous()}, path, metadata)
    for read in (read_model, read_metadata):  # the values are not looked at by either
        with pytest.raises(CheckpointError, match=f"{name} has shape"):
            read(path)
    save_file({key: value.double() for key, value in tensors.items()}, path, metadata)
    assert read_model(path).network.conv_in.weight.dtype == torch.float32


def test_a_file_of_the_first_version_names_no_encoder() -> None:
    written = {key: value for key, value in encode(CONFIG).items() if key != "encoder_scale"}
    written["network"] = {key: value for key, value in written["network"].items() if key != "feature_channels"}
    assert decode_model(written) == CONFIG


def test_an_entry_is_found_by_the_name_that_it_had() -> None:
    noisier = replace(CONFIG, s_noise=1.1)
    written = encode(noisier)
    written["inflation"] = written.pop("s_noise")
    assert decode_model(written) == noisier


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "[1]",
        "{",
        '{"a": 1' + "0" * 5000 + "}",
        '{"a": "' + "x" * 5_000_000 + '"}',
        b"\xff\xfe\x00",
    ],
    ids=["brackets", "braces", "list", "cut", "digits", "long", "bytes"],
)
def test_json_within_bounds(text: str | bytes) -> None:
    with pytest.raises(CheckpointError):
        parse_json(text)


def test_json_that_is_no_file(tmp_path: Path) -> None:
    for path in ("/dev/zero", str(tmp_path)):
        link = tmp_path / "link.json"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        with pytest.raises(CheckpointError, match=r"link\.json: not a file"):
            read_official_config(str(link))


def test_notes_of_any_kind_are_notes(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(CONFIG.build(), path)
    tensors = load_file(path)
    for notes in ("[]", "3", "{"):
        metadata = {"format": "scoreinv", "config": json.dumps(encode(CONFIG)), "notes": notes}
        save_file(tensors, path, metadata)
        with pytest.raises(CheckpointError, match=r"m\.safetensors: not a"):
            read_model(path)
    save_file(tensors, path, {"format": "scoreinv"})
    with pytest.raises(CheckpointError, match="holds no configuration"):
        read_model(path)


@dataclass(frozen=True)
class Attentive:
    attention: Literal[True] = True


def test_one_is_not_true() -> None:
    assert decode(Attentive, {"attention": True}) == Attentive()
    with pytest.raises(CheckpointError, match="attention = 1 "):
        decode(Attentive, {"attention": 1})


def official(folder: str) -> dict[str, Any]:
    return json.loads((PARITY / folder / "config.json").read_text())


def test_a_wrong_entry_of_the_references_json_is_named_as_there(tmp_path: Path) -> None:
    data, path = official("ve_cifar10_ncsnpp_continuous"), tmp_path / "c.json"
    for where, value, said in (
        (("model", "nf"), "many", "model.nf = 'many'"),
        (("model", "resblock_type"), "resnet", "model.resblock_type = 'resnet'"),
        (("model", "name"), "transformer", "only ncsnpp and ddpm are"),
        (("model", "embedding_type"), "positional", "with positional embedding cannot scale by sigma"),
        (("training", "continuous"), False, "Fourier embeddings belong to continuous-time training"),
        (("training", "sde"), "vpsde", "scale_by_sigma belongs to VE models"),
        (("model", "ch_mult"), [1] * 100_000, "multipliers"),
        (("model", "sigma_max"), ..., "model lacks 'sigma_max'"),
        (("training", "sde"), "edm", "training.sde = 'edm'"),
        (("training",), ..., "lacks 'training'"),
        (("data", "image_size"), 0, "image_size must be from 1 to 32,768"),
    ):
        path.write_text(json.dumps(changed(data, where, value)))
        with pytest.raises(CheckpointError, match=r"c\.json: ") as caught:
            read_official_config(str(path))
        assert said in str(caught.value)


def test_entries_that_files_leave_out_have_the_values_that_released_files_mean() -> None:
    network = NCSNppConfig(
        *(3, 0, (), 128, (1, 2, 2, 2), 4, (1,), "once", None, "biggan", (1, 3, 3, 1), True, True, "residual", "none"),
        *("sum", "fourier", 16.0, True, 0.1, 0.0, 4, None, 1e-6, "swish", 1),
    )
    ve = {"name": "ve"}
    least = {"network": {}, "sde": ve, "preconditioning": {"name": "edm"}}
    assert decode_model(least) == ModelConfig(network, VE(0.01, 50.0, 1000), EDM(0.5), (-1.0, 1.0), 32, None, 1.0)
    for sde in (VP(0.1, 20.0, 1000), SubVP(0.1, 20.0, 1000), DDPM(0.1, 20.0, 1000)):
        assert decode_model(least | {"sde": {"name": type(sde).__name__.lower()}}).sde == sde
    for name, reading in (
        ("paper_ve", PaperVE("sigma", True)),
        ("paper_vp", PaperVP(1000)),
        ("data", DataPrediction(0.01)),
    ):
        assert decode_model(least | {"preconditioning": {"name": name}}).preconditioning == reading
    residual = least | {"network": {"condition_channels": 12}, "preconditioning": {"name": "residual_edm"}}
    details = (
        (0.031, 0.037, 0.048, 0.066, 0.086, 0.110, 0.180),
        (0.0018, 0.0034, 0.0057, 0.0092, 0.0138, 0.0200, 0.0800),
        (0.0007, 0.0013, 0.0020, 0.0030, 0.0041, 0.0050, 0.0250),
    )
    assert decode_model(residual).preconditioning == ResidualPreconditioning(details, "rec601", 1)
    denoiser = decode_model(least | {"network": {"name": "ffdnet"}})
    assert denoiser.network == FFDNetConfig(3, 96, 12, 150 / 255)
    classifier = {"sde": ve, "classes": ["a", "b"]}
    assert decode_model(classifier | {"network": {"name": "wide_resnet", "classes": 2}}) == ClassifierConfig(
        WideResNetConfig(3, 2, 16, 4, 0.1, 1.0), VE(0.01, 50.0), ("a", "b"), (-1.0, 1.0), 32, 1.0
    )
    plain = decode_model(classifier | {"network": {"name": "convnet", "classes": 2}})
    assert plain.network == ConvNetConfig(3, 2, (64, 192, 256))
    detector = DetectorNetworkConfig((12, 24, 48, 64), 96, 0, False)
    assert decode_model({"network": {"name": "damage"}}) == DetectorConfig(detector, 160)
    assert decode_model({"network": {"name": "span"}}) == UpscalerConfig(SPANConfig(48, 6), 48)
    sampler = decode(RecommendedSampler, {"predictor": "ancestral"})
    assert sampler == RecommendedSampler("ancestral", "none", 0.16, 1000, False)
