"""Samplers of the reverse process: predictor-corrector, probability-flow ODE, multistep, EDM's Heun.

Each is a frozen dataclass of settings with one method (`Sampler.sample`). `PC`, `Multistep`, `Heun` and `ODE` run on
any prior, conditional or not; `DDRM` and `HalfQuadratic` hold the observation.
"""

from scoreinv.samplers.arc import Arc
from scoreinv.samplers.base import Progress, Sampler, Samples, State
from scoreinv.samplers.correctors import AnnealedLangevin, Langevin, NoCorrector
from scoreinv.samplers.ddim import DDIM
from scoreinv.samplers.ddrm import DDRM
from scoreinv.samplers.half_quadratic import HalfQuadratic
from scoreinv.samplers.heun import Heun
from scoreinv.samplers.multistep import Multistep
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.ode import ODE
from scoreinv.samplers.pc import PC
from scoreinv.samplers.predictors import Ancestral, EulerMaruyama, NoPredictor, ProbabilityFlow, ReverseDiffusion
from scoreinv.samplers.times import karras_times, log_times, resampling_times, uniform_times
from scoreinv.samplers.walk import GridSampler, Walk

__all__ = [
    "DDIM",
    "DDRM",
    "ODE",
    "PC",
    "Ancestral",
    "AnnealedLangevin",
    "Arc",
    "EulerMaruyama",
    "GridSampler",
    "HalfQuadratic",
    "Heun",
    "Langevin",
    "Multistep",
    "NoCorrector",
    "NoPredictor",
    "NoiseStream",
    "ProbabilityFlow",
    "Progress",
    "ReverseDiffusion",
    "Sampler",
    "Samples",
    "State",
    "Walk",
    "karras_times",
    "log_times",
    "resampling_times",
    "uniform_times",
]
