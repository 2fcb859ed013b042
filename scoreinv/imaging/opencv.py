"""The one place that imports OpenCV, which needs system libraries that a bare machine may lack."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from scoreinv.errors import ScoreinvError

REMEDY = "run `apt install libgl1`, or install opencv-python-headless in place of opencv-python"


def load_opencv() -> ModuleType:
    """The `cv2` module; `ScoreinvError` with the remedy where it cannot be imported."""
    try:
        import cv2
    except ImportError as error:
        raise ScoreinvError(f"OpenCV cannot be loaded ({error}): {REMEDY}") from error
    return cv2


def telea(rgb: np.ndarray, hole: np.ndarray, radius: float = 3.0) -> np.ndarray:
    """Fast-marching inpainting, the classical baseline (Telea, J. Graphics Tools 9(1), 2004).

    Args:
        rgb: HxWx3 uint8.
        hole: HxW bool, true where the picture is unknown.
        radius: neighbourhood of the weighted averages, in pixels.
    """
    cv2 = load_opencv()
    return cv2.inpaint(np.ascontiguousarray(rgb), hole.astype(np.uint8), radius, cv2.INPAINT_TELEA)
