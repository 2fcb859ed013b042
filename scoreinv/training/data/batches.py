"""Training batches: pictures, times and noise as a function of (seed, step), drawn by their global index.

Random numbers come from counters (`stream`), so a training state holds no generators.

Objectives are expectations over uniform times, unless a focus changes that. The likelihood weight g^2 / sigma^2 of VP
and sub-VP grows as 1 / t, so few pictures of a batch would dominate its loss. Its times are therefore drawn by
importance (Song et al. 2021, "Maximum likelihood training", appendix): with s = sigma / alpha the weight is
2 d ln s / dt, so times with uniform ln s contribute equally.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, groupby
from pathlib import PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import special
from torch import Tensor

from scoreinv.operators.luma import luma_weights
from scoreinv.preconditioning import Range
from scoreinv.sdes import SDE, TRAINING_START, time_at
from scoreinv.training.config import ObjectiveConfig, ObservationConfig, TrainingConfig
from scoreinv.training.data.pictures import Pictures
from scoreinv.training.data.prints import Film, on_colour_film, on_old_print, on_other_film
from scoreinv.training.data.synthetic_damage import draw_hints, draw_hole, draw_scan

TIMES, ORDER, NOISE, PICTURE, DROPOUT, OBSERVED, FILM, COLOUR_FILM, DAMAGE = range(9)
"""Purposes of streams. Streams of different purposes are independent."""

_VALIDATION_SEED = 0
_FINE_WITHHELD = 0.05  # share of the pictures without finer luma, for networks that take it


def stream(seed: int, purpose: int, step: int, index: int = 0) -> np.random.Generator:
    """Return a Philox generator with the seed as its key and purpose, step and index as its counter."""
    # The draws themselves advance the lowest word of the counter.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, index, step, purpose]))


@dataclass(frozen=True)
class Batch:
    """The data of one training step in one process; entries are None if the model does not need them.

    Attributes:
        images: (B, C, H, W) float32 in the model's range, channels last in memory.
        times: (B,) float64.
        noise: standard normal, the shape of `images`; empty without an SDE.
        labels: (B,) class indices.
        observed: (B, 3, H, W) bool, the components that a conditional prior observes.
        refined: (B,) bool, whether it also observes the picture at half the size.
        fine: (B, C, sH, sW), pictures at the scale of the observed finer luma; NaN if it is not observed.
        encoder_luma: (B, 1, kH, kW) in [0, 1], the encoder's input.
        damaged: (B, 1, H, W), 1 for damaged pixels, 0 for healthy ones, NaN for faint damage.
    """

    images: Tensor
    times: Tensor
    noise: Tensor
    labels: Tensor | None = None
    observed: Tensor | None = None
    refined: Tensor | None = None
    fine: Tensor | None = None
    encoder_luma: Tensor | None = None
    damaged: Tensor | None = None

    def part(self, rows: slice | Tensor) -> Batch:
        """Return the data of some of the pictures, by a slice or by indices."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device; the times stay on the CPU."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None and name != "times"}
        return replace(self, **moved)


@dataclass(frozen=True)
class BatchSource:
    """Draws batches; the same (seed, step) gives the same global batch for any number of processes.

    Attributes:
        config: configuration of the run.
        pictures: pictures to draw from.
        batch_size: number of pictures in the global batch.
        seed: seed of all draws.
    """

    config: TrainingConfig
    pictures: Pictures
    batch_size: int
    seed: int

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Return the global batch of a step (from 0), or one process's part of it."""
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
        extra: dict[str, Tensor] = {}
        if config.observations is not None:
            extra = self._observe(config.observations, step, indices, pictures)
        if config.damage is not None:
            extra["damaged"] = self._damage(step, indices, pictures)
        if self.pictures.labels is not None:
            extra["labels"] = torch.from_numpy(self.pictures.labels[chosen])
        times = torch.zeros(self.batch_size, dtype=torch.float64)
        if model.sde is not None:
            generator = self._stream(TIMES, step)
            times = draw_times(config.objective, model.sde, model.data_range, self.batch_size, generator)
        reduced = _reduced(pictures, side // model.image_size)
        return Batch(reduced, times[part], torch.from_numpy(noise).permute(0, 3, 1, 2), **extra)

    def _stream(self, purpose: int, step: int, index: int = 0) -> np.random.Generator:
        return stream(self.seed, purpose, step, index)

    def _damage(self, step: int, indices: range, pictures: Tensor) -> Tensor:
        """Replace the pictures by scans of damaged prints, in place; return `Batch.damaged`."""
        assert self.config.damage is not None
        masks = []
        for picture, index in zip(pictures, indices, strict=True):
            rgb = picture.permute(1, 2, 0).numpy()
            scan = draw_scan(rgb, self.config.damage, self._stream(DAMAGE, step, index))
            picture.copy_(torch.from_numpy(scan.damaged).permute(2, 0, 1))
            masks.append(np.where(scan.faint, np.float32(np.nan), scan.mask.astype(np.float32)))
        return torch.from_numpy(np.stack(masks))[:, None]

    def _observe(self, shares: ObservationConfig, step: int, indices: range, pictures: Tensor) -> dict[str, Tensor]:
        """Draw observations for a conditional prior; put some pictures on another film, in place."""
        config, preconditioning = self.config, self.config.residual
        assert preconditioning is not None  # checked by the configuration
        streams = [self._stream(OBSERVED, step, index) for index in indices]
        drawn = [draw_observed(shares, config.model.image_size, stream) for stream in streams]
        observed, refined = zip(*drawn, strict=True)
        found = {"observed": torch.from_numpy(np.stack(observed)), "refined": torch.tensor(refined)}
        for row, index in enumerate(indices):
            colours, film = self._stream(COLOUR_FILM, step, index), self._stream(FILM, step, index)
            if colours.random() < shares.colour_films:
                self._put_on(on_colour_film, pictures[row], preconditioning.gray_weights, colours)
            if not observed[row][0].any():
                continue
            if film.random() < shares.other_films:
                self._put_on(on_other_film, pictures[row], preconditioning.gray_weights, film)
            elif film.random() < shares.old_prints:
                self._put_on(on_old_print, pictures[row], preconditioning.gray_weights, film)
        scale = config.drawn_side // config.model.image_size
        if preconditioning.luma_scale > 1:
            withheld = torch.tensor([stream.random() < _FINE_WITHHELD for stream in streams])
            fine = _reduced(pictures, scale // preconditioning.luma_scale)
            found["fine"] = torch.where(withheld[:, None, None, None], torch.nan, fine)
        if config.encoder_scale:
            weights = torch.from_numpy(luma_weights(preconditioning.gray_weights)).float()
            low, high = config.model.data_range
            luma = torch.einsum("c,bchw->bhw", weights, _reduced(pictures, scale // config.encoder_scale))[:, None]
            found["encoder_luma"] = (luma - low) / (high - low)
        return found

    def _put_on(self, film: Film, picture: Tensor, gray_weights: str, generator: np.random.Generator) -> None:
        """Replace a picture by its rendering on a film."""
        low, high = self.config.model.data_range
        rgb = ((picture - low) / (high - low)).permute(1, 2, 0).clamp(0, 1).numpy()
        changed = torch.from_numpy(film(rgb, gray_weights, generator)).permute(2, 0, 1)
        picture.copy_(changed * (high - low) + low)

    def _picture(self, position: int) -> int:
        """Return the index of the picture at a position in the endless sequence of shuffled passes."""
        groups = self._groups
        epoch, place = divmod(position, sum(taken for _, taken in groups))
        return int(_order(self.seed, epoch, groups)[place])

    @cached_property
    def _groups(self) -> tuple[tuple[int, int], ...]:
        """Return groups of consecutive pictures with the same share, each as (size, number taken in a pass)."""
        shares = dict(self.config.data.shares)
        each = [shares.get(PurePosixPath(name).parts[0], 1.0) for name in self.pictures.names] if shares else []
        runs = [(share, len(list(run))) for share, run in groupby(each)] or [(1.0, len(self.pictures))]
        return tuple((count, max(1, round(share * count))) for share, count in runs)

    def _draw(self, index: int, generator: np.random.Generator, out: np.ndarray) -> None:
        """Draw one crop (or whole picture), flipped, in the model's range, into `out` (H, W, C)."""
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


def held_out_batch(config: TrainingConfig, held_out: Pictures, count: int, number: int = 0) -> Batch:
    """Return held-out pictures with times and noise that are the same for all runs, so that they can be compared.

    Args:
        count: pictures in a batch.
        number: index of the batch; consecutive batches go through all held-out pictures before one comes again.
    """
    return BatchSource(config, held_out, count, _VALIDATION_SEED).batch(number)


def draw_observed(config: ObservationConfig, side: int, generator: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Draw an observation of a picture.

    Returns:
        The observed components, (3, side, side) bool, luma and two of chroma; and whether the picture at half the size
        is observed.
    """
    shares = config.kinds
    total = sum(shares.values())  # numpy requires a sum closer to 1 than rounded shares have
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
    """Return the means of blocks of factor x factor pixels."""
    return F.avg_pool2d(pictures, factor) if factor > 1 else pictures


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


def draw_times(
    objective: ObjectiveConfig, sde: SDE, data_range: Range, count: int, generator: np.random.Generator
) -> Tensor:
    """Draw times (count,), float64: uniform, by importance or focused on [1e-5, 1], or on the grid i / (steps - 1).

    Stratified times are (offset + i / count) mod 1, mapped to the interval (Kingma et al. 2021, appendix I.1).
    """
    spread = np.arange(count) / count
    uniform = (generator.random() + spread) % 1.0 if objective.stratified else generator.random(count)
    if objective.times == "discrete":
        return torch.from_numpy(np.floor(uniform * sde.steps) / (sde.steps - 1))
    if objective.weighting == "likelihood":
        low, high = _log_levels(sde)
        levels = np.exp(low + uniform * (high - low))
        return time_at(sde, torch.from_numpy(levels)).clamp(TRAINING_START, 1.0)
    if objective.focus is not None:
        mean, std = objective.focus
        levels = np.exp(mean + std * special.ndtri(uniform)) * (data_range[1] - data_range[0]) / 2
        return time_at(sde, torch.from_numpy(levels)).clamp_min(TRAINING_START)
    return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))


def importance(objective: ObjectiveConfig, sde: SDE, t: Tensor) -> Tensor:
    """Return the density of uniform times over that of `draw_times` at times t: float64, the shape of t.

    This factor keeps the expectation of a loss. It is 1 except for the likelihood weighting, because a focus is meant
    to change the expectation.
    """
    if objective.weighting != "likelihood" or objective.times == "discrete":
        return torch.ones_like(t)
    low, high = _log_levels(sde)
    return 2 * (high - low) / (1 - TRAINING_START) / (sde.diffusion_squared(t) / sde.sigma(t).square())


def _log_levels(sde: SDE) -> tuple[float, float]:
    """Return ln(sigma / alpha) at the first and the last training time."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high
