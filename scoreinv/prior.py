"""Priors over pictures. Score and denoised mean follow from one primitive, the noise prediction:

    noise(x, t)   = -sigma(t) grad log p_t(x)
    score(x, t)   = -noise(x, t) / sigma(t)
    denoise(x, t) = (x - sigma(t) noise(x, t)) / alpha(t) = E[x0 | x_t = x]      (Tweedie's formula)

A condition (an observation, a class) wraps a prior and is again a prior, since
`grad log p_t(x | y) = grad log p_t(x) + grad log p_t(y | x)`. So every sampler takes it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from scoreinv.preconditioning import PaperVE, Preconditioning
from scoreinv.sdes import SDE, VE, as_time, broadcast
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import STEPS, Checked, Number, require
from scoreinv.system.text import shown


@runtime_checkable
class Prior(Protocol):
    """A distribution over pictures x0 of shape (B, C, H, W), at every noise level of an SDE.

    A subclass defines `sde`, `data_range` and `noise`; samplers, guidance and the likelihood then take it:

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
    """The sides of pictures must be multiples of this."""
    evaluations_per_noise: int = 1
    """Network evaluations per call of `noise`, at each pixel."""
    vjps_per_noise: int = 0
    """Vector-Jacobian products per call of `noise`; they do not count as evaluations."""
    constrains: bool = False
    """Whether `constrain` changes the state. Samplers call it, and draw noise for it, only then."""

    @abstractmethod
    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        """Return -sigma(t) grad log p_t(x), the shape of x and differentiable in it; t is a number or (B,).

        maps: the condition's maps (B or 1, D, h, w), which cover the pictures x at any resolution; only
            `ConditionalPrior` takes them.
        """

    def score(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return grad log p_t(x), the shape of x."""
        return -self.noise(x, t) / broadcast(self.sde.sigma(as_time(t)), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Return E[x0 | x_t = x] by Tweedie's formula, the shape of x."""
        t = as_time(t)
        return (x - broadcast(self.sde.sigma(t), x) * self.noise(x, t)) / broadcast(self.sde.alpha(t), x)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Return the state x at time t with observed components replaced by the observation diffused with noise z."""
        return x

    def finish(self, x0: Tensor) -> Tensor:
        """Return the final picture with exact constraints enforced."""
        return x0

    def to_model(self, image: Tensor) -> Tensor:
        """Map [0, 1] to the model's range."""
        low, high = self.data_range
        return image * (high - low) + low

    def to_image(self, x: Tensor) -> Tensor:
        """Map the model's range to [0, 1], without clipping."""
        low, high = self.data_range
        return (x - low) / (high - low)


def check_prior(prior: object) -> None:
    """Raise SettingError unless it is a prior."""
    if not isinstance(prior, Prior):
        raise SettingError("prior", f"must be a prior, such as scoreinv.load returns, not {shown(prior)}")


class PriorWrapper(Prior):
    """Base class of wrappers of a prior. It forwards all members of the prior; subclasses override some."""

    of_whole_pictures: ClassVar[bool] = False
    """Whether `noise` needs whole pictures, so that windows must be inside of the wrapper (`Tiled`)."""

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

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        return self.prior.noise(x, t, *maps)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return self.prior.constrain(x, t, z)

    def finish(self, x0: Tensor) -> Tensor:
        return self.prior.finish(x0)

    @property
    def device(self) -> torch.device:
        """Return the device of the model's weights."""
        *_, inner = layers(self)
        assert isinstance(inner, Model), f"{inner!r} has no weights"
        return inner.device

    def to(self, *args: torch.device | torch.dtype | str, **options: Any) -> Self:
        """Move the model's weights, see `Model.to`; return the wrapper."""
        *_, inner = layers(self)
        if isinstance(inner, Model):
            inner.to(*args, **options)
        return self


def layers(prior: Prior) -> Iterator[Prior]:
    """Yield the prior and those that it wraps, from the outermost to the innermost."""
    yield prior
    while isinstance(prior, PriorWrapper):
        prior = prior.prior
        yield prior


class Clipped(PriorWrapper):
    """noise(x, t) = (x - alpha(t) clip(D(x, t))) / sigma(t), with D = E[x0 | x_t = x] clipped to the data range.

    The default of DDPM samplers ("static thresholding": Ho et al. 2020, reference code; Saharia et al. 2022, section
    2.3). Otherwise estimates outside the range, which occur at large noise, would affect all later steps.
    """

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        noise = self.prior.noise(x, t, *maps)
        estimate = (x - sigma * noise) / alpha
        clipped = estimate.clamp(*self.data_range)
        # Unclipped values keep the prediction, because sigma may be too small to divide by.
        return torch.where(clipped == estimate, noise, (x - alpha * clipped) / sigma)


@dataclass(frozen=True)
class RecommendedSampler(Checked):
    """The predictor-corrector sampler published with a model.

    Attributes:
        predictor: `ancestral_posterior` is the ancestral step with DDPM's smaller variance.
        corrector, snr: one Langevin step per time at this signal-to-noise ratio, or none.
        steps: number of times in the grid.
        clip: whether estimates of the picture are clipped to its range (`Clipped`).
    """

    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral", "ancestral_posterior"]
    corrector: Literal["langevin", "none"] = "none"
    snr: Annotated[float, Number(None, 1e6)] = 0.16
    steps: Annotated[int, STEPS] = 1000
    clip: bool = False


class Network(nn.Module):
    """Base class of networks on pictures (B, C, H, W).

    A prior's network is F(x, label, condition): pictures, noise labels (B,) and conditions (B, D, H, W) to
    (B, C, H, W), differentiable in x. Without a condition its channels are zero. A network whose configuration has
    `feature_channels` takes feature maps as a fourth argument. Labels are float64 on the CPU, whatever the device and
    dtype of x.

    Weights and stored constants are in the state dictionary, in leaf modules (`set_precision`). Other constants are
    created on the CPU, because a file's network is built on the device `meta`, without memory for its weights.
    """

    config: Any
    """Options it was built from, which a model file keeps."""
    channels: int
    """Number of channels C."""
    stride: int
    """H and W must be multiples of this."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        if config is not None:
            self.config, self.channels, self.stride = config, config.channels, config.stride

    exact: ClassVar[tuple[str, ...]] = ()
    """Names of submodules, or of their classes, that stay in float32: bfloat16 would round weak noise away."""

    def set_precision(self, dtype: torch.dtype) -> None:
        """Evaluate in a dtype; below float32 the `exact` parts stay in float32."""
        kept: set[nn.Module] = set()
        for name, module in self.named_modules():
            if dtype.itemsize < 4 and {name, type(module).__name__} & {*self.exact}:
                kept.update(module.modules())
            if next(module.children(), None) is None:
                module.to(torch.float32 if module in kept else dtype)


class Model(nn.Module):
    """A model in a file: a network and, in subclasses, the meaning of its output (a prior, a classifier, a detector).

    Args:
        network: the trained network.
        image_size: side of the training pictures or crops, in pixels; 0 if it has none.

    Attributes:
        dtypes: dtypes in which it can be evaluated.
    """

    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.bfloat16)

    def __init__(self, network: Any, image_size: int = 0) -> None:
        super().__init__()
        self.network = network
        self.image_size = image_size

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks in the model file, by the prefix of their tensors' names."""
        return {"": self.network}

    @property
    def weights(self) -> int:
        """Return the number of weights of all parts."""
        return sum(weight.numel() for part in self.parts().values() for weight in part.parameters())

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return next(self.network.parameters()).device

    def to(  # type: ignore[override]  # fewer arguments
        self,
        *args: torch.device | torch.dtype | str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Move to a device or to a dtype of evaluation; below float32 the network's `exact` parts stay in float32.

        Raises InputError for a dtype not in `dtypes`, and for a device that is not available.
        """
        for target in (*args, device, dtype):
            if target is None:
                continue
            if not isinstance(target, torch.dtype):
                try:
                    super().to(device=target)
                except torch.OutOfMemoryError:
                    raise
                except (AssertionError, RuntimeError) as error:  # torch without CUDA, no driver, an unknown name
                    reason = str(error).partition("\n")[0]
                    raise SettingError("device", f"{target}: not available ({reason})") from error
            elif target in self.dtypes:
                self.network.set_precision(target)
            else:
                known = " or ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
                raise InputError(f"{type(self).__name__} supports {known}, not {target}")
        return self


class ScorePrior(Model, Prior):
    """A prior defined by a network, an SDE and a preconditioning.

    For the same model with other weights, copy it by `copy.deepcopy(prior)` and replace `network`.

    Args:
        network: maps (B, C, H, W) and noise labels (B,) to (B, C, H, W).
        sde: forward process that it was trained with.
        preconditioning: relates the network's output to the noise prediction.
        data_range: model values of black and white.
        image_size: side of the training pictures or crops in pixels, a multiple of the network's stride. Windows of
            this size suit the network best.
        sampler: recommended sampler, if any.
        s_noise: factor of the noise added by samplers of the reverse SDE, which corrects the variance of samples
            (S_noise of Karras et al. 2022; `DPMpp2M.s_noise`).
    """

    dtypes = (torch.float64, torch.float32, torch.bfloat16)
    network: Network

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
        super().__init__(network, image_size)
        if isinstance(preconditioning, PaperVE) and not isinstance(sde, VE):
            raise InputError("the paper's VE preconditioning needs the VE SDE")
        self.channels, self.stride = network.channels, network.stride
        self.sde = sde
        self.preconditioning = preconditioning
        self.data_range = (float(data_range[0]), float(data_range[1]))
        self.sampler = sampler
        self.s_noise = s_noise

    def __repr__(self) -> str:
        """Return one line, without the layers of the network."""
        return (
            f"{type(self).__name__}({type(self.network).__name__} of {self.weights:,} weights, {self.sde}, "
            f"{self.image_size}x{self.image_size} pixels, {self.device})"
        )

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        """Return -sigma(t) grad log p_t(x). Raise InputError for channels or sides that the model does not take."""
        require(x.shape[1] == self.channels, f"this model takes pictures of {self.channels} channels, not {x.shape[1]}")
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise InputError(
                f"this model needs sides that are multiples of {self.stride}, not {x.shape[-1]}x{x.shape[-2]}"
            )
        t = as_time(t).expand(x.shape[0])
        return self.preconditioning.noise(self.network, x, t, self.sde, self.data_range, *maps)
