"""The conditional prior, whose network was trained to take an observation: what it makes of one, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.initial_estimate import InitialEstimate, smooth_estimate
from scoreinv.networks.base import Network
from scoreinv.networks.chroma import CHROMA_STRIDE, ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.operators.colour_space import colour_basis, luma_weights
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import Range, centre, noise_level
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import SDE, as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.system.options import Number, Whole, check, require


@dataclass(frozen=True)
class ResidualPreconditioning:
    """EDM of what an initial estimate m leaves open, whose expected variance is v at each component of each pixel.

    With u the noisy picture x_t / alpha, centred, in an orthonormal basis of colour space whose first axis is the grey
    direction,

        D = m + v / (s^2 + v) (u - m) + s sqrt(v) / sqrt(s^2 + v) F(c (u - m) / sqrt(s^2 + v), condition, s),
        noise = (u - m) s / (s^2 + v) - F sqrt(v) / sqrt(s^2 + v).

    The initial estimate interpolates what is observed (`smooth_estimate`), so F has unit variance, or less, wherever it
    is asked: beside a known pixel and in the middle of a hole, in luma and in chroma. Where a component is observed v =
    0, and D is the observation whatever F says. The condition is m, whether a component is observed, 1 - sqrt(v /
    v_total), and the detail of m in units of its local strength; all 0 where nothing is observed, which is the
    unconditional network. c = (v / (s^2 + v))^(1/4) takes the input away where noise drowns it, so that the network
    need not learn to.

    Attributes:
        details: variances of a picture's details at each octave, see `smooth_estimate`: of the luma, and of the two
            axes of chroma beyond that of a grey. The defaults are of photographs: with them the initial estimate's
            squared error on held-out ones is 0.8 to 1.6 of the expected, for each component and holes of any kind.
        gray_weights: name of the grey weights that the basis is made of.
        luma_scale: how many times finer than the picture the luma may be known besides (`InitialEstimate.fine`):
            texture tells leaves from stone, which a small picture of them does not. 1: not at all.
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
        """Axes of colour, the rows of (3, 3) float64; the first is the grey direction."""
        return torch.from_numpy(colour_basis(self.gray_weights))

    @property
    def condition_channels(self) -> int:
        """Of the condition: four for each axis of the colour basis, and the finer luma's details and their strength."""
        return 12 if self.luma_scale == 1 else 12 + self.luma_scale**2 + 1

    def noise(
        self,
        network: nn.Module,
        x: Tensor,
        t: Tensor,
        sde: SDE,
        data_range: Range,
        initial: InitialEstimate | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """-sigma(t) grad log p_t(x | what the initial estimate was made from); None: nothing.

        condition: `condition(initial)`, where it is at hand.
        """
        s = noise_level(t, sde, data_range)
        level, (_, total), basis = broadcast(s, x), self.of_grays(x), self.basis
        mean = torch.zeros_like(x) if initial is None else initial.mean
        variance = total.expand_as(x) if initial is None else initial.variance
        residual = rotated(centre(x / broadcast(sde.alpha(t), x), data_range), basis) - mean
        norm = (level.square() + variance).sqrt()
        free = (variance > 0).to(x.dtype)
        if initial is not None:
            condition = (self.condition(initial) if condition is None else condition).expand(len(x), -1, -1, -1)
        # What is observed is known without noise: its noisy state says nothing.
        scaled = residual * free * variance**0.25 / norm**1.5
        shown = None if initial is None else initial.features
        output = network(scaled, s, condition) if shown is None else network(scaled, s, condition, shown)
        return rotated(level * residual / norm.square() - variance.sqrt() / norm * output, basis.T)

    def condition(self, initial: InitialEstimate) -> Tensor:
        """What the network is shown of an initial estimate beside its features, (B, `condition_channels`, H, W)."""
        mean, variance = initial.mean, initial.variance
        # What 5x5 means leave, over its rms in 9x9 pixels: faint detail counts as much as strong.
        detail = mean - _box(mean, 2)
        contrast = detail / (_box(detail.square(), 4) + 3e-4).sqrt()
        known = (variance == 0).to(mean.dtype)
        parts = [mean, known, 1 - (variance / self.of_grays(mean)[1]).sqrt(), contrast]
        if self.luma_scale > 1:
            parts.append(self._texture(mean, initial.fine))
        return torch.cat(parts, dim=1)

    def expected_error(
        self, x: Tensor, t: Tensor, sde: SDE, data_range: Range, initial: InitialEstimate | None = None
    ) -> Tensor:
        """Mean of v / (s^2 + v), (B,): E |noise prediction - noise|^2 of a value where F = 0 and v is right.

        x has the pictures' shape.
        """
        variance = self.of_grays(x)[1].expand_as(x) if initial is None else initial.variance
        level = broadcast(noise_level(t, sde, data_range), x)
        return (variance / (level.square() + variance)).flatten(1).mean(1)

    def chroma_beyond_gray(self, pictures: Tensor) -> Tensor:
        """Of centred pictures (B, 3, H, W), less the chroma of a grey of the same luma: (B, 2, H, W)."""
        components = rotated(pictures, self.basis)
        return (components - self.of_grays(components)[0] * components[:, :1])[:, 1:]

    @property
    def chroma_variance(self) -> float:
        """Expected of `chroma_beyond_gray`, the mean of both axes."""
        return sum(map(sum, self.details[1:])) / 2

    def of_grays(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What each axis has of a grey whose first component is 1, (1, 3, 1, 1), 0 for the first axis itself; and the
        variance of each component where nothing is known, likewise.
        """
        share = self.basis.sum(1) / self.basis[0].sum()
        share[0] = 0
        gray = share.to(like)[None, :, None, None]
        beyond = torch.tensor(self.details, dtype=like.dtype, device=like.device).sum(1)[None, :, None, None]
        return gray, beyond + gray.square() * beyond[:, :1]

    def _texture(self, mean: Tensor, fine: Tensor | None) -> Tensor:
        """What the finer luma has beyond that of each pixel, in units of its local strength, and the strength's log.

        The strength is its rms over 9x9 pixels, among which unknown ones count as flat.
        """
        scale = self.luma_scale
        if fine is None:
            return mean.new_zeros(len(mean), scale**2 + 1, *mean.shape[2:])
        blocks = F.pixel_unshuffle(fine, scale)
        known = blocks.isfinite().all(1, keepdim=True)
        detail = torch.where(known, blocks - blocks.mean(1, keepdim=True), 0.0)
        strength = (_box(detail.square().mean(1, keepdim=True), 4) + 3e-4).sqrt()
        return torch.cat([detail / strength, torch.where(known, strength.log() + 2.5, 0.0)], dim=1)


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` that also knows grad log p_t(x | y), given the initial estimate that was made from y.

    Args:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
        encoder: computes the features of grey pictures that its network takes; None where it takes none.
        encoder_scale: how many times larger than the picture its luma is shown to the encoder.
        chroma: computes the mean chroma of grey pictures, on an encoder of its own that is then the prior's, too; None
            for priors whose initial estimate of a grey picture's colours is the grey picture.
    """

    conditional = True
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

    @property
    def for_colour(self) -> bool:
        """Whether it was trained to colour grey pictures, by what an encoder sees in them; else to fill holes."""
        return self.encoder is not None

    def noise(
        self, x: Tensor, t: float | Tensor, initial: InitialEstimate | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """-sigma(t) grad log p_t(x | y), given the initial estimate that was made from y; None: nothing is observed.

        condition: `preconditioning.condition(initial)`, where it is at hand.
        """
        self._check_shape(x)
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range, initial, condition)

    def initial_estimate(
        self,
        pictures: Tensor,
        observed: Tensor,
        coarse: Tensor | None = None,
        fine: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
    ) -> InitialEstimate:
        """What is made of pictures (B, 3, H, W) of which the components where `observed` is 1 are known.

        It interpolates the luma, and the chroma beyond what is expected of a grey of this luma. Without other
        expectations a grey picture stays grey.

        Args:
            observed: (B or 1, 3 or 1, H, W), 0 or 1: luma and the two axes of chroma.
            coarse: pictures of half the size (rounded up), means of 2x2 pixels, known besides; NaN where not.
            fine: pictures of `luma_scale` times the size, whose luma is known too where it is observed.
            features: what the pictures show, as `look` gives it.

        All pictures are in the model's range.
        """
        reading, scale = self.preconditioning, self.luma_scale
        given = [rotated(centre(x, self.data_range), reading.basis) for x in (pictures, coarse) if x is not None]
        components, (gray, _) = given[0], reading.of_grays(given[0])
        beyond = [u - gray * u[:, :1] for u in given]
        chroma = None
        if self.chroma is not None and features is not None:
            chroma, features = features[0], features[1:]
            for u in beyond:
                u[:, 1:] -= at_size_of(chroma, u)
        observed = observed.to(components.device).expand(-1, 3, -1, -1)
        smooth = smooth_estimate(beyond[0], observed * observed[:, :1], torch.tensor(reading.details), *beyond[1:])
        mean = smooth.mean + gray * smooth.mean[:, :1]
        if chroma is not None:
            mean[:, 1:] += at_size_of(chroma, mean)
        variance = smooth.variance + gray.square() * smooth.variance[:, :1]
        known = observed > 0
        if fine is not None:
            luma = rotated(centre(fine, self.data_range).to(components), reading.basis)[:, :1]
            shown = known[:, :1].repeat_interleave(scale, 2).repeat_interleave(scale, 3)
            fine = torch.where(shown, luma.expand(len(components), -1, -1, -1), torch.nan)
        return InitialEstimate(torch.where(known, components, mean), torch.where(known, 0.0, variance), fine, features)

    def parts(self) -> dict[str, nn.Module]:
        chroma = {} if self.chroma is None else {"chroma.": self.chroma}
        return super().parts() | chroma

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the luma that `look` wants of a picture: `encoder_scale` times it, in multiples of 32."""
        coarsest = STRIDES[-1]
        high, wide = (coarsest * max(1, round(self.encoder_scale * side / coarsest)) for side in (height, width))
        return high, wide

    def look(self, luma: Tensor) -> tuple[Tensor, ...]:
        """What grey pictures show: maps for `Conditioned`, one evaluation of the encoder.

        The first is the mean chroma, of a prior that has a network for it. The others are the coarsest of the encoder's
        features, as many as the score network has levels that take them.

        luma: (B, 1, H, W) in [0, 1], of sides that are multiples of 32, over all of each picture (`seen_size`).

        Raises InputError for a prior whose network takes no features.
        """
        if self.encoder is None:
            raise InputError("this model looks at no pictures: it was trained without an encoder")
        taken = len(self.network.config.feature_channels)
        with torch.no_grad():
            if self.chroma is None:
                return self.encoder.of_gray(luma)[-taken:]
            chroma, maps = self.chroma(luma)
        return chroma, *maps[-taken:]

    def feature_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """(C, h, w) of each map that `look` gives of a luma of height x width."""
        channels = self.network.config.feature_channels
        kinds = [*zip(channels, STRIDES[-len(channels) :], strict=True)]
        if self.chroma is not None:
            kinds.insert(0, (2, CHROMA_STRIDE))
        return [(count, height // stride, width // stride) for count, stride in kinds]


def at_size_of(chroma: Tensor, u: Tensor) -> Tensor:
    """Chroma (B, 2, h, w), brought to the size of pictures u."""
    return F.interpolate(chroma.to(u), size=u.shape[-2:], mode="bilinear", align_corners=False)


def _box(x: Tensor, radius: int) -> Tensor:
    """Means over the 2 radius + 1 pixels around each, down and then across: for 9x9 18 additions in place of 81."""
    side = 2 * radius + 1
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (side, 1), 1), (1, side), 1)
