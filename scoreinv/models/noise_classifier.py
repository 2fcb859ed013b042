"""The noise-conditional classifier."""

from __future__ import annotations

from torch import Tensor

from scoreinv.networks.classifiers import ConvNet, WideResNet
from scoreinv.preconditioning import centre, noise_level
from scoreinv.prior import Model
from scoreinv.sdes import SDE, as_time, broadcast

_DATA_STD = 0.5  # standard deviation of pictures on [-1, 1]
_FADE = 5.0  # noise level from which pictures are hardly recognisable; beyond it logits fall as 1/s


class NoiseClassifier(Model):
    """Logits of the classes given a state x_t of a forward process (Song et al. 2021, appendix I.1).

    logits(x, t) = F((x / alpha) / sqrt(s^2 + 1/4), s) / sqrt(1 + (s / 5)^2) at the noise level s = sigma / alpha, with
    x / alpha centred on [-1, 1] and s scaled likewise. Input and output of F are of order one at every noise level. Its
    errors stay small at large noise, where guidance multiplies them by s.

    Args:
        network: F, maps (B, C, H, W) and noise levels (B,) to logits (B, K).
        sde: the forward process of the states.
        data_range: values of black and white.
        image_size: side of the training pictures.
        classes: names of the K classes.
        guidance: recommended scale of the gradient (`guidance.ClassifierGuidance`).
    """

    network: WideResNet | ConvNet

    def __init__(
        self,
        network: WideResNet | ConvNet,
        sde: SDE,
        data_range: tuple[float, float],
        image_size: int,
        classes: tuple[str, ...],
        guidance: float = 1.0,
    ) -> None:
        super().__init__(network, image_size)
        self.sde = sde
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.classes = classes
        self.guidance = guidance

    def __repr__(self) -> str:
        """Return one line, without the layers of the network."""
        side = self.image_size
        return f"{type(self).__name__}({len(self.classes)} classes, {self.sde}, {side}x{side} pixels)"

    @property
    def guides(self) -> bool:
        """Return whether the network was trained on noisy pictures; others can evaluate samples but not guide."""
        return self.network.noise_conditional

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return logits (B, K) of states x (B, C, H, W) at times t, a number or (B,); differentiable in x."""
        inputs, level = self._inputs(x, t)
        logits = self.network(inputs, level)
        return logits.to(x.dtype) * (1 + (level / _FADE).square()).rsqrt().to(x)[:, None]

    def features(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return the network's last features (B, D); the logits at one noise level are linear in them."""
        return self.network.features(*self._inputs(x, t)).to(x.dtype)

    def _inputs(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs of F: scaled states, in the dtype of its weights, and noise levels s."""
        t = as_time(t).expand(len(x))
        level = noise_level(t, self.sde, self.data_range)
        centred = centre(x / broadcast(self.sde.alpha(t), x), self.data_range)
        scale = (level.square() + _DATA_STD**2).rsqrt()
        weights = next(self.network.parameters(), x)
        return (centred * broadcast(scale, x)).to(weights.dtype), level
