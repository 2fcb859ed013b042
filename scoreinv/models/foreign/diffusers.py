"""Folders in the format of the diffusers library: its `UNet2DModel`, read as our network.

Two families of its blocks are the paper's networks: the `Skip` blocks of NCSN++ (google/ncsnpp-*), whose output is the
score, and the plain ones of DDPM (google/ddpm-*), whose output is the noise. A folder holds `config.json`, the weights
and `scheduler_config.json`, or has them in its folders `unet` and `scheduler`. Nothing in it is executed.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch
from torch import nn

from scoreinv.models.codec import decode_foreign, in_file, read_json
from scoreinv.models.config import ModelConfig
from scoreinv.models.foreign.pickled import opened_pickle
from scoreinv.models.model_file import unfilled
from scoreinv.models.weights import install, opened
from scoreinv.networks.ncsnpp import Activation, NCSNpp, NCSNppConfig
from scoreinv.preconditioning import PaperVE, PaperVP, Preconditioning
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE
from scoreinv.system.errors import CheckpointError
from scoreinv.system.options import require
from scoreinv.system.text import shown

_log = logging.getLogger(__name__)

WEIGHTS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

_ACTIVATIONS: dict[str, Activation] = {"silu": "swish", "swish": "swish", "relu": "relu"}


def weights_file(folder: Path) -> Path | None:
    """Return the weights file of a folder in diffusers' format, preferably safetensors; None for another folder."""
    paths = (part / name for name in WEIGHTS_FILES for part in (folder / "unet", folder))
    return next((path for path in paths if path.is_file()), None)


def load_diffusers(folder: Path, sde: SDE | None = None) -> ScorePrior:
    """Load the prior of a folder in float32, on the CPU, in evaluation mode.

    Args:
        sde: replaces the folder's SDE.

    Raises CheckpointError if a file is missing, truncated, holds code, does not fit its configuration, is too large for
    memory, or describes an unsupported network.
    """
    config = read_diffusers_config(folder)
    path = weights_file(folder)
    assert path is not None  # `catalogue.locate` has checked it
    prior: ScorePrior = unfilled(path, config if sde is None else replace(config, sde=sde))
    network = cast(NCSNpp, prior.network)
    with opened(path) if path.suffix == ".safetensors" else opened_pickle(path) as (_, stored, read):
        unused = {_replaced(name, _OLD_NAMES): name for name in stored}  # present names to those in the file
        names, shapes = {}, {}
        last = len(network.up) - 1
        top = ((rf"^up\.{last}\.norm\.", "conv_norm_out."), (rf"^up\.{last}\.pyramid\.", "conv_out."))
        for ours, tensor in network.state_dict().items():
            theirs = _replaced(ours, (*top, *_NAMES))
            if theirs not in unused:
                raise CheckpointError(f"{path}: lacks {theirs}: weights and config.json do not belong together")
            names[ours] = name = unused.pop(theirs)
            # Attention has linear layers there, 1x1 convolutions here.
            linear = len(stored[name]) == 2 and tensor.ndim == 4
            shapes[ours] = (*stored[name], 1, 1) if linear else stored[name]
        shapes |= {name: stored[name] for name in unused.values()}  # `install` refuses these
        install(path, prior.parts(), shapes, lambda ours: read(names[ours]))
    return prior


def read_diffusers_config(folder: Path) -> ModelConfig:
    """Read the configuration of a folder; raises CheckpointError naming the entry that is missing or unsupported."""
    weights = weights_file(folder)
    path = (folder if weights is None else weights.parent) / "config.json"
    options = read_json(path)
    with in_file(path):
        unet = decode_foreign(_UNet, {"attention_head_dim": options.get("num_head_channels", 8)} | options)
        network = _network(unet)
    sde, preconditioning, sampler = _schedule(folder, network.embedding)
    data_range = (0.0, 1.0) if unet.center_input_sample else (-1.0, 1.0)
    size = unet.sample_size or 32
    with in_file(path):
        side = size if isinstance(size, int) else min(size)
        return ModelConfig(network, sde, preconditioning, data_range, side, sampler)


@dataclass(frozen=True)
class _UNet:
    """Entries of `UNet2DModel` with its defaults. Entries with a single literal support no other value."""

    block_out_channels: tuple[int, ...]
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]
    _class_name: Literal["UNet2DModel"] = "UNet2DModel"
    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: Literal["positional", "fourier"] = "positional"
    time_embedding_dim: int | None = None
    freq_shift: int = 0
    flip_sin_to_cos: bool = True
    mid_block_type: Literal["UNetMidBlock2D"] = "UNetMidBlock2D"
    mid_block_scale_factor: float = 1.0
    layers_per_block: int = 2
    downsample_padding: int | None = 1
    downsample_type: Literal["conv"] = "conv"
    upsample_type: Literal["conv"] = "conv"
    resnet_time_scale_shift: Literal["default"] = "default"
    add_attention: Literal[True] = True
    attention_head_dim: int | None = 8
    attn_norm_num_groups: None = None
    class_embed_type: None = None
    num_class_embeds: None = None
    act_fn: Literal["silu", "swish", "relu"] = "silu"
    dropout: float = 0.0
    norm_num_groups: int | None = 32
    norm_eps: float = 1e-5


def _network(unet: _UNet) -> NCSNppConfig:
    """Translate the options of a network; raise InputError naming an unsupported entry."""
    skip = all("Skip" in kind for kind in (*unet.down_block_types, *unet.up_block_types))
    down, up = ("SkipDownBlock2D", "SkipUpBlock2D") if skip else ("DownBlock2D", "UpBlock2D")
    attention = [kind.startswith("Attn") for kind in unet.down_block_types]
    widths = unet.block_out_channels
    width = widths[0] if widths else 0
    supported = {
        "down_block_types": unet.down_block_types == tuple(f"Attn{down}" if there else down for there in attention),
        "up_block_types": unet.up_block_types[::-1] == tuple(f"Attn{up}" if there else up for there in attention),
        "block_out_channels": len(widths) == len(attention) and width > 0 and not any(each % width for each in widths),
        "time_embedding_type": (unet.time_embedding_type == "fourier") == skip,
        "freq_shift": skip or unet.freq_shift == 1,
        "flip_sin_to_cos": skip or not unet.flip_sin_to_cos,
        "downsample_padding": skip or unet.downsample_padding == 0,
        "time_embedding_dim": unet.time_embedding_dim in (None, 4 * width),
        "mid_block_scale_factor": abs(unet.mid_block_scale_factor - (math.sqrt(2) if skip else 1)) < 1e-4,
        "in_channels": unet.in_channels == (3 if skip else unet.out_channels),
        "out_channels": unet.out_channels == unet.in_channels,
    }
    for entry, fits in supported.items():
        require(fits, f"{entry} = {shown(getattr(unet, entry))} is not supported")
    network = NCSNppConfig(
        channels=unet.in_channels,
        width=width,
        multipliers=tuple(features // width for features in widths),
        blocks=unet.layers_per_block,
        attention_levels=tuple(level for level, there in enumerate(attention) if there),
        up_attention="once" if skip else "each",
        attention_head=unet.attention_head_dim,
        block="biggan" if skip else "ddpm",
        fir_kernel=(1, 3, 3, 1) if skip else None,
        skip_rescale=skip,
        progressive_input="input_skip" if skip else "none",
        progressive_output="output_skip" if skip else "none",
        embedding=unet.time_embedding_type,
        dropout=unet.dropout,
        channels_per_group=4 if skip else 1,
        norm_epsilon=unet.norm_eps,
        activation=_ACTIVATIONS[unet.act_fn],
    )
    return _with_groups(network, unet.norm_num_groups)


def _with_groups(config: NCSNppConfig, fixed: int | None) -> NCSNppConfig:
    """Return the configuration with diffusers' numbers of normalisation groups if they differ from ours.

    Args:
        fixed: `norm_num_groups`: the number for all norms of plain networks, for the middle and output of Skip ones.
    """
    with torch.device("meta"):
        network = NCSNpp(config)
    skip = config.block == "biggan"
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    by_four = {norm: min(norm.num_channels // 4, 32) for norm in norms}
    groups = by_four if skip or fixed is None else dict.fromkeys(norms, fixed)
    if skip:
        groups |= {layer.norm: 32 for level in network.down for layer in level.attention}
        inputs = network.down[-1].outputs
        for level in network.up:
            if level.attention is not None:
                groups[level.attention.norm] = 32
                for block in level.blocks:
                    # An oddity of diffusers: it divides only the channels of the skip connection by four.
                    total = block.norm_in.num_channels
                    groups[block.norm_in] = min(inputs + (total - inputs) // 4, 32)
                    inputs = level.outputs
            inputs = level.outputs
        if fixed is not None:
            middle = (network.middle_in, network.middle_attention, network.middle_out, network.up[-1].norm)
            parts = [module for part in middle if part is not None for module in part.modules()]
            groups |= {module: fixed for module in parts if isinstance(module, nn.GroupNorm)}
    counts = tuple(groups[norm] for norm in norms)
    return config if counts == tuple(norm.num_groups for norm in norms) else replace(config, groups=counts)


@dataclass(frozen=True)
class _VESchedule:
    """Entries of `ScoreSdeVeScheduler`."""

    num_train_timesteps: int = 2000
    sigma_min: float = 0.01
    sigma_max: float = 1348.0
    snr: float = 0.15


@dataclass(frozen=True)
class _DDPMSchedule:
    """Entries of `DDPMScheduler`."""

    num_train_timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    beta_schedule: Literal["linear"] = "linear"
    prediction_type: Literal["epsilon"] = "epsilon"
    trained_betas: None = None
    variance_type: str = "fixed_small"
    clip_sample: bool = True


def _schedule(folder: Path, embedding: str) -> tuple[SDE, Preconditioning, RecommendedSampler]:
    """Read the scheduler's configuration: of VE for Fourier embedding, else of DDPM; use defaults if it is missing."""
    paths = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        _log.warning("%s: has no scheduler_config.json: diffusers' default noise levels are used", folder)
    with in_file(path or folder):
        options = {} if path is None else read_json(path)
        if embedding == "fourier":
            ve = decode_foreign(_VESchedule, options)
            steps = ve.num_train_timesteps
            sampler = RecommendedSampler("reverse_diffusion", "langevin", ve.snr, steps)
            return VE(ve.sigma_min, ve.sigma_max, steps), PaperVE(), sampler
        ddpm = decode_foreign(_DDPMSchedule, options)
        steps = ddpm.num_train_timesteps
        larger = ddpm.variance_type == "fixed_large"
        sampler = RecommendedSampler(
            "ancestral" if larger else "ancestral_posterior", steps=steps, clip=ddpm.clip_sample
        )
        return DDPM(ddpm.beta_start * steps, ddpm.beta_end * steps, steps), PaperVP(steps), sampler


_NAMES = (
    (r"^embedding\.frequencies", "time_proj.weight"),
    (r"^dense_in\.", "time_embedding.linear_1."),
    (r"^dense_out\.", "time_embedding.linear_2."),
    (r"^norm_out\.", "conv_norm_out."),
    (r"^middle_in\.", "mid_block.resnets.0."),
    (r"^middle_attention\.", "mid_block.attentions.0."),
    (r"^middle_out\.", "mid_block.resnets.1."),
    (r"^(down|up)\.", r"\1_blocks."),
    (r"\.blocks\.", ".resnets."),
    (r"\.(block_)?attention\.(\d+)\.", r".attentions.\2."),
    (r"\.attention\.", ".attentions.0."),
    (r"\.(down|up)\.conv\.", r".\1samplers.0.conv."),
    (r"\.(down|up)\.", r".resnet_\1."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.output\.", ".to_out.0."),
    (r"\.norm\.", ".skip_norm."),
    (r"\.pyramid\.", ".skip_conv."),
    (r"\.norm_in\.", ".norm1."),
    (r"\.conv_in\.", ".conv1."),
    (r"\.embed\.", ".time_emb_proj."),
    (r"\.norm_out\.", ".norm2."),
    (r"\.conv_out\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""Substitutions from our tensor names to those of diffusers, in order. It has no residual pyramids."""

_OLD_NAMES = (
    (r"^time_proj\.W$", "time_proj.weight"),
    (r"(attentions\..*)\.query\.", r"\1.to_q."),
    (r"(attentions\..*)\.key\.", r"\1.to_k."),
    (r"(attentions\..*)\.value\.", r"\1.to_v."),
    (r"(attentions\..*)\.proj_attn\.", r"\1.to_out.0."),
)
"""Substitutions from tensor names of older versions of diffusers to present ones."""


def _replaced(name: str, table: tuple[tuple[str, str], ...]) -> str:
    """Apply substitutions (pattern, replacement) to a tensor's name, in order."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


# The Hugging Face hub, through huggingface_hub, which caches files under HF_HOME

_CONFIGURATION = ["config.json", "scheduler_config.json", "unet/config.json", "scheduler/scheduler_config.json"]


def fetch(name: str) -> Path:
    """Fetch `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION` unless it is cached; return its folder, named by its revision.

    Raises CheckpointError with a remedy if the model is neither cached nor available from the hub.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(f"{name}: needs huggingface_hub: pip install 'scoreinv[hub]'") from error
    repository, _, revision = name.partition(":")[2].partition("@")
    for weights in WEIGHTS_FILES:  # pickled weights only if there are no safetensors
        patterns = [*_CONFIGURATION, weights, f"unet/{weights}"]
        try:
            folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
        except Exception as error:  # the library raises many kinds of errors, including those of its transport
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise CheckpointError(
                f"{name}: neither in the cache nor available from the hub ({reason}); without a network, put its "
                "config.json, scheduler_config.json and diffusion_pytorch_model file into a folder and name FOLDER/"
            ) from error
        if weights_file(folder) is not None:
            return folder
    raise CheckpointError(f"{name}: holds no model in diffusers' format")
