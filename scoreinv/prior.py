"""Priors over pictures: one primitive, the noise prediction, from which score and denoised mean derive.

    noise(x, t)   = -sigma(t) grad log p_t(x)
    score(x, t)   = -noise(x, t) / sigma(t)
    denoise(x, t) = (x - sigma(t) noise(x, t)) / alpha(t) = E[x0 | x_t = x]      (Tweedie's formula)

A condition (an observation, a class) wraps a prior and is a prior itself, since
`grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x)`: samplers take it as they take the prior.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from scoreinv.networks.base import Model, Network
from scoreinv.preconditioning import PaperVE, Preconditioning
from scoreinv.sdes import SDE, VE, as_time, broadcast
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import STEPS, Number, check_settings
from scoreinv.system.text import shown

if TYPE_CHECKING:
    from scoreinv.conditional.observation import Observation
    from scoreinv.conditional.prior import Conditioned


class Prior(ABC):
    """A distribution over pictures x0 of shape (B, C, H, W), seen through an SDE at every noise level.

    One of your own has `sde`, `data_range` and `noise`; samplers, guidance and the likelihood then take it:

        class Gaussian(Prior):  # N(0, 0.5^2) in each value
            sde, data_range = VP(), (-1.0, 1.0)

            def noise(self, x, t):
                t = as_time(t)
                alpha, sigma = (broadcast(value, x) for value in (self.sde.alpha(t), self.sde.sigma(t)))
                return sigma * x / ((0.5 * alpha) ** 2 + sigma**2)
    """

    sde: SDE
    data_range: tuple[float, float]
    """Model values of black and white."""
    stride: int = 1
    """Picture sides must be multiples of this."""
    evaluations_per_noise: int = 1
    """Evaluations of the network that one call of `noise` takes at each place."""
    vjps_per_noise: int = 0
    """Vector-Jacobian products that one call of `noise` takes; counted apart from evaluations."""
    constrains: bool = False
    """Whether `constrain` replaces anything: samplers call it, and draw noise for it, only then."""

    def accepts(self, observation: Observation) -> str | None:
        """Return None if `given` takes the observation, or else the reason of the refusal."""
        return (
            "this model was trained without observations: use constrained sampling (method pc), or a model trained by "
            "conditional training"
        )

    def given(self, observation: Observation) -> Conditioned:
        """Return the prior given an observation. Raise InputError if it does not accept it."""
        raise InputError(self.accepts(observation) or "this prior has no `given` for observations that it accepts")

    @abstractmethod
    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """-sigma(t) grad log p_t(x), the shape of x; t is a number or (B,). Differentiable in x."""

    def score(self, x: Tensor, t: float | Tensor) -> Tensor:
        """grad log p_t(x), the shape of x."""
        return -self.noise(x, t) / broadcast(self.sde.sigma(as_time(t)), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """E[x0 | x_t = x] by Tweedie's formula, the shape of x."""
        t = as_time(t)
        return (x - broadcast(self.sde.sigma(t), x) * self.noise(x, t)) / broadcast(self.sde.alpha(t), x)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """The state x at time t, with observed components replaced by the observation diffused with the noise z."""
        return x

    def finish(self, x0: Tensor) -> Tensor:
        """The end result, with what must hold exactly made exact."""
        return x0


def check_prior(prior: object) -> None:
    """Raise SettingError unless it is a prior, of a model or conditional."""
    if not isinstance(prior, Prior):
        raise SettingError("prior", f"must be a prior, such as scoreinv.load gives, not {shown(prior)}")


class PriorWrapper(Prior):
    """Base of what wraps a prior: forwards `noise`, `constrain` and `finish`; subclasses override what they change."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self.sde = prior.sde
        self.data_range = prior.data_range
        self.stride = prior.stride
        self.evaluations_per_noise = prior.evaluations_per_noise
        self.vjps_per_noise = prior.vjps_per_noise
        self.constrains = prior.constrains

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prior!r})"

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        return self.prior.noise(x, t)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return self.prior.constrain(x, t, z)

    def finish(self, x0: Tensor) -> Tensor:
        return self.prior.finish(x0)


class Clipped(PriorWrapper):
    """noise(x, t) = (x - alpha(t) clip(D(x, t))) / sigma(t), with D = E[x0 | x_t = x] clipped to black and white.

    What samplers of DDPM do by default ("static thresholding": Ho et al. 2020, reference code; Saharia et al. 2022,
    section 2.3): estimates at large noise that leave the range would be carried through all later steps.
    """

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        noise = self.prior.noise(x, t)
        estimate = (x - sigma * noise) / alpha
        clipped = estimate.clamp(*self.data_range)
        # Where nothing is clipped the prediction stays as it is: sigma may be too small to divide by.
        return torch.where(clipped == estimate, noise, (x - alpha * clipped) / sigma)


@dataclass(frozen=True)
class RecommendedSampler:
    """The predictor-corrector sampler that a model was published with.

    Attributes:
        predictor: `ancestral_posterior` is the ancestral step with DDPM's smaller variance.
        corrector, snr: Langevin steps at that signal-to-noise ratio, one a time; or none.
        steps: times of the grid.
        clip: whether each estimate of the picture is clipped to the range of pictures.
    """

    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior"]
    corrector: Literal["langevin", "none"] = "none"
    snr: Annotated[float, Number(None, 1e6)] = 0.16
    steps: Annotated[int, STEPS] = 1000
    clip: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


class ScorePrior(Model, Prior):
    """A network, read through an SDE and a preconditioning, as a prior.

    The same model with other weights is a copy, `copy.deepcopy(prior)`, whose `network` is another one of the kind.

    Args:
        network: maps (B, C, H, W) and noise labels (B,) to (B, C, H, W); has `channels` and `stride`.
        sde: the forward process it was trained on.
        preconditioning: how its output is read.
        data_range: the model values of black and white.
        image_size: side of the pictures (or crops) that it was trained on, in pixels: windows of that size
            are where it is at home. A multiple of the network's stride.
        sampler: what it was published with; None where nothing is recommended.
        s_noise: of the noise that samplers of the reverse SDE add, by which its samples vary as they should
            (S_noise of Karras et al. 2022; `DPMpp2M.s_noise`).
    """

    kind = "a prior"
    dtypes = (torch.float64, torch.float32, torch.bfloat16)

    def __init__(
        self,
        network: Network,
        sde: SDE,
        preconditioning: Preconditioning,
        data_range: tuple[float, float] = (-1.0, 1.0),
        image_size: int = 32,
        sampler: RecommendedSampler | None = None,
        s_noise: float = 1.0,
    ) -> None:
        super().__init__()
        if isinstance(preconditioning, PaperVE) and not isinstance(sde, VE):
            raise InputError("the paper's VE preconditioning needs the VE SDE")
        self.network = network
        self.channels, self.stride = network.channels, network.stride
        self.sde = sde
        self.preconditioning = preconditioning
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.image_size = image_size
        self.sampler = sampler
        self.s_noise = s_noise

    def __repr__(self) -> str:
        """On one line, without the layers of the network."""
        return (
            f"{type(self).__name__}({type(self.network).__name__} of {self.weights:,} weights, {self.sde}, "
            f"{self.image_size}x{self.image_size} pixels, {self.device})"
        )

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """-sigma(t) grad log p_t(x); raises InputError for other channels or sides than the model takes."""
        self._check_shape(x)
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range)

    def to_model(self, image: Tensor) -> Tensor:
        """[0, 1] to the model's range."""
        low, high = self.data_range
        return image * (high - low) + low

    def to_image(self, x: Tensor) -> Tensor:
        """The model's range to [0, 1], not clipped."""
        low, high = self.data_range
        return (x - low) / (high - low)

    def _check_shape(self, x: Tensor) -> None:
        if x.shape[1] != self.channels:
            raise InputError(f"this model takes pictures of {self.channels} channels, not {x.shape[1]}")
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise InputError(
                f"this model needs sides that are multiples of {self.stride}, not {x.shape[-1]}x{x.shape[-2]}"
            )
