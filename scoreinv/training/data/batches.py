"""Pictures and noise of training batches as a function of (seed, step), drawn by their global index.

Random numbers come from counters (`stream`), so a training state holds no generators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scoreinv.training.data.pictures import DataConfig, Pictures

TIMES, ORDER, NOISE, PICTURE, DROPOUT, OBSERVED, FILM, COLOUR_FILM, DAMAGE = range(9)
"""Purposes of streams. Streams of different purposes are independent."""


def stream(seed: int, purpose: int, step: int, index: int = 0) -> np.random.Generator:
    """Return a Philox generator with the seed as its key and purpose, step and index as its counter."""
    # The draws themselves advance the lowest word of the counter.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, step, purpose]))


@dataclass(frozen=True)
class Batch:
    """The data of one training step in one process; learners add what their losses need.

    Attributes:
        images: (B, C, H, W) float32 in the model's range, channels last in memory.
        times: (B,) float64; 0 for models without an SDE.
    """

    images: Tensor
    times: Tensor

    def part(self, rows: slice | Tensor) -> Self:
        """Return the data of some of the pictures, by a slice or by indices."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on a device; the times stay on the CPU."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None and name != "times"}
        return replace(self, **moved)


@dataclass(frozen=True)
class PictureSource:
    """Draws pictures and noise; the same (seed, step) gives the same global batch for any number of processes.

    Attributes:
        pictures: pictures to draw from.
        data: how they are drawn.
        model: configuration of the model, of a kind that the learner trains.
        side: of the drawn pictures, in pixels.
        batch_size: number of pictures in the global batch.
        seed: seed of all draws.
    """

    pictures: Pictures
    data: DataConfig
    model: Any
    side: int
    batch_size: int
    seed: int

    def stream(self, purpose: int, step: int, index: int = 0) -> np.random.Generator:
        """Return the generator of a purpose for one picture of a step's global batch."""
        return stream(self.seed, purpose, step, index)

    def images(self, step: int, rows: range) -> Tensor:
        """Return some pictures of the global batch of a step (from 0), (B, C, side, side) in the model's range."""
        pairs = zip(self.chosen(step, rows), rows, strict=True)
        images = [self._drawn(picture, self.stream(PICTURE, step, index)) for picture, index in pairs]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    def noise(self, step: int, rows: range) -> Tensor:
        """Return standard normal noise, (B, C, image_size, image_size)."""
        shape = self.model.image_size, self.model.image_size, self.pictures.levels[0][0].shape[2]
        noise = [self.stream(NOISE, step, index).standard_normal(shape, np.float32) for index in rows]
        return torch.from_numpy(np.stack(noise)).permute(0, 3, 1, 2)

    def chosen(self, step: int, rows: range) -> list[int]:
        """Return the indices of the pictures, which come in an endless sequence of shuffled passes."""
        groups = self._groups
        taken = sum(count for _, count in groups)
        places = (divmod(step * self.batch_size + row, taken) for row in rows)
        return [int(_order(self.seed, epoch, groups)[place]) for epoch, place in places]

    @cached_property
    def _groups(self) -> tuple[tuple[int, int], ...]:
        """Return groups of consecutive pictures with the same share, each as (size, number taken in a pass)."""
        shares = dict(self.data.shares)
        each = [shares.get(PurePosixPath(name).parts[0], 1.0) for name in self.pictures.names] if shares else []
        runs = [(share, len(list(run))) for share, run in groupby(each)] or [(1.0, len(self.pictures))]
        return tuple((count, max(1, round(share * count))) for share, count in runs)

    def _drawn(self, index: int, generator: np.random.Generator) -> np.ndarray:
        """Draw one crop (or whole picture), flipped and shifted, in the model's range, (H, W, C) float32."""
        data, levels, size = self.data, self.pictures.levels[index], self.side
        level = levels[generator.integers(len(levels))]
        if data.mode == "zooms":
            pixels = _zoom(level, size, data.least_zoom, generator)
        else:
            top, left = (int(generator.integers(extent - size + 1)) for extent in level.shape[:2])
            pixels = level[top : top + size, left : left + size]
        if data.flip and generator.integers(2):
            pixels = pixels[:, ::-1]
        if data.shift:
            margin = data.shift
            top, left = margin - generator.integers(-margin, margin + 1, 2)
            padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
            pixels = padded[top : top + size, left : left + size]
        low, high = self.model.data_range
        if data.dequantise:
            return (pixels + generator.random(pixels.shape, np.float32)) * np.float32((high - low) / 256) + np.float32(
                low
            )
        return pixels * np.float32((high - low) / 255) + np.float32(low)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, groups: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return the pictures of one pass in random order: of each group (count, taken), a random choice of `taken`.

    A picture comes a second time only after all pictures of its group.
    """
    generator = stream(seed, ORDER, epoch)
    firsts = accumulate((count for count, _ in groups), initial=0)
    chosen = [
        first + np.concatenate([generator.permutation(count) for _ in range(-(-taken // count))])[:taken]
        for first, (count, taken) in zip(firsts, groups, strict=False)
    ]
    return chosen[0] if len(chosen) == 1 else generator.permutation(np.concatenate(chosen))


def _zoom(pixels: np.ndarray, size: int, least: float, generator: np.random.Generator) -> np.ndarray:
    """Crop a random square, `least` to 1 times the shorter side of a picture (H, W, C), and resize it."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    side = min(side, max(1, round(side * least ** generator.random())))
    top, left = (int(generator.integers(extent - side + 1)) for extent in (height, width))
    values = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    square = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    method = Image.Resampling.BOX if size < side else Image.Resampling.BICUBIC
    return np.atleast_3d(np.asarray(square.resize((size, size), method)))
