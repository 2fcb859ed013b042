"""Priors over pictures, defined by one primitive, the noise prediction.

    noise(x, t)   = -sigma(t) grad log p_t(x)
    score(x, t)   = -noise(x, t) / sigma(t)
    denoise(x, t) = (x - sigma(t) noise(x, t)) / alpha(t) = E[x0 | x_t = x]      (Tweedie's formula)

A condition (an observation, a class) wraps a prior and is a prior too, since
`grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x)`. So every sampler accepts it.
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
    """A distribution over pictures x0 of shape (B, C, H, W), diffused by an SDE.

    A subclass defines `sde`, `data_range` and `noise`. Samplers, guidance and the likelihood then accept it:

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
    """Divisor of valid picture sides, in pixels."""
    evaluations_per_noise: int = 1
    """Network evaluations per call of `noise`, at each pixel."""
    vjps_per_noise: int = 0
    """Vector-Jacobian products per call of `noise`, counted apart from evaluations."""
    constrains: bool = False
    """Whether `constrain` changes the state; if not, samplers neither call it nor draw noise for it."""

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
        """Return -sigma(t) grad log p_t(x) in the shape of x, differentiable in x; t is a number or (B,)."""

    def score(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return grad log p_t(x) in the shape of x."""
        return -self.noise(x, t) / broadcast(self.sde.sigma(as_time(t)), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return E[x0 | x_t = x] by Tweedie's formula, in the shape of x."""
        t = as_time(t)
        return (x - broadcast(self.sde.sigma(t), x) * self.noise(x, t)) / broadcast(self.sde.alpha(t), x)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Replace the observed components of the state x by the observation, diffused to time t with the noise z."""
        return x

    def finish(self, x0: Tensor) -> Tensor:
        """Return the sample x0 with the exact constraints enforced."""
        return x0


def check_prior(prior: object) -> None:
    """Raise SettingError unless the argument is a `Prior`."""
    if not isinstance(prior, Prior):
        raise SettingError("prior", f"must be a prior, such as scoreinv.load returns, not {shown(prior)}")


class PriorWrapper(Prior):
    """Base of wrappers: forwards `noise`, `constrain` and `finish` to `prior`."""

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
    """noise(x, t) = (x - alpha(t) clip(D(x, t))) / sigma(t), with D = E[x0 | x_t = x] clipped to the data range.

    DDPM samplers clip by default (Ho et al. 2020, reference code; "static thresholding", Saharia et al. 2022,
    section 2.3). Otherwise estimates outside the range at high noise persist through all later steps.
    """

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        noise = self.prior.noise(x, t)
        estimate = (x - sigma * noise) / alpha
        clipped = estimate.clamp(*self.data_range)
        # Keep the prediction where nothing was clipped: sigma may be too small to divide by.
        return torch.where(clipped == estimate, noise, (x - alpha * clipped) / sigma)


@dataclass(frozen=True)
class RecommendedSampler:
    """The predictor-corrector sampler published with a model.

    Attributes:
        predictor: `ancestral_posterior` is the ancestral step with DDPM's smaller variance.
        corrector, snr: the corrector, one step at each time, and its signal-to-noise ratio.
        steps: number of times in the grid.
        clip: whether to clip each estimate of the picture to the data range.
    """

    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior"]
    corrector: Literal["langevin", "none"] = "none"
    snr: Annotated[float, Number(None, 1e6)] = 0.16
    steps: Annotated[int, STEPS] = 1000
    clip: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


class ScorePrior(Model, Prior):
    """A prior defined by a network, an SDE and a preconditioning.

    For the same model with other weights, assign `network` on a `copy.deepcopy(prior)`.

    Args:
        network: maps (B, C, H, W) and noise labels (B,) to (B, C, H, W); has `channels` and `stride`.
        sde: the forward process of the training.
        preconditioning: converts the network's output to a noise prediction.
        data_range: the model values of black and white.
        image_size: side of the training pictures or crops in pixels, a multiple of the network's stride. The network
            works best on windows of this size.
        sampler: the published sampler, if any.
        s_noise: factor of the noise that samplers of the reverse SDE add, to correct the variance of this model's
            samples (S_noise of Karras et al. 2022; `DPMpp2M.s_noise`).
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
        """Return one line, without the layers of the network."""
        return (
            f"{type(self).__name__}({type(self.network).__name__} of {self.weights:,} weights, {self.sde}, "
            f"{self.image_size}x{self.image_size} pixels, {self.device})"
        )

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return -sigma(t) grad log p_t(x); raise InputError if the channels or sides do not fit the model."""
        self._check_shape(x)
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range)

    def to_model(self, image: Tensor) -> Tensor:
        """Map [0, 1] to the model's range."""
        low, high = self.data_range
        return image * (high - low) + low

    def to_image(self, x: Tensor) -> Tensor:
        """Map the model's range to [0, 1], without clipping."""
        low, high = self.data_range
        return (x - low) / (high - low)

    def _check_shape(self, x: Tensor) -> None:
        if x.shape[1] != self.channels:
            raise InputError(f"this model takes pictures of {self.channels} channels, not {x.shape[1]}")
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise InputError(
                f"this model needs sides that are multiples of {self.stride}, not {x.shape[-1]}x{x.shape[-2]}"
            )
