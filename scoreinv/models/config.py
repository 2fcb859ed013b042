"""Configurations of models, stored as JSON in their files, and the names of classes in files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.codec import cut, decode, unsupported
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.models.noise_estimator import NoiseEstimator
from scoreinv.models.upscaler import Upscaler
from scoreinv.models.weights import load_encoder
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.networks.encoder import FEATURES, STRIDES
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.networks.noise_estimator import NoiseEstimatorConfig as NoiseEstimatorNetworkConfig
from scoreinv.networks.span import SPANConfig
from scoreinv.preconditioning import EDM, DataPrediction, PaperVE, PaperVP, Preconditioning
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError
from scoreinv.system.options import Number, Whole, check_settings, require


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
    "residual_edm": ResidualPreconditioning,
}
CLASSIFIERS: dict[str, type[Any]] = {"wide_resnet": WideResNetConfig, "convnet": ConvNetConfig}
_DETECTOR, _UPSCALER, _ESTIMATOR = "damage", "span", "noise"


SIDE = Whole(1, 2**15)  # of training pictures
_END = Number(-1e6, 1e6)  # model value of black or white


@dataclass(frozen=True)
class ModelConfig:
    """Configuration of a prior: everything but the weights.

    Attributes:
        network: options of the network.
        sde: the forward process.
        preconditioning: maps the network's output to a noise prediction.
        data_range: model values of black and white.
        image_size: side of the training pictures or crops, in pixels.
        sampler: recommended sampler, if any.
        encoder_scale: size of the encoder's luma relative to the picture, in a conditional prior whose network uses the
            encoder's features. 0: no encoder.
        s_noise: factor of the noise added by samplers, for unconditional priors.
        chroma: whether a `ChromaNetwork`, stored in the same file, predicts the mean chroma.
    """

    network: Annotated[NCSNppConfig | FFDNetConfig, NETWORKS]
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
            raise CheckpointError("luma_scale must be a whole number from 1 to 16")
        if self.network.condition_channels != (0 if preconditioning is None else preconditioning.condition_channels):
            raise CheckpointError("network and preconditioning must both be conditional, or neither")
        if preconditioning is not None and self.network.channels != 3:
            raise CheckpointError("a conditional prior needs 3 channels")
        features = self.network.feature_channels
        if bool(features) != bool(self.encoder_scale) or (features and features != FEATURES[-len(features) :]):
            raise CheckpointError(
                f"feature_channels must be the last of {list(FEATURES)} with an encoder, and empty without"
            )
        if self.encoder_scale and (preconditioning is None or self.encoder_scale % scale):
            raise CheckpointError("encoder_scale needs a conditional prior, and must be a multiple of luma_scale")
        if preconditioning is not None and self.s_noise != 1:
            raise CheckpointError("s_noise needs an unconditional prior")
        if self.chroma and not self.encoder_scale:
            raise CheckpointError("chroma needs an encoder, and so encoder_scale")
        if self.chroma and self.image_size * self.encoder_scale % STRIDES[-1]:
            raise CheckpointError(f"with chroma, image_size times encoder_scale must be a multiple of {STRIDES[-1]}")
        if isinstance(self.preconditioning, PaperVE) and not isinstance(self.sde, VE | NamedSDE):
            raise CheckpointError("the paper's VE preconditioning needs the VE SDE")
        require(self.data_range[0] < self.data_range[1], "data_range must be two ascending numbers")
        if self.image_size % (stride := self.network.stride):
            raise CheckpointError(f"image_size must be a multiple of {stride} for this network, not {self.image_size}")

    @property
    def stride(self) -> int:
        """Return the stride; the sides of pictures must be multiples of it."""
        return self.network.stride

    @property
    def residual(self) -> ResidualPreconditioning | None:
        """Return the preconditioning of a conditional prior; None for an unconditional one.

        This alone decides whether a model is conditional.
        """
        return self.preconditioning if isinstance(self.preconditioning, ResidualPreconditioning) else None

    def build(self) -> ScorePrior:
        """Build the prior with random weights (and the pretrained encoder), in evaluation mode."""
        network = self.network.build()
        rest = (self.data_range, self.image_size, self.sampler)
        if self.residual is None:
            return ScorePrior(network, self.sde, self.preconditioning, *rest, self.s_noise).eval()
        if not self.encoder_scale:
            return ConditionalPrior(network, self.sde, self.residual, *rest).eval()
        inputs = load_encoder(), self.encoder_scale, ChromaNetwork() if self.chroma else None
        return ColourPrior(network, self.sde, self.residual, *rest, *inputs).eval()


@dataclass(frozen=True)
class ClassifierConfig:
    """Configuration of a noise-conditional classifier: everything but the weights.

    Attributes:
        network: options of a wide residual network, or of a plain one for clean pictures.
        sde: the forward process of the classified states.
        classes: names of the classes.
        data_range: model values of black and white.
        image_size: side of the training pictures, in pixels.
        guidance: recommended scale of the gradient.
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
            raise CheckpointError(f"the network has {self.network.classes} classes, but {len(self.classes)} names")
        require(self.data_range[0] < self.data_range[1], "data_range must be two ascending numbers")

    def build(self) -> NoiseClassifier:
        """Build the classifier with random weights, in evaluation mode."""
        rest = (self.sde, self.data_range, self.image_size, self.classes, self.guidance)
        return NoiseClassifier(self.network.build(), *rest).eval()


@dataclass(frozen=True)
class DetectorConfig:
    """Configuration of a damage detector: everything but the weights.

    Attributes:
        network: options of the network.
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
        """Build the detector with random weights (and the pretrained encoder), in evaluation mode."""
        return DamageDetector(self.network.build(), load_encoder(), self.image_size).eval()


@dataclass(frozen=True)
class UpscalerConfig:
    """Configuration of an upscaler: everything but the weights.

    Attributes:
        network: options of the network.
        image_size: side of the small training crops, in pixels.
    """

    network: Annotated[SPANConfig, {_UPSCALER: SPANConfig}]
    image_size: Annotated[int, SIDE] = 48

    task: ClassVar = "upscale"
    sde: ClassVar[None] = None
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_settings(self)

    def build(self) -> Upscaler:
        """Build the upscaler with random weights, in evaluation mode."""
        return Upscaler(self.network.build(), self.image_size).eval()


@dataclass(frozen=True)
class NoiseEstimatorConfig:
    """Configuration of a noise estimator: everything but the weights.

    Attributes:
        network: options of the network.
        image_size: side of the training crops, in pixels.
    """

    network: Annotated[NoiseEstimatorNetworkConfig, {_ESTIMATOR: NoiseEstimatorNetworkConfig}]
    image_size: Annotated[int, SIDE] = 128

    task: ClassVar = "noise"
    sde: ClassVar[None] = None
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_settings(self)

    def build(self) -> NoiseEstimator:
        """Build the estimator with random weights, in evaluation mode."""
        return NoiseEstimator(self.network.build(), self.image_size).eval()


def decode_model(data: Any) -> AnyConfig:
    """Decode the configuration of any model; raise InputError naming a missing, unknown or wrong entry.

    Classifiers have `classes`; detectors, upscalers and noise estimators a network of their name. All others are
    priors.
    """
    if not isinstance(data, dict):
        raise CheckpointError(unsupported("model", data, "a JSON object"))
    if "classes" in data:
        return decode(ClassifierConfig, data)
    network = data.get("network")
    name = network.get("name") if isinstance(network, dict) else None
    others: dict[Any, type[Any]] = {
        _DETECTOR: DetectorConfig,
        _UPSCALER: UpscalerConfig,
        _ESTIMATOR: NoiseEstimatorConfig,
    }
    return decode(others.get(name, ModelConfig), data)


AnyConfig = Annotated[
    ModelConfig | ClassifierConfig | DetectorConfig | UpscalerConfig | NoiseEstimatorConfig, decode_model
]
"""Configuration of any model."""
AnyModel = ScorePrior | NoiseClassifier | DamageDetector | Upscaler | NoiseEstimator
"""Any model stored in a file."""


def config_of(model: AnyModel) -> AnyConfig:
    """Return the configuration of a model; raise InputError if it cannot be stored in a file."""
    network: Any = model.network
    if not hasattr(network, "config"):
        raise CheckpointError(f"{type(network).__name__} has no `config`, the options stored in a model's file")
    if isinstance(model, DamageDetector):
        return DetectorConfig(network.config, model.image_size)
    if isinstance(model, Upscaler):
        return UpscalerConfig(network.config, model.image_size)
    if isinstance(model, NoiseEstimator):
        return NoiseEstimatorConfig(network.config, model.image_size)
    if isinstance(model, NoiseClassifier):
        rest = (model.sde, model.classes, model.data_range, model.image_size, model.guidance)
        return ClassifierConfig(network.config, *rest)
    colour = model if isinstance(model, ColourPrior) else None
    return ModelConfig(
        network.config,
        model.sde,
        model.preconditioning,
        model.data_range,
        model.image_size,
        model.sampler,
        0 if colour is None else colour.encoder_scale,
        model.s_noise,
        colour is not None and colour.chroma is not None,
    )
