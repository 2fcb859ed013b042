"""Tone curves that restore a faded photograph, one per channel.

If a fraction g of a dye is left, its density is g times the original. A pixel's value v is a power of the light, so it
becomes v^g. Stains and stray light shift black and white. The curve undoes both,

    y = ((x - black) / (white - black)) ^ exponent        for low <= x <= high,

and continues linearly to 0 and to 1 outside the picture's tones, which avoids clipping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from scoreinv.imaging.picture import STRIP_ROWS, Picture, colour_planes, to_float, to_samples

_LEAST_CONTRAST = 0.05
"""Minimum relative change of the contrast that is reported."""
_LEAST_CAST = 3.0
"""Minimum shift of the mean colour that counts as a cast, in CIELAB units."""
# Upper end of the range of each hue, in degrees in the a*b* plane of CIELAB; beyond the last the hue is magenta again.
_HUES = ((20, "magenta"), (50, "red"), (75, "orange"), (110, "yellow"), (170, "green"), (230, "cyan"), (310, "blue"))


@dataclass(frozen=True, eq=False)
class ToneCurves:
    """The curves of the three channels, as arrays of 3 numbers.

    Attributes:
        black, white: values that become 0 and 1; black < low and high < white.
        exponent: exponent between them.
        low, high: the range of the picture's tones without outliers, to which the power is applied.
    """

    black: np.ndarray
    white: np.ndarray
    exponent: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def toned(self, rgb: np.ndarray) -> np.ndarray:
        """Apply the increasing curves to colours (..., 3) in [0, 1]."""
        return np.stack([self.channel(rgb[..., number], number) for number in range(3)], axis=-1)

    def channel(self, values: np.ndarray, number: int) -> np.ndarray:
        """Apply the curve of one channel."""
        black, white, exponent = (float(one[number]) for one in (self.black, self.white, self.exponent))
        low, high = float(self.low[number]), float(self.high[number])
        if (black, white, exponent) == (0.0, 1.0, 1.0):
            return values
        at_low, at_high = (((x - black) / (white - black)) ** exponent for x in (low, high))
        within = ((np.clip(values, low, high) - black) / (white - black)) ** exponent
        below = at_low * np.minimum(values, low) / max(low, 1e-6)
        above = at_high + (1 - at_high) * (np.maximum(values, high) - high) / max(1 - high, 1e-6)
        return np.where(values < low, below, np.where(values > high, above, within)).astype(np.float32)

    def weakened(self, strength: float) -> ToneCurves:
        """Return curves of a reduced strength, from 0 (identity) to 1 (unchanged)."""
        return replace(
            self,
            black=strength * self.black,
            white=1 - strength * (1 - self.white),
            exponent=np.exp(strength * np.log(self.exponent)),
        )


def with_tones(picture: Picture, curves: ToneCurves) -> Picture:
    """Apply the curves to a picture, in its own mode and type; alpha is unchanged, and grey uses the first curve."""
    pixels = picture.pixels.copy()
    planes = colour_planes(pixels)
    tables = None
    if pixels.dtype.kind == "u":
        levels = to_float(np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype))
        tables = [to_samples(curves.channel(levels, number), pixels.dtype) for number in range(3)]
    for top in range(0, picture.height, STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        for number in range(planes.shape[2]):
            values = planes[rows, :, number]
            planes[rows, :, number] = curves.channel(values, number) if tables is None else tables[number][values]
    return picture.with_pixels(pixels)


def mean_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean CIEDE2000 difference between colours (N, 3) in [0, 1]."""
    return float(deltaE_ciede2000(rgb2lab(before[None]), rgb2lab(after[None])).mean())


def tone_changes(before: np.ndarray, after: np.ndarray) -> dict[str, float | str]:
    """Return the change of contrast and colour cast between colours (N, 3) in [0, 1].

    Returns:
        `contrast`: the relative change of the standard deviation of L*, 0 if it is below `_LEAST_CONTRAST`.
        `cast`: the hue of the removed colour cast, empty if the mean colour moved by less than `_LEAST_CAST`.
    """
    one, other = (rgb2lab(rgb[None])[0] for rgb in (before, after))
    contrast = float(other[:, 0].std() / max(one[:, 0].std(), 1e-3)) - 1
    a, b = (one - other)[:, 1:].mean(0)
    cast = ""
    if np.hypot(a, b) >= _LEAST_CAST:
        hue = np.degrees(np.arctan2(b, a)) % 360
        cast = next((name for end, name in _HUES if hue < end), "magenta")
    return {"contrast": contrast if abs(contrast) >= _LEAST_CONTRAST else 0.0, "cast": cast}
