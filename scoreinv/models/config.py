"""Kinds of models and their configurations, stored as JSON in model files, and the names of classes in files."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from torch import nn

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.blur_estimator import BlurNetwork
from scoreinv.models.codec import cut, decode, unsupported
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.kinds import FixedKind
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.models.noise_estimator import NoiseEstimator
from scoreinv.models.tone_estimator import ToneNetwork
from scoreinv.models.upscaler import Upscaler
from scoreinv.models.weights import load_encoder
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES, STRIDES, Encoder
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.networks.noise_estimator import NoiseEstimatorConfig as NoiseEstimatorNetworkConfig
from scoreinv.networks.place_embedding import PlaceNetwork
from scoreinv.networks.span import SPANConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVE, PaperVP, Preconditioning
from scoreinv.prior import Model, RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError
from scoreinv.system.options import Checked, Number, Whole, require
from scoreinv.system.text import shown


@dataclass(frozen=True)
class NamedSDE:
    """Placeholder for a custom SDE: files store its name only, and `load` needs the SDE as an argument.

    Attributes:
        class_name: `module:class`, for human readers; it is never imported.
    """

    class_name: str

    removed_fields: ClassVar = ("marginal",)

    @classmethod
    def of(cls, sde: SDE) -> NamedSDE:
        """Return the placeholder of an SDE."""
        return cls(f"{type(sde).__module__}:{type(sde).__qualname__}")

    def missing(self) -> CheckpointError:
        """Return the error for a missing custom SDE."""
        return CheckpointError(f"has a custom SDE, {cut(self.class_name)}: pass it in Python as `sde=`")


NETWORKS: dict[str | None, type[Any]] = {None: NCSNppConfig, "ncsnpp": NCSNppConfig, "ffdnet": FFDNetConfig}
"""Networks of priors by their names in files. A network without a name is an NCSN++."""
SDES: dict[str, type[Any]] = {"ve": VE, "vp": VP, "subvp": SubVP, "ddpm": DDPM, "custom": NamedSDE}
PRECONDITIONINGS: dict[str, type[Any]] = {
    "paper_ve": PaperVE,
    "paper_vp": PaperVP,
    "edm": EDM,
    "data": DataPrediction,
}
CLASSIFIERS: dict[str, type[Any]] = {"wide_resnet": WideResNetConfig, "convnet": ConvNetConfig}
SIDE = Whole(1, 2**15)  # of training pictures
_END = Number(-1e6, 1e6)  # model value of black or white


@dataclass(frozen=True)
class Config(Checked):
    """Configuration of a model: everything but the weights. Its fields are attributes and arguments of the model.

    Attributes:
        network: options of the network.
        image_size: side of the training pictures or crops, in pixels.
        kind: kind of the model, in files and lists.
    """

    makes: ClassVar[type[Model]]

    network: Any
    kind: str = field(kw_only=True)

    def build(self) -> Any:
        """Build the model with random weights (and the pretrained encoder), in evaluation mode."""
        return self.makes(self.network.build(), **self.settings()).eval()

    def settings(self) -> dict[str, Any]:
        """Return the arguments of the model, without its network."""
        return {name: getattr(self, name) for name in _names(type(self))}

    @classmethod
    def of(cls, model: Any) -> Self:
        """Return the configuration of a model; raise CheckpointError if its network cannot be stored in a file."""
        if not hasattr(model.network, "config"):
            name = type(model.network).__name__
            raise CheckpointError(f"{name} has no `config`, the options stored in a model's file")
        return cls(model.network.config, **{name: getattr(model, name) for name in _names(cls)})


def _names(cls: type[Config]) -> list[str]:
    """Return the names of the fields that are arguments of the model besides the network."""
    return [each.name for each in fields(cls) if each.name not in ("network", "kind")]


@dataclass(frozen=True)
class PriorConfig(Config):
    """Configuration of a prior of any kind.

    Attributes:
        sde: the forward process.
        preconditioning: maps the network's output to a noise prediction.
        data_range: model values of black and white.
        sampler: recommended sampler, if any.
    """

    sde: Annotated[SDE, SDES]
    preconditioning: Any
    data_range: Annotated[tuple[float, float], _END] = (-1.0, 1.0)
    image_size: Annotated[int, SIDE] = 32
    sampler: RecommendedSampler | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.data_range[0] < self.data_range[1], "data_range must be two ascending numbers")
        if self.image_size % (stride := self.network.stride):
            raise CheckpointError(f"image_size must be a multiple of {stride} for this network, not {self.image_size}")

    @property
    def stride(self) -> int:
        """Return the stride; the sides of pictures must be multiples of it."""
        return self.network.stride  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ModelConfig(PriorConfig):
    """Configuration of an unconditional prior.

    Attributes:
        s_noise: factor of the noise added by samplers.
    """

    makes = ScorePrior

    network: Annotated[NCSNppConfig | FFDNetConfig, NETWORKS]
    preconditioning: Annotated[Preconditioning, PRECONDITIONINGS]
    s_noise: Annotated[float, Number(0.5, 2)] = field(default=1.0, metadata={"was": "inflation"})
    kind: Literal["prior"] = field(default="prior", kw_only=True)

    removed_fields: ClassVar = ("encoder_scale", "chroma")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network.condition_channels or self.network.feature_channels:
            raise CheckpointError("an unconditional prior takes neither condition_channels nor feature_channels")
        if isinstance(self.preconditioning, PaperVE) and not isinstance(self.sde, VE | NamedSDE):
            raise CheckpointError("the paper's VE preconditioning needs the VE SDE")


@dataclass(frozen=True)
class FillConfig(PriorConfig):
    """Configuration of a conditional prior, whose network takes an observation."""

    makes: ClassVar[type[Model]] = ConditionalPrior

    network: Annotated[NCSNppConfig, {None: NCSNppConfig, "ncsnpp": NCSNppConfig}]
    preconditioning: Annotated[ResidualPreconditioning, {"residual_edm": ResidualPreconditioning}]
    kind: Literal["fill", "colour"] = field(default="fill", kw_only=True)

    encoder_scale: ClassVar[int] = 0
    removed_fields: ClassVar[tuple[str, ...]] = ("encoder_scale", "chroma", "s_noise", "inflation")

    def __post_init__(self) -> None:
        super().__post_init__()
        scale = self.preconditioning.luma_scale
        if type(scale) is not int or not 1 <= scale <= 16:
            raise CheckpointError("luma_scale must be a whole number from 1 to 16")
        if self.network.channels != 3 or self.network.condition_channels != self.preconditioning.condition_channels:
            channels = self.preconditioning.condition_channels
            raise CheckpointError(f"a conditional prior needs 3 channels and {channels} condition_channels")
        if self.kind == "fill" and self.network.feature_channels:
            raise CheckpointError("feature_channels belong to priors of colour, which have an encoder")


@dataclass(frozen=True)
class ColourConfig(FillConfig):
    """Configuration of a conditional prior whose network also takes the encoder's features of the grey picture.

    Attributes:
        encoder_scale: size of the encoder's luma relative to the picture.
        chroma: whether a `ChromaNetwork`, stored in the same file, predicts the mean chroma.
    """

    makes = ColourPrior

    encoder_scale: Annotated[int, Whole(1, 64)] = field(kw_only=True)  # type: ignore[misc]  # 0 without an encoder
    chroma: bool = False
    kind: Literal["colour"] = field(default="colour", kw_only=True)

    removed_fields = ("s_noise", "inflation")

    def __post_init__(self) -> None:
        super().__post_init__()
        features = self.network.feature_channels
        if not features or features != FEATURES[-len(features) :]:
            raise CheckpointError(f"feature_channels must be the last of {list(FEATURES)}")
        if self.encoder_scale % self.preconditioning.luma_scale:
            raise CheckpointError("encoder_scale must be a multiple of luma_scale")
        if self.chroma and self.image_size * self.encoder_scale % STRIDES[-1]:
            raise CheckpointError(f"with chroma, image_size times encoder_scale must be a multiple of {STRIDES[-1]}")

    @classmethod
    def of(cls, model: Any) -> Self:
        return replace(super().of(model), chroma=model.chroma is not None)

    def settings(self) -> dict[str, Any]:
        chroma = ChromaNetwork() if self.chroma else None
        return super().settings() | {"encoder": load_encoder(), "chroma": chroma}


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """Configuration of a noise-conditional classifier.

    Attributes:
        network: options of a wide residual network, or of a plain one for clean pictures.
        sde: the forward process of the classified states.
        classes: names of the classes.
        data_range: model values of black and white.
        guidance: recommended scale of the gradient.
    """

    makes = NoiseClassifier

    network: Annotated[WideResNetConfig | ConvNetConfig, CLASSIFIERS]
    sde: Annotated[SDE, SDES]
    classes: tuple[str, ...]
    data_range: Annotated[tuple[float, float], _END] = (-1.0, 1.0)
    image_size: Annotated[int, SIDE] = 32
    guidance: float = 1.0
    kind: Literal["classifier"] = field(default="classifier", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.classes) != self.network.classes:
            raise CheckpointError(f"the network has {self.network.classes} classes, but {len(self.classes)} names")
        require(self.data_range[0] < self.data_range[1], "data_range must be two ascending numbers")


@dataclass(frozen=True)
class PictureConfig(Config):
    """Configuration of a model of clean pictures on [0, 1]."""

    sde: ClassVar[None] = None
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)


@dataclass(frozen=True)
class DetectorConfig(PictureConfig):
    """Configuration of a damage detector."""

    makes = DamageDetector

    network: Annotated[DetectorNetworkConfig, {None: DetectorNetworkConfig, "damage": DetectorNetworkConfig}]
    image_size: Annotated[int, SIDE] = 160
    kind: Literal["damage"] = field(default="damage", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.network.stride:
            raise CheckpointError(f"image_size must be a multiple of {self.network.stride}, not {self.image_size}")

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"encoder": load_encoder()}


@dataclass(frozen=True)
class UpscalerConfig(PictureConfig):
    """Configuration of an upscaler; the crops are the small ones."""

    makes = Upscaler

    network: Annotated[SPANConfig, {None: SPANConfig, "span": SPANConfig}]
    image_size: Annotated[int, SIDE] = 48
    kind: Literal["upscale"] = field(default="upscale", kw_only=True)


@dataclass(frozen=True)
class NoiseEstimatorConfig(PictureConfig):
    """Configuration of a noise estimator."""

    makes = NoiseEstimator

    network: Annotated[
        NoiseEstimatorNetworkConfig, {None: NoiseEstimatorNetworkConfig, "noise": NoiseEstimatorNetworkConfig}
    ]
    image_size: Annotated[int, SIDE] = 128
    kind: Literal["noise"] = field(default="noise", kw_only=True)


FIXED: dict[FixedKind, type[nn.Module]] = {
    "encoder": Encoder,
    "tone": ToneNetwork,
    "blur": BlurNetwork,
    "places": PlaceNetwork,
}
"""Networks without options, by the kinds of their models."""


@dataclass(frozen=True)
class FixedConfig(Checked):
    """Configuration of a network without options."""

    kind: FixedKind

    makes: ClassVar = Model
    sde: ClassVar[None] = None
    image_size: ClassVar[None] = None

    @classmethod
    def of(cls, model: Model) -> FixedConfig:
        """Return the configuration of a model."""
        return next(cls(kind) for kind, network in FIXED.items() if type(model.network) is network)

    def build(self) -> Model:
        """Build the model with random weights, in evaluation mode."""
        return Model(FIXED[self.kind]()).eval()


KINDS: dict[str, Any] = {
    "colour": ColourConfig,
    "fill": FillConfig,
    "prior": ModelConfig,
    "classifier": ClassifierConfig,
    "damage": DetectorConfig,
    "upscale": UpscalerConfig,
    "noise": NoiseEstimatorConfig,
    **dict.fromkeys(FIXED, FixedConfig),
}
"""Classes of configurations by the kinds of models; those of subclasses come first."""


def decode_model(data: Any) -> Any:
    """Decode the configuration of any model; raise InputError naming a missing, unknown or wrong entry."""
    if not isinstance(data, dict):
        raise CheckpointError(unsupported("model", data, "a JSON object"))
    kind = data["kind"] if "kind" in data else _old_kind(data)
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f"the kind {shown(kind)} is unknown: this file needs another version")
    return decode(KINDS[kind], data)


def _old_kind(data: dict[str, Any]) -> str:
    """Return the kind of a model whose configuration is of version 0.1 or 0.2, which does not state it."""
    if "classes" in data:
        return "classifier"
    entries = (data.get(entry) for entry in ("network", "preconditioning"))
    network, preconditioning = (str(entry.get("name")) if isinstance(entry, dict) else "" for entry in entries)
    if preconditioning == "residual_edm":
        return "colour" if data.get("encoder_scale") else "fill"
    return {"damage": "damage", "span": "upscale", "noise": "noise"}.get(network, "prior")


AnyConfig = Annotated[
    ModelConfig | FillConfig | ClassifierConfig | DetectorConfig | UpscalerConfig | NoiseEstimatorConfig,
    decode_model,
]
"""Configuration of a model whose network has options."""
AnyModel = ScorePrior | NoiseClassifier | DamageDetector | Upscaler | NoiseEstimator
"""Any model that computes for a task or is trained."""


def config_of(model: Model) -> Any:
    """Return the configuration of a model; raise InputError if it cannot be stored in a file."""
    return next(config for config in KINDS.values() if isinstance(model, config.makes)).of(model)
