"""Conditional priors, whose networks were trained with observations as input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.operators import ObservedComponents
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import centre
from scoreinv.prior import ScorePrior


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` whose network has maps of an observation as second input: `guidance.given` returns p_t(x | y).

    Args:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
    """

    preconditioning: ResidualPreconditioning

    @property
    def luma_scale(self) -> int:
        """Return the ratio of the sizes of the finer luma and of the picture."""
        return self.preconditioning.luma_scale

    @property
    def gray_weights(self) -> str:
        """Return the name of the grey weights that it was trained with."""
        return self.preconditioning.gray_weights

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
        not 1), NaN where unknown, and the features except the mean chroma. Mean and variance are along the axes of the
        basis. With u the pictures' components, u_1 the luma, g the chroma of a grey of luma 1, and c the mean chroma,
        or 0, the interpolated quantity is

            r = u - g u_1 - c,        so that u = r + g r_1 + c,

        because g and c have no luma. Without c a grey picture stays grey.
        """
        mean_chroma, others = self.chroma_and_others(features or ())
        pictures = operator.pinv(y.to(self.device))
        preconditioning, basis = self.preconditioning, self.preconditioning.basis
        # u at the full size and, if it was observed, at half the size.
        scales = [rotated(centre(x, self.data_range), basis) for x in (pictures, coarse) if x is not None]
        components, gray = scales[0], preconditioning.gray_chroma(scales[0])
        residuals = [u - gray * u[:, :1] for u in scales]
        if mean_chroma is not None:
            for r in residuals:
                r[:, 1:] -= resized_like(mean_chroma, r)
        observed = operator.observed.to(components.device).expand(-1, 3, -1, -1)
        details = torch.tensor(preconditioning.details)
        # The residual of chroma is known only if the luma is, too.
        smooth = smooth_estimate(residuals[0], observed * observed[:, :1], details, *residuals[1:])
        mean = smooth.mean + gray * smooth.mean[:, :1]
        if mean_chroma is not None:
            mean[:, 1:] += resized_like(mean_chroma, mean)
        variance = smooth.variance + gray.square() * smooth.variance[:, :1]
        known = (observed > 0).expand_as(components)
        finer = () if self.luma_scale == 1 else (self._fine_luma(fine, known, components),)
        return (torch.where(known, components, mean), torch.where(known, 0.0, variance), *finer, *others)

    def chroma_and_others(self, features: tuple[Tensor, ...]) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """Return the mean chroma of features, if they begin with it, and the others."""
        return None, features

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


def known_gray_weights(prior: object) -> str | None:
    """Return the name of the grey weights that a conditional prior was trained with; None for other models."""
    return prior.gray_weights if isinstance(prior, ConditionalPrior) else None


def resized_like(values: Tensor, like: Tensor) -> Tensor:
    """Return values (B, C, h, w) resized bilinearly to the size of `like`, in its dtype and on its device."""
    return F.interpolate(values.to(like), size=like.shape[-2:], mode="bilinear", align_corners=False)
