"""A prior whose network was trained to take an observation."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from scoreinv.conditional.encoder import look, look_for_chroma, seen_size
from scoreinv.conditional.guess import Guess
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.errors import InputError
from scoreinv.networks.base import Network
from scoreinv.networks.chroma import CHROMA_STRIDE, ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.preconditioning import centre
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import SDE, as_time


class ConditionalPrior(ScorePrior):
    """A `ScorePrior` that also knows grad log p_t(x | y), given the guess that was made from y.

    Without an observation it is the unconditional prior.

    Arguments:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
        encoder: computes the features of grey pictures that its network takes; None where it takes none.
        encoder_scale: how many times larger than the picture its luma is shown to the encoder.
        chroma: computes the mean chroma of grey pictures, on an encoder of its own that is then the prior's, too; None
            for priors whose guess of a grey picture's colours is the grey picture.
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
        self._encoder = encoder
        self.encoder_scale = encoder_scale
        self.chroma = chroma

    @property
    def encoder(self) -> Encoder | None:
        return self._encoder if self.chroma is None else self.chroma.encoder

    @property
    def luma_scale(self) -> int:
        """How many times finer than the picture its luma may be known besides; 1: not at all."""
        return self.preconditioning.luma_scale

    @property
    def gray_weights(self) -> str:
        """Name of the grey weights that luma and chroma are told apart by."""
        return self.preconditioning.gray_weights

    def guess(
        self,
        pictures: Tensor,
        observed: Tensor,
        coarse: Tensor | None = None,
        fine: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
    ) -> Guess:
        """What is made of pictures (B, 3, H, W) of which the components where `observed` is 1 are known.

        Arguments:
            observed: (B or 1, 3 or 1, H, W), 0 or 1: luma and the two axes of chroma.
            coarse: pictures of half the size (rounded up), means of 2x2 pixels, known besides; NaN where not.
            fine: pictures of `luma_scale` times the size, whose luma is known too where it is observed.
            features: what the pictures show, as `look` gives it.

        All pictures are in the model's range.
        """
        coarse, fine = (None if x is None else centre(x, self.data_range) for x in (coarse, fine))
        chroma = None
        if self.chroma is not None and features is not None:
            chroma, features = features[0], features[1:]
        guess = self.preconditioning.guess(centre(pictures, self.data_range), observed, coarse, fine, chroma)
        return replace(guess, features=features)

    def smooth(self, guess: Guess) -> Tensor:
        """The guess as a picture in the model's range, (B, 3, H, W)."""
        return self.to_model((self.preconditioning.rotate_back(guess.mean) + 1) / 2)

    def expected_error(self, x: Tensor, t: Tensor, guess: Guess | None = None) -> Tensor:
        """E |noise prediction - noise|^2 of a value, (B,), where F = 0 and the guess's variance is right."""
        return self.preconditioning.expected_error(x, t, self.sde, self.data_range, guess)

    def noise_given(self, x: Tensor, t: float | Tensor, guess: Guess) -> Tensor:
        """-sigma(t) grad log p_t(x | y), given the guess that was made from y, the shape of x."""
        self._check_shape(x)
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range, guess)

    def parts(self) -> dict[str, nn.Module]:
        chroma = {} if self.chroma is None else {"chroma.": self.chroma}
        return super().parts() | chroma

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """The size of the luma that `look` wants of a picture of height x width."""
        return seen_size(height, width, self.encoder_scale)

    def feature_shapes(self, height: int, width: int) -> list[tuple[int, int, int]]:
        """(C, h, w) of each map that `look` gives of a luma of height x width."""
        channels = self.network.config.feature_channels
        kinds = [*zip(channels, STRIDES[-len(channels) :], strict=True)]
        if self.chroma is not None:
            kinds.insert(0, (2, CHROMA_STRIDE))
        return [(count, height // stride, width // stride) for count, stride in kinds]

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
        if self.chroma is None:
            return look(self.encoder, luma)[-taken:]
        chroma, *maps = look_for_chroma(self.chroma, luma)
        return chroma, *maps[-taken:]
