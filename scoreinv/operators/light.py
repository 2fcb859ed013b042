"""Observations of light: an optical system acts on light, and a photograph stores encoded values.

With D the tone curve that decodes values to light, the stored observation of a picture x is

    y = w D^-1(A D(x)),

for a linear operator A, such as a lens's blur, and weights w of the data. Gauss-Newton methods use its derivative, a
linear operator:

    J = w E A D'(x),        E = 1 / D'(y / w),

with the slopes of the curve at each pixel. The noise of the stored values is white. In units of light it is larger in
highlights, where the curve is steep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from scoreinv.operators.base import Composed, LinearOperator, Operator, Weighting, by_channel
from scoreinv.operators.tones import ToneCurve


@dataclass(frozen=True, eq=False, repr=False)
class InLight(Operator):
    """y = w D^-1(A D(x)): a linear operator on the light of pictures.

    Attributes:
        operator: A.
        curve: D, for values in [0, 1]; linear beyond them.
        data_range: the values of black and white in x and y.
        weights: w, at least 0, (1 or B, 1 or C, h, w); None: 1.
    """

    operator: LinearOperator
    curve: ToneCurve
    data_range: tuple[float, float] = (0.0, 1.0)
    weights: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return self._weighted(self._encoded(self.operator(self.decoded(x))))

    def linearised(self, x: Tensor) -> tuple[Tensor, LinearOperator]:
        stored = self._encoded(self.operator(self.decoded(x)))
        inner, outer = Weighting(self.slope(x)), Weighting(self._weighted(1 / self.slope(stored)))
        return self._weighted(stored), Composed(outer, self.operator @ inner, self.operator.iterations)

    def picture_like(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(y)

    def weighted(self, weights: Tensor) -> InLight:
        return replace(self, weights=self._weighted(weights))

    def in_range(self, low: float, high: float) -> InLight:
        return replace(self, data_range=(low, high))

    @cached_property
    def _light(self) -> Tensor:
        return torch.from_numpy(self.curve.light)

    def decoded(self, values: Tensor) -> Tensor:
        """Return the light D of values."""
        light = self._light.to(values)

        def decode(channel: Tensor) -> Tensor:
            position, below = self._place(channel)
            return light[below] + (position - below) * (light[below + 1] - light[below])

        return by_channel(decode, values)

    def slope(self, values: Tensor) -> Tensor:
        """Return the slope D' at values, for values in units of the data range."""
        slopes = self._light.to(values).diff() * (len(self._light) - 1)
        return by_channel(lambda channel: slopes[self._place(channel)[1]], values)

    def _place(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of values among those of the curve, and the last one below each, at least the first."""
        low, high = self.data_range
        position = (values - low) / (high - low) * (len(self._light) - 1)
        return position, position.floor().clamp(0, len(self._light) - 2).long()

    def _encoded(self, light: Tensor) -> Tensor:
        """Return D^-1 of light."""
        low, high = self.data_range
        knots = self._light.to(light)

        def encode(channel: Tensor) -> Tensor:
            below = (torch.searchsorted(knots, channel.contiguous()) - 1).clamp(0, len(knots) - 2)
            fraction = (channel - knots[below]) / (knots[below + 1] - knots[below])
            return low + (high - low) * (below + fraction) / (len(knots) - 1)

        return by_channel(encode, light)

    def _weighted(self, values: Tensor) -> Tensor:
        return values if self.weights is None else self.weights.to(values) * values
