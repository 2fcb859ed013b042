"""Grey weights, luma and the colour basis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from scoreinv.operators.luma import GRAY_WEIGHTS, colour_basis, luma, luma_weights
from scoreinv.system.errors import InputError


@pytest.mark.parametrize("name", GRAY_WEIGHTS)
def test_basis_is_orthonormal_with_the_grey_direction_first(name):
    basis = colour_basis(name)
    weights = luma_weights(name)
    assert basis.dtype == np.float64
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    assert_allclose(basis @ basis.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(basis) == pytest.approx(1)
    assert_allclose(basis[0], weights / np.linalg.norm(weights), atol=1e-15)
    rgb = np.random.default_rng(0).random((5, 3))
    assert_allclose(rgb @ basis[0], luma(rgb, name) / np.linalg.norm(weights))


def test_unknown_weights_are_named():
    with pytest.raises(InputError, match=r"bt2020.*rec601, average, rec709"):
        luma_weights("bt2020")
