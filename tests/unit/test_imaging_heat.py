"""The colour map of uncertainties."""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from scoreinv.imaging.heat import viridis


def test_steps_look_even_and_lightness_rises() -> None:
    colours = rgb2lab(viridis(np.linspace(0, 1, 41))[None])[0]
    assert (np.diff(colours[:, 0]) > 0.5).all()
    steps = np.linalg.norm(np.diff(colours, axis=0), axis=1)
    assert steps.max() < 2.6 * steps.min()


def test_ends_and_shapes() -> None:
    assert np.abs(viridis(np.array([-1.0, 2.0])).astype(int) - [[70, 1, 85], [252, 231, 36]]).max() <= 4
    assert viridis(np.zeros((3, 5))).shape == (3, 5, 3)
    assert viridis(np.zeros((3, 5))).dtype == np.uint8
