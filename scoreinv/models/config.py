"""What a model file says of its model, as JSON; the one place where names become classes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from scoreinv.checks import require, within
from scoreinv.classifier import NoiseClassifier
from scoreinv.conditional.encoder import ENCODER, fresh_chroma_network, load_encoder
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.damage import DamageFinder
from scoreinv.errors import CheckpointError
from scoreinv.models.bundled import bundled_folder
from scoreinv.models.codec import build_dataclass, cut, shortened, unsupported
from scoreinv.networks.base import Network, NetworkConfig
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.convnet import ConvNet, ConvNetConfig
from scoreinv.networks.damage import DamageNetwork, DamageNetworkConfig
from scoreinv.networks.encoder import FEATURES, STRIDES
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.networks.wide_resnet import WideResNet, WideResNetConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVE, PaperVP, Preconditioning
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP

_NETWORKS: dict[str, type[Any]] = {"ncsnpp": NCSNppConfig, "ffdnet": FFDNetConfig}
"""Networks of priors: a kind more is a line more."""
_FIRST_NETWORK = "ncsnpp"
"""The one that is meant where a file names none, as those of the first versions do."""
_SDES: dict[str, type] = {"ve": VE, "vp": VP, "subvp": SubVP, "ddpm": DDPM}


@dataclass(frozen=True)
class NamedSDE(SDE):
    """An SDE of a user's own, of which files keep the name alone: stands for the one that `load` has to be given.

    Attributes:
        class_name: `module:class`, for people; nothing is imported by it.
        marginal: of files of version 0.1.
    """

    class_name: str
    marginal: tuple[tuple[float, float], ...] = ()

    def missing(self) -> CheckpointError:
        """What is wrong where the SDE itself is not given."""
        return CheckpointError(
            f"has an SDE of your own, {cut(self.class_name)}: give it in Python, by the argument sde"
        )

    @property
    def sampling_end(self) -> float:
        raise self.missing()

    @property
    def prior_std(self) -> float:
        raise self.missing()

    def alpha(self, t: Tensor) -> Tensor:
        raise self.missing()

    def sigma(self, t: Tensor) -> Tensor:
        raise self.missing()


_NAMED_SDES: dict[str, type] = {**_SDES, "custom": NamedSDE}
_PRECONDITIONINGS: dict[str, type] = {
    "paper_ve": PaperVE,
    "paper_vp": PaperVP,
    "edm": EDM,
    "data": DataPrediction,
    "residual_edm": ResidualPreconditioning,
}
_CLASSIFIERS: dict[str, type] = {"wide_resnet": WideResNetConfig, "convnet": ConvNetConfig}
_DAMAGE: dict[str, type] = {"damage": DamageNetworkConfig}

ClassifierNetworkConfig = WideResNetConfig | ConvNetConfig
AnyNetworkConfig = NetworkConfig | ClassifierNetworkConfig | DamageNetworkConfig


@dataclass(frozen=True)
class ModelConfig:
    """Everything that builds a prior but its weights.

    Attributes:
        network: its options.
        sde: the forward process.
        preconditioning: how the network's output is read as a noise prediction.
        data_range: model values of black and white.
        image_size: side of the training pictures or crops, in pixels.
        sampler: recommended with it, if any.
        encoder_scale: of a conditional prior, how many times larger than the picture its luma is shown to the encoder,
            whose features the network takes. 0: it takes none.
        s_noise: factor of the noise that samplers add, of a prior that takes no observations.
        chroma: whether a `ChromaNetwork` tells it the mean chroma of what is seen; the file has its weights, too.
    """

    network: NetworkConfig
    sde: SDE
    preconditioning: Preconditioning
    data_range: tuple[float, float] = (-1.0, 1.0)
    image_size: int = 32
    sampler: RecommendedSampler | None = None
    encoder_scale: int = 0
    s_noise: float = 1.0
    chroma: bool = False

    def __post_init__(self) -> None:
        reading = self.residual
        scale = 1 if reading is None else reading.luma_scale
        if type(scale) is not int or not 1 <= scale <= 16:
            raise CheckpointError("luma_scale must be a whole number of at least 1 and at most 16")
        if self.network.condition_channels != (0 if reading is None else reading.condition_channels):
            raise CheckpointError("network and preconditioning must both take an observation, or neither")
        if reading is not None and self.network.channels != 3:
            raise CheckpointError("a prior that takes observations is one of colour pictures")
        within("encoder_scale", self.encoder_scale, 0, 64)
        taken = self.network.feature_channels
        if bool(taken) != bool(self.encoder_scale) or (taken and taken != FEATURES[-len(taken) :]):
            raise CheckpointError(
                f"a network takes the last of feature_channels {list(FEATURES)} of an encoder, and none without"
            )
        if self.encoder_scale and (reading is None or self.encoder_scale % scale):
            raise CheckpointError("encoder_scale is for priors that take observations, and a multiple of luma_scale")
        within("s_noise", self.s_noise, 0.5, 2)
        if reading is not None and self.s_noise != 1:
            raise CheckpointError("s_noise is for priors that take no observations")
        if self.chroma and not self.encoder_scale:
            raise CheckpointError("chroma is told by an encoder: it needs encoder_scale")
        if self.chroma and self.image_size * self.encoder_scale % STRIDES[-1]:
            raise CheckpointError(f"with chroma image_size times encoder_scale must be a multiple of {STRIDES[-1]}")
        if isinstance(self.preconditioning, PaperVE) and not isinstance(self.sde, VE | NamedSDE):
            raise CheckpointError("the paper's VE preconditioning needs the VE SDE")
        _check_states(self.sde, self.data_range, self.image_size)
        if self.image_size % self.stride:
            raise CheckpointError(
                f"image_size must be a multiple of {self.stride} for this network, not {self.image_size}"
            )

    @property
    def stride(self) -> int:
        """Sides of pictures are multiples of it."""
        return self.network.stride

    @classmethod
    def of(cls, prior: ScorePrior) -> ModelConfig:
        """What builds a prior like this one; InputError where its parts do not go into a file together."""
        return cls(
            _network_options(prior.network),
            prior.sde,
            prior.preconditioning,
            prior.data_range,
            prior.image_size,
            prior.sampler,
            prior.encoder_scale if isinstance(prior, ConditionalPrior) else 0,
            prior.s_noise,
            isinstance(prior, ConditionalPrior) and prior.chroma is not None,
        )

    @property
    def residual(self) -> ResidualPreconditioning | None:
        """How the network of a conditional prior is read; None for priors that take no observation.

        This alone decides whether a model is conditional: all else asks here, or the prior that was built.
        """
        return self.preconditioning if isinstance(self.preconditioning, ResidualPreconditioning) else None

    def build(self) -> ScorePrior:
        """A prior with fresh weights, in evaluation mode."""
        return self.around(self.network.build(), fresh_chroma_network(_encoder_file()) if self.chroma else None)

    def around(self, network: Network, chroma: ChromaNetwork | None = None) -> ScorePrior:
        """The prior that reads a network of this configuration, in evaluation mode; chroma: of one that has it."""
        rest = (self.data_range, self.image_size, self.sampler)
        if self.residual is None:
            return ScorePrior(network, self.sde, self.preconditioning, *rest, self.s_noise).eval()
        encoder = load_encoder(_encoder_file()) if self.encoder_scale and chroma is None else None
        return ConditionalPrior(network, self.sde, self.residual, *rest, encoder, self.encoder_scale, chroma).eval()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is its inverse."""
        return {
            "network": _entry(_NETWORKS, self.network, unnamed=_FIRST_NETWORK),
            "sde": _sde_entry(self.sde),
            "preconditioning": _entry(_PRECONDITIONINGS, self.preconditioning),
            "data_range": list(self.data_range),
            "image_size": self.image_size,
            "sampler": None if self.sampler is None else asdict(self.sampler),
            "encoder_scale": self.encoder_scale,
            "s_noise": self.s_noise,
            "chroma": self.chroma,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Raises InputError naming the entry that is missing, unknown, of another kind or out of range."""
        parts: dict[str, Any] = {
            "network": _named(_NETWORKS, data, "network", unnamed=_FIRST_NETWORK),
            "sde": _named(_NAMED_SDES, data, "sde"),
            "preconditioning": _named(_PRECONDITIONINGS, data, "preconditioning"),
        }
        data = {_RENAMED.get(entry, entry): value for entry, value in data.items()}
        return build_dataclass(cls, data | parts)


_RENAMED = {"inflation": "s_noise"}
"""What entries are called now of files that were written before version 0.2."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything that builds a classifier of noisy pictures but its weights.

    Attributes:
        network: options of the network, a wide residual network or (for clean pictures) a plain one.
        sde: the forward process of the states that it classifies.
        classes: names, as many as the network has.
        data_range: model values of black and white.
        image_size: side of the training pictures, in pixels.
        guidance: scale of its gradient that is recommended with it.
    """

    network: ClassifierNetworkConfig
    sde: SDE
    classes: tuple[str, ...]
    data_range: tuple[float, float] = (-1.0, 1.0)
    image_size: int = 32
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if len(self.classes) != self.network.classes:
            raise CheckpointError(f"the network has {self.network.classes} classes, and {len(self.classes)} are named")
        _check_states(self.sde, self.data_range, self.image_size)

    @classmethod
    def of(cls, classifier: NoiseClassifier) -> ClassifierConfig:
        """What builds a classifier like this one."""
        return cls(
            _network_options(classifier.network),
            classifier.sde,
            classifier.classes,
            classifier.data_range,
            classifier.image_size,
            classifier.guidance,
        )

    def build(self) -> NoiseClassifier:
        """A classifier with fresh weights, in evaluation mode."""
        return self.around(self.network.build())

    def around(self, network: WideResNet | ConvNet) -> NoiseClassifier:
        """The classifier by a network of this configuration, in evaluation mode."""
        classifier = NoiseClassifier(network, self.sde, self.data_range, self.image_size, self.classes, self.guidance)
        return classifier.eval()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `model_from_dict` is its inverse."""
        return {
            "network": _entry(_CLASSIFIERS, self.network),
            "sde": _sde_entry(self.sde),
            "classes": list(self.classes),
            "data_range": list(self.data_range),
            "image_size": self.image_size,
            "guidance": self.guidance,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ClassifierConfig:
        """Raises InputError naming the entry that is missing, unknown, of another kind or out of range."""
        parts: dict[str, Any] = {
            "network": _named(_CLASSIFIERS, data, "network"),
            "sde": _named(_NAMED_SDES, data, "sde"),
        }
        return build_dataclass(cls, data | parts)


@dataclass(frozen=True)
class DamageConfig:
    """Everything that builds a finder of damage but its weights.

    Attributes:
        network: its options.
        image_size: side of the training crops, in pixels.
    """

    network: DamageNetworkConfig
    image_size: int = 160

    sde: ClassVar[None] = None
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        within("image_size", self.image_size, 1, 2**15)
        if self.image_size % self.network.stride:
            raise CheckpointError(f"image_size must be a multiple of {self.network.stride}, not {self.image_size}")

    @classmethod
    def of(cls, finder: DamageFinder) -> DamageConfig:
        """What builds a finder like this one."""
        return cls(_network_options(finder.network), finder.image_size)

    def build(self) -> DamageFinder:
        """A finder with fresh weights, in evaluation mode."""
        return self.around(self.network.build())

    def around(self, network: DamageNetwork) -> DamageFinder:
        """The finder by a network of this configuration, in evaluation mode."""
        return DamageFinder(network, load_encoder(_encoder_file()), self.image_size).eval()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `model_from_dict` is its inverse."""
        return {"network": _entry(_DAMAGE, self.network), "image_size": self.image_size}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DamageConfig:
        """Raises InputError naming the entry that is missing, unknown, of another kind or out of range."""
        return build_dataclass(cls, data | {"network": _named(_DAMAGE, data, "network")})


AnyConfig = ModelConfig | ClassifierConfig | DamageConfig
"""What a model's file can hold."""


def model_from_dict(data: dict[str, Any]) -> AnyConfig:
    """What `to_dict` of any wrote; raises InputError as `from_dict` does.

    What names classes is a classifier, and what has a network of damage finds it.
    """
    if not isinstance(data, dict):
        raise CheckpointError(unsupported("model", data, "a JSON object"))
    if "classes" in data:
        return ClassifierConfig.from_dict(data)
    network = data.get("network")
    if isinstance(network, dict) and network.get("name") in _DAMAGE:
        return DamageConfig.from_dict(data)
    return ModelConfig.from_dict(data)


def sde_by_name(name: str) -> type[SDE]:
    """The SDE class `ve`, `vp`, `subvp` or `ddpm`."""
    if name not in _SDES:
        raise CheckpointError(f"unknown SDE {name!r}: choose one of {', '.join(_SDES)}")
    return _SDES[name]


def _entry(classes: dict[str, type[Any]], value: Any, unnamed: str | None = None) -> dict[str, Any]:
    """Fields of a dataclass and the name of its class, unless that is the one meant without a name."""
    name = next((name for name, cls in classes.items() if type(value) is cls), None)
    if name is None:
        raise CheckpointError(f"{type(value).__name__} has no name in model files, which know {', '.join(classes)}")
    return ({} if name == unnamed else {"name": name}) | asdict(value)


def _sde_entry(sde: SDE) -> dict[str, Any]:
    """What files keep of an SDE; of one of a user's own its name."""
    kind = type(sde)
    known = kind in _NAMED_SDES.values()
    return _entry(_NAMED_SDES, sde if known else NamedSDE(f"{kind.__module__}:{kind.__qualname__}"))


def _named(classes: dict[str, type[Any]], data: dict[str, Any], entry: str, unnamed: str | None = None) -> Any:
    """The dataclass whose fields and name an entry of a configuration holds."""
    if entry not in data:
        raise CheckpointError(f"the configuration lacks {entry!r}")
    fields = data[entry]
    if not isinstance(fields, dict):
        raise CheckpointError(unsupported(entry, fields, "a JSON object"))
    name = fields.get("name", unnamed)
    if name is None:
        raise CheckpointError(f"{entry} lacks 'name'")
    if not isinstance(name, str) or name not in classes:
        raise CheckpointError(f"{entry} has the unknown name {shortened(name)}: this file needs another version")
    return build_dataclass(classes[name], {key: value for key, value in fields.items() if key != "name"}, entry)


def _network_options(network: nn.Module) -> Any:
    """The options that a network was built by; CheckpointError where it does not hold them."""
    if not hasattr(network, "config"):
        raise CheckpointError(f"{type(network).__name__} has no `config`, the options that a model's file keeps")
    return network.config


def _encoder_file() -> Path:
    return bundled_folder() / "encoder" / ENCODER


def _check_states(sde: SDE, data_range: tuple[float, float], image_size: int) -> None:
    low, high = data_range
    require(-1e6 <= low < high <= 1e6, f"data_range must be two numbers that rise, not {low:g} and {high:g}")
    within("image_size", image_size, 1, 2**15)
