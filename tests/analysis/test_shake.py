"""The kernel of a shaken camera is found from the edges of a photograph."""

import numpy as np
import pytest
from scipy.signal import fftconvolve
from support.shaken import SHAKE, leaves

from scoreinv.analysis.shake import aligned, shake_kernel
from scoreinv.analysis.spectrum import blur_evidence
from scoreinv.operators.kernels import gaussian


@pytest.fixture(scope="module")
def blurred() -> np.ndarray:
    seen = fftconvolve(leaves(172), SHAKE, mode="valid")
    return seen + 0.004 * np.random.default_rng(1).standard_normal(seen.shape)


def test_a_drawn_shake_is_found(blurred):
    kernels = aligned([shake_kernel(blurred, side) for side in (15, 21)])
    for kernel in (*kernels, np.mean(kernels, axis=0)):
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1)
        overlap = fftconvolve(SHAKE, kernel[::-1, ::-1]).max()
        assert overlap > 0.9 * np.sqrt(np.square(SHAKE).sum() * np.square(kernel).sum())


def test_a_shake_is_likelier_than_its_mirror_images_and_other_blurs(blurred):
    """Its mirror image about both axes has the same power: the phases tell."""
    true, *others = (
        blur_evidence(blurred, kernel)
        for kernel in (SHAKE, SHAKE[::-1, ::-1], SHAKE[:, ::-1], gaussian(2), np.ones((1, 1)))
    )
    assert true > max(others) + 0.02


def test_of_a_sharp_picture_no_blur_is_likelier_than_a_shake():
    sharp = leaves(160) + 0.004 * np.random.default_rng(1).standard_normal((160, 160))
    none, *others = (blur_evidence(sharp, kernel) for kernel in (np.ones((1, 1)), SHAKE, gaussian(1)))
    assert none > max(others) + 0.02
