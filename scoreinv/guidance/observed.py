"""What the methods of an observed picture share, whatever they make of the observation."""

from __future__ import annotations

from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import LinearOperator, check_noise_std
from scoreinv.prior import Prior, PriorWrapper


class GivenObservation(PriorWrapper):
    """A prior given y = A x0 + noise_std n.

    Arguments:
        operator: A.
        y: the observation, of shape A(x), in the model's range: A applied to a picture in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            is made to agree with y exactly: finish(x0) = x0 - A^+ A x0 + A^+ y.

    Raises InputError for an observation that is no batch of pictures, and for a negative noise_std.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior)
        if y.ndim != 4:
            raise InputError(f"an observation must have shape (B, C, H, W), not {tuple(y.shape)}")
        check_noise_std(noise_std)
        self.operator = operator
        self.y = y
        self.noise_std = noise_std

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))
