"""OpenCV: the colour map of uncertainties, classical fills, and what is said where it cannot be loaded."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

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


@pytest.mark.opencv
@pytest.mark.parametrize(("method", "flag"), [("telea", "INPAINT_TELEA"), ("navier-stokes", "INPAINT_NS")])
def test_each_channel_is_filled_in_16_bits_from_three_pixels_around(method, flag):
    import cv2

    rng = np.random.default_rng(0)
    values, hole = rng.random((20, 30, 3)), np.zeros((20, 30), bool)
    hole[6:12, 8:21] = True
    found = opencv.inpaint(values, hole, method)
    for channel, filled in zip(np.moveaxis(values, -1, 0), np.moveaxis(found, -1, 0), strict=True):
        levels = np.rint(channel * 65535).astype(np.uint16)
        expected = cv2.inpaint(levels, hole.astype(np.uint8), 3, getattr(cv2, flag))
        assert_allclose(filled * 65535, expected, atol=0.1)
