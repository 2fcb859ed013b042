"""Blur kernels as users give them: by kind and size, or as a picture. Imports no torch."""

from __future__ import annotations

import os
from typing import get_args

import numpy as np

from scoreinv.files.read import read_picture
from scoreinv.files.urls import is_url
from scoreinv.imaging.picture import Picture, to_samples
from scoreinv.operators.kernels import BlurKind, PointSpread, normalised
from scoreinv.system.errors import InputError


def as_kernel(kernel: PointSpread | np.ndarray | str) -> PointSpread | np.ndarray:
    """Return the kernel that a text names (`kernel_from_text`), or an array normalised to the sum 1."""
    if isinstance(kernel, str):
        return kernel_from_text(kernel)
    return kernel if isinstance(kernel, PointSpread) else normalised(kernel, "the kernel")


def kernel_from_text(text: str) -> PointSpread | np.ndarray:
    """Return the blur named `gaussian:2`, `disk:3` or `motion:15,30`, or the luma of a picture file as a kernel.

    Raises InputError for an unknown name, a wrong number, or a file that cannot be a kernel.
    """
    forms = "gaussian:SIGMA, disk:RADIUS or motion:LENGTH,ANGLE in pixels and degrees, or a picture of the kernel"
    name, colon, numbers = text.partition(":")
    kind = next((kind for kind in get_args(BlurKind) if kind == name), None)
    if kind is None:
        if not (is_url(text) or os.path.lexists(text)):
            raise InputError(f"{text}: is neither a kernel nor a file: give {forms}")
        return normalised(read_picture(text).luma(), text)
    if not colon:
        raise InputError(f"{text}: needs its size: {forms}")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != (2 if name == "motion" else 1):
        raise InputError(f"{text}: is not a kernel: give {forms}")
    spread = PointSpread(kind, *values)
    try:
        spread.kernel()
    except InputError as error:
        raise InputError(f"{text}: {error}") from error
    return spread


def kernel_array(kernel: PointSpread | np.ndarray) -> np.ndarray:
    """Return a kernel as an array (h, w): the image of a point."""
    return kernel.kernel() if isinstance(kernel, PointSpread) else kernel


def picture_of_kernel(kernel: np.ndarray) -> Picture:
    """Return a kernel (h, w) as a grey picture of 16 bits, for `kernel_from_text`; its largest weight is white."""
    return Picture(to_samples(np.asarray(kernel / kernel.max(), np.float32), np.dtype(np.uint16)))


def check_kernel_size(kernel: PointSpread | np.ndarray, size: tuple[int, int]) -> None:
    """Raise InputError for a kernel that is not smaller than a photo of (height, width)."""
    height, width = kernel_array(kernel).shape
    if height >= size[0] or width >= size[1]:
        raise InputError(f"the kernel is {width}x{height} and the photo {size[1]}x{size[0]}: it must be smaller")
