"""The paper's models by their published names, with its samplers (reference implementation, `configs/`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import DDPM_UNET, NCSNppConfig
from scoreinv.preconditioning import PaperVE, PaperVP
from scoreinv.prior import RecommendedSampler
from scoreinv.sdes import DDPM, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError


def _cifar(
    kind: Literal["ve", "vp", "subvp"],
    network: NCSNppConfig,
    predictor: Literal["reverse_diffusion", "ancestral"] | None = None,
) -> ModelConfig:
    """Return a model of CIFAR-10.

    predictor: that of a model with discrete times; None for continuous times.
    """
    if kind == "ve":
        sampler = RecommendedSampler(predictor or "reverse_diffusion", "langevin")
        return ModelConfig(network, VE(0.01, 50.0), PaperVE("index" if predictor else "sigma"), (0.0, 1.0), 32, sampler)
    sde = SubVP() if kind == "subvp" else DDPM() if predictor else VP()
    return ModelConfig(network, sde, PaperVP(), (-1.0, 1.0), 32, RecommendedSampler(predictor or "euler_maruyama"))


def _large(network: NCSNppConfig, side: int, sigma_max: float, snr: float) -> ModelConfig:
    """Return a model of large pictures."""
    sampler = RecommendedSampler("reverse_diffusion", "langevin", snr, 2000)
    return ModelConfig(network, VE(0.01, sigma_max, steps=2000), PaperVE(), (0.0, 1.0), side, sampler)


_NCSNPP_FOURIER = NCSNppConfig()
_NCSNPP = NCSNppConfig(embedding="positional")
_DDPMPP = replace(_NCSNPP, fir_kernel=None, progressive_input="none")
_DEEP_NCSNPP_FOURIER, _DEEP_NCSNPP, _DEEP_DDPMPP = (
    replace(network, blocks=8) for network in (_NCSNPP_FOURIER, _NCSNPP, _DDPMPP)
)
_LARGE = NCSNppConfig(
    multipliers=(1, 1, 2, 2, 2, 2, 2),
    blocks=2,
    attention_levels=(4,),
    progressive_input="input_skip",
    progressive_output="output_skip",
    dropout=0.0,
)
_LARGEST = replace(_LARGE, width=16, multipliers=(1, 2, 4, 8, 16, 32, 32, 32), blocks=1, attention_levels=(6,))

PUBLISHED: dict[str, ModelConfig] = {
    "ve/cifar10_ddpm": _cifar("ve", DDPM_UNET, "reverse_diffusion"),
    "ve/cifar10_ncsnpp": _cifar("ve", _NCSNPP, "reverse_diffusion"),
    "ve/cifar10_ncsnpp_continuous": _cifar("ve", _NCSNPP_FOURIER),
    "ve/cifar10_ncsnpp_deep_continuous": _cifar("ve", _DEEP_NCSNPP_FOURIER),
    "ve/bedroom_ncsnpp_continuous": _large(_LARGE, 256, 378.0, 0.075),
    "ve/church_ncsnpp_continuous": _large(_LARGE, 256, 380.0, 0.075),
    "ve/celebahq_256_ncsnpp_continuous": _large(_LARGE, 256, 348.0, 0.075),
    "ve/ffhq_256_ncsnpp_continuous": _large(_LARGE, 256, 348.0, 0.075),
    "ve/celebahq_ncsnpp_continuous": _large(_LARGEST, 1024, 1348.0, 0.15),
    "ve/ffhq_ncsnpp_continuous": _large(_LARGEST, 1024, 1348.0, 0.15),
    "vp/cifar10_ddpm": _cifar("vp", DDPM_UNET, "ancestral"),
    "vp/cifar10_ddpm_continuous": _cifar("vp", DDPM_UNET),
    "vp/cifar10_ddpmpp": _cifar("vp", _DDPMPP, "ancestral"),
    "vp/cifar10_ddpmpp_continuous": _cifar("vp", _DDPMPP),
    "vp/cifar10_ddpmpp_deep_continuous": _cifar("vp", _DEEP_DDPMPP),
    "vp/cifar10_ncsnpp": _cifar("vp", _NCSNPP, "reverse_diffusion"),
    "vp/cifar10_ncsnpp_continuous": _cifar("vp", _NCSNPP),
    "vp/cifar10_ncsnpp_deep_continuous": _cifar("vp", _DEEP_NCSNPP),
    "subvp/cifar10_ddpm_continuous": _cifar("subvp", DDPM_UNET),
    "subvp/cifar10_ddpmpp_continuous": _cifar("subvp", _DDPMPP),
    "subvp/cifar10_ddpmpp_deep_continuous": _cifar("subvp", _DEEP_DDPMPP),
    "subvp/cifar10_ncsnpp_continuous": _cifar("subvp", _NCSNPP),
    "subvp/cifar10_ncsnpp_deep_continuous": _cifar("subvp", _DEEP_NCSNPP),
}

FIGURES: dict[str, dict[str, float]] = {
    "ve/cifar10_ncsnpp": {"fid": 2.45, "inception_score": 9.73},
    "ve/cifar10_ncsnpp_continuous": {"fid": 2.38, "inception_score": 9.83},
    "ve/cifar10_ncsnpp_deep_continuous": {"fid": 2.20, "inception_score": 9.89},
    "vp/cifar10_ddpm": {"fid": 3.24, "fid_ode": 3.37, "bits_per_dim": 3.28},
    "vp/cifar10_ddpm_continuous": {"fid_ode": 3.69, "bits_per_dim": 3.21},
    "vp/cifar10_ddpmpp": {"fid": 2.78, "inception_score": 9.64},
    "vp/cifar10_ddpmpp_continuous": {"fid": 2.55, "inception_score": 9.58, "fid_ode": 3.93, "bits_per_dim": 3.16},
    "vp/cifar10_ddpmpp_deep_continuous": {"fid": 2.41, "inception_score": 9.68, "fid_ode": 3.08, "bits_per_dim": 3.13},
    "subvp/cifar10_ddpm_continuous": {"fid_ode": 3.56, "bits_per_dim": 3.05},
    "subvp/cifar10_ddpmpp_continuous": {"fid": 2.61, "inception_score": 9.56, "fid_ode": 3.16, "bits_per_dim": 3.02},
    "subvp/cifar10_ddpmpp_deep_continuous": {
        "fid": 2.41,
        "inception_score": 9.57,
        "fid_ode": 2.92,
        "bits_per_dim": 2.99,
    },
}
"""Reported figures on CIFAR-10 (tables 2 and 3 of the paper, README of the reference).

FID and inception score use 50,000 samples, `fid_ode` samples of the adaptive probability flow; bits per dimension are
for the uniformly dequantised test set.
"""

SOURCES: dict[str, str] = {
    "ve/bedroom_ncsnpp_continuous": "hf:google/ncsnpp-bedroom-256",
    "ve/church_ncsnpp_continuous": "hf:google/ncsnpp-church-256",
    "ve/celebahq_256_ncsnpp_continuous": "hf:google/ncsnpp-celebahq-256",
    "ve/ffhq_256_ncsnpp_continuous": "hf:google/ncsnpp-ffhq-256",
    "ve/ffhq_ncsnpp_continuous": "hf:google/ncsnpp-ffhq-1024",
}
"""Models of the paper that are also on the Hugging Face hub."""


def source(name: str) -> str:
    """Return the source of the weights of a published model, or the command that trains it."""
    if name in SOURCES:
        return SOURCES[name]
    if name in FIGURES:
        return "the paper's checkpoints (score_sde_pytorch), which `scoreinv convert` reads"
    return f"its weights were not published (`scoreinv train --config {name}` trains it)"


def with_other_times(config: ModelConfig) -> list[str]:
    """Return the published models with the same network but the other kind of times, discrete or continuous.

    Their checkpoints have the same tensors, so a checkpoint does not reveal its kind.
    """
    return [
        name
        for name, other in PUBLISHED.items()
        if other.network == config.network and has_discrete_times(other) != has_discrete_times(config)
    ]


def has_discrete_times(config: ModelConfig) -> bool:
    """Return whether the paper trains a model at the times of a grid."""
    return isinstance(config.sde, DDPM) or config.preconditioning == PaperVE("index")


def published(name: str) -> ModelConfig:
    """Return the configuration of a published model. Raise CheckpointError listing the names if there is none."""
    if name not in PUBLISHED:
        raise CheckpointError(f"no published model is named {name!r}; there are: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
