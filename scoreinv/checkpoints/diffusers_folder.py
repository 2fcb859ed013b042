"""Folders in the format of the diffusers library: its `UNet2DModel`, read as our network.

Two families of its blocks are the paper's networks: the `Skip` blocks of NCSN++ (google/ncsnpp-*), whose output is the
score, and the plain ones of DDPM (google/ddpm-*), whose output is the noise. A folder holds `config.json`, the weights
and `scheduler_config.json`, or has them in its folders `unet` and `scheduler`. Nothing in it is executed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from scoreinv.checkpoints.config import ModelConfig
from scoreinv.checkpoints.files import install, read_json
from scoreinv.checkpoints.pickled import read_pickled
from scoreinv.errors import CheckpointError
from scoreinv.networks.layers import Attention
from scoreinv.networks.ncsnpp import DownLevel, NCSNpp, NCSNppConfig, ResidualBlock, UpLevel
from scoreinv.networks.normalization import group_norms
from scoreinv.preconditioning import PaperVE, PaperVP
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, VE

_log = logging.getLogger(__name__)

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

_REQUIRED = {
    "mid_block_type": "UNetMidBlock2D",
    "add_attention": True,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "resnet_time_scale_shift": "default",
    "class_embed_type": None,
    "num_class_embeds": None,
    "attn_norm_num_groups": None,
}
"""Entries of `UNet2DModel` that must have these values, which are its defaults."""

_ACTIVATIONS = {"silu": "swish", "swish": "swish", "relu": "relu"}

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""The layers of attention as first named, and their present names."""


def is_diffusers_folder(folder: Path) -> bool:
    """Whether a folder holds a model of the diffusers library."""
    return any((part / name).is_file() for part in (folder, folder / "unet") for name in WEIGHTS)


def weights_file(folder: Path) -> Path:
    """The file with a folder's weights, safetensors before pickled ones; CheckpointError when there is none."""
    unet = _unet_folder(folder)
    for name in WEIGHTS:
        if (unet / name).is_file():
            return unet / name
    raise CheckpointError(f"{folder}: holds no weights ({' or '.join(WEIGHTS)})")


def load_diffusers(folder: Path) -> ScorePrior:
    """The prior of a folder: float32, on the CPU, in evaluation mode.

    Raises CheckpointError when something is missing, truncated, holds code, does not fit its configuration, or is of a
    kind that this network is not.
    """
    config = read_diffusers_config(folder)
    path = weights_file(folder)
    prior = config.build()
    weights = _modern_names(_read(path))
    for theirs, ours in _tensor_names(prior.network):
        if theirs not in weights:
            raise CheckpointError(f"{path}: lacks {theirs}: weights and config.json do not belong together")
        value = weights.pop(theirs)
        # Attention is by linear layers there, by 1x1 convolutions here.
        weights[ours] = value[:, :, None, None] if value.ndim == 2 and ".to_" in theirs else value
    install(path, prior, weights)
    return prior


def read_diffusers_config(folder: Path) -> ModelConfig:
    """The configuration of a folder's model; raises CheckpointError naming the entry that is missing or unsupported."""
    path = _unet_folder(folder) / "config.json"
    options = read_json(path)
    try:
        network = _network(path, options)
        fourier = network.embedding == "fourier"
        schedule = _schedule(folder)
        sde: VE | DDPM = _ve(schedule) if fourier else _ddpm(schedule)
        centred = bool(options.get("center_input_sample", False))
        size = options.get("sample_size") or 32
        return ModelConfig(
            network=network,
            sde=sde,
            preconditioning=PaperVE() if fourier else PaperVP(sde.steps),
            data_range=(0.0, 1.0) if centred else (-1.0, 1.0),
            image_size=size if isinstance(size, int) else min(size),
            sampler=_ve_sampler(schedule) if fourier else _ddpm_sampler(schedule),
        )
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a configuration of a UNet2DModel: {error!r}") from error


def _network(path: Path, options: dict[str, Any]) -> NCSNppConfig:
    def refuse(entry: str) -> CheckpointError:
        return CheckpointError(f"{path}: {entry} = {options.get(entry)!r} is not supported")

    if options.get("_class_name", "UNet2DModel") != "UNet2DModel":
        raise refuse("_class_name")
    for entry, value in _REQUIRED.items():
        if options.get(entry, value) != value:
            raise refuse(entry)
    down, up = options["down_block_types"], options["up_block_types"][::-1]
    skip = all("Skip" in kind for kind in (*down, *up))
    family = ("SkipDownBlock2D", "SkipUpBlock2D") if skip else ("DownBlock2D", "UpBlock2D")
    attends = [kind == f"Attn{family[0]}" for kind in down]
    if down != [f"Attn{family[0]}" if there else family[0] for there in attends]:
        raise refuse("down_block_types")
    if up != [f"Attn{family[1]}" if there else family[1] for there in attends]:
        raise refuse("up_block_types")
    widths, width = options["block_out_channels"], options["block_out_channels"][0]
    if any(features % width for features in widths):
        raise refuse("block_out_channels")
    fourier = options.get("time_embedding_type", "positional") == "fourier"
    if fourier != skip:
        raise refuse("time_embedding_type")
    if not fourier and options.get("freq_shift", 0) != 1:
        raise refuse("freq_shift")
    if not skip and options.get("downsample_padding", 1) != 0:
        raise refuse("downsample_padding")
    if options.get("time_embedding_dim") not in (None, 4 * width):
        raise refuse("time_embedding_dim")
    if not math.isclose(options.get("mid_block_scale_factor", 1), math.sqrt(2) if skip else 1, rel_tol=1e-4):
        raise refuse("mid_block_scale_factor")
    if options.get("act_fn", "silu") not in _ACTIVATIONS:
        raise refuse("act_fn")
    channels = options.get("in_channels", 3)
    if channels != options.get("out_channels", 3) or (skip and channels != 3):
        raise refuse("in_channels")
    network = NCSNppConfig(
        channels=channels,
        width=width,
        multipliers=tuple(features // width for features in widths),
        blocks=options.get("layers_per_block", 2),
        attention_levels=tuple(level for level, there in enumerate(attends) if there),
        up_attention="once" if skip else "each",
        attention_head=options.get("attention_head_dim", options.get("num_head_channels", 8)),
        block="biggan" if skip else "ddpm",
        fir_kernel=(1, 3, 3, 1) if skip else None,
        skip_rescale=skip,
        progressive_input="input_skip" if skip else "none",
        progressive_output="output_skip" if skip else "none",
        embedding="fourier" if fourier else "positional",
        dropout=options.get("dropout", 0.0),
        channels_per_group=4 if skip else 1,
        norm_epsilon=options.get("norm_eps", 1e-5),
        activation=_ACTIVATIONS[options.get("act_fn", "silu")],
    )
    return _with_groups(network, options.get("norm_num_groups", 32))


def _with_groups(config: NCSNppConfig, fixed: int | None) -> NCSNppConfig:
    """The configuration with diffusers' numbers of groups, where they are not those of our rule.

    `fixed` is its `norm_num_groups`, which the Skip blocks do not heed.
    """
    with torch.device("meta"):
        network = NCSNpp(config)
    skip = config.block == "biggan"
    norms = group_norms(network)
    by_four = {norm: min(norm.num_channels // 4, 32) for norm in norms}
    groups = by_four if skip or fixed is None else dict.fromkeys(norms, fixed)
    if skip:
        groups |= {layer.norm: 32 for level in network.down for layer in level.attention}
        below = network.down[-1].outputs
        for level in network.up:
            if level.attention is not None:
                groups[level.attention.norm] = 32
                for block in level.blocks:
                    # A slip of diffusers: of these blocks' inputs it divides the skip connection's channels only.
                    total = block.norm_in.num_channels
                    groups[block.norm_in] = min(below + (total - below) // 4, 32)
                    below = level.outputs
            below = level.outputs
        if fixed is not None:
            middle = [network.middle_in, network.middle_attention, network.middle_out, network.up[-1].norm]
            groups |= dict.fromkeys((norm for part in middle for norm in group_norms(part)), fixed)
    counts = tuple(groups[norm] for norm in norms)
    return config if counts == tuple(norm.num_groups for norm in norms) else replace(config, groups=counts)


def _schedule(folder: Path) -> dict[str, Any]:
    for path in (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"):
        if path.is_file():
            return read_json(path)
    _log.warning("%s: has no scheduler_config.json: its noise levels are taken to be the usual ones", folder)
    return {}


def _ve(schedule: dict[str, Any]) -> VE:
    steps = schedule.get("num_train_timesteps", 2000)
    return VE(schedule.get("sigma_min", 0.01), schedule.get("sigma_max", 1348.0), steps)


def _ve_sampler(schedule: dict[str, Any]) -> RecommendedSampler:
    steps = schedule.get("num_train_timesteps", 2000)
    return RecommendedSampler("reverse_diffusion", "langevin", schedule.get("snr", 0.15), steps)


def _ddpm(schedule: dict[str, Any]) -> DDPM:
    for entry, value in (("beta_schedule", "linear"), ("prediction_type", "epsilon"), ("trained_betas", None)):
        if schedule.get(entry, value) != value:
            raise CheckpointError(f"scheduler_config.json: {entry} = {schedule[entry]!r} is not supported")
    steps = schedule.get("num_train_timesteps", 1000)
    return DDPM(schedule.get("beta_start", 1e-4) * steps, schedule.get("beta_end", 0.02) * steps, steps)


def _ddpm_sampler(schedule: dict[str, Any]) -> RecommendedSampler:
    large = schedule.get("variance_type", "fixed_small") == "fixed_large"
    return RecommendedSampler(
        "ancestral" if large else "ancestral_posterior",
        steps=schedule.get("num_train_timesteps", 1000),
        clip=schedule.get("clip_sample", True),
    )


def _tensor_names(network: NCSNpp) -> Iterator[tuple[str, str]]:
    """(diffusers' name, our name) of every tensor."""
    ours = {module: name for name, module in network.named_modules()}
    if network.config.embedding == "fourier":
        yield "time_proj.weight", "embedding.frequencies"
    for theirs, layer in _layers(network):
        for kind in ("weight", "bias"):
            yield f"{theirs}.{kind}", f"{ours[layer]}.{kind}"


def _layers(network: NCSNpp) -> Iterator[tuple[str, nn.Module]]:
    yield "time_embedding.linear_1", network.dense_in
    yield "time_embedding.linear_2", network.dense_out
    yield "conv_in", network.conv_in
    for index, level in enumerate(network.down):
        yield from _down_layers(f"down_blocks.{index}", level)
    yield from _block_layers("mid_block.resnets.0", network.middle_in)
    yield from _attention_layers("mid_block.attentions.0", network.middle_attention)
    yield from _block_layers("mid_block.resnets.1", network.middle_out)
    for index, level in enumerate(network.up):
        yield from _up_layers(f"up_blocks.{index}", level)
    last = network.up[-1]
    yield "conv_norm_out", network.norm_out if last.norm is None else last.norm
    yield "conv_out", network.conv_out if last.pyramid is None else last.pyramid


def _down_layers(prefix: str, level: DownLevel) -> Iterator[tuple[str, nn.Module]]:
    for index, block in enumerate(level.blocks):
        yield from _block_layers(f"{prefix}.resnets.{index}", block)
    for index, attention in enumerate(level.attention):
        yield from _attention_layers(f"{prefix}.attentions.{index}", attention)
    if isinstance(level.down, ResidualBlock):
        yield from _block_layers(f"{prefix}.resnet_down", level.down)
    elif level.down is not None:
        yield f"{prefix}.downsamplers.0.conv", level.down.conv
    if level.pyramid is not None:
        yield f"{prefix}.skip_conv", level.pyramid


def _up_layers(prefix: str, level: UpLevel) -> Iterator[tuple[str, nn.Module]]:
    for index, block in enumerate(level.blocks):
        yield from _block_layers(f"{prefix}.resnets.{index}", block)
    attentions = level.block_attention if level.attention is None else [level.attention]
    for index, attention in enumerate(attentions):
        yield from _attention_layers(f"{prefix}.attentions.{index}", attention)
    if level.up is None:
        return
    if level.norm is not None:
        yield f"{prefix}.skip_norm", level.norm
        yield f"{prefix}.skip_conv", level.pyramid
    if isinstance(level.up, ResidualBlock):
        yield from _block_layers(f"{prefix}.resnet_up", level.up)
    else:
        yield f"{prefix}.upsamplers.0.conv", level.up.conv


def _block_layers(prefix: str, block: ResidualBlock) -> Iterator[tuple[str, nn.Module]]:
    yield f"{prefix}.norm1", block.norm_in
    yield f"{prefix}.conv1", block.conv_in
    yield f"{prefix}.time_emb_proj", block.embed
    yield f"{prefix}.norm2", block.norm_out
    yield f"{prefix}.conv2", block.conv_out
    if block.shortcut is not None:
        yield f"{prefix}.conv_shortcut", block.shortcut


def _attention_layers(prefix: str, attention: Attention) -> Iterator[tuple[str, nn.Module]]:
    yield f"{prefix}.group_norm", attention.norm
    yield f"{prefix}.to_q", attention.query
    yield f"{prefix}.to_k", attention.key
    yield f"{prefix}.to_v", attention.value
    yield f"{prefix}.to_out.0", attention.output


def _unet_folder(folder: Path) -> Path:
    return folder / "unet" if (folder / "unet" / "config.json").is_file() else folder


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        weights = read_pickled(path)
    else:
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: not a readable safetensors file (truncated?)") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path}: not the weights of a network")
    return {name: value.float() for name, value in weights.items()}


def _modern_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Present names for those of older versions."""
    if "time_proj.W" in weights:
        weights = {"time_proj.weight": weights["time_proj.W"]} | weights
        del weights["time_proj.W"]
    renamed = {}
    for name, value in weights.items():
        parts = name.split(".")
        if "attentions" in parts:
            parts[-2] = _OLD_ATTENTION.get(parts[-2], parts[-2])
        renamed[".".join(parts)] = value
    return renamed
