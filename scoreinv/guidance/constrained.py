"""Conditioning by replacement: the constrained predictor-corrector method (Song et al. 2021, appendix I.2, I.3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import LinearOperator, crops, select
from scoreinv.prior import Box, Prior, PriorWrapper
from scoreinv.sdes import as_time, broadcast


class ConstrainedPC(PriorWrapper):
    """A prior with the observed components of every state replaced by the observation, diffused to the state's time.

        constrain(x, t, z) = x - A^+ A x + A^+ (alpha(t) y + sigma(t) A z),        finish(x0) = x0 - A^+ A x0 + A^+ y

    for operators with A A^T a projection, whose observed noise A z is standard normal (masks, components of an
    orthonormal basis). An approximation: it samples the conditional only as corrector steps grow, since the score does
    not know the observation.

    Arguments:
        operator: A.
        y: the observation, of shape A(x), in the model's range: A applied to a picture in the model's range.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor) -> None:
        super().__init__(prior)
        if y.ndim != 4:
            raise InputError(f"an observation must have shape (B, C, H, W), not {tuple(y.shape)}")
        self.operator = operator
        self.y = y

    def constrain(self, x: Tensor, t: float | Tensor, z: Tensor) -> Tensor:
        x = self.prior.constrain(x, t, z)
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        return self.operator.replace(x, alpha * self.y.to(x) + sigma * self.operator(z))

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return self.operator.replace(x0, self.y.to(x0))

    def windows(self, boxes: Sequence[Box], samples: int) -> ConstrainedPC:
        prior, operator = self.prior.windows(boxes, samples), self.operator.windows(boxes, samples)
        return ConstrainedPC(prior, operator, crops(self.y, boxes, samples))

    def rows(self, index: Tensor) -> ConstrainedPC:
        return ConstrainedPC(self.prior.rows(index), self.operator.rows(index), select(self.y, index))
