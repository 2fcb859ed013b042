"""The power spectrum of a photograph, in polar coordinates."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture
from scoreinv.operators.colour_space import luma

BLOCK = 128  # side of the blocks whose spectra are averaged, in pixels
_ACROSS = 8  # blocks across a picture, at most
_EDGES = (0.03, 0.25)  # cycles a pixel of what tells blocks with edges from plain ones
_TINY = 1e-8  # power far below what rounding to 8 bits leaves


def polar_spectrum(picture: Picture, radii: int, angles: int) -> np.ndarray:
    """Logarithms of two averages of the power of the luma's blocks, (2, radii, angles).

    Radii go to half a cycle a pixel, angles over half a turn, anticlockwise from the right. Of the half of the blocks
    with the stronger edges the first is the mean of power over the edges' strength, which the sharpest ones rule, and
    the second the mean of its logarithm, in which what differs from block to block cancels.

    Args:
        picture: of at least `BLOCK` pixels a side.
    """
    profile = np.hanning(BLOCK + 1)[:BLOCK]
    window = np.outer(profile, profile) / np.square(profile).mean()
    powers = []
    for top in _places(picture.height):
        for left in _places(picture.width):
            values = luma(picture.rgb((top, left, BLOCK, BLOCK))).astype(np.float32)
            powers.append(np.square(np.abs(np.fft.rfft2((values - values.mean()) * window))) / BLOCK**2)
    found = np.array(powers)
    rows, columns = np.fft.fftfreq(BLOCK)[:, None], np.fft.rfftfreq(BLOCK)
    radius = np.hypot(rows, columns)
    middle = (radius > _EDGES[0]) & (radius < _EDGES[1])
    edges = (found * np.square(radius))[:, middle].mean(1)
    found, edges = found[edges >= np.median(edges)], edges[edges >= np.median(edges)]
    weights = 1 / np.sqrt(edges + _TINY)
    one = np.log(np.tensordot(weights / weights.sum(), found, 1) + _TINY)
    other = np.log(found + _TINY).mean(0)
    return np.stack([_in_polar(values, radii, angles) for values in (one, other)]).astype(np.float32)


def _places(side: int) -> list[int]:
    """Where blocks begin along a side: they overlap by half where there is no room for more."""
    count = min(_ACROSS, max(1, round(2 * side / BLOCK) - 1))
    return [round(place) for place in np.linspace(0, side - BLOCK, count)]


def _in_polar(values: np.ndarray, radii: int, angles: int) -> np.ndarray:
    """Values of the half plane (BLOCK, BLOCK // 2 + 1) at radii and angles, interpolated."""
    radius = np.linspace(1.5 / BLOCK, 0.5 - 1e-6, radii)[:, None] * BLOCK
    angle = np.pi * np.arange(angles) / angles
    x, y = radius * np.cos(angle), -radius * np.sin(angle)
    flip = np.where(x < 0, -1, 1)  # the spectrum of real values is the same at -f
    return ndimage.map_coordinates(values, [y * flip, x * flip], order=1, mode="grid-wrap")
