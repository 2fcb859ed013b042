"""Conditioning by a network that was trained to: it takes the observation beside the noisy picture."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.initial_estimate import InitialEstimate
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.guidance.base import GivenObservation
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.prior import Prior
from scoreinv.system.errors import InputError
from scoreinv.system.reporting import part
from scoreinv.windows.boxes import Box
from scoreinv.windows.ensemble import UPRIGHT, Orientation, turn, turn_back
from scoreinv.windows.tiled import crops


class Conditioned(GivenObservation):
    """grad log p_t(x | y) by a network trained on pairs of pictures and observations: an evaluation per orientation.

    The network is given y as its input, so only its training approximates, and a few steps of any sampler
    draw from p(x0 | y). At sigma_max its prediction is the posterior mean E[x0 | y] (`denoise`). The observed
    components of the estimate are y itself.

    Args:
        prior: what it conditions.
        operator: A, the components of each pixel that are observed: a mask of whole pixels, or components in the basis
            of the grey weights that the prior was trained with.
        y: the observation, of shape A(x), in the model's range.
        coarse: a picture of half the size (rounded up), in the model's range, whose values are the means of 2x2 pixels:
            what was drawn at a coarser scale. NaN where nothing was.
        fine: the picture at the prior's `luma_scale` times the size, in the model's range. Its luma is known where the
            operator observes luma. None: it is not.
        features: maps of what the picture shows, as `ConditionalPrior.look` gives them; None: it is not looked at.
        orientations: the prediction is averaged over the picture in these, an evaluation each.

    Raises InputError for a prior that was trained without observations, for another kind of operator, and for a finer
    picture of another size.
    """

    prior: ConditionalPrior

    def __init__(
        self,
        prior: Prior,
        operator: ObservedComponents,
        y: Tensor,
        coarse: Tensor | None = None,
        fine: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
        orientations: tuple[Orientation, ...] = UPRIGHT,
    ) -> None:
        if not isinstance(prior, ConditionalPrior):
            raise InputError(
                "this model was trained without observations: use constrained sampling (method pc), or a model trained "
                "by conditional training"
            )
        fits = isinstance(operator, ObservedComponents)
        if fits and operator.basis is not None:
            fits = torch.allclose(operator.basis.cpu().double(), prior.preconditioning.basis, atol=1e-5)
        elif fits:
            fits = bool((operator.observed == operator.observed[:, :1]).all())
        if not fits:
            raise InputError(
                f"this model takes observations of whole pixels, or of luma and chroma by the {prior.gray_weights} "
                "weights (others: method pc)"
            )
        observed = operator.observed.expand(-1, 3, -1, -1)
        high, wide = (prior.luma_scale * side for side in y.shape[-2:])
        if fine is not None and fine.shape[-2:] != (high, wide):
            raise InputError(f"this model takes luma of {wide}x{high} here, not {fine.shape[-1]}x{fine.shape[-2]}")
        super().__init__(prior, operator, y)
        self.initial = prior.initial_estimate(operator.pinv(y.to(prior.device)), observed, coarse, fine, features)
        self._condition: Tensor | None = None  # made for the first of a sampler's evaluations
        self.orientations = orientations
        self.evaluations_per_noise = len(orientations)

    def smooth(self) -> Tensor:
        """The initial estimate as a picture in the model's range, to start from with noise above its error."""
        return self.prior.to_model((rotated(self.initial.mean, self.prior.preconditioning.basis.T) + 1) / 2)

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        if self.orientations == UPRIGHT:
            if self._condition is None:
                self._condition = self.prior.preconditioning.condition(self.initial)
            return self.prior.noise(x, t, self.initial, self._condition)
        each = []
        for number, one in enumerate(self.orientations):
            initial = self.initial.each(partial(turn, orientation=one))
            with part(number, len(self.orientations)):
                each.append(turn_back(self.prior.noise(turn(x, one), t, initial), one))
        return torch.stack(each).mean(0)

    def windows(self, boxes: Sequence[Box], samples: int) -> Conditioned:
        """The same over crops of the picture (`Tiled`); only `noise` is called on it."""
        # The initial estimate is cut out, not made anew: it knows what lies beyond the window.
        initial, scale = self.initial, self.prior.luma_scale
        mean, variance = (crops(x, boxes, samples) for x in (initial.mean, initial.variance))
        fine = features = None
        if initial.fine is not None:
            larger = [(scale * top, scale * left, scale * tall, scale * wide) for top, left, tall, wide in boxes]
            fine = crops(initial.fine, larger, samples)
        if initial.features is not None:
            height, width = initial.mean.shape[-2:]

            def shown(maps: Tensor) -> Tensor:
                return torch.cat([window(maps, box, (height, width)).expand(samples, -1, -1, -1) for box in boxes])

            features = tuple(map(shown, initial.features))
        part = copy(self)
        part.initial, part._condition = InitialEstimate(mean, variance, fine, features), None
        return part


def window(features: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The part of a map that covers a window of a picture, by bilinear interpolation.

    Args:
        features: (B, C, h, w), over all of the picture.
        box: top, left, height and width of the window in pixels; it may reach beyond the last row or column.
        size: height and width of the picture.
    """
    top, left, tall, wide = box
    height, width = features.shape[-2:]
    rows, columns = max(1, round(tall * height / size[0])), max(1, round(wide * width / size[1]))
    y = (2 * (top + tall * (torch.arange(rows) + 0.5) / rows) / size[0] - 1).to(features)
    x = (2 * (left + wide * (torch.arange(columns) + 0.5) / columns) / size[1] - 1).to(features)
    grid = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)
    return F.grid_sample(features, grid.expand(len(features), -1, -1, -1), "bilinear", "border", align_corners=False)
