"""Random numbers of training as pure functions of (seed, step): drawn by counters, so there is no state."""

from __future__ import annotations

import numpy as np

TIMES, ORDER, NOISE, PICTURE, DROPOUT, OBSERVED = range(6)
"""What a stream is for; streams of different purposes are independent."""


def stream(seed: int, purpose: int, step: int, index: int = 0) -> np.random.Generator:
    """The generator of one use of randomness: Philox keyed by the seed, its counter set by purpose, step and index."""
    # The lowest word of the counter is left to the draws themselves.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, step, purpose]))
