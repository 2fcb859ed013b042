"""Blur kernels by name or from a picture of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scoreinv import kernels
from scoreinv.errors import InputError
from scoreinv.imaging.read import read_picture

_SHAPES: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "gaussian": (kernels.gaussian, 1),
    "disk": (kernels.disk, 1),
    "motion": (kernels.motion, 2),
}
"""The function of each name, and how many numbers it takes."""

FORMS = "gaussian:SIGMA, disk:RADIUS or motion:LENGTH,ANGLE in pixels and degrees, or a picture of the kernel"


def kernel_from_text(text: str) -> np.ndarray:
    """The kernel called `gaussian:2`, `disk:3` or `motion:15,30`, or that of a picture file (its luma).

    Raises:
        InputError: an unknown name, a wrong number, or a file that cannot be a kernel.
    """
    name, colon, numbers = text.partition(":")
    if not colon or name not in _SHAPES:
        if name in _SHAPES:
            raise InputError(f"{text}: needs its size: {FORMS}")
        return kernels.normalised(read_picture(text).luma(), text)
    shape, count = _SHAPES[name]
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputError(f"{text}: is not a kernel: give {FORMS}")
    return shape(*values)
