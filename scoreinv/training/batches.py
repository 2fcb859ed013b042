"""Batches as a pure function of (seed, step): pictures, times and noise, each drawn by its global index."""

from __future__ import annotations

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
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE
from scoreinv.training import draws
from scoreinv.training.config import DamageDrawing, DataConfig, ObjectiveConfig, ObservationConfig, TrainingConfig
from scoreinv.training.damage import draw_scan
from scoreinv.training.features import KeptFeatures, features_given
from scoreinv.training.objectives import draw_times, importance, per_image_loss, per_image_loss_given
from scoreinv.training.observations import FINE_WITHHELD, Film, draw_observed, on_colour_film, on_other_film
from scoreinv.training.pictures import Pictures


@dataclass(frozen=True)
class Batch:
    """What one step of a process trains on.

    Attributes:
        images: (B, C, H, W) float32 in the model's range, channels last in memory.
        times: (B,) float64.
        noise: standard normal, as `images`; empty where there is no SDE.
        labels: (B,) class indices, or None.
        observed: (B, 3, H, W) bool, the components that a conditional prior is shown; None for the others.
        refined: (B,) bool, whether it is also shown the picture at half the size; None as before.
        fine: (B, C, sH, sW), the pictures at the scale at which their luma is shown besides; NaN where it is not. None
            for priors that take no finer luma.
        seen: (B, 1, kH, kW) in [0, 1], the pictures' luma as it is shown to the encoder. None for priors without one.
        damaged: (B, 1, H, W), 1 where the pictures were damaged, 0 where not, NaN where the damage is faint; None but
            for what finds damage.
        crops: (B,) numbers of the pictures' crops, which are drawn again; None where every crop is new.
    """

    images: Tensor
    times: Tensor
    noise: Tensor
    labels: Tensor | None
    observed: Tensor | None = None
    refined: Tensor | None = None
    fine: Tensor | None = None
    seen: Tensor | None = None
    damaged: Tensor | None = None
    crops: Tensor | None = None

    def part(self, rows: slice) -> Batch:
        """Some of the pictures."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> Batch:
        """On a device; the times stay on the CPU."""
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved | {"times": self.times})

    def losses(self, objective: ObjectiveConfig, prior: ScorePrior, kept: KeptFeatures | None = None) -> Tensor:
        """The objective for each picture, (B,); kept: features of crops that were looked at before."""
        if self.observed is None:
            losses = per_image_loss(objective, prior, self.images, self.times, self.noise)
            return losses * importance(objective, prior.sde, self.times).to(losses)
        assert isinstance(prior, ConditionalPrior)  # as the run's configuration saw to
        features = None
        if self.seen is not None:
            shapes = prior.feature_shapes(*self.seen.shape[-2:])
            features = features_given(self.observed, self.seen, prior.look, shapes, self.crops, kept)
        shown = (self.observed, self.refined)
        above = (self.fine, features)
        return per_image_loss_given(objective, prior, self.images, *shown, self.times, self.noise, *above)


@dataclass(frozen=True)
class BatchSource:
    """Draws batches; the same (seed, step) gives the same global batch whatever the number of processes.

    Attributes:
        pictures: what is drawn from.
        data, objective, sde: how pictures and times are drawn; without an SDE all times are 0.
        image_size: side of a training picture; drawn are larger ones, by the largest of the scales.
        data_range: model values of black and white.
        batch_size: of the global batch.
        seed: of all draws.
        observations: what a conditional prior is shown; None for the others.
        damage: what is done to the pictures; None for nothing.
        luma_scale, encoder_scale: how many times finer its luma is shown to the network and to the encoder.
        gray_weights: name of those of the luma.
    """

    pictures: Pictures
    data: DataConfig
    objective: ObjectiveConfig
    sde: SDE | None
    image_size: int
    data_range: tuple[float, float]
    batch_size: int
    seed: int
    observations: ObservationConfig | None = None
    damage: DamageDrawing | None = None
    luma_scale: int = 1
    encoder_scale: int = 0
    gray_weights: str = "rec601"

    @classmethod
    def of(cls, config: TrainingConfig, pictures: Pictures, batch_size: int, seed: int) -> BatchSource:
        """What a run draws, from some of its pictures, in batches of another size and by another seed."""
        model = config.model
        return cls(
            pictures,
            config.data,
            config.objective,
            model.sde,
            model.image_size,
            model.data_range,
            batch_size,
            seed,
            config.observations,
            config.damage,
            config.luma_scale,
            config.encoder_scale,
            config.gray_weights,
        )

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """The global batch of a step (from 0), or the part of it that one process takes."""
        indices = range(self.batch_size)[part]
        times = self._times(step)
        drawn = [self._picture(step * self.batch_size + index) for index in indices]
        chosen = [picture for picture, _ in drawn]
        # Crops that are drawn again are drawn by their own numbers, others by the place where they are used.
        places = drawn if self.data.crops else [(step, index) for index in indices]
        channels = self.pictures.levels[0][0].shape[2]
        side = self._drawn_side
        images = np.empty((len(indices), side, side, channels), np.float32)
        values = channels if self.sde is not None else 0
        noise = np.empty((len(indices), self.image_size, self.image_size, values), np.float32)
        for row, index in enumerate(indices):
            self._draw(chosen[row], draws.stream(self.seed, draws.PICTURE, *places[row]), images[row])
            draws.stream(self.seed, draws.NOISE, step, index).standard_normal(dtype=np.float32, out=noise[row])
        labels = self.pictures.labels
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
        what = self.observations
        shown: dict[str, Tensor] = {}
        if what is not None:
            pictures, shown = self._shown(what, step, indices, places, pictures)
        if self.damage is not None:
            shown["damaged"] = self._damage(self.damage, places, pictures)
        if self.data.crops:
            shown["crops"] = torch.tensor([picture * self.data.crops + crop for picture, crop in drawn])
        return Batch(
            _reduced(pictures, self._drawn_scale),
            times[part],
            torch.from_numpy(noise).permute(0, 3, 1, 2),
            None if labels is None else torch.from_numpy(labels[chosen]),
            **shown,
        )

    def _times(self, step: int) -> Tensor:
        if self.sde is None:
            return torch.zeros(self.batch_size, dtype=torch.float64)
        stream = draws.stream(self.seed, draws.TIMES, step)
        return draw_times(self.objective, self.sde, self.data_range, self.batch_size, stream)

    def _damage(self, how: DamageDrawing, places: list[tuple[int, int]], pictures: Tensor) -> Tensor:
        """Make scans of the pictures, in place; returns where they are damaged, as `Batch.damaged`."""
        masks = []
        for picture, place in zip(pictures, places, strict=True):
            rgb = picture.permute(1, 2, 0).numpy()
            scan = draw_scan(rgb, how, draws.stream(self.seed, draws.DAMAGE, *place))
            picture.copy_(torch.from_numpy(scan.damaged).permute(2, 0, 1))
            masks.append(np.where(scan.faint, np.float32(np.nan), scan.mask.astype(np.float32)))
        return torch.from_numpy(np.stack(masks))[:, None]

    def _shown(
        self,
        what: ObservationConfig,
        step: int,
        indices: range,
        places: list[tuple[int, int]],
        pictures: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The pictures, some of them with colours or luma of another film, in place; and what is shown of them."""
        streams = [draws.stream(self.seed, draws.OBSERVED, step, index) for index in indices]
        shown = [draw_observed(what, self.image_size, stream) for stream in streams]
        observed, refined = zip(*shown, strict=True)
        values = {"observed": torch.from_numpy(np.stack(observed)), "refined": torch.tensor(refined)}
        withheld = torch.tensor([self.luma_scale > 1 and stream.random() < FINE_WITHHELD for stream in streams])
        for row, place in enumerate(places):
            colours = draws.stream(self.seed, draws.COLOUR_FILM, *place)
            if colours.random() < what.colour_films:
                self._put_on(on_colour_film, pictures[row], colours)
            film = draws.stream(self.seed, draws.FILM, *place)
            if observed[row][0].any() and film.random() < what.other_films:
                self._put_on(on_other_film, pictures[row], film)
        if self.luma_scale > 1:
            fine = _reduced(pictures, self._drawn_scale // self.luma_scale)
            values["fine"] = torch.where(withheld[:, None, None, None], torch.nan, fine)
        if self.encoder_scale:
            seen = _reduced(pictures, self._drawn_scale // self.encoder_scale)
            weights = torch.from_numpy(luma_weights(self.gray_weights)).float()
            low, high = self.data_range
            values["seen"] = (torch.einsum("c,bchw->bhw", weights, seen)[:, None] - low) / (high - low)
        return pictures, values

    def _put_on(self, film: Film, picture: Tensor, generator: np.random.Generator) -> None:
        low, high = self.data_range
        rgb = ((picture - low) / (high - low)).permute(1, 2, 0).clamp(0, 1).numpy()
        changed = torch.from_numpy(film(rgb, self.gray_weights, generator)).permute(2, 0, 1)
        picture.copy_(changed * (high - low) + low)

    @property
    def _drawn_scale(self) -> int:
        return max(self.luma_scale, self.encoder_scale)

    @property
    def _drawn_side(self) -> int:
        return self.image_size * self._drawn_scale

    def _picture(self, position: int) -> tuple[int, int]:
        """The picture at a position of the endless sequence of shuffled passes over them, and which of its crops."""
        groups = self._groups
        number, place = divmod(position, sum(taken for _, taken in groups))
        return int(_order(self.seed, number, groups)[place]), number % max(1, self.data.crops)

    @cached_property
    def _groups(self) -> tuple[tuple[int, int], ...]:
        """Numbers of pictures that follow each other and have one share, and how many of them a pass takes."""
        shares = dict(self.data.shares)
        each = [shares.get(PurePosixPath(name).parts[0], 1.0) for name in self.pictures.names] if shares else []
        runs = [(share, len(list(run))) for share, run in groupby(each)] or [(1.0, len(self.pictures))]
        return tuple((count, max(1, round(share * count))) for share, count in runs)

    def _draw(self, index: int, generator: np.random.Generator, out: np.ndarray) -> None:
        """One crop (or whole picture), flipped and brought to the model's range, into `out` (H, W, C)."""
        pixels = self._crop(self.pictures.levels[index], generator)
        if self.data.flip and generator.integers(2):
            pixels = pixels[:, ::-1]
        if self.data.shift:
            pixels = _shifted(pixels, generator.integers(-self.data.shift, self.data.shift + 1, 2))
        low, high = self.data_range
        if self.data.dequantise:
            generator.random(dtype=np.float32, out=out)
            out += pixels
            out *= (high - low) / 256
        else:
            np.multiply(pixels, np.float32((high - low) / 255), out=out)
        out += low

    def _crop(self, levels: tuple[np.ndarray, ...], generator: np.random.Generator) -> np.ndarray:
        candidates = [self._random_crop(levels, generator) for _ in range(self.data.detail_candidates)]
        return candidates[0] if len(candidates) == 1 else max(candidates, key=_detail)

    def _random_crop(self, levels: tuple[np.ndarray, ...], generator: np.random.Generator) -> np.ndarray:
        level = levels[generator.integers(len(levels))]
        size = self._drawn_side
        if self.data.mode == "zooms":
            return _zoom(level, size, self.data.least_zoom, generator)
        top, left = (int(generator.integers(extent - size + 1)) for extent in level.shape[:2])
        return level[top : top + size, left : left + size]


def _reduced(pictures: Tensor, factor: int) -> Tensor:
    """Means of blocks of factor x factor pixels."""
    return F.avg_pool2d(pictures, factor) if factor > 1 else pictures


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, groups: tuple[tuple[int, int], ...]) -> np.ndarray:
    """One pass, shuffled: of each group (count, taken) of the pictures, `taken` of the `count`, drawn anew.

    None comes a second time before all of its group have come once.
    """
    generator = draws.stream(seed, draws.ORDER, epoch)
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


def _shifted(pixels: np.ndarray, by: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) moved down and right, reflected at its borders."""
    margin = int(np.abs(by).max())
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    top, left = margin - by
    return padded[top : top + pixels.shape[0], left : left + pixels.shape[1]]


def _detail(pixels: np.ndarray) -> float:
    """Mean absolute difference of neighbouring values."""
    values = pixels.astype(np.int16)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())
