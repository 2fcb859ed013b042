"""Conditional priors, whose networks were trained with observations as input."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.networks.chroma import CHROMA_STRIDE, ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import centre
from scoreinv.prior import Network, Prior, RecommendedSampler, ScorePrior
from scoreinv.sdes import SDE
from scoreinv.system.errors import InputError


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` whose network has maps of an observation as second input: `guidance.given` returns p_t(x | y).

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

    def maps(
        self,
        operator: ObservedComponents,
        y: Tensor,
        coarse: Tensor | None = None,
        fine: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the network's maps of an observation, see `Observation`.

        They are the mean and the variance of the initial estimate, the luma at `luma_scale` times the size (if that is
        not 1), NaN where unknown, and the features (if given). Mean and variance are along the axes of the basis. With
        u the pictures' components, u_1 the luma, g the chroma of a grey of luma 1, and c the mean chroma in the
        features, or 0, the interpolated quantity is

            r = u - g u_1 - c,        so that u = r + g r_1 + c,

        because g and c have no luma. Without c a grey picture stays grey.
        """
        pictures = operator.pinv(y.to(self.device))
        preconditioning, basis = self.preconditioning, self.preconditioning.basis
        # u at the full size and, if it was observed, at half the size.
        scales = [rotated(centre(x, self.data_range), basis) for x in (pictures, coarse) if x is not None]
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
        finer = () if self.luma_scale == 1 else (self._fine_luma(fine, known, components),)
        return (torch.where(known, components, mean), torch.where(known, 0.0, variance), *finer, *(features or ()))

    def _fine_luma(self, fine: Tensor | None, known: Tensor, like: Tensor) -> Tensor:
        """Return the luma component of finer pictures, (B or 1, 1, sH, sW), NaN where the luma is unknown.

        Args:
            fine: (B or 1, 3, sH, sW), with s the `luma_scale`; None: unknown everywhere.
            known: (B, 3, H, W) bool, the known components.
            like: has the result's dtype and device.
        """
        scale, (height, width) = self.luma_scale, known.shape[-2:]
        if fine is None:
            return like.new_full((1, 1, scale * height, scale * width), torch.nan)
        luma = rotated(centre(fine.to(like), self.data_range), self.preconditioning.basis)[:, :1]
        known_luma = known[:, :1].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        return torch.where(known_luma, luma.expand(len(known), -1, -1, -1), torch.nan)

    def expected_error(self, x0: Tensor, t: Tensor, *maps: Tensor) -> Tensor:
        """Return the expected squared error of the noise prediction with F = 0, (B,): see `ResidualPreconditioning`.

        Args:
            x0: pictures (B, 3, H, W), used for their shape.
            t: (B,).
        """
        return self.preconditioning.expected_error(x0, t, self.sde, self.data_range, *maps)

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


def resized_like(values: Tensor, like: Tensor) -> Tensor:
    """Return values (B, C, h, w) resized bilinearly to the size of `like`, in its dtype and on its device."""
    return F.interpolate(values.to(like), size=like.shape[-2:], mode="bilinear", align_corners=False)
