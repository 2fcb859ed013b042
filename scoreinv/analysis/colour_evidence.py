"""Colour histograms as evidence for a segmentation."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_BINS = 24  # bins of a histogram along each channel
_UNSEEN = 1e-5  # probability of a colour that does not occur


def bins_of(colours: np.ndarray) -> np.ndarray:
    """Return the flat index of the histogram bin of each colour, hxw, of hxwx3 in [0, 1]."""
    return np.ravel_multi_index(tuple(np.moveaxis((colours * (_BINS - 1e-3)).astype(int), -1, 0)), (_BINS,) * 3)


def log_densities(bins: np.ndarray) -> np.ndarray:
    """Return the log-probabilities of all bins, from the smoothed histogram of some."""
    counts = np.bincount(bins.ravel(), minlength=_BINS**3).reshape((_BINS,) * 3).astype(float)
    return np.log((ndimage.gaussian_filter(counts, 0.7) / bins.size).ravel() + _UNSEEN)


def explained_share(bins: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of a mask's entropy that the colours explain, U = I(colour; mask) / H(mask).

    It is Theil's uncertainty coefficient: 1 if the colour of a pixel determines on which side of the border it is, 0 if
    the two sides look the same.

    Args:
        bins: see `bins_of`, hxw.
        mask: hxw bool.
    """
    area = mask.mean()
    if not 0 < area < 1:
        return 0.0
    inside, outside = log_densities(bins[mask]), log_densities(bins[~mask])
    both = np.log(area * np.exp(inside) + (1 - area) * np.exp(outside))
    information = area * (inside - both)[bins[mask]].mean() + (1 - area) * (outside - both)[bins[~mask]].mean()
    return float(information / -(area * np.log(area) + (1 - area) * np.log(1 - area)))
