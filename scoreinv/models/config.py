"""Configurations of models, which their files keep as JSON, and the names of classes in files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

from scoreinv.conditional.prior import ConditionalPrior, encoder_options
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.codec import cut, decode, unsupported
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.models.weights import load_encoder
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES, STRIDES
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVE, PaperVP, Preconditioning
from scoreinv.prior import Network, RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError
from scoreinv.system.options import Number, Whole, check_settings, require


@dataclass(frozen=True)
class NamedSDE:
    """Placeholder for an SDE of a user's own: files keep its name only, and `load` must be given the SDE itself.

    Attributes:
        class_name: `module:class`, for people; nothing is imported by it.
    """

    class_name: str

    removed_fields: ClassVar = ("marginal",)

    @classmethod
    def of(cls, sde: SDE) -> NamedSDE:
        """Return the placeholder of an SDE."""
        return cls(f"{type(sde).__module__}:{type(sde).__qualname__}")

    def missing(self) -> CheckpointError:
        """Return the error for an SDE that was not given."""
        return CheckpointError(f"has an SDE of your own, {cut(self.class_name)}: give it in Python by `sde=`")


NETWORKS: dict[str | None, type[Any]] = {None: NCSNppConfig, "ncsnpp": NCSNppConfig, "ffdnet": FFDNetConfig}
"""Networks of priors; a new kind is a new line. Files name none for the first."""
SDES: dict[str, type[Any]] = {"ve": VE, "vp": VP, "subvp": SubVP, "ddpm": DDPM, "custom": NamedSDE}
PRECONDITIONINGS: dict[str, type[Any]] = {
    "paper_ve": PaperVE,
    "paper_vp": PaperVP,
    "edm": EDM,
    "data": DataPrediction,
    "residual_edm": ResidualPreconditioning,
}
CLASSIFIERS: dict[str, type[Any]] = {"wide_resnet": WideResNetConfig, "convnet": ConvNetConfig}
_DETECTOR = "damage"


SIDE = Whole(1, 2**15)  # of training pictures
_END = Number(-1e6, 1e6)  # a model value of black or white


class NetworkConfig(Protocol):
    """Options of a prior's network: a frozen dataclass whose fields are numbers, strings and tuples of them."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def channels(self) -> int:
        """Return the channels of pictures."""

    @property
    def condition_channels(self) -> int:
        """Return the channels of the condition; 0 for a network that takes no observation."""

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Return the channels of feature maps; empty for a network that takes none."""

    @property
    def stride(self) -> int:
        """Return the multiple of pictures' sides."""

    def __hash__(self) -> int:
        """Hash all options, so that counts of a network can be cached."""

    def build(self) -> Network:
        """Return the network with fresh weights."""


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

    network: Annotated[NetworkConfig, NETWORKS]
    sde: Annotated[SDE, SDES]
    preconditioning: Annotated[Preconditioning, PRECONDITIONINGS]
    data_range: Annotated[tuple[float, float], _END] = (-1.0, 1.0)
    image_size: Annotated[int, SIDE] = 32
    sampler: RecommendedSampler | None = None
    encoder_scale: Annotated[int, Whole(0, 64)] = 0
    s_noise: Annotated[float, Number(0.5, 2)] = field(default=1.0, metadata={"was": "inflation"})
    chroma: bool = False

    task: ClassVar = "prior"

    def __post_init__(self) -> None:
        check_settings(self)
        preconditioning = self.residual
        scale = 1 if preconditioning is None else preconditioning.luma_scale
        if type(scale) is not int or not 1 <= scale <= 16:
            raise CheckpointError("luma_scale must be a whole number of at least 1 and at most 16")
        if self.network.condition_channels != (0 if preconditioning is None else preconditioning.condition_channels):
            raise CheckpointError("network and preconditioning must both take an observation, or neither")
        if preconditioning is not None and self.network.channels != 3:
            raise CheckpointError("a prior that takes observations is one of colour pictures")
        taken = self.network.feature_channels
        if bool(taken) != bool(self.encoder_scale) or (taken and taken != FEATURES[-len(taken) :]):
            raise CheckpointError(
                f"a network takes the last of feature_channels {list(FEATURES)} of an encoder, and none without"
            )
        if self.encoder_scale and (preconditioning is None or self.encoder_scale % scale):
            raise CheckpointError("encoder_scale is for priors that take observations, and a multiple of luma_scale")
        if preconditioning is not None and self.s_noise != 1:
            raise CheckpointError("s_noise is for priors that take no observations")
        if self.chroma and not self.encoder_scale:
            raise CheckpointError("chroma is told by an encoder: it needs encoder_scale")
        if self.chroma and self.image_size * self.encoder_scale % STRIDES[-1]:
            raise CheckpointError(f"with chroma image_size times encoder_scale must be a multiple of {STRIDES[-1]}")
        if isinstance(self.preconditioning, PaperVE) and not isinstance(self.sde, VE | NamedSDE):
            raise CheckpointError("the paper's VE preconditioning needs the VE SDE")
        require(self.data_range[0] < self.data_range[1], "data_range must be two numbers that rise")
        if self.image_size % (stride := self.network.stride):
            raise CheckpointError(f"image_size must be a multiple of {stride} for this network, not {self.image_size}")

    @property
    def stride(self) -> int:
        """Sides of pictures are multiples of it."""
        return self.network.stride

    @property
    def residual(self) -> ResidualPreconditioning | None:
        """How the network of a conditional prior is read; None for priors that take no observation.

        This alone decides whether a model is conditional: all else asks here, or the prior that was built.
        """
        return self.preconditioning if isinstance(self.preconditioning, ResidualPreconditioning) else None

    def build(self) -> ScorePrior:
        """Build the prior with fresh weights (the encoder's are never fresh), in evaluation mode."""
        network = self.network.build()
        rest = (self.data_range, self.image_size, self.sampler)
        if self.residual is None:
            return ScorePrior(network, self.sde, self.preconditioning, *rest, self.s_noise).eval()
        chroma = ChromaNetwork() if self.chroma else None
        encoder = load_encoder() if self.encoder_scale else None
        if chroma is not None and encoder is not None:
            chroma.encoder, encoder = encoder, None
        return ConditionalPrior(network, self.sde, self.residual, *rest, encoder, self.encoder_scale, chroma).eval()


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

    network: Annotated[WideResNetConfig | ConvNetConfig, CLASSIFIERS]
    sde: Annotated[SDE, SDES]
    classes: tuple[str, ...]
    data_range: Annotated[tuple[float, float], _END] = (-1.0, 1.0)
    image_size: Annotated[int, SIDE] = 32
    guidance: float = 1.0

    task: ClassVar = "classifier"

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.classes) != self.network.classes:
            raise CheckpointError(f"the network has {self.network.classes} classes, and {len(self.classes)} are named")
        require(self.data_range[0] < self.data_range[1], "data_range must be two numbers that rise")

    def build(self) -> NoiseClassifier:
        """Build the classifier with fresh weights, in evaluation mode."""
        rest = (self.sde, self.data_range, self.image_size, self.classes, self.guidance)
        return NoiseClassifier(self.network.build(), *rest).eval()


@dataclass(frozen=True)
class DetectorConfig:
    """Everything that builds a damage detector but its weights.

    Attributes:
        network: its options.
        image_size: side of the training crops, in pixels.
    """

    network: Annotated[DetectorNetworkConfig, {_DETECTOR: DetectorNetworkConfig}]
    image_size: Annotated[int, SIDE] = 160

    task: ClassVar = "damage"
    sde: ClassVar[None] = None
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.image_size % self.network.stride:
            raise CheckpointError(f"image_size must be a multiple of {self.network.stride}, not {self.image_size}")

    def build(self) -> DamageDetector:
        """Build the detector with fresh weights (the encoder's are never fresh), in evaluation mode."""
        return DamageDetector(self.network.build(), load_encoder(), self.image_size).eval()


def decode_model(data: Any) -> ModelConfig | ClassifierConfig | DetectorConfig:
    """Decode the configuration of any model; raises InputError naming an entry that is missing, unknown or wrong.

    A configuration with `classes` is a classifier's, one with a damage network a detector's, any other a prior's.
    """
    if not isinstance(data, dict):
        raise CheckpointError(unsupported("model", data, "a JSON object"))
    if "classes" in data:
        return decode(ClassifierConfig, data)
    network = data.get("network")
    if isinstance(network, dict) and network.get("name") == _DETECTOR:
        return decode(DetectorConfig, data)
    return decode(ModelConfig, data)


AnyConfig = Annotated[ModelConfig | ClassifierConfig | DetectorConfig, decode_model]
"""Configuration of any model."""
AnyModel = ScorePrior | NoiseClassifier | DamageDetector
"""Any model that files hold."""


def config_of(model: AnyModel) -> AnyConfig:
    """Return the configuration of a model; raises InputError if its parts do not go into a file together."""
    network: Any = model.network
    if not hasattr(network, "config"):
        raise CheckpointError(f"{type(network).__name__} has no `config`, the options that a model's file keeps")
    if isinstance(model, DamageDetector):
        return DetectorConfig(network.config, model.image_size)
    if isinstance(model, NoiseClassifier):
        rest = (model.sde, model.classes, model.data_range, model.image_size, model.guidance)
        return ClassifierConfig(network.config, *rest)
    scale, has_chroma = encoder_options(model)
    return ModelConfig(
        network.config,
        model.sde,
        model.preconditioning,
        model.data_range,
        model.image_size,
        model.sampler,
        scale,
        model.s_noise,
        has_chroma,
    )
