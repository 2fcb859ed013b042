"""Observations of pictures, and the base class of priors given an observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scoreinv.operators import Operator
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.system.errors import InputError
from scoreinv.system.options import Number, check, require
from scoreinv.windows.boxes import Box
from scoreinv.windows.transforms import Orientation


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
        features: feature maps of the whole pictures, from `ConditionalPrior.gray_features`.

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
    """Base class of priors given an observation.

    For exact observations (noise_std 0) and linear A the end result agrees with y: finish(x0) = x0 - A^+ A x0 + A^+ y.
    """

    def __init__(self, prior: Prior, observation: Observation) -> None:
        super().__init__(prior)
        self.operator, self.y, self.noise_std = observation.operator, observation.y, observation.noise_std

    def accepts(self, observation: Observation) -> str | None:
        return "this prior is given an observation: compose the operators of both into one observation"

    def windows(self, boxes: Sequence[Box], samples: int) -> Prior:
        order = f"put the tiles inside, {type(self).__name__}(Tiled(...), ...)"
        raise InputError(f"an observation is of the whole picture: {order}")

    def turned(self, orientation: Orientation) -> Prior:
        order = f"put the orientations inside, {type(self).__name__}(SelfEnsemble(...), ...)"
        raise InputError(f"an observation cannot be turned: {order}")

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))
