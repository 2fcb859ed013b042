"""Conditions as wrappers of a prior: grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x)."""

from scoreinv.guidance.averaged import Averaged
from scoreinv.guidance.classifier import ClassifierGuidance
from scoreinv.guidance.clipped import Clipped
from scoreinv.guidance.conditioned import Conditioned
from scoreinv.guidance.constrained import ConstrainedPC
from scoreinv.guidance.ddnm import DDNM
from scoreinv.guidance.diffpir import DiffPIR
from scoreinv.guidance.displacements import Displacements
from scoreinv.guidance.exemplars import Exemplars
from scoreinv.guidance.likelihood import DPS, MMPS, LikelihoodGuidance, PiGDM
from scoreinv.guidance.observed import GivenObservation
from scoreinv.tiling import Tiled

__all__ = [
    "DDNM",
    "DPS",
    "MMPS",
    "Averaged",
    "ClassifierGuidance",
    "Clipped",
    "Conditioned",
    "ConstrainedPC",
    "DiffPIR",
    "Displacements",
    "Exemplars",
    "GivenObservation",
    "LikelihoodGuidance",
    "PiGDM",
    "Tiled",
]
