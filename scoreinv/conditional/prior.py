"""The conditional prior, whose network was trained to take an observation, and what it makes of one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.interpolation import InitialEstimate, smooth_estimate
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.errors import InputError
from scoreinv.networks.base import Network
from scoreinv.networks.chroma import CHROMA_STRIDE, ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.operators.pixelwise import rotated
from scoreinv.preconditioning import centre
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import SDE, as_time


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` that also knows grad log p_t(x | y), given the initial estimate that was made from y.

    Arguments:
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

        Arguments:
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
