"""Random numbers of training as pure functions of (seed, step): drawn by counters, so there is no state."""

from __future__ import annotations

import numpy as np
import torch

TIMES, ORDER, NOISE, PICTURE, DROPOUT, OBSERVED, FILM, COLOUR_FILM, DAMAGE = range(9)
"""What a stream is for; streams of different purposes are independent."""


def stream(seed: int, purpose: int, step: int, index: int = 0) -> np.random.Generator:
    """The generator of one use of randomness: Philox keyed by the seed, its counter set by purpose, step and index."""
    # The lowest word of the counter is left to the draws themselves.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, step, purpose]))


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of one device, and of no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
