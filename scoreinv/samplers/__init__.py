"""Samplers of the reverse process: predictor-corrector, probability-flow ODE, DPM-Solver++, EDM's Heun sampler.

Each is a frozen dataclass of settings with a method `sample` (`Sampler`). The predictors and correctors of `PC` have a
`step` instead. Samplers work with any prior and never see an observation; the solvers of `guidance` do.
"""

from scoreinv.samplers.base import GridSampler as GridSampler
from scoreinv.samplers.base import Progress as Progress
from scoreinv.samplers.base import Sampler as Sampler
from scoreinv.samplers.base import Samples as Samples
from scoreinv.samplers.base import State as State
from scoreinv.samplers.base import constrain as constrain
from scoreinv.samplers.dpmpp_2m import DPMpp2M as DPMpp2M
from scoreinv.samplers.heun import Heun as Heun
from scoreinv.samplers.ode import ODE as ODE
from scoreinv.samplers.pc import DDIM as DDIM
from scoreinv.samplers.pc import PC as PC
from scoreinv.samplers.pc import Ancestral as Ancestral
from scoreinv.samplers.pc import AnnealedLangevin as AnnealedLangevin
from scoreinv.samplers.pc import EulerMaruyama as EulerMaruyama
from scoreinv.samplers.pc import Langevin as Langevin
from scoreinv.samplers.pc import NoPredictor as NoPredictor
from scoreinv.samplers.pc import ReverseDiffusion as ReverseDiffusion
from scoreinv.samplers.rng import NoiseStream as NoiseStream
from scoreinv.samplers.times import karras_times as karras_times
from scoreinv.samplers.times import log_times as log_times
from scoreinv.samplers.times import resampling_times as resampling_times
from scoreinv.samplers.times import uniform_times as uniform_times
from scoreinv.system.moved import moved

__getattr__ = moved(
    __name__,
    {
        "Multistep": "scoreinv.samplers.DPMpp2M",
        "DDRM": "scoreinv.guidance.DDRM",
        "DPIR": "scoreinv.guidance.DPIR",
        "PosteriorFlow": "scoreinv.guidance.PosteriorFlow",
    },
)
