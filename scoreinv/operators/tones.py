"""The tone curve of a photograph: the light of its stored values. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from scoreinv.operators.luma import luma
from scoreinv.system.options import require

_VALUES = np.linspace(0, 1, 1024)
_LEAST_SLOPE = 1 / 32
"""Smallest ratio of light to value, as in colour engines. A power curve has slope 0 at black, so the slope of its
inverse has no bound."""


@dataclass(frozen=True, eq=False)
class ToneCurve:
    """The light of stored values, interpolated linearly between equally spaced values and extrapolated beyond [0, 1].

    Attributes:
        light: (N,), strictly increasing from 0 to 1, the light of the values k / (N - 1).
    """

    light: np.ndarray

    def __post_init__(self) -> None:
        light = self.light
        require(light.ndim == 1 and len(light) > 1, f"a tone curve is a list of numbers, not {light.shape}")
        increasing = light[0] == 0 and light[-1] == 1 and bool((np.diff(light) > 0).all())
        require(increasing, "a tone curve must increase from 0 to 1")

    def decoded(self, values: np.ndarray) -> np.ndarray:
        """Return the light of values in [0, 1]."""
        return np.interp(values, np.linspace(0, 1, len(self.light)), self.light).astype(np.float32)

    def luminance(self, rgb: np.ndarray) -> np.ndarray:
        """Return the luminance of colours (..., 3) in [0, 1], with Rec. 709's weights."""
        return luma(self.decoded(rgb), "rec709")


def tone_curve(light: np.ndarray) -> ToneCurve:
    """Return the curve through the light (N,), N at least 2, of equally spaced values.

    Raises InputError if the light does not increase.
    """
    light = np.interp(_VALUES, np.linspace(0, 1, len(light)), light) - light[0]
    require(bool(light[-1] > 0), "a tone curve must increase")
    return ToneCurve(np.maximum(light / light[-1], _LEAST_SLOPE * _VALUES))


@cache
def linear() -> ToneCurve:
    """Return the curve of values that are light."""
    return tone_curve(_VALUES)


@cache
def srgb() -> ToneCurve:
    """Return the curve of sRGB (IEC 61966-2-1)."""
    return tone_curve(np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4))
