"""Conditional priors, whose networks were trained with observations as input, and such priors given an observation."""

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
from scoreinv.windows.transforms import Orientation, crops, turn


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` whose network has an observation as second input: `given` returns a prior of p_t(x | y).

    Args:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
        encoder: computes features of grey pictures for the network; None if it has no such input.
        encoder_scale: ratio of the sizes of the encoder's input and of the picture.
        chroma: computes the mean chroma of grey pictures. Its encoder replaces `encoder`. None: the initial estimate of
            a grey picture's colours is the grey picture.
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

        Let u be the pictures' components along the basis, u_1 the luma, g the chroma of a grey of luma 1, and c the
        mean chroma in the features, or 0. The interpolated quantity is

            r = u - g u_1 - c,        so that u = r + g r_1 + c,

        because g and c have no luma. Without c a grey picture stays grey.
        """
        operator, features = observation.operator, observation.features
        assert isinstance(operator, ObservedComponents)
        pictures = operator.pinv(observation.y.to(self.device))
        preconditioning, basis = self.preconditioning, self.preconditioning.basis
        # u at the full size and, if it was observed, at half the size.
        scales = [rotated(centre(x, self.data_range), basis) for x in (pictures, observation.coarse) if x is not None]
        components, gray = scales[0], preconditioning.gray_chroma(scales[0])
        residuals = [u - gray * u[:, :1] for u in scales]
        chroma = None
        if self.chroma is not None and features is not None:
            chroma, features = features[0], features[1:]
            for r in residuals:
                r[:, 1:] -= resized_like(chroma, r)
        observed = operator.observed.to(components.device).expand(-1, 3, -1, -1)
        details = torch.tensor(preconditioning.details)
        # The residual of chroma is known only if the luma is, too.
        smooth = smooth_estimate(residuals[0], observed * observed[:, :1], details, *residuals[1:])
        mean = smooth.mean + gray * smooth.mean[:, :1]
        if chroma is not None:
            mean[:, 1:] += resized_like(chroma, mean)
        variance = smooth.variance + gray.square() * smooth.variance[:, :1]
        known = (observed > 0).expand_as(components)
        fine = None if observation.fine is None else self._known_fine_luma(observation.fine.to(components), known)
        return InitialEstimate(torch.where(known, components, mean), torch.where(known, 0.0, variance), fine, features)

    def _known_fine_luma(self, fine: Tensor, known: Tensor) -> Tensor:
        """Return the luma component of finer pictures, (B, 1, sH, sW), NaN where the luma is unknown.

        Args:
            fine: (B or 1, 3, sH, sW), with s the `luma_scale`.
            known: (B, 3, H, W) bool, the known components.
        """
        luma = rotated(centre(fine, self.data_range), self.preconditioning.basis)[:, :1]
        known_luma = known[:, :1].repeat_interleave(self.luma_scale, 2).repeat_interleave(self.luma_scale, 3)
        return torch.where(known_luma, luma.expand(len(known), -1, -1, -1), torch.nan)

    def parts(self) -> dict[str, nn.Module]:
        chroma = {} if self.chroma is None else {"chroma.": self.chroma}
        return super().parts() | chroma

    def encoder_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the luma for `gray_features`: `encoder_scale` times the picture's, in multiples of 32."""
        coarsest = STRIDES[-1]
        high, wide = (coarsest * max(1, round(self.encoder_scale * side / coarsest)) for side in (height, width))
        return high, wide

    def gray_features(self, luma: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of grey pictures for an `Observation`, by one evaluation of the encoder.

        The first is the mean chroma, if the prior has a network for it. The others are the encoder's coarsest maps, one
        for each level of the score network that has features as input.

        Args:
            luma: (B, 1, H, W) in [0, 1] of whole pictures, with sides in multiples of 32 (`encoder_size`).

        Raises InputError for a prior without an encoder.
        """
        if self.encoder is None:
            raise InputError("this model was trained without an encoder, and computes no features")
        count = len(self.network.config.feature_channels)
        with torch.no_grad():
            if self.chroma is None:
                return self.encoder.of_gray(luma)[-count:]
            chroma, maps = self.chroma(luma)
        return chroma, *maps[-count:]

    def feature_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """Return (C, h, w) of each map that `gray_features` computes for a luma of height x width."""
        channels = self.network.config.feature_channels
        maps = [*zip(channels, STRIDES[-len(channels) :], strict=True)]
        if self.chroma is not None:
            maps.insert(0, (2, CHROMA_STRIDE))
        return [(count, height // stride, width // stride) for count, stride in maps]


class Conditioned(GivenObservation):
    """A conditional prior given an observation: grad log p_t(x | y) by one evaluation of the network.

    y is an input of the network, so the only approximation is the network's, and a few steps of any sampler draw from
    p(x0 | y). At sigma_max its prediction (`denoise`) is the posterior mean E[x0 | y]. The observed components of the
    prediction equal y.

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
        turned = partial(turn, orientation=orientation)
        return self._with_initial(self.initial.transformed(turned, turned, turned))

    def windows(self, boxes: Sequence[Box], samples: int) -> Conditioned:
        """Return the prior over crops of the picture; only `noise` is called on it."""
        # The initial estimate is cropped, not recomputed: it depends on the observation beyond the window, too.
        scale, (height, width) = self.prior.luma_scale, self.initial.mean.shape[-2:]
        fine_boxes = [(scale * top, scale * left, scale * tall, scale * wide) for top, left, tall, wide in boxes]

        def cropped_features(maps: Tensor) -> Tensor:
            return torch.cat([crop_features(maps, box, (height, width)).expand(samples, -1, -1, -1) for box in boxes])

        cropped, cropped_fine = (partial(crops, boxes=each, samples=samples) for each in (boxes, fine_boxes))
        return self._with_initial(self.initial.transformed(cropped, cropped_fine, cropped_features))

    def _with_initial(self, initial: InitialEstimate) -> Conditioned:
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
        raise InputError("this model has no support for reference photos: use the model scene")
    return prior


def expected_error(prior: Prior, x0: Tensor, t: Tensor) -> Tensor:
    """Return the expected squared error of the noise prediction with F = 0, (B,): see `ResidualPreconditioning`.

    Args:
        prior: a conditional prior, given an observation or not.
        x0: pictures (B, 3, H, W), used for their shape.
        t: (B,).
    """
    initial, inner = (prior.initial, prior.prior) if isinstance(prior, Conditioned) else (None, prior)
    assert isinstance(inner, ConditionalPrior)  # as the training configuration checks
    return inner.preconditioning.expected_error(x0, t, inner.sde, inner.data_range, initial)


def resized_like(values: Tensor, like: Tensor) -> Tensor:
    """Return values (B, C, h, w) resized bilinearly to the size of `like`, in its dtype and on its device."""
    return F.interpolate(values.to(like), size=like.shape[-2:], mode="bilinear", align_corners=False)


def crop_features(features: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
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
