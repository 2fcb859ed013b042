"""Checkpoints of the reference implementation (`.pth` of score_sde_pytorch) and its configurations as JSON.

The reference keeps its network as one list of modules in the order of use; `_reference_order` walks ours in that order,
which maps every tensor by name. Files are read with `weights_only=True`: nothing in them is executed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from scoreinv.checkpoints.config import ModelConfig
from scoreinv.checkpoints.files import install
from scoreinv.checkpoints.pickled import read_pickled
from scoreinv.checkpoints.published import PUBLISHED, published
from scoreinv.errors import CheckpointError
from scoreinv.networks.ddpm import ddpm_config
from scoreinv.networks.layers import Attention
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig, ResidualBlock
from scoreinv.networks.resampling import Downsample, Upsample
from scoreinv.preconditioning import PaperVE, PaperVP
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP


def load_official(path: Path, config: ModelConfig, *, ema: bool) -> ScorePrior:
    """The prior of a reference checkpoint: its EMA weights, or (`ema=False`) the last raw ones.

    Raises CheckpointError when the file is missing, truncated, holds code, or does not fit the configuration.
    """
    state = _read(path)
    weights: dict[str, Tensor] = {
        name.removeprefix("module."): value for name, value in state["model"].items() if not name.endswith("sigmas")
    }
    if ema:
        weights |= _averaged(path, weights, state)
    prior = config.build()
    install(path, prior, _rename(path, prior.network, weights))
    return prior


def read_official_config(name_or_file: str) -> ModelConfig:
    """A published name (`ve/cifar10_ncsnpp_continuous`), or a JSON file with the reference's configuration."""
    if name_or_file in PUBLISHED or not name_or_file.endswith(".json"):
        return published(name_or_file).config
    path = Path(name_or_file)
    try:
        return _translate(json.loads(path.read_text()))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a configuration of the reference implementation: lacks {error}") from error


_PREDICTORS = {
    "reverse_diffusion": "reverse_diffusion",
    "euler_maruyama": "euler_maruyama",
    "ancestral_sampling": "ancestral",
}


def _translate(config: dict[str, Any]) -> ModelConfig:
    model, data, training = config["model"], config["data"], config["training"]
    size, continuous = data["image_size"], training["continuous"]
    levels = range(len(model["ch_mult"]))
    shared = {
        "channels": data["num_channels"],
        "width": model["nf"],
        "multipliers": tuple(model["ch_mult"]),
        "blocks": model["num_res_blocks"],
        "attention_levels": tuple(i for i in levels if size // 2**i in model["attn_resolutions"]),
        "learned_resampling": model["resamp_with_conv"],
        "noise_conditional": model["conditional"],
        "dropout": model["dropout"],
        "activation": model["nonlinearity"].lower(),
    }
    if model["name"] == "ddpm":
        network = ddpm_config(**shared)
    elif model["name"] == "ncsnpp":
        network = NCSNppConfig(
            **shared,
            block=model["resblock_type"].lower(),
            fir_kernel=tuple(model["fir_kernel"]) if model["fir"] else None,
            skip_rescale=model["skip_rescale"],
            progressive_input=model["progressive_input"].lower(),
            progressive_output=model["progressive"].lower(),
            combine=model["progressive_combine"].lower(),
            embedding=model["embedding_type"].lower(),
            fourier_scale=float(model.get("fourier_scale", 16)),
            init_scale=model["init_scale"],
        )
    else:
        raise CheckpointError(f"network {model['name']!r} is not supported: only ncsnpp and ddpm are")
    if network.embedding == "fourier" and not continuous:
        raise CheckpointError("Fourier embeddings belong to continuous-time training; this configuration is discrete")

    kind, steps, scaled = training["sde"].lower(), model["num_scales"], model["scale_by_sigma"]
    sde: SDE
    if kind == "vesde":
        sde = VE(float(model["sigma_min"]), float(model["sigma_max"]), steps)
        reading: PaperVE | PaperVP = PaperVE("sigma" if continuous else "index", scaled)
        if continuous and scaled and network.embedding == "positional":
            raise CheckpointError("a continuous VE model with positional embedding cannot scale by sigma")
    elif kind in ("vpsde", "subvpsde"):
        if scaled:
            raise CheckpointError("scale_by_sigma belongs to VE models; this configuration is VP")
        discrete = kind == "vpsde" and not continuous
        family = DDPM if discrete else VP if kind == "vpsde" else SubVP
        sde = family(float(model["beta_min"]), float(model["beta_max"]), steps)
        reading = PaperVP(steps) if discrete else PaperVP()
    else:
        raise CheckpointError(f"unknown SDE {kind!r}")
    span = (-1.0, 1.0) if data["centered"] else (0.0, 1.0)
    return ModelConfig(network, sde, reading, span, size, _sampler(config.get("sampling", {}), steps))


def _sampler(sampling: dict[str, Any], steps: int) -> RecommendedSampler | None:
    predictor = _PREDICTORS.get(sampling.get("predictor"))
    if predictor is None or sampling.get("method") != "pc" or sampling.get("corrector") not in ("langevin", "none"):
        return None
    return RecommendedSampler(predictor, sampling["corrector"], sampling["snr"], steps)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    state = read_pickled(path)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of the reference implementation (no 'model' in it)")
    return state


def _averaged(path: Path, weights: dict[str, Tensor], state: dict[str, Any]) -> dict[str, Tensor]:
    """The EMA weights: a bare list in parameter order, without the frozen Fourier frequencies."""
    average = state.get("ema", {}).get("shadow_params")
    names = [name for name in weights if name != "all_modules.0.W"]
    if average is None or len(average) != len(names):
        raise CheckpointError(f"{path}: has no EMA weights that fit (use --raw for the last raw ones)")
    return dict(zip(names, average, strict=True))


def _rename(path: Path, network: NCSNpp, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    unused = dict(weights)
    modules = {id(module): name for name, module in network.named_modules()}
    for source, target in _tensor_names(network, modules):
        if source not in unused:
            raise CheckpointError(f"{path}: lacks {source}: checkpoint and configuration do not belong together")
        value = unused.pop(source)
        # The reference's 1x1 "NIN" layers are (in, out) matrices; ours are 1x1 convolutions.
        renamed[target] = value.t()[:, :, None, None] if source.endswith(".W") and value.ndim == 2 else value
    for source in unused:
        raise CheckpointError(f"{path}: has {source} besides: checkpoint and configuration do not belong together")
    return renamed


def _tensor_names(network: NCSNpp, modules: dict[int, str]) -> Iterator[tuple[str, str]]:
    """(reference name, our name) of every tensor."""
    for index, module in enumerate(_reference_order(network)):
        prefix = f"all_modules.{index}"
        for suffix, part in _parts(module, network.config):
            name = modules[id(part)]
            if isinstance(part, (nn.Conv2d, nn.Linear, nn.GroupNorm)):
                kinds = ("W", "b") if "NIN" in suffix else ("weight", "bias")
                yield f"{prefix}{suffix}.{kinds[0]}", f"{name}.weight"
                yield f"{prefix}{suffix}.{kinds[1]}", f"{name}.bias"
            else:
                yield f"{prefix}.W", f"{name}.frequencies"


def _parts(module: nn.Module, config: NCSNppConfig) -> Iterator[tuple[str, nn.Module]]:
    """(reference suffix, our layer) of the layers of one module of the reference's list."""
    if isinstance(module, ResidualBlock):
        yield ".GroupNorm_0", module.norm_in
        yield ".Conv_0", module.conv_in
        if module.embed is not None:
            yield ".Dense_0", module.embed
        yield ".GroupNorm_1", module.norm_out
        yield ".Conv_1", module.conv_out
        if module.shortcut is not None:
            yield ".Conv_2" if config.block == "biggan" else ".NIN_0", module.shortcut
    elif isinstance(module, Attention):
        yield ".GroupNorm_0", module.norm
        for i, layer in enumerate((module.query, module.key, module.value, module.output)):
            yield f".NIN_{i}", layer
    elif isinstance(module, (Downsample, Upsample)):
        if module.conv is not None:
            yield ".Conv_0" if module.kernel is None else ".Conv2d_0", module.conv
    elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
        yield ".Conv_0", module
    else:
        yield "", module


def _reference_order(network: NCSNpp) -> Iterator[nn.Module]:
    """Our modules in the order of the reference's `all_modules`."""
    config = network.config
    if config.embedding == "fourier":
        yield network.embedding
    if config.noise_conditional:
        yield network.dense_in
        yield network.dense_out
    yield network.conv_in
    for down in network.down:
        for i, block in enumerate(down.blocks):
            yield block
            if down.attention:
                yield down.attention[i]
        if down.down is not None:
            yield down.down
        if down.pyramid is not None:
            yield down.pyramid
    yield network.middle_in
    yield network.middle_attention
    yield network.middle_out
    for up in network.up:
        yield from up.blocks
        if up.attention is not None:
            yield up.attention
        if up.norm is not None:
            yield up.norm
        if up.pyramid is not None:
            yield up.pyramid
        if up.up is not None:
            yield up.up
    if config.progressive_output != "output_skip":
        yield network.norm_out
        yield network.conv_out
