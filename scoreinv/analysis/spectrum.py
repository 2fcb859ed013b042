"""The power spectrum of a photograph's light, in polar coordinates.

Lenses and movement blur light. So the zeros of a kernel's transfer function are zeros of the spectrum of the luminance,
but not of the luma.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture

BLOCK = 128  # side of the averaged blocks, in pixels
_ACROSS = 8  # maximum number of blocks along a side
_EDGES = (0.03, 0.25)  # band in cycles per pixel whose power measures the strength of the edges in a block
_EXPONENTS = (1.6, 1.9, 2.2, 2.5, 2.8)
"""Candidates of a, where the power of photographs falls as 1 / |f|^a."""
_LEVELS = np.geomspace(1e-6, 0.1, 16)
"""Candidates of P, for light in [0, 1]."""
_NOISES = np.geomspace(0.3, 10, 9) / 255
"""Candidates of n, from rounding to 8 bits upwards."""
_SECTORS = 12  # of half a turn
_FITTED = 8192  # frequencies that P, a and n are fitted to
_MOST_EVIDENCE = 0.3
"""Highest frequency of `blur_evidence`, in cycles per pixel: noise, JPEG and resizing change those above. Of 72 drawn
blurs the true kernel is likelier than none for 71, and than its image turned by half a turn for 17 of 18 shakes."""
_TAPER = 24  # pixels over which `blur_evidence` fades a photograph at its borders
_TINY = 1e-8  # power far below that of rounding to 8 bits


def block_powers(picture: Picture) -> np.ndarray:
    """Return the power of the luminance's windowed blocks, (N, BLOCK, BLOCK // 2 + 1).

    Args:
        picture: at least `BLOCK` pixels a side.
    """
    profile = np.hanning(BLOCK + 1)[:BLOCK]
    window = np.outer(profile, profile) / np.square(profile).mean()
    powers, tones = [], picture.tones
    for top, left in product(_places(picture.height), _places(picture.width)):
        values = tones.luminance(picture.rgb((top, left, BLOCK, BLOCK)))
        powers.append(np.square(np.abs(np.fft.rfft2((values - values.mean()) * window))) / BLOCK**2)
    return np.array(powers)


def polar_spectrum(powers: np.ndarray, radii: int, angles: int) -> np.ndarray:
    """Return the logarithms of two averages of `block_powers`, (2, radii, angles).

    Radii go up to half a cycle per pixel, angles over half a turn, anticlockwise from the right. Both averages are over
    the half of the blocks with the stronger edges. The first is a mean of the power, dominated by the sharpest edges;
    the second is the mean of its logarithm, in which differences between blocks cancel.

    Args:
        powers: from `block_powers`.
    """
    rows, columns = np.fft.fftfreq(BLOCK)[:, None], np.fft.rfftfreq(BLOCK)
    radius = np.hypot(rows, columns)
    middle = (radius > _EDGES[0]) & (radius < _EDGES[1])
    edges = (powers * np.square(radius))[:, middle].mean(1)
    found, edges = powers[edges >= np.median(edges)], edges[edges >= np.median(edges)]
    weights = 1 / np.sqrt(edges + _TINY)
    log_of_mean = np.log(np.tensordot(weights / weights.sum(), found, 1) + _TINY)
    mean_of_log = np.log(found + _TINY).mean(0)
    return np.stack([_in_polar(values, radii, angles) for values in (log_of_mean, mean_of_log)]).astype(np.float32)


def blur_misfits(powers: np.ndarray, kernels: Sequence[np.ndarray]) -> list[float]:
    """Return Whittle's negative log-likelihood per frequency of a photograph under each blur kernel, in nats.

    The expected power at a frequency f is S = P |K(f)|^2 / |f|^a + n^2, with K the kernel's transfer function. The
    misfit is the minimum mean of log S + I / S over P, a and n, with I the mean of `block_powers`. Each
    sector of directions has its own P, since the lines of buildings have few directions.

    Args:
        powers: from `block_powers`.
        kernels: (h, w), of sum 1. Parts beyond `BLOCK` pixels are wrapped.
    """
    power = powers.mean(0)
    transfers = (_transfer(kernel, (BLOCK, BLOCK)) for kernel in kernels)
    return [_fitted(power, np.square(np.abs(transfer)), BLOCK, 0.5, coarse=2)[0] for transfer in transfers]


def blur_evidence(luminance: np.ndarray, kernel: np.ndarray) -> float:
    """Return the log-likelihood of a photograph under a blur kernel per pixel, in nats, up to a constant.

    Divided by the root of its expected power (`blur_misfits`), and with the phase of the kernel removed, the spectrum
    becomes that of uncorrelated values w. Those of a sharp scene have heavy tails, since edges are rare, and the wrong
    kernel mixes them. A Laplace distribution of w gives the likelihood, as in independent component analysis (Bell and
    Sejnowski 1997). So it tells a kernel from its mirror images, which have its power, and a soft scene from a blurred
    one.

    Args:
        luminance: (H, W), more than 2 `_TAPER` pixels a side.
        kernel: (h, w), of sum 1.
    """
    window = np.outer(*(_tapered(length) for length in luminance.shape))
    spectrum = np.fft.rfft2((luminance - luminance.mean()) * window)
    transfer = _transfer(kernel, luminance.shape)
    power = np.square(np.abs(spectrum)) / np.square(window).sum()
    _, expected = _fitted(power, np.square(np.abs(transfer)), luminance.shape[1], _MOST_EVIDENCE)
    used = expected > 0
    phases = np.exp(-1j * np.angle(transfer[used]))
    spectrum[used] *= phases / np.sqrt(expected[used])
    spectrum[~used] = 0
    values = np.fft.irfft2(spectrum, luminance.shape)[_TAPER:-_TAPER, _TAPER:-_TAPER]
    scale = np.abs(values).mean() + _TINY  # the likeliest scale, at which the mean log-density is -log 2 scale - 1
    return float(-np.log(2 * scale) - 1 - np.log(expected[used]).mean() / 2)


def _tapered(length: int) -> np.ndarray:
    """Return a window that rises and falls as a raised cosine over `_TAPER` pixels."""
    place = np.arange(length) + 1
    return (1 - np.cos(np.pi * np.minimum(place, place[::-1]).clip(max=_TAPER) / _TAPER)) / 2


def _transfer(kernel: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the transfer function of a kernel around its centre, at half of the frequencies of a size."""
    down, across = (
        np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(side), np.arange(length) - length // 2))
        for side, length in zip(size, kernel.shape, strict=True)
    )
    return np.asarray(down @ kernel @ across[: size[1] // 2 + 1].T)


def _fitted(
    power: np.ndarray, transfer: np.ndarray, width: int, most: float, coarse: int = 1
) -> tuple[float, np.ndarray]:
    """Return the least misfit of `blur_misfits`, and the expected power, 0 at the frequencies that are not used.

    Args:
        power: I at half of the frequencies.
        transfer: |K|^2 there.
        width: of the picture in pixels.
        most: highest frequency that is used, in cycles per pixel.
        coarse: every how many candidates of a and n are tried.
    """
    rows, columns = np.fft.fftfreq(len(power))[:, None], np.fft.rfftfreq(width)
    radius = np.hypot(rows, columns)
    used = (radius > _EDGES[0]) & (radius < most)
    sectors = (_SECTORS * (np.arctan2(rows, columns) / np.pi % 1)).astype(int)[used]
    every = max(1, len(sectors) // _FITTED)
    order = np.argsort(sectors, kind="stable")[::every]
    starts = np.searchsorted(sectors[order], np.arange(_SECTORS))
    radius, transfer, observed, least = radius[used], transfer[used], power[used][order], np.inf
    for exponent, noise in product(_EXPONENTS[::coarse], _NOISES[::coarse]):
        shape, fits = transfer[order] * radius[order] ** -exponent, []
        for level in _LEVELS:
            expected = level * shape + noise**2
            fits.append(np.add.reduceat(np.log(expected) + observed / expected, starts))
        if (misfit := float(np.min(fits, axis=0).sum() / len(observed))) < least:
            least, best = misfit, (exponent, noise, _LEVELS[np.argmin(fits, axis=0)][sectors])
    found, (exponent, noise, levels) = np.zeros(power.shape), best
    found[used] = levels * transfer * radius**-exponent + noise**2
    return least, found


def _places(side: int) -> list[int]:
    """Return where blocks begin along a side: evenly spaced, half overlapping if the side is short."""
    count = min(_ACROSS, max(1, round(2 * side / BLOCK) - 1))
    return [round(place) for place in np.linspace(0, side - BLOCK, count)]


def _in_polar(values: np.ndarray, radii: int, angles: int) -> np.ndarray:
    """Return values of the half plane (BLOCK, BLOCK // 2 + 1) at radii and angles, interpolated."""
    radius = np.linspace(1.5 / BLOCK, 0.5 - 1e-6, radii)[:, None] * BLOCK
    angle = np.pi * np.arange(angles) / angles
    x, y = radius * np.cos(angle), -radius * np.sin(angle)
    flip = np.where(x < 0, -1, 1)  # the spectrum of real values is the same at -f
    return ndimage.map_coordinates(values, [y * flip, x * flip], order=1, mode="grid-wrap")
