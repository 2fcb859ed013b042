"""How much of a mask the colours explain."""

import numpy as np
import pytest

from scoreinv.analysis.colour_evidence import bins_of, explained_share, log_densities


def halves(*columns: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[:, columns[0] : columns[1]] = True
    return mask


def test_colours_explain_masks_along_their_borders():
    colours = np.random.default_rng(0).random((40, 60, 3)) * 0.1
    colours[:, 20:30] += (0.8, 0.8, 0.8)
    colours[:, 30:40] += (0.1, 0.2, 0.8)  # the other half of one object
    bins = bins_of(colours)
    shares = [explained_share(bins, halves(*columns)) for columns in ((20, 40), (20, 30), (20, 45), (0, 30))]
    assert shares[0] == pytest.approx(1, abs=0.05)
    assert min(shares[:2]) > max(shares[2:])


def test_noise_explains_nothing():
    rng = np.random.default_rng(0)
    bins = bins_of(np.full((40, 60, 3), 0.5))
    assert explained_share(bins, rng.random((40, 60)) < 0.3) == pytest.approx(0, abs=1e-6)
    assert explained_share(bins, halves(0, 0)) == explained_share(bins, halves(0, 60)) == 0


def test_bins_and_densities_of_colours():
    ends = np.array([[[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1], [0.5 / 24, 1.5 / 24, 2.5 / 24]]], float)
    assert bins_of(ends).tolist() == [[0, 23, 23 * 24, 24**3 - 1, 24 + 2]]
    middle = bins_of(np.full((2, 3, 3), 0.5))
    densities = np.exp(log_densities(middle))
    assert densities.argmax() == middle[0, 0]
    assert densities.sum() == pytest.approx(1 + 1e-5 * 24**3)
    assert densities.min() == pytest.approx(1e-5)
