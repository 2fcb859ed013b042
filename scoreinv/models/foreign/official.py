"""Checkpoints of the reference implementation (`.pth` of score_sde_pytorch) and its configurations as JSON.

The reference keeps its network as one list of modules in the order of use; `_tensor_names` walks ours in that order,
which maps every tensor by name. Files are read with `weights_only=True`: nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor, nn

from scoreinv.models.codec import decode, decode_entries, decode_foreign, in_file, read_json
from scoreinv.models.config import ModelConfig
from scoreinv.models.foreign.pickled import plain_tensors, read_pickled
from scoreinv.models.foreign.published import PUBLISHED, published
from scoreinv.models.model_file import install, unfilled
from scoreinv.networks.ncsnpp import DDPM_UNET, NCSNpp, NCSNppConfig
from scoreinv.preconditioning import PaperVE, PaperVP
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError
from scoreinv.system.text import shown


def load_official(path: Path, config: ModelConfig, *, ema: bool) -> ScorePrior:
    """Load the prior of a reference checkpoint: its EMA weights, or (`ema=False`) the last raw ones.

    Raises CheckpointError if the file is missing, truncated, holds code, is too large for memory, or does not fit the
    configuration.
    """
    prior: ScorePrior = unfilled(path, config)
    network = cast(NCSNpp, prior.network)
    state = read_pickled(path)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of the reference implementation (no 'model' in it)")
    weights = {
        name.removeprefix("module."): value
        for name, value in plain_tensors(path, state["model"]).items()
        if not name.endswith("sigmas")
    }
    if ema:
        weights |= _averaged(path, weights, state)
    renamed = _renamed(path, network, weights)
    install(path, prior.parts(), {name: tuple(value.shape) for name, value in renamed.items()}, renamed.__getitem__)
    return prior


def read_official_config(name_or_file: str) -> ModelConfig:
    """Read the configuration of a published name (`ve/cifar10_ncsnpp_continuous`) or of the reference's JSON file.

    Raises CheckpointError naming the file and the entry that is missing or not supported.
    """
    if name_or_file in PUBLISHED or not name_or_file.endswith(".json"):
        return published(name_or_file)
    path = Path(name_or_file)
    options = read_json(path)
    with in_file(path):
        for section in ("model", "data", "training"):
            if not isinstance(options.get(section), dict):
                raise CheckpointError(f"not a configuration of the reference implementation: lacks {section!r}")
        return _translate(options)


@dataclass(frozen=True)
class _Training:
    """Entries of `training`, a section of the reference's configuration, with words in lowercase."""

    sde: Literal["vesde", "vpsde", "subvpsde"]
    continuous: bool


@dataclass(frozen=True)
class _Data:
    """Entries of `data`."""

    image_size: int
    num_channels: int
    centered: bool


@dataclass(frozen=True)
class _DDPM:
    """Entries of `model` that `_DDPM_ENTRIES` lacks."""

    attn_resolutions: tuple[int, ...]


@dataclass(frozen=True)
class _NCSNpp(_DDPM):
    """Entries of `model` that `_NCSNPP_ENTRIES` lacks."""

    fir: bool
    fourier_scale: float = 16.0


@dataclass(frozen=True)
class _Sampling:
    """Entries of `sampling`."""

    method: str = ""
    predictor: str = ""
    corrector: str = ""
    snr: float = 0.16


_DDPM_ENTRIES = {
    "nf": "width",
    "ch_mult": "multipliers",
    "num_res_blocks": "blocks",
    "resamp_with_conv": "learned_resampling",
    "conditional": "noise_conditional",
    "dropout": "dropout",
    "nonlinearity": "activation",
}
"""Entries of `model` for both networks, and their names in `NCSNppConfig`."""
_NCSNPP_ENTRIES = _DDPM_ENTRIES | {
    "resblock_type": "block",
    "fir_kernel": "fir_kernel",
    "skip_rescale": "skip_rescale",
    "progressive": "progressive_output",
    "progressive_input": "progressive_input",
    "progressive_combine": "combine",
    "embedding_type": "embedding",
    "init_scale": "init_scale",
}
_VE_ENTRIES = {"sigma_min": "sigma_min", "sigma_max": "sigma_max", "num_scales": "steps"}
_VP_ENTRIES = {"beta_min": "beta_min", "beta_max": "beta_max", "num_scales": "steps"}


def _translate(config: dict[str, Any]) -> ModelConfig:
    """Translate a configuration of the reference; raise CheckpointError naming an unsupported entry."""
    model, data, training = (
        {name: value.lower() if isinstance(value, str) else value for name, value in config[section].items()}
        for section in ("model", "data", "training")
    )
    if (name := model.get("name")) not in ("ncsnpp", "ddpm"):
        raise CheckpointError(f"network {shown(name)} is not supported: only ncsnpp and ddpm are")
    pictures, objective = decode_foreign(_Data, data, "data"), decode_foreign(_Training, training, "training")
    network = _network(model, pictures)
    continuous = objective.continuous
    if network.embedding == "fourier" and not continuous:
        raise CheckpointError("Fourier embeddings belong to continuous-time training; this configuration is discrete")
    sde: SDE
    preconditioning: PaperVE | PaperVP
    if objective.sde == "vesde":
        sde = VE(**decode_entries(VE, _VE_ENTRIES, model, "model"))
        scaling = decode_entries(PaperVE, {"scale_by_sigma": "scale_by_sigma"}, model, "model")
        preconditioning = PaperVE("sigma" if continuous else "index", **scaling)
        if continuous and preconditioning.scale_by_sigma and network.embedding == "positional":
            raise CheckpointError("a continuous VE model with positional embedding cannot scale by sigma")
    else:
        if model.get("scale_by_sigma"):
            raise CheckpointError("scale_by_sigma belongs to VE models; this configuration is VP")
        is_chain = objective.sde == "vpsde" and not continuous
        sde_class = DDPM if is_chain else VP if objective.sde == "vpsde" else SubVP
        sde = sde_class(**decode_entries(sde_class, _VP_ENTRIES, model, "model"))
        preconditioning = PaperVP(sde.steps) if is_chain else PaperVP()
    data_range = (-1.0, 1.0) if pictures.centered else (0.0, 1.0)
    sampling = decode_foreign(_Sampling, config.get("sampling", {}), "sampling")
    sampler = _sampler(sampling, sde.steps)
    return ModelConfig(network, sde, preconditioning, data_range, pictures.image_size, sampler)


def _network(model: dict[str, Any], pictures: _Data) -> NCSNppConfig:
    """Translate the section `model`."""
    is_plus = model["name"] == "ncsnpp"
    rest = decode_foreign(_NCSNpp if is_plus else _DDPM, model, "model")
    options = decode_entries(NCSNppConfig, _NCSNPP_ENTRIES if is_plus else _DDPM_ENTRIES, model, "model")
    if isinstance(rest, _NCSNpp):
        options |= {"fourier_scale": rest.fourier_scale, "channels_per_group": 4}
        options["fir_kernel"] = options["fir_kernel"] if rest.fir else None
    levels = range(len(options["multipliers"]))
    attends = tuple(level for level in levels if pictures.image_size >> level in rest.attn_resolutions)
    return replace(DDPM_UNET, channels=pictures.num_channels, attention_levels=attends, **options)


def _sampler(sampling: _Sampling, steps: int) -> RecommendedSampler | None:
    """Return the recommended sampler; None for one that is not a predictor-corrector of this package."""
    predictor = {"ancestral_sampling": "ancestral"}.get(sampling.predictor, sampling.predictor)
    known = predictor in ("reverse_diffusion", "euler_maruyama", "ancestral")
    if not known or sampling.corrector not in ("langevin", "none") or sampling.method != "pc":
        return None
    return decode(
        RecommendedSampler,
        {"predictor": predictor, "corrector": sampling.corrector, "snr": sampling.snr, "steps": steps},
    )


def _averaged(path: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the EMA weights by name; the file has a bare list in parameter order, without the Fourier frequencies."""
    ema = state.get("ema")
    average = ema.get("shadow_params") if isinstance(ema, dict) else None
    names = [name for name in weights if name != "all_modules.0.W"]
    if not isinstance(average, list) or len(average) != len(names):
        raise CheckpointError(f"{path}: has no EMA weights of this network (its raw weights may be complete)")
    return plain_tensors(path, dict(zip(names, average, strict=True)))


_MISMATCH = "checkpoint and configuration do not belong together"


def _renamed(path: Path, network: NCSNpp, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the reference's tensors to ours."""
    renamed, unused = {}, dict(weights)
    for source, target in _tensor_names(network):
        if source not in unused:
            raise CheckpointError(f"{path}: lacks {source}: {_MISMATCH}")
        value = unused.pop(source)
        # The reference's 1x1 "NIN" layers are (in, out) matrices; ours are 1x1 convolutions.
        renamed[target] = value.t()[:, :, None, None] if source.endswith(".W") and value.ndim == 2 else value
    for source in unused:
        # The reference's blocks have a layer for the noise level even if the network is unconditional.
        if network.config.noise_conditional or ".Dense_0." not in source:
            raise CheckpointError(f"{path}: has the unknown tensor {source}: {_MISMATCH}")
    return renamed


_LAYERS = {
    "norm_in": "GroupNorm_0",
    "conv_in": "Conv_0",
    "embed": "Dense_0",
    "norm_out": "GroupNorm_1",
    "conv_out": "Conv_1",
    "norm": "GroupNorm_0",
    "query": "NIN_0",
    "key": "NIN_1",
    "value": "NIN_2",
    "output": "NIN_3",
}
"""Layers of blocks and attention: our names to the reference's."""


def _tensor_names(network: NCSNpp) -> Iterator[tuple[str, str]]:
    """Yield (reference's name, our name) of every tensor."""
    config = network.config
    layers = _LAYERS | {
        "conv": "Conv2d_0" if config.fir_kernel else "Conv_0",
        "shortcut": "Conv_2" if config.block == "biggan" else "NIN_0",
    }
    order: list[nn.Module | None] = [network.embedding] if config.embedding == "fourier" else []
    order += [network.dense_in, network.dense_out] if config.noise_conditional else []
    order += [network.conv_in]
    for down in network.down:
        for number, block in enumerate(down.blocks):
            order += [block, *down.attention[number : number + 1]]
        order += [down.down, down.pyramid]
    order += [network.middle_in, network.middle_attention, network.middle_out]
    for up in network.up:
        order += [*up.blocks, up.attention, up.norm, up.pyramid, up.up]
    order += [] if config.progressive_output == "output_skip" else [network.norm_out, network.conv_out]
    ours = {module: name for name, module in network.named_modules()}
    for index, module in enumerate(module for module in order if module is not None):
        pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
        for name in module.state_dict():
            layer, _, kind = name.rpartition(".")
            theirs = layers[layer] if layer else "Conv_0" if pointwise else ""
            if theirs.startswith("NIN") or kind == "frequencies":
                kind = "b" if kind == "bias" else "W"
            yield ".".join(part for part in ("all_modules", str(index), theirs, kind) if part), f"{ours[module]}.{name}"
