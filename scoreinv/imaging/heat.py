"""Numbers as colours of even steps to the eye."""

from __future__ import annotations

import numpy as np

# A polynomial of degree 6 through the colour map "viridis" of matplotlib (van der Walt and Smith, CC0), within 1 %.
_VIRIDIS = np.array(
    [
        [0.2777273272, 0.0054073445, 0.3340998053],
        [0.1050930431, 1.4046135299, 1.3845901626],
        [-0.3308618287, 0.2148475595, 0.0950951630],
        [-4.6342304990, -5.7991009734, -19.3324409563],
        [6.2282699363, 14.1799333668, 56.6905526007],
        [4.7763849977, -13.7451453777, -65.3530326334],
        [-5.4354558559, 4.6458526122, 26.3124352496],
    ]
)


def viridis(values: np.ndarray) -> np.ndarray:
    """Colours of numbers in [0, 1], clipped: (...) to (..., 3) uint8, dark violet over green to yellow."""
    t = np.clip(values, 0, 1).astype(np.float64)[..., None]
    colour = np.zeros((*np.shape(values), 3))
    for coefficients in _VIRIDIS[::-1]:
        colour = colour * t + coefficients
    return np.rint(255 * np.clip(colour, 0, 1)).astype(np.uint8)
