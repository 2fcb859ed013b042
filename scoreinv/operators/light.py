"""Observations of light: an optical system acts on light, and a photograph stores encoded values.

With D the tone curve that decodes values to light, the stored observation of a picture x is

    y = D^-1(A D(x)),

for a linear operator A, such as a lens's blur. Gauss-Newton methods use its derivative, a linear operator:

    J = E A D'(x),        E = 1 / D'(y),

with the slopes of the curve at each pixel. Noise of the stored values stays white: for the light it is larger in
highlights, where the curve is steep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from scoreinv.operators.base import Composed, LinearOperator, Operator
from scoreinv.operators.pixelwise import Weighting
from scoreinv.operators.tones import ToneCurve


@dataclass(frozen=True, eq=False, repr=False)
class InLight(Operator):
    """y = D^-1(A D(x)): a linear operator on the light of pictures.

    Attributes:
        operator: A.
        curve: D, for values in [0, 1]; linear beyond them.
        data_range: the values of black and white in x and y.
    """

    operator: LinearOperator
    curve: ToneCurve
    data_range: tuple[float, float] = (0.0, 1.0)

    def __call__(self, x: Tensor) -> Tensor:
        return self._encoded(self.operator(self._decoded(x)))

    def at(self, x: Tensor) -> LinearOperator:
        inner = Weighting(self._slope(x))
        outer = Weighting(1 / self._slope(self(x)))
        return Composed(outer, self.operator @ inner, self.operator.iterations)

    def in_range(self, low: float, high: float) -> InLight:
        return replace(self, data_range=(low, high))

    @cached_property
    def _light(self) -> Tensor:
        return torch.from_numpy(self.curve.light)

    def _decoded(self, values: Tensor) -> Tensor:
        low, high = self.data_range
        light = self._light.to(values)
        place = (values - low) / (high - low) * (len(light) - 1)
        below = place.floor().clamp(0, len(light) - 2).long()
        return light[below] + (place - below) * (light[below + 1] - light[below])

    def _encoded(self, light: Tensor) -> Tensor:
        low, high = self.data_range
        knots = self._light.to(light)
        below = (torch.searchsorted(knots, light.contiguous()) - 1).clamp(0, len(knots) - 2)
        share = (light - knots[below]) / (knots[below + 1] - knots[below])
        return low + (high - low) * (below + share) / (len(knots) - 1)

    def _slope(self, values: Tensor) -> Tensor:
        """Return the slope of light in values, without the factor of the range, which cancels."""
        low, high = self.data_range
        slopes = self._light.to(values).diff() * (len(self._light) - 1)
        place = (values - low) / (high - low) * len(slopes)
        return slopes[place.floor().clamp(0, len(slopes) - 1).long()]
