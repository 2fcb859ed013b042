"""Conditional priors, whose networks were trained to take an observation, and those priors given one."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.initial_estimate import InitialEstimate, smooth_estimate
from scoreinv.conditional.observation import GivenObservation, Observation
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.networks.chroma import CHROMA_STRIDE, ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import centre
from scoreinv.prior import Network, Prior, RecommendedSampler, ScorePrior
from scoreinv.sdes import SDE, as_time
from scoreinv.system.errors import InputError
from scoreinv.windows.boxes import Box
from scoreinv.windows.local import Orientation, crops, turn


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` whose network also takes an observation: `given` returns grad log p_t(x | y).

    Args:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
        encoder: computes the network's features of grey pictures; None if the network takes none.
        encoder_scale: size of the encoder's luma over that of the picture.
        chroma: computes the mean chroma of grey pictures. Its encoder replaces `encoder`. If None, the initial estimate
            of a grey picture's colours is the grey picture.
    """

    preconditioning: ResidualPreconditioning

    def __init__(
        self,
        network: Network,
        sde: SDE,
        preconditioning: ResidualPreconditioning,
        data_range: tuple[float, float] = (-1.0, 1.0),
        image_size: int = 32,
        sampler: RecommendedSampler | None = None,
        encoder: Encoder | None = None,
        encoder_scale: int = 0,
        chroma: ChromaNetwork | None = None,
    ) -> None:
        super().__init__(network, sde, preconditioning, data_range, image_size, sampler)
        self.luma_scale = preconditioning.luma_scale
        self.gray_weights = preconditioning.gray_weights
        self.encoder = encoder if chroma is None else chroma.encoder
        self.encoder_scale = encoder_scale
        self.chroma = chroma

    def noise(
        self, x: Tensor, t: float | Tensor, initial: InitialEstimate | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Return -sigma(t) grad log p_t(x | y), the shape of x.

        Args:
            initial: initial estimate from y; None if nothing is observed.
            condition: `preconditioning.condition(initial)` if it was computed before.
        """
        self._check_shape(x)
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range, initial, condition)

    def accepts(self, observation: Observation) -> str | None:
        operator, fits = observation.operator, False
        if isinstance(operator, ObservedComponents) and operator.basis is not None:
            fits = torch.allclose(operator.basis.cpu().double(), self.preconditioning.basis, atol=1e-5)
        elif isinstance(operator, ObservedComponents):
            fits = bool((operator.observed == operator.observed[:, :1]).all())
        if not fits:
            return (
                f"this model takes observations of whole pixels, or of luma and chroma by the {self.gray_weights} "
                "weights: use constrained sampling (method pc) for others"
            )
        return "this model takes observations without noise" if observation.noise_std else None

    def given(self, observation: Observation) -> Conditioned:
        if reason := self.accepts(observation):
            raise InputError(reason)
        return Conditioned(self, observation)

    def initial_estimate(self, observation: Observation) -> InitialEstimate:
        """Return the initial estimate of pictures from an observation that the prior accepts.

        It interpolates the luma, and the chroma beyond that of a grey of the same luma, or beyond the mean chroma in
        the features. So a grey picture stays grey if its features hold no mean chroma.
        """
        operator, fine, features = observation.operator, observation.fine, observation.features
        assert isinstance(operator, ObservedComponents)
        pictures = operator.pinv(observation.y.to(self.device))
        preconditioning, scale = self.preconditioning, self.luma_scale
        basis = preconditioning.basis
        scales = [rotated(centre(x, self.data_range), basis) for x in (pictures, observation.coarse) if x is not None]
        components, (gray, _) = scales[0], preconditioning.of_grays(scales[0])
        beyond = [u - gray * u[:, :1] for u in scales]
        chroma = None
        if self.chroma is not None and features is not None:
            chroma, features = features[0], features[1:]
            for u in beyond:
                u[:, 1:] -= at_size_of(chroma, u)
        observed = operator.observed.to(components.device).expand(-1, 3, -1, -1)
        details = torch.tensor(preconditioning.details)
        smooth = smooth_estimate(beyond[0], observed * observed[:, :1], details, *beyond[1:])
        mean = smooth.mean + gray * smooth.mean[:, :1]
        if chroma is not None:
            mean[:, 1:] += at_size_of(chroma, mean)
        variance = smooth.variance + gray.square() * smooth.variance[:, :1]
        known = observed > 0
        if fine is not None:
            luma = rotated(centre(fine, self.data_range).to(components), basis)[:, :1]
            known_luma = known[:, :1].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
            fine = torch.where(known_luma, luma.expand(len(components), -1, -1, -1), torch.nan)
        return InitialEstimate(torch.where(known, components, mean), torch.where(known, 0.0, variance), fine, features)

    def parts(self) -> dict[str, nn.Module]:
        chroma = {} if self.chroma is None else {"chroma.": self.chroma}
        return super().parts() | chroma

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the luma that `look` takes of a picture: `encoder_scale` times it, in multiples of 32."""
        coarsest = STRIDES[-1]
        high, wide = (coarsest * max(1, round(self.encoder_scale * side / coarsest)) for side in (height, width))
        return high, wide

    def look(self, luma: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of grey pictures for an `Observation`, by one evaluation of the encoder.

        The first is the mean chroma, if the prior has a network for it. The others are the encoder's coarsest maps, one
        for each level of the score network that takes features.

        Args:
            luma: (B, 1, H, W) in [0, 1] of whole pictures, with sides in multiples of 32 (`seen_size`).

        Raises InputError for a prior without an encoder.
        """
        if self.encoder is None:
            raise InputError("this model was trained without an encoder, and computes no features")
        taken = len(self.network.config.feature_channels)
        with torch.no_grad():
            if self.chroma is None:
                return self.encoder.of_gray(luma)[-taken:]
            chroma, maps = self.chroma(luma)
        return chroma, *maps[-taken:]

    def feature_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return (C, h, w) of each map that `look` computes for a luma of height x width."""
        channels = self.network.config.feature_channels
        kinds = [*zip(channels, STRIDES[-len(channels) :], strict=True)]
        if self.chroma is not None:
            kinds.insert(0, (2, CHROMA_STRIDE))
        return [(count, height // stride, width // stride) for count, stride in kinds]


class Conditioned(GivenObservation):
    """grad log p_t(x | y) of a conditional prior given an observation, one evaluation of the network each.

    The network takes y as an input, so only its training approximates, and a few steps of any sampler draw from
    p(x0 | y). At sigma_max its prediction is the posterior mean E[x0 | y] (`denoise`). The observed components of the
    estimate equal y.

    Attributes:
        initial: the initial estimate from y.
    """

    prior: ConditionalPrior

    def __init__(self, prior: ConditionalPrior, observation: Observation) -> None:
        super().__init__(prior, observation)
        self.initial = prior.initial_estimate(observation)
        self._condition: Tensor | None = None  # cached by the first evaluation

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        if self._condition is None:
            self._condition = self.prior.preconditioning.condition(self.initial)
        return self.prior.noise(x, t, self.initial, self._condition)

    def initial_picture(self) -> Tensor:
        """Return the mean of the initial estimate as a picture in the model's range."""
        return self.prior.to_model((rotated(self.initial.mean, self.prior.preconditioning.basis.T) + 1) / 2)

    def turned(self, orientation: Orientation) -> Conditioned:
        """Return the prior of the picture in this orientation; only `noise` is called on it."""
        change = partial(turn, orientation=orientation)
        return self._about(self.initial.changed(change, change, change))

    def windows(self, boxes: Sequence[Box], samples: int) -> Conditioned:
        """Return the prior over crops of the picture; only `noise` is called on it."""
        # The initial estimate is cropped, not recomputed, so that it uses the observation beyond the window.
        scale, (height, width) = self.prior.luma_scale, self.initial.mean.shape[-2:]
        larger = [(scale * top, scale * left, scale * tall, scale * wide) for top, left, tall, wide in boxes]

        def cut(maps: Tensor) -> Tensor:
            return torch.cat([window(maps, box, (height, width)).expand(samples, -1, -1, -1) for box in boxes])

        whole, fine = (partial(crops, boxes=each, samples=samples) for each in (boxes, larger))
        return self._about(self.initial.changed(whole, fine, cut))

    def _about(self, initial: InitialEstimate) -> Conditioned:
        changed = copy(self)
        changed.initial, changed._condition = initial, None
        return changed


def trained_task(prior: object) -> Literal["fill", "colour"] | None:
    """Return the task that a conditional prior was trained for; None for other models.

    Only priors that colour grey pictures have an encoder.
    """
    if not isinstance(prior, ConditionalPrior):
        return None
    return "fill" if prior.encoder is None else "colour"


def known_gray_weights(prior: object) -> str | None:
    """Return the name of the grey weights that a conditional prior was trained with; None for other models."""
    return prior.gray_weights if isinstance(prior, ConditionalPrior) else None


def check_references(prior: Prior) -> ConditionalPrior:
    """Return the prior. Raise InputError if it has no network of the mean chroma, which references need."""
    if not isinstance(prior, ConditionalPrior) or prior.chroma is None:
        raise InputError("this model compares no pictures: scene takes references")
    return prior


def expected_error(prior: Prior, x0: Tensor, t: Tensor) -> Tensor:
    """Return the expected squared error of the noise prediction with F = 0, (B,), of a conditional prior.

    It may be given an observation. x0 has the pictures' shape; t is (B,).
    """
    initial, inner = (prior.initial, prior.prior) if isinstance(prior, Conditioned) else (None, prior)
    assert isinstance(inner, ConditionalPrior)  # as the training configuration checks
    return inner.preconditioning.expected_error(x0, t, inner.sde, inner.data_range, initial)


def at_size_of(chroma: Tensor, u: Tensor) -> Tensor:
    """Return chroma (B, 2, h, w) resized to the size of pictures u."""
    return F.interpolate(chroma.to(u), size=u.shape[-2:], mode="bilinear", align_corners=False)


def window(features: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Return the part of a feature map that covers a window of a picture, by bilinear interpolation.

    Args:
        features: (B, C, h, w), of the whole picture.
        box: the window in pixels; it may reach beyond the last row or column.
        size: height and width of the picture.
    """
    top, left, tall, wide = box
    height, width = features.shape[-2:]
    rows, columns = max(1, round(tall * height / size[0])), max(1, round(wide * width / size[1]))
    y = (2 * (top + tall * (torch.arange(rows) + 0.5) / rows) / size[0] - 1).to(features)
    x = (2 * (left + wide * (torch.arange(columns) + 0.5) / columns) / size[1] - 1).to(features)
    grid = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)
    return F.grid_sample(features, grid.expand(len(features), -1, -1, -1), "bilinear", "border", align_corners=False)
