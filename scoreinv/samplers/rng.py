"""Random numbers that do not depend on the batch: one stream for each sample."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from scoreinv.system.options import SEED, check, require


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of a seed and a key; different seeds or keys, of any length, give independent generators.

    The key is a spawn key of two 32-bit words per number: NumPy pads short entropy with zeros and splits integers into
    words, so as entropy (5, 3), (5, 3, 0) and 5 + 3 * 2^32 would be one stream.

    Args:
        seed: from 0 to 2^128 - 1.
        key: numbers from 0 to 2^64 - 1.
    """
    words = [word for number in key for word in divmod(int(number), 2**32)]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=words))


class NoiseStream:
    """Independent noise for each sample; sample i of a seed has the same noise in any batch.

    Sample i has the stream of the key (seed, i). Numbers are drawn on the CPU in float32 and then moved, so they do not
    depend on the device, precision or number of threads.

    Args:
        seed: from 0 to 2^63 - 1.
        count: number of samples, B.
        first: index of the first sample; `NoiseStream(s, 2, first=4)` are samples 4 and 5 of `NoiseStream(s, 6)`.
        device, dtype: the default of each draw.

    Raises InputError if the seed is out of range or `count` is below 1.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        first: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check("seed", seed, SEED)
        require(count >= 1, f"at least one sample is needed, not {count}")
        self.device = torch.device(device)
        self.dtype = dtype
        self._generators = [generator(seed, first + i) for i in range(count)]

    @classmethod
    def keyed(cls, keys: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Self:
        """Return the noise of len(keys) samples, the i-th drawn from keys[i], such as (seed, sample, top, left).

        See `generator`.
        """
        noise = cls(0, len(keys), device=device)
        noise._generators = [generator(*key) for key in keys]
        return noise

    def __len__(self) -> int:
        return len(self._generators)

    def normal(
        self, shape: torch.Size | tuple[int, ...], device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return standard normal numbers of shape (B, ...), row i from stream i; raise InputError for another B."""
        count = len(self._generators)
        require(shape[0] == count, f"a noise stream of {count} samples cannot draw noise for {shape[0]}")
        draws = np.stack([g.standard_normal(tuple(shape[1:]), dtype=np.float32) for g in self._generators])
        return torch.from_numpy(draws).to(device=device or self.device, dtype=dtype or self.dtype)

    def like(self, x: Tensor) -> Tensor:
        """Return standard normal numbers in the shape, device and dtype of x."""
        return self.normal(x.shape, x.device, x.dtype)

    def rademacher(
        self, shape: torch.Size | tuple[int, ...], device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return -1 and 1 with equal probability, of shape (B, ...), row i from stream i."""
        signs = np.stack([g.integers(0, 2, tuple(shape[1:]), dtype=np.int8) for g in self._generators])
        return torch.from_numpy(2 * signs - 1).to(device=device or self.device, dtype=dtype or self.dtype)

    def generators(self) -> list[torch.Generator]:
        """Return a CPU generator for each sample, seeded by its stream: for unknown numbers of draws."""
        return [torch.Generator().manual_seed(int(g.integers(2**63))) for g in self._generators]

    def with_fixed_noise(self) -> Self:
        """Return a copy whose `like` always returns the same noise, to constrain the trajectory of an ODE."""
        fixed, drawn = copy(self), cache(self.normal)
        fixed.like = lambda x: drawn(x.shape, x.device, x.dtype)  # type: ignore[method-assign]
        return fixed
