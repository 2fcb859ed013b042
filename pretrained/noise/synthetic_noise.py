"""Synthetic noise of cameras, films, scanners, screens and files: pairs of a noisy picture and the same without noise.

    kind = draw_kind(generator)
    noisy, clean = draw_noisy(photograph, 128, generator, kind)

A camera's noise is drawn where it arises (as Brooks et al. 2019, "Unprocessing images for learned raw denoising"): a
photograph becomes light, the light a mosaic of sensor values with shot and read noise. Then both the noisy and the
noise-free mosaic are developed: demosaiced, balanced, toned, cleaned, sharpened and resized. So the noise is correlated
between pixels and channels, and depends on brightness.

Pictures are (H, W, 3) in [0, 1], noisy files uint8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.imaging.opencv import load_opencv
from scoreinv.operators.luma import luma_weights

MARGIN = 10
"""Width in pixels of the border of a picture that is wrong after drawing, and cut off."""

Generator = np.random.Generator
Pair = tuple[np.ndarray, np.ndarray]
"""A picture with noise, and the same without."""
Kind = Callable[[np.ndarray, Generator], Pair]
"""A kind of noise, which may resize the picture."""

_SATURATED = np.array([[1.7, -0.55, -0.15], [-0.25, 1.55, -0.3], [0.0, -0.55, 1.55]])
"""Colour matrix of a camera, from balanced sensor values to linear sRGB."""
_MALVAR = {  # filters of Malvar, He and Cutler (2004, "High-quality linear interpolation for demosaicing"), in eighths
    "green": [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    "row": [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    "column": [[0, 0, -1, 0, 0], [0, -1, 4, -1, 0], [0.5, 0, 5, 0, 0.5], [0, -1, 4, -1, 0], [0, 0, -1, 0, 0]],
    "diagonal": [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
}


def draw_kind(generator: Generator) -> Kind:
    """Draw one of `KINDS` by their shares."""
    return list(KINDS)[generator.choice(len(KINDS), p=list(KINDS.values()))]


def draw_noisy(picture: np.ndarray, side: int, generator: Generator, kind: Kind) -> Pair:
    """Draw a square file with noise, uint8, and the same without noise, float32.

    Args:
        picture: a sharp photograph without noise, float32, with sides of at least `needed_side`.
        side: of the pair, in pixels.
        kind: of the noise.
    """
    while True:
        noisy, clean = kind(picture, generator)
        if min(clean.shape[:2]) >= side + 2 * MARGIN:
            break
    pixels = np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)
    if generator.random() < (0.25 if kind is white else 0.5):
        pixels = _jpeg(pixels, generator)
    top, left = (int(generator.integers(MARGIN, length - side - MARGIN + 1)) for length in pixels.shape[:2])
    inside = np.s_[top : top + side, left : left + side]
    return pixels[inside], clean[inside].astype(np.float32)


def needed_side(side: int, kind: Kind) -> int:
    """Return the side of a picture from which a pair of this side is drawn. Cameras reduce most pictures."""
    return int(2.1 * side) if kind is camera else side + 2 * MARGIN


def camera(picture: np.ndarray, generator: Generator) -> Pair:
    """Draw the noise of a sensor, developed as cameras do."""
    cv2 = load_opencv()
    curve = generator.uniform(0, 0.6) if generator.random() < 0.6 else 0.0
    matrix = np.eye(3) + generator.uniform(0, 1.1) * (_SATURATED - np.eye(3))
    gains = np.array([generator.uniform(1.2, 2.6), 1.0, generator.uniform(1.2, 2.6)])
    exposure = generator.uniform(0.7, 1.0)
    sensor = (_light(picture) @ np.linalg.inv(matrix).T).clip(0) / gains * exposure
    pattern, method = int(generator.integers(4)), str(generator.choice(list(_DEMOSAICINGS), p=_DEMOSAICING_SHARES))
    clean = _mosaic(sensor, pattern)
    # The variance of read noise grows with that of shot noise, as Brooks et al. measured.
    shot = _log_uniform(generator, 5e-5, 2.5e-2)
    read = min(math.exp((2.18 * math.log(shot) + 1.2 + 0.4 * generator.standard_normal()) / 2), 0.04)
    noisy = clean + np.sqrt(shot * clean + read**2) * generator.standard_normal(clean.shape)
    noisy = noisy.clip(-generator.choice([0.0, 0.004, 10.0], p=[0.35, 0.15, 0.5]), 1.5)  # the black level
    chroma_blur = _log_uniform(generator, 0.6, 3.5) if generator.random() < 0.5 else 0.0
    chroma_median = int(generator.choice([0, 0, 0, 3, 5]))
    smoothing, blur, contrast = generator.random(), generator.uniform(0.35, 0.8), _log_uniform(generator, 0.01, 0.1)
    sharpening = generator.uniform(0.2, 1.5) if generator.random() < 0.45 else 0.0
    radius = generator.uniform(0.5, 1.6)
    scale = generator.choice([1.0, generator.uniform(0.5, 1), generator.uniform(1, 1.35)], p=[0.6, 0.32, 0.08])
    resampling = int(generator.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))

    def developed(mosaic: np.ndarray) -> np.ndarray:
        light = _DEMOSAICINGS[method](mosaic, pattern) / exposure * gains @ matrix.T
        values = _values(light).astype(np.float32)
        values += curve * (values * values * (3 - 2 * values) - values)
        luma, *chroma = cv2.split(cv2.cvtColor(values, cv2.COLOR_RGB2YCrCb))
        if chroma_median:
            chroma = [cv2.medianBlur(plane, chroma_median) for plane in chroma]
        if chroma_blur:
            chroma = [_blurred(plane, chroma_blur) for plane in chroma]
        if smoothing < 0.15:
            luma = _blurred(luma, blur)
        elif smoothing < 0.35:
            luma = cv2.bilateralFilter(luma, 5, contrast, 1.5)
        luma += sharpening * (luma - _blurred(luma, radius))
        values = cv2.cvtColor(cv2.merge([luma, *chroma]), cv2.COLOR_YCrCb2RGB)
        return cv2.resize(values, None, fx=scale, fy=scale, interpolation=resampling)

    return developed(noisy), developed(clean).clip(0, 1)


def white(picture: np.ndarray, generator: Generator) -> Pair:
    """Draw noise that is independent in pixels and channels, or in the pixels of a grey picture."""
    std = _log_uniform(generator, 0.6, 75) / 255
    if generator.random() < 0.4:
        gray = _gray(picture)
        return gray + std * generator.standard_normal((*gray.shape[:2], 1)), gray
    return picture + std * generator.standard_normal(picture.shape), picture


def film(picture: np.ndarray, generator: Generator) -> Pair:
    """Draw the grain of a scanned film: blurred, strongest in the middle tones, partly shared by the channels."""
    gray = generator.random() < 0.4
    picture = _gray(picture) if gray else picture
    shared = 1.0 if gray else generator.uniform(0.2, 1)
    grain = math.sqrt(shared) * generator.standard_normal((*picture.shape[:2], 1))
    grain = grain + math.sqrt(1 - shared) * generator.standard_normal(picture.shape)
    grain = _blurred(grain, generator.uniform(0.3, 1.6))
    luma, middle = picture.mean(2, keepdims=True), generator.uniform(0, 1)
    strength = 1 - middle + middle * 2 * np.sqrt((luma * (1 - luma)).clip(0))
    noisy = picture + _log_uniform(generator, 1, 35) / 255 * strength * grain / grain.std()
    if generator.random() < 0.3:
        noisy = noisy + _chroma_blots(picture.shape, _log_uniform(generator, 2, 40) / 255, generator)
    return noisy, picture


def scanner(picture: np.ndarray, generator: Generator) -> Pair:
    """Draw the noise of a cheap scanner: strong in dark parts, its chroma blurred, its columns uneven."""
    noise = generator.standard_normal(picture.shape)
    luma = noise.mean(2, keepdims=True)
    if generator.random() < 0.5:
        luma = 1.5 * _blurred(luma, 0.6).reshape(luma.shape)
    noise = luma + _chroma_blots(picture.shape, 1.0, generator)
    noisy = picture + _log_uniform(generator, 1, 20) / 255 * noise * (1 + generator.uniform(0, 2) * (1 - picture))
    if generator.random() < 0.3:
        columns = generator.standard_normal((1, picture.shape[1], 3))
        noisy = noisy + generator.uniform(0.3, 2) / 255 * columns
    return noisy, picture


def screen(picture: np.ndarray, generator: Generator) -> Pair:
    """Draw the halftone screen of a print: a lattice of dots for each ink, in a grey print for one."""
    gray = generator.random() < 0.5
    picture = _gray(picture) if gray else picture
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    period, strength, angle = generator.uniform(2.2, 5), generator.uniform(0.03, 0.25), generator.uniform(0, math.pi)
    phases = generator.uniform(0, 2 * math.pi, (3, 2))
    lattices = []
    for number in range(3):
        ink, (first, second) = (angle, phases[0]) if gray else (angle + 0.26 * number, phases[number])
        across, down = (math.cos(ink) * columns + math.sin(ink) * rows, math.cos(ink) * rows - math.sin(ink) * columns)
        waves = np.cos(2 * math.pi * across / period + first) + np.cos(2 * math.pi * down / period + second)
        lattices.append(waves * strength)
    noisy = picture + np.stack(lattices, -1) * np.sqrt(picture * (1 - picture))
    return noisy + generator.uniform(0, 4) / 255 * generator.standard_normal(picture.shape), picture


def none(picture: np.ndarray, generator: Generator) -> Pair:
    """Return a pair without noise, a quarter of them grey; that of its file may follow."""
    picture = _gray(picture) if generator.random() < 0.25 else picture
    return picture, picture


KINDS: dict[Kind, float] = {camera: 0.38, white: 0.28, film: 0.13, scanner: 0.05, screen: 0.02, none: 0.14}
"""Shares of the kinds of noise."""


def _log_uniform(generator: Generator, least: float, most: float) -> float:
    return math.exp(generator.uniform(math.log(least), math.log(most)))


def _gray(picture: np.ndarray) -> np.ndarray:
    """Return the luma in three channels."""
    return np.repeat((picture @ luma_weights("rec601"))[..., None], 3, axis=2)


def _light(values: np.ndarray) -> np.ndarray:
    """Decode sRGB."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _values(light: np.ndarray) -> np.ndarray:
    """Encode sRGB, clipped to [0, 1]."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _blurred(values: np.ndarray, deviation: float) -> np.ndarray:
    """Return a Gaussian blur of this standard deviation in pixels."""
    cv2 = load_opencv()
    return cv2.GaussianBlur(values, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101)


def _chroma_blots(shape: tuple[int, ...], std: float, generator: Generator) -> np.ndarray:
    """Draw blurred noise without luma."""
    deviation = _log_uniform(generator, 0.5, 2.5)
    blots = 2 * deviation * _blurred(std * generator.standard_normal(shape), deviation)
    return blots - blots.mean(2, keepdims=True)


def _mosaic(sensor: np.ndarray, pattern: int) -> np.ndarray:
    """Return one channel for each pixel; the first red one is in row pattern // 2 and column pattern % 2."""
    row, column = divmod(pattern, 2)
    mosaic = sensor[..., 1].copy()
    mosaic[row::2, column::2] = sensor[row::2, column::2, 0]
    mosaic[1 - row :: 2, 1 - column :: 2] = sensor[1 - row :: 2, 1 - column :: 2, 2]
    return mosaic


def _by_opencv(mosaic: np.ndarray, pattern: int, suffix: str) -> np.ndarray:
    """Demosaic by OpenCV, which names a pattern by its second row, for values from -0.5 to 1.5."""
    cv2: Any = load_opencv()
    code = getattr(cv2, f"COLOR_Bayer{('BG', 'GB', 'GR', 'RG')[pattern]}2RGB{suffix}")
    levels = np.clip(mosaic * 32000 + 16000, 0, 65535).astype(np.uint16)
    return (cv2.cvtColor(levels, code).astype(np.float32) - 16000) / 32000


def _malvar(mosaic: np.ndarray, pattern: int) -> np.ndarray:
    """Demosaic by Malvar's filters."""
    cv2 = load_opencv()
    raw = mosaic.astype(np.float32)
    filtered = {
        name: cv2.filter2D(raw, -1, np.array(kernel, np.float32) / 8, borderType=cv2.BORDER_REFLECT_101)
        for name, kernel in _MALVAR.items()
    }
    rows, columns = np.mgrid[: raw.shape[0], : raw.shape[1]] % 2
    in_red_row, in_red_column = rows == pattern // 2, columns == pattern % 2
    red, blue = in_red_row & in_red_column, ~in_red_row & ~in_red_column
    beside_red, above_red = (filtered[name] for name in ("row", "column"))
    greens = np.where(in_red_row, beside_red, above_red), np.where(in_red_row, above_red, beside_red)
    channels = [
        np.where(red, raw, np.where(blue, filtered["diagonal"], greens[0])),
        np.where(red | blue, filtered["green"], raw),
        np.where(blue, raw, np.where(red, filtered["diagonal"], greens[1])),
    ]
    return np.stack(channels, -1)


_DEMOSAICINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bilinear": lambda mosaic, pattern: _by_opencv(mosaic, pattern, ""),
    "edge-aware": lambda mosaic, pattern: _by_opencv(mosaic, pattern, "_EA"),
    "malvar": _malvar,
}
_DEMOSAICING_SHARES = (0.2, 0.4, 0.4)


def _jpeg(pixels: np.ndarray, generator: Generator) -> np.ndarray:
    """Return the pixels of a JPEG file of random quality."""
    file = BytesIO()
    quality, sampling = int(generator.integers(60, 100)), int(generator.choice([0, 2, 2]))
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=sampling)
    return np.asarray(Image.open(file))
