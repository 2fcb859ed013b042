"""A classifier of noisy pictures, log p_t(class | x), for class-conditional sampling by its gradients."""

from __future__ import annotations

from torch import Tensor, nn

from scoreinv.preconditioning import centre, noise_level
from scoreinv.sdes import SDE, as_time, broadcast

_DATA_STD = 0.5
"""Of pictures on [-1, 1]: the network's input has about unit variance at every noise level."""


class NoiseClassifier(nn.Module):
    """Logits of the classes given a state x_t of a forward process (Song et al. 2021, appendix I.1).

    logits(x, t) = F((x / alpha) / sqrt(s^2 + 1/4), s) at the noise level s = sigma / alpha, with x / alpha centred on
    [-1, 1] and s in its units.

    Arguments:
        network: F, maps (B, C, H, W) and noise levels (B,) to logits (B, K).
        sde: the forward process of the states.
        data_range: their values of black and white.
        image_size: side of the training pictures.
        classes: names of the K classes.
    """

    def __init__(
        self,
        network: nn.Module,
        sde: SDE,
        data_range: tuple[float, float],
        image_size: int,
        classes: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.network = network
        self.sde = sde
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.image_size = image_size
        self.classes = classes

    def forward(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Logits (B, K) of states x (B, C, H, W) at times t, a number or (B,); differentiable in x."""
        return self.network(*self._inputs(x, t))

    def features(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The network's last features (B, D), which the logits are a linear function of."""
        return self.network.features(*self._inputs(x, t))

    def _inputs(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        t = as_time(t).expand(len(x))
        level = noise_level(t, self.sde, self.data_range)
        clean_scale = centre(x / broadcast(self.sde.alpha(t), x), self.data_range)
        scale = (level.square() + _DATA_STD**2).rsqrt()
        return clean_scale * broadcast(scale, x), level
