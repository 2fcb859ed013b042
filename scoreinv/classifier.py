"""A classifier of noisy pictures, log p_t(class | x), for class-conditional sampling by its gradients."""

from __future__ import annotations

from torch import Tensor

from scoreinv.networks.base import Model
from scoreinv.networks.classifiers import ConvNet, WideResNet
from scoreinv.preconditioning import centre, noise_level
from scoreinv.sdes import SDE, as_time, broadcast

_DATA_STD = 0.5
"""Of pictures on [-1, 1]: the network's input has about unit variance at every noise level."""
_FADE = 5.0
"""Noise level where the classes of pictures drown: beyond it log-odds fall as 1/s."""


class NoiseClassifier(Model):
    """Logits of the classes given a state x_t of a forward process (Song et al. 2021, appendix I.1).

    logits(x, t) = F((x / alpha) / sqrt(s^2 + 1/4), s) / sqrt(1 + (s / 5)^2) at the noise level s = sigma / alpha, with
    x / alpha centred on [-1, 1] and s in its units: so input and output of F are of order one at every noise level, and
    what it does not know at large noise stays small, where guidance multiplies it by s.

    Arguments:
        network: F, maps (B, C, H, W) and noise levels (B,) to logits (B, K).
        sde: the forward process of the states.
        data_range: their values of black and white.
        image_size: side of the training pictures.
        classes: names of the K classes.
        guidance: scale of its gradient that is recommended; see `guidance.ClassifierGuidance`.
    """

    network: WideResNet | ConvNet
    kind = "a classifier"

    def __init__(
        self,
        network: WideResNet | ConvNet,
        sde: SDE,
        data_range: tuple[float, float],
        image_size: int,
        classes: tuple[str, ...],
        guidance: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.sde = sde
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.image_size = image_size
        self.classes = classes
        self.guidance = guidance

    def __repr__(self) -> str:
        """On one line, without the layers of the network."""
        side = self.image_size
        return f"{type(self).__name__}({len(self.classes)} classes, {self.sde}, {side}x{side} pixels)"

    @property
    def guides(self) -> bool:
        """Whether the network knows noisy pictures; one that does not can judge pictures, not steer their drawing."""
        return self.network.noise_conditional

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Logits (B, K) of states x (B, C, H, W) at times t, a number or (B,); differentiable in x."""
        inputs, level = self._inputs(x, t)
        logits = self.network(inputs, level)
        return logits.to(x.dtype) * (1 + (level / _FADE).square()).rsqrt().to(x)[:, None]

    def features(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The network's last features (B, D), which the logits at one noise level are a linear function of."""
        return self.network.features(*self._inputs(x, t)).to(x.dtype)

    def _inputs(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        t = as_time(t).expand(len(x))
        level = noise_level(t, self.sde, self.data_range)
        clean_scale = centre(x / broadcast(self.sde.alpha(t), x), self.data_range)
        scale = (level.square() + _DATA_STD**2).rsqrt()
        weights = next(self.network.parameters(), x)
        return (clean_scale * broadcast(scale, x)).to(weights.dtype), level
