"""Observations of pictures, and priors given an observation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoreinv.operators import LinearOperator, Operator
from scoreinv.operators.base import observation_like
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.base import CountedPrior
from scoreinv.system.errors import InputError
from scoreinv.system.options import Number, check, require


@dataclass(frozen=True, eq=False)
class Observation:
    """Data y = A x0 + noise_std n about pictures x0, with estimates of them at other scales.

    All pictures are in the model's range. Only a network trained on observations reads the estimates.

    Args:
        operator: A, linear; for `guidance` differentiable is enough.
        y: the data, (B, C, H, W), of the shape of A(x0).
        noise_std: standard deviation of the noise in y, at least 0.
        coarse: the pictures at half the size (rounded up), as means of 2x2 pixels; NaN where unknown.
        fine: the pictures at the prior's `luma_scale` times the size. Their luma is used where the operator observes
            luma.
        features: feature maps of the whole pictures, from `ColourPrior.gray_features`.

    Raises InputError if y is not (B, C, H, W) or noise_std is negative.
    """

    operator: Operator
    y: Tensor
    noise_std: float = 0.0
    coarse: Tensor | None = None
    fine: Tensor | None = None
    features: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        require(self.y.ndim == 4, f"an observation must have shape (B, C, H, W), not {tuple(self.y.shape)}")
        check("noise_std", self.noise_std, Number(0))


class GivenObservation(PriorWrapper):
    """A prior with an observation, which the solvers `DDRM` and `DPIR` read; base class of all conditions.

    Its `noise` is the prior's; a condition changes it. For exact observations (noise_std 0) the end result agrees with
    y: finish(x0) = x0 - A^+ A x0 + A^+ y.
    """

    of_whole_pictures = True

    def __init__(self, prior: Prior, observation: Observation) -> None:
        super().__init__(prior)
        self.observation = observation
        self.operator, self.y, self.noise_std = observation.operator, observation.y, observation.noise_std

    def residual(self, x0: Tensor) -> tuple[Tensor, LinearOperator]:
        """Return y - A(x0), and the derivative of A at the pictures x0 (B, C, H, W)."""
        predicted, derivative = self.operator.linearised(x0)
        return observation_like(self.y, predicted) - predicted, derivative

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))


def observed(prior: Prior) -> GivenObservation:
    """Return the observation that a solver reads, with its prior; raise InputError for any other prior.

    prior: counts the evaluations of a `GivenObservation` (`samplers.base.CountedPrior`).
    """
    assert isinstance(prior, CountedPrior)
    given = prior.prior
    if type(given) is not GivenObservation or given.constrains:
        raise InputError("this solver takes GivenObservation(prior, Observation(operator, y)) of an unguided prior")
    return given
