"""Wrappers of a prior: conditions, grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x), and two that are none.

`Clipped` keeps the estimates within the range of pictures, and `Tiled` makes them through windows.
"""

from scoreinv.guidance.base import GivenObservation, LikelihoodGuidance
from scoreinv.guidance.classifier import ClassifierGuidance
from scoreinv.guidance.clipped import Clipped
from scoreinv.guidance.conditioned import Conditioned
from scoreinv.guidance.diffpir import DiffPIR
from scoreinv.guidance.dps import DPS
from scoreinv.guidance.mmps import MMPS
from scoreinv.guidance.pigdm import PiGDM
from scoreinv.guidance.replacement import ConstrainedPC
from scoreinv.tiling import Tiled

__all__ = [
    "DPS",
    "MMPS",
    "ClassifierGuidance",
    "Clipped",
    "Conditioned",
    "ConstrainedPC",
    "DiffPIR",
    "GivenObservation",
    "LikelihoodGuidance",
    "PiGDM",
    "Tiled",
]
