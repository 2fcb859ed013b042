"""The preconditioning of networks that take an observation: EDM about an initial estimate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.operators.luma import colour_basis, luma_weights
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import Range, centre, noise_level
from scoreinv.sdes import SDE, broadcast
from scoreinv.system.options import Number, Whole, check, require


@dataclass(frozen=True)
class ResidualPreconditioning:
    """EDM preconditioning of the residual of an initial estimate m with expected error variance v.

    With u the noisy picture x_t / alpha, centred, in an orthonormal basis of colour space whose first axis is the grey
    direction,

        D = m + v / (s^2 + v) (u - m) + s sqrt(v) / sqrt(s^2 + v) F(c (u - m) / sqrt(s^2 + v), condition, s),
        noise = (u - m) s / (s^2 + v) - F sqrt(v) / sqrt(s^2 + v).

    Both m and v have a value per pixel and component. F has at most unit variance everywhere: beside a known pixel and
    in the middle of a hole, in luma and in chroma. An observed component has v = 0, so D is the observation.

    The condition has four channels per component: m, whether the component is observed, 1 - sqrt(v / v_total), and the
    detail of m in units of its local strength. If nothing is observed, it is 0, and the network is unconditional. The
    factor c = (v / (s^2 + v))^(1/4) suppresses inputs dominated by noise, which the network would have to learn to
    ignore.

    Attributes:
        details: variances of a picture's details at each octave (`smooth_estimate`): of the luma, and of both axes of
            chroma less that of a grey of the same luma. Fitted on photographs. On held-out ones the squared error of
            the initial estimate is 0.8 to 1.6 times the expected one, for each component and all kinds of holes.
        gray_weights: name of the grey weights of the basis.
        luma_scale: ratio of the sizes of the finer luma and of the picture. Fine texture
            distinguishes leaves from stone. 1: the network has no input of finer luma.
    """

    details: tuple[tuple[float, ...], ...] = (
        (0.031, 0.037, 0.048, 0.066, 0.086, 0.110, 0.180),
        (0.0018, 0.0034, 0.0057, 0.0092, 0.0138, 0.0200, 0.0800),
        (0.0007, 0.0013, 0.0020, 0.0030, 0.0041, 0.0050, 0.0250),
    )
    gray_weights: str = "rec601"
    luma_scale: int = 1

    def __post_init__(self) -> None:
        lengths = {len(octaves) for octaves in self.details}
        require(len(self.details) == 3 and len(lengths) == 1, "details must be three lists of the same length")
        check("the number of octaves of details", lengths.pop(), Whole(1, 16))
        for each in chain(*self.details):
            check("each of details", each, Number(1e-12, 1e6))
        luma_weights(self.gray_weights)

    @property
    def basis(self) -> Tensor:
        """Return the axes of colour as rows, (3, 3) float64; the first is the grey direction."""
        return torch.from_numpy(colour_basis(self.gray_weights))

    @property
    def condition_channels(self) -> int:
        """Return the channels of the condition: four per axis of colour, and the finer luma's detail and strength."""
        return 12 if self.luma_scale == 1 else 12 + self.luma_scale**2 + 1

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range, *maps: Tensor) -> Tensor:
        """Return -sigma(t) grad log p_t(x | y), the shape of x.

        maps: `ConditionalPrior.maps` of y; none if nothing is observed.
        """
        s = noise_level(t, sde, data_range)
        level, basis = broadcast(s, x), self.basis
        count = 2 if self.luma_scale == 1 else 3
        mean, variance = maps[:2] or (torch.zeros_like(x), self.total_variance(x).expand_as(x))
        condition = self.condition(*maps[:count]).expand(len(x), -1, -1, -1) if maps else None
        residual = rotated(centre(x / broadcast(sde.alpha(t), x), data_range), basis) - mean
        norm = (level.square() + variance).sqrt()
        free = (variance > 0).to(x.dtype)
        # Observed components are known without noise, so their noisy state carries no information.
        scaled = residual * free * variance**0.25 / norm**1.5
        features = maps[count:]
        output = network(scaled, s, condition, features) if features else network(scaled, s, condition)
        return rotated(level * residual / norm.square() - variance.sqrt() / norm * output, basis.T)

    def condition(self, mean: Tensor, variance: Tensor, fine: Tensor | None = None) -> Tensor:
        """Return the network's condition, (B, `condition_channels`, H, W), from the first `ConditionalPrior.maps`."""
        # Difference from 5x5 means, divided by its rms over 9x9 pixels: faint detail counts as much as strong.
        detail = mean - _box(mean, 2)
        contrast = detail / (_box(detail.square(), 4) + 3e-4).sqrt()
        known = (variance == 0).to(mean.dtype)
        parts = [mean, known, 1 - (variance / self.total_variance(mean)).sqrt(), contrast]
        if fine is not None:
            parts.append(self._texture(fine).expand(len(mean), -1, -1, -1))
        return torch.cat(parts, dim=1)

    def expected_error(self, x: Tensor, t: Tensor, sde: SDE, data_range: Range, *maps: Tensor) -> Tensor:
        """Return the mean of v / (s^2 + v), (B,): the expected squared error of the noise prediction with F = 0.

        x serves for its shape, (B, 3, H, W), dtype and device.
        """
        variance = maps[1] if maps else self.total_variance(x).expand_as(x)
        level = broadcast(noise_level(t, sde, data_range), x)
        return (variance / (level.square() + variance)).flatten(1).mean(1)

    def chroma_beyond_gray(self, pictures: Tensor) -> Tensor:
        """Return the chroma of centred pictures (B, 3, H, W) less that of a grey of the same luma, (B, 2, H, W)."""
        components = rotated(pictures, self.basis)
        return (components - self.gray_chroma(components) * components[:, :1])[:, 1:]

    @property
    def chroma_variance(self) -> float:
        """Return the expected variance of `chroma_beyond_gray`, the mean of both axes."""
        return sum(map(sum, self.details[1:])) / 2

    def gray_chroma(self, like: Tensor) -> Tensor:
        """Return the components of a grey of luma 1 along the axes of the basis, (1, 3, 1, 1), with 0 for the luma.

        They are 0 for equal grey weights.
        """
        chroma = self.basis.sum(1) / self.basis[0].sum()
        chroma[0] = 0
        return chroma.to(like)[None, :, None, None]

    def total_variance(self, like: Tensor) -> Tensor:
        """Return the variance of each component in photographs, v_total, (1, 3, 1, 1)."""
        beyond = torch.tensor(self.details, dtype=like.dtype, device=like.device).sum(1)[None, :, None, None]
        return beyond + self.gray_chroma(like).square() * beyond[:, :1]

    def _texture(self, fine: Tensor) -> Tensor:
        """Return the finer luma's detail within each pixel in units of its local strength, and the strength's log.

        The strength is the rms over 9x9 pixels; unknown pixels count as flat.
        """
        blocks = F.pixel_unshuffle(fine, self.luma_scale)
        known = blocks.isfinite().all(1, keepdim=True)
        detail = torch.where(known, blocks - blocks.mean(1, keepdim=True), 0.0)
        strength = (_box(detail.square().mean(1, keepdim=True), 4) + 3e-4).sqrt()
        return torch.cat([detail / strength, torch.where(known, strength.log() + 2.5, 0.0)], dim=1)


def _box(x: Tensor, radius: int) -> Tensor:
    """Return box means of side 2 radius + 1. Separable passes take 18 additions for 9x9 instead of 81."""
    side = 2 * radius + 1
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (side, 1), 1), (1, side), 1)
