"""Conditions on a prior, which wrap it: grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x).

A condition is a prior again, so every sampler takes it. Networks trained on observations stand in `conditional`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from scoreinv.conditional.observation import Observation
from scoreinv.guidance.base import LikelihoodGuidance as LikelihoodGuidance
from scoreinv.guidance.classifier import ClassifierGuidance as ClassifierGuidance
from scoreinv.guidance.diffpir import DiffPIR as DiffPIR
from scoreinv.guidance.dps import DPS as DPS
from scoreinv.guidance.mmps import MMPS as MMPS
from scoreinv.guidance.pigdm import PiGDM as PiGDM
from scoreinv.guidance.replacement import ConstrainedPC as ConstrainedPC
from scoreinv.guidance.solvers.ddrm import DDRM as DDRM
from scoreinv.guidance.solvers.dpir import DPIR as DPIR
from scoreinv.guidance.solvers.posterior_flow import PosteriorFlow as PosteriorFlow
from scoreinv.system.moved import moved

if TYPE_CHECKING:
    from torch import Tensor

    from scoreinv.operators import LinearOperator
    from scoreinv.prior import Prior

__getattr__ = moved(
    __name__,
    {
        "Clipped": "scoreinv.prior.Clipped",
        "GivenObservation": "scoreinv.conditional.observation.GivenObservation",
        "Tiled": "scoreinv.windows.Tiled",
    },
)


def Conditioned(  # noqa: N802
    prior: Prior,
    operator: LinearOperator,
    y: Tensor,
    coarse: Tensor | None = None,
    fine: Tensor | None = None,
    features: tuple[Tensor, ...] | None = None,
) -> Prior:
    """Return `prior.given(Observation(...))`, which replaces this class of 0.2."""
    new = "prior.given(Observation(...))"
    warnings.warn(f"{__name__}.Conditioned is {new} since 0.3", DeprecationWarning, stacklevel=2)
    return prior.given(Observation(operator, y, coarse=coarse, fine=fine, features=features))
