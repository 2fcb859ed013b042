"""Batches as a pure function of (seed, step): pictures, times and noise, each drawn by its global index.

Random numbers are drawn by counters (`stream`), so there is no generator whose state would have to be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from pathlib import PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scoreinv.colour_space import luma_weights
from scoreinv.training.config import ObservationConfig, TrainingConfig
from scoreinv.training.data.pictures import Pictures
from scoreinv.training.data.prints import Film, on_colour_film, on_old_print, on_other_film
from scoreinv.training.data.synthetic_damage import draw_hints, draw_hole, draw_scan
from scoreinv.training.score_matching import draw_times

TIMES, ORDER, NOISE, PICTURE, DROPOUT, OBSERVED, FILM, COLOUR_FILM, DAMAGE = range(9)
"""What a stream is for; streams of different purposes are independent."""

_FINE_WITHHELD = 0.05  # share of the pictures whose finer luma is not shown, where a network takes it


def stream(seed: int, purpose: int, step: int, index: int = 0) -> np.random.Generator:
    """The generator of one use of randomness: Philox keyed by the seed, its counter set by purpose, step and index."""
    # The lowest word of the counter is left to the draws themselves.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, step, purpose]))


@dataclass(frozen=True)
class Batch:
    """What one step of a process trains on; an entry is None where the model has no use for it.

    Attributes:
        images: (B, C, H, W) float32 in the model's range, channels last in memory.
        times: (B,) float64.
        noise: standard normal, as `images`; empty where there is no SDE.
        labels: (B,) class indices.
        observed: (B, 3, H, W) bool, the components that a conditional prior is shown.
        refined: (B,) bool, whether it is also shown the picture at half the size.
        fine: (B, C, sH, sW), the pictures at the scale at which their luma is shown besides; NaN where it is not.
        seen: (B, 1, kH, kW) in [0, 1], the pictures' luma as it is shown to the encoder.
        damaged: (B, 1, H, W), 1 where the pictures were damaged, 0 where not, NaN where the damage is faint.
    """

    images: Tensor
    times: Tensor
    noise: Tensor
    labels: Tensor | None = None
    observed: Tensor | None = None
    refined: Tensor | None = None
    fine: Tensor | None = None
    seen: Tensor | None = None
    damaged: Tensor | None = None

    def part(self, rows: slice | Tensor) -> Batch:
        """Some of the pictures, by a slice or their indices."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items() if value is not None})

    def pinned(self) -> Batch:
        """In memory that a GPU reads while the processor goes on; the times, which stay on the CPU, as they are."""
        return self._but_times(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> Batch:
        """On a device; the times stay on the CPU."""
        return self._but_times(lambda value: value.to(device, non_blocking=True))

    def _but_times(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed = {name: change(value) for name, value in vars(self).items() if value is not None and name != "times"}
        return replace(self, **changed)


@dataclass(frozen=True)
class BatchSource:
    """Draws batches; the same (seed, step) gives the same global batch whatever the number of processes.

    Attributes:
        config: how pictures and times are drawn, and what is shown of them.
        pictures: what is drawn from.
        batch_size: pictures of the global batch.
        seed: of all draws.
    """

    config: TrainingConfig
    pictures: Pictures
    batch_size: int
    seed: int

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """The global batch of a step (from 0), or the part of it that one process takes."""
        config, model = self.config, self.config.model
        indices = range(self.batch_size)[part]
        chosen = [self._picture(step * self.batch_size + index) for index in indices]
        channels, side = self.pictures.levels[0][0].shape[2], config.drawn_side
        values = 0 if model.sde is None else channels
        images = np.empty((len(indices), side, side, channels), np.float32)
        noise = np.empty((len(indices), model.image_size, model.image_size, values), np.float32)
        for row, index in enumerate(indices):
            self._draw(chosen[row], self._stream(PICTURE, step, index), images[row])
            self._stream(NOISE, step, index).standard_normal(dtype=np.float32, out=noise[row])
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
        shown: dict[str, Tensor] = {}
        if config.observations is not None:
            shown = self._observe(config.observations, step, indices, pictures)
        if config.damage is not None:
            shown["damaged"] = self._damage(step, indices, pictures)
        if self.pictures.labels is not None:
            shown["labels"] = torch.from_numpy(self.pictures.labels[chosen])
        times = torch.zeros(self.batch_size, dtype=torch.float64)
        if model.sde is not None:
            generator = self._stream(TIMES, step)
            times = draw_times(config.objective, model.sde, model.data_range, self.batch_size, generator)
        images_shown = _reduced(pictures, side // model.image_size)
        return Batch(images_shown, times[part], torch.from_numpy(noise).permute(0, 3, 1, 2), **shown)

    def _stream(self, purpose: int, step: int, index: int = 0) -> np.random.Generator:
        return stream(self.seed, purpose, step, index)

    def _damage(self, step: int, indices: range, pictures: Tensor) -> Tensor:
        """Make scans of the pictures, in place; returns where they are damaged, as `Batch.damaged`."""
        assert self.config.damage is not None
        masks = []
        for picture, index in zip(pictures, indices, strict=True):
            rgb = picture.permute(1, 2, 0).numpy()
            scan = draw_scan(rgb, self.config.damage, self._stream(DAMAGE, step, index))
            picture.copy_(torch.from_numpy(scan.damaged).permute(2, 0, 1))
            masks.append(np.where(scan.faint, np.float32(np.nan), scan.mask.astype(np.float32)))
        return torch.from_numpy(np.stack(masks))[:, None]

    def _observe(self, what: ObservationConfig, step: int, indices: range, pictures: Tensor) -> dict[str, Tensor]:
        """What a conditional prior is shown of the pictures, some of which get the luma or colours of another film."""
        config, reading = self.config, self.config.residual
        assert reading is not None  # as the configuration saw to
        streams = [self._stream(OBSERVED, step, index) for index in indices]
        drawn = [draw_observed(what, config.model.image_size, stream) for stream in streams]
        observed, refined = zip(*drawn, strict=True)
        shown = {"observed": torch.from_numpy(np.stack(observed)), "refined": torch.tensor(refined)}
        for row, index in enumerate(indices):
            colours, film = self._stream(COLOUR_FILM, step, index), self._stream(FILM, step, index)
            if colours.random() < what.colour_films:
                self._put_on(on_colour_film, pictures[row], reading.gray_weights, colours)
            if not observed[row][0].any():
                continue
            if film.random() < what.other_films:
                self._put_on(on_other_film, pictures[row], reading.gray_weights, film)
            elif film.random() < what.old_prints:
                self._put_on(on_old_print, pictures[row], reading.gray_weights, film)
        scale = config.drawn_side // config.model.image_size
        if reading.luma_scale > 1:
            withheld = torch.tensor([stream.random() < _FINE_WITHHELD for stream in streams])
            fine = _reduced(pictures, scale // reading.luma_scale)
            shown["fine"] = torch.where(withheld[:, None, None, None], torch.nan, fine)
        if config.encoder_scale:
            weights = torch.from_numpy(luma_weights(reading.gray_weights)).float()
            low, high = config.model.data_range
            seen = torch.einsum("c,bchw->bhw", weights, _reduced(pictures, scale // config.encoder_scale))[:, None]
            shown["seen"] = (seen - low) / (high - low)
        return shown

    def _put_on(self, film: Film, picture: Tensor, gray_weights: str, generator: np.random.Generator) -> None:
        """Replace a picture by what it is on a film."""
        low, high = self.config.model.data_range
        rgb = ((picture - low) / (high - low)).permute(1, 2, 0).clamp(0, 1).numpy()
        changed = torch.from_numpy(film(rgb, gray_weights, generator)).permute(2, 0, 1)
        picture.copy_(changed * (high - low) + low)

    def _picture(self, position: int) -> int:
        """The picture at a position of the endless sequence of shuffled passes over them."""
        groups = self._groups
        number, place = divmod(position, sum(taken for _, taken in groups))
        return int(_order(self.seed, number, groups)[place])

    @cached_property
    def _groups(self) -> tuple[tuple[int, int], ...]:
        """Numbers of pictures that follow each other and have one share, and how many of them a pass takes."""
        shares = dict(self.config.data.shares)
        each = [shares.get(PurePosixPath(name).parts[0], 1.0) for name in self.pictures.names] if shares else []
        runs = [(share, len(list(run))) for share, run in groupby(each)] or [(1.0, len(self.pictures))]
        return tuple((count, max(1, round(share * count))) for share, count in runs)

    def _draw(self, index: int, generator: np.random.Generator, out: np.ndarray) -> None:
        """One crop (or whole picture), flipped and brought to the model's range, into `out` (H, W, C)."""
        data = self.config.data
        levels, size = self.pictures.levels[index], self.config.drawn_side
        level = levels[generator.integers(len(levels))]
        if data.mode == "zooms":
            pixels = _zoom(level, size, data.least_zoom, generator)
        else:
            top, left = (int(generator.integers(extent - size + 1)) for extent in level.shape[:2])
            pixels = level[top : top + size, left : left + size]
        if data.flip and generator.integers(2):
            pixels = pixels[:, ::-1]
        if data.shift:
            down, right = generator.integers(-data.shift, data.shift + 1, 2)
            margin = max(abs(down), abs(right))
            padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
            pixels = padded[margin - down :, margin - right :][:size, :size]
        low, high = self.config.model.data_range
        if data.dequantise:
            generator.random(dtype=np.float32, out=out)
            out += pixels
            out *= (high - low) / 256
        else:
            np.multiply(pixels, np.float32((high - low) / 255), out=out)
        out += low


def draw_observed(config: ObservationConfig, side: int, generator: np.random.Generator) -> tuple[np.ndarray, bool]:
    """What is shown of a picture of side x side pixels.

    Returns:
        The observed components, (3, side, side) bool, luma and two of chroma; and whether the picture is known at half
        the size.
    """
    shares = config.kinds
    total = sum(shares.values())  # numpy wants it nearer to 1 than rounded shares come
    kind = generator.choice(list(shares), p=[share / total for share in shares.values()])
    observed = np.zeros((3, side, side), dtype=bool)
    if kind in ("holes", "refined"):
        observed[:] = ~draw_hole(side, generator)
    elif kind in ("gray", "hints"):
        observed[0] = True
    elif kind == "damaged_gray":
        observed[0] = ~draw_hole(side, generator)
    if kind == "hints" or (kind == "damaged_gray" and generator.random() < 0.3):
        observed[1:] = observed[0] & draw_hints(side, generator)
    return observed, kind == "refined"


def _reduced(pictures: Tensor, factor: int) -> Tensor:
    """Means of blocks of factor x factor pixels."""
    return F.avg_pool2d(pictures, factor) if factor > 1 else pictures


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, groups: tuple[tuple[int, int], ...]) -> np.ndarray:
    """One pass, shuffled: of each group (count, taken) of the pictures, `taken` of the `count`, drawn anew.

    None comes a second time before all of its group have come once.
    """
    generator = stream(seed, ORDER, epoch)
    firsts = accumulate((count for count, _ in groups), initial=0)
    chosen = [
        first + np.concatenate([generator.permutation(count) for _ in range(-(-taken // count))])[:taken]
        for first, (count, taken) in zip(firsts, groups, strict=False)
    ]
    return chosen[0] if len(chosen) == 1 else generator.permutation(np.concatenate(chosen))


def _zoom(pixels: np.ndarray, size: int, least: float, generator: np.random.Generator) -> np.ndarray:
    """A square of a picture (H, W, C), its side the shorter one's by a log-uniform factor, brought to size x size."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    side = min(side, max(1, round(side * least ** generator.random())))
    top, left = (int(generator.integers(extent - side + 1)) for extent in (height, width))
    values = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    square = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    method = Image.Resampling.BOX if size < side else Image.Resampling.BICUBIC
    return np.atleast_3d(np.asarray(square.resize((size, size), method)))
