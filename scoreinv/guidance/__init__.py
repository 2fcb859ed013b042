"""Priors conditioned on an observation or a class y: grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x).

Each condition wraps a prior and is itself a prior, so every sampler can draw from it. Priors whose networks were
trained with observations are in `conditional`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import lazy_loader

from scoreinv.conditional.observation import Observation
from scoreinv.system.moved import moved

if TYPE_CHECKING:
    from torch import Tensor

    from scoreinv.operators import LinearOperator
    from scoreinv.prior import Prior

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = moved(
    __name__,
    {
        "Clipped": "scoreinv.prior.Clipped",
        "GivenObservation": "scoreinv.conditional.observation.GivenObservation",
        "Tiled": "scoreinv.windows.Tiled",
    },
    __getattr__,
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
