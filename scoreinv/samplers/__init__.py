"""Samplers of the reverse process: predictor-corrector, probability-flow ODE, DPM-Solver++, EDM's Heun, and others.

Each is a frozen dataclass of settings with a method `sample` (`Sampler`); predictors and correctors, the parts of `PC`,
have a `step` alone. `PC`, `DPMpp2M`, `Heun` and `ODE` run on any prior, conditional or not; `DDRM` and `DPIR` hold the
observation.
"""

import warnings

from scoreinv.samplers.base import GridSampler, Progress, Sampler, Samples, State, constrain
from scoreinv.samplers.ddim import DDIM
from scoreinv.samplers.ddrm import DDRM
from scoreinv.samplers.dpir import DPIR
from scoreinv.samplers.dpmpp_2m import DPMpp2M
from scoreinv.samplers.heun import Heun
from scoreinv.samplers.ode import ODE
from scoreinv.samplers.pc import (
    PC,
    Ancestral,
    AnnealedLangevin,
    EulerMaruyama,
    Langevin,
    NoPredictor,
    ReverseDiffusion,
)
from scoreinv.samplers.posterior_flow import PosteriorFlow
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import karras_times, log_times, resampling_times, uniform_times


def __getattr__(name: str) -> object:
    if name != "Multistep":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Multistep is now called DPMpp2M", DeprecationWarning, stacklevel=2)
    return DPMpp2M


__all__ = [
    "DDIM",
    "DDRM",
    "DPIR",
    "ODE",
    "PC",
    "Ancestral",
    "AnnealedLangevin",
    "DPMpp2M",
    "EulerMaruyama",
    "GridSampler",
    "Heun",
    "Langevin",
    "NoPredictor",
    "NoiseStream",
    "PosteriorFlow",
    "Progress",
    "ReverseDiffusion",
    "Sampler",
    "Samples",
    "State",
    "constrain",
    "karras_times",
    "log_times",
    "resampling_times",
    "uniform_times",
]
