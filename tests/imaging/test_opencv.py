"""OpenCV: the colour map of uncertainties, classical fills, and what is said where it cannot be loaded."""

import sys

import numpy as np
import pytest

from scoreinv.imaging import opencv
from scoreinv.imaging.opencv import viridis
from scoreinv.system.errors import ScoreinvError


@pytest.mark.opencv
def test_ends_and_shapes() -> None:
    assert np.abs(viridis(np.array([-1.0, 2.0])).astype(int) - [[70, 1, 85], [252, 231, 36]]).max() <= 4
    assert viridis(np.zeros((3, 5))).shape == (3, 5, 3)
    assert viridis(np.zeros((3, 5))).dtype == np.uint8


def test_a_missing_opencv_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ScoreinvError, match=r"apt install libgl1.*opencv-python-headless"):
        opencv.load_opencv()
