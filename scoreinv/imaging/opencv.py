"""OpenCV, imported here alone: it needs system libraries that a minimal machine may lack."""

from __future__ import annotations

from types import ModuleType
from typing import Literal

import numpy as np

from scoreinv.system.errors import ScoreinvError

_LEVELS = 65535
_RADIUS = 3.0  # pixels of the neighbourhood that determines a pixel's value

REMEDY = "run `apt install libgl1`, or install opencv-python-headless in place of opencv-python"


def load_opencv() -> ModuleType:
    """Return the `cv2` module; raise `ScoreinvError` with a remedy if it cannot be imported."""
    try:
        import cv2
    except ImportError as error:
        raise ScoreinvError(f"OpenCV cannot be loaded ({error}): {REMEDY}") from error
    return cv2


def viridis(values: np.ndarray) -> np.ndarray:
    """Map numbers in [0, 1], clipped, to the viridis colour map: (...) to (..., 3) uint8."""
    cv2 = load_opencv()
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
    return bgr[:, 0, ::-1][np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)]


def inpaint(values: np.ndarray, hole: np.ndarray, method: Literal["telea", "navier-stokes"]) -> np.ndarray:
    """Fill a hole by a classical method.

    `telea` fills by weighted means of the neighbours, from the edge inwards (Telea, J. Graphics Tools 9(1), 2004), and
    `navier-stokes` along isophotes, like the flow of a fluid (Bertalmio, Bertozzi and Sapiro, CVPR 2001).

    Args:
        values: HxWxC float in [0, 1].
        hole: HxW bool, not true everywhere.

    Returns:
        HxWxC float in [0, 1], rounded to 16 bits.
    """
    # Telea's method in OpenCV adds up to 1.5 levels at each pixel. In 8 bits that costs 0.2 to 0.4 dB and brightens
    # pixels far from the edge; in floats the result exceeds the range. OpenCV accepts 16 bits for single channels only.
    cv2 = load_opencv()
    flag = cv2.INPAINT_TELEA if method == "telea" else cv2.INPAINT_NS
    levels, unknown = np.rint(_LEVELS * np.clip(values, 0, 1)).astype(np.uint16), hole.astype(np.uint8)
    planes = [cv2.inpaint(np.ascontiguousarray(plane), unknown, _RADIUS, flag) for plane in np.moveaxis(levels, -1, 0)]
    return np.stack(planes, axis=-1) / np.float32(_LEVELS)
