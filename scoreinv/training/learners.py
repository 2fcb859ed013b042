"""Learners: what each kind of model is trained on, and its loss.

Denoising score matching (Song et al. 2021, eq. 7 and appendix C): with x_t = alpha x0 + sigma z and
e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha, sd the preconditioning's sigma_data; the error
                                                    of the denoised picture, weighted by (s^2 + sd^2) / (s sd)^2
                                                    (Karras et al. 2022, table 1)

and for conditional priors 1 / mean of v / (s^2 + v), with v the variance that the observation leaves: each picture's
error, relative to the error of its initial estimate (F = 0).

SMLD and DDPM are the paper's weight at the discrete times t = i / (N - 1) of the VE SDE and of the DDPM chain.

Objectives are expectations over uniform times, unless a focus changes that. The likelihood weight g^2 / sigma^2 of VP
and sub-VP grows as 1 / t, so few pictures of a batch would dominate its loss. Its times are therefore drawn by
importance (Song et al. 2021, "Maximum likelihood training", appendix): with s = sigma / alpha the weight is
2 d ln s / dt, so times with uniform ln s contribute equally.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor, nn

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.initial_estimate import block_means
from scoreinv.conditional.prior import ConditionalPrior, resized_like
from scoreinv.guidance import Conditioned, Observation, given
from scoreinv.models.config import (
    AnyConfig,
    AnyModel,
    ClassifierConfig,
    ColourConfig,
    Config,
    DetectorConfig,
    FillConfig,
    ModelConfig,
)
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.operators import ObservedComponents
from scoreinv.operators.luma import luma_weights
from scoreinv.preconditioning import EDM, Range, centre, noise_level
from scoreinv.prior import Prior, ScorePrior
from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, time_at
from scoreinv.system.errors import InputError
from scoreinv.system.options import BELOW_ONE, Number, check, check_settings, require
from scoreinv.training.data.batches import COLOUR_FILM, DAMAGE, FILM, OBSERVED, TIMES, Batch, PictureSource
from scoreinv.training.data.prints import Generator, on_colour_film, on_old_print, on_other_film
from scoreinv.training.data.synthetic_damage import DamageDrawing, draw_hints, draw_hole, draw_scan

CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy relative to the Dice loss, for the damage detector."""
_DICE_OFFSET = 100.0  # e, in pixels: makes the Dice loss of undamaged pictures finite
_PALE = 0.15  # e: chroma energy of a nearly grey picture, relative to the average picture's
_FINE_WITHHELD = 0.05  # share of the pictures without finer luma, for networks that take it

Trained = TypeVar("Trained", bound=AnyModel)
Drawn = TypeVar("Drawn", bound=Batch)


@dataclass(frozen=True)
class Learner(ABC, Generic[Trained, Drawn]):
    """The training of one kind of model: its data, its loss and its held-out figures."""

    trains: ClassVar[type[Config]]
    """Configuration of the models that the learner is for."""
    useful: ClassVar[float | None] = 0.5
    """Limit of the held-out loss of a useful model, relative to the loss of the baseline; None for no limit."""

    def __post_init__(self) -> None:
        check_settings(self, "learner.")

    def refuse(self, model: AnyConfig) -> None:
        """Raise InputError if the learner cannot train the model."""
        fits = isinstance(model, self.trains)
        require(fits, f"{type(self).__name__} does not train this {type(model).__name__}")

    def drawn_scale(self, model: AnyConfig) -> int:
        """Return the side of drawn pictures relative to the model's."""
        return 1

    def network(self, model: Trained) -> nn.Module:
        """Return the network to train; the other parts of the model, and parameters without gradient, stay fixed."""
        return model.network

    @abstractmethod
    def draw(self, source: PictureSource, step: int, rows: range) -> Drawn:
        """Draw some rows of the global batch of a step (from 0)."""

    @abstractmethod
    def losses(self, model: Trained, batch: Drawn) -> Tensor:
        """Return the loss of each picture, (B,)."""

    def measures(self, model: Trained, batch: Drawn) -> dict[str, Tensor]:
        """Return figures of held-out pictures by name, each (B,); the loss is `validation`."""
        return {"validation": self.losses(model, batch)}

    @abstractmethod
    def baseline_loss(self, model: Trained, batch: Drawn) -> float:
        """Return the held-out loss of the best prediction that ignores the pictures."""


@dataclass(frozen=True)
class NoisyBatch(Batch):
    """Pictures to perturb by standard normal noise, (B, C, H, W)."""

    noise: Tensor


@dataclass(frozen=True)
class NoiseLearner(Learner[Trained, Drawn]):
    """Trains a network on pictures with noise of random times.

    Attributes:
        times: `continuous`, on [1e-5, 1]; or `discrete`, uniform on the grid of the SDE's `steps` times: SMLD
            on the VE SDE, DDPM on the DDPM chain.
        focus: mean and standard deviation of the logarithm of the noise levels sigma / alpha (for pictures on [-1, 1])
            of continuous times (Karras et al. 2022, section 5); None: uniform times.
        stratified: spread the times of a batch evenly (one uniform offset), for less variance.
    """

    times: Literal["continuous", "discrete"] = "continuous"
    focus: tuple[float, float] | None = None
    stratified: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.focus is not None:
            check("the mean of learner.focus", self.focus[0], Number(-math.inf))
            check("the deviation of learner.focus", self.focus[1], Number(None))
            require(self.times == "continuous", "learner.focus is for continuous times")

    def refuse(self, model: AnyConfig) -> None:
        super().refuse(model)
        grid = self.times == "continuous" or isinstance(model.sde, VE | DDPM)
        require(grid, "discrete times need the VE SDE (SMLD) or the DDPM chain (DDPM)")

    def draw_times(self, sde: SDE, data_range: Range, count: int, generator: Generator) -> Tensor:
        """Draw times (count,), float64: uniform or focused on [1e-5, 1], or on the grid i / (steps - 1).

        Stratified times are (offset + i / count) mod 1, mapped to the interval (Kingma et al. 2021, appendix I.1).
        """
        spread = np.arange(count) / count
        uniform = (generator.random() + spread) % 1.0 if self.stratified else generator.random(count)
        if self.times == "discrete":
            return torch.from_numpy(np.floor(uniform * sde.steps) / (sde.steps - 1))
        return self._times(uniform, sde, data_range)

    def _times(self, uniform: np.ndarray, sde: SDE, data_range: Range) -> Tensor:
        """Return the continuous times of values that are uniform on [0, 1)."""
        if self.focus is None:
            return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))
        mean, std = self.focus
        levels = np.exp(mean + std * special.ndtri(uniform)) * (data_range[1] - data_range[0]) / 2
        return time_at(sde, torch.from_numpy(levels)).clamp_min(TRAINING_START)

    def _noisy(self, source: PictureSource, step: int, rows: range) -> NoisyBatch:
        """Draw pictures, times and noise."""
        model = source.model
        times = self.draw_times(model.sde, model.data_range, source.batch_size, source.stream(TIMES, step))
        return NoisyBatch(source.images(step, rows), times[rows.start : rows.stop], source.noise(step, rows))


def denoising_loss(prior: Prior, x0: Tensor, t: Tensor, z: Tensor, reduction: Literal["mean", "sum"]) -> Tensor:
    """Return the squared error of the noise prediction for each picture, (B,).

    Args:
        x0: pictures (B, C, H, W) in the model's range.
        t: times (B,).
        z: noise, the shape of x0.
        reduction: over a picture's values: `mean`, or `sum` (halved, as in the paper).
    """
    squares = (prior.noise(prior.sde.perturb(x0, t, z), t) - z).square().flatten(1)
    return squares.mean(1) if reduction == "mean" else 0.5 * squares.sum(1)


@dataclass(frozen=True)
class ScoreLearner(NoiseLearner[ScorePrior, NoisyBatch]):
    """Trains a prior by denoising score matching.

    Attributes:
        weighting: `paper` (unit weight on the noise prediction), `likelihood` (g^2 on the score, with continuous times
            drawn by importance), or `uniform` (unit weight on the output of an EDM-preconditioned network, in
            expectation).
        reduction: over a picture's values: `mean`, or `sum` (halved, as in the paper).
    """

    weighting: Literal["paper", "likelihood", "uniform"] = "paper"
    reduction: Literal["mean", "sum"] = "mean"

    trains = ModelConfig
    removed_fields: ClassVar = ("sigma_data", "label_smoothing")  # the weight takes the preconditioning's sigma_data

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.focus is not None and self.weighting == "likelihood":
            raise InputError("learner.focus does not go with the likelihood weighting, which draws its times")

    def draw(self, source: PictureSource, step: int, rows: range) -> NoisyBatch:
        return self._noisy(source, step, rows)

    def losses(self, model: Prior, batch: NoisyBatch) -> Tensor:
        """Return the objective of each picture, (B,), corrected for the density of its time."""
        losses = denoising_loss(model, batch.images, batch.times, batch.noise, self.reduction)
        return self.weight(model, batch.times).to(losses) * losses * self.importance(model.sde, batch.times).to(losses)

    def baseline_loss(self, model: Prior, batch: NoisyBatch) -> float:
        """Return the loss of the best prediction from the mean and variance of all values.

        For independent values N(m, v) the best noise prediction has the error E|e - z|^2 = v / (s^2 + v), with s and v
        for pictures on [-1, 1].
        """
        variance = centre(batch.images, model.data_range).double().var()
        error = variance / (noise_level(batch.times, model.sde, model.data_range).square() + variance)
        values = 1.0 if self.reduction == "mean" else 0.5 * batch.images[0].numel()
        factors = self.weight(model, batch.times) * self.importance(model.sde, batch.times)
        return (values * factors * error).mean().item()

    def weight(self, prior: Prior, t: Tensor) -> Tensor:
        """Return the weight on |e - z|^2 at times t, float64, the shape of t.

        The uniform weight takes sd from the prior's `EDM` preconditioning, or from `EDM()` if it has another.
        """
        if self.weighting == "paper":
            return torch.ones_like(t)
        if self.weighting == "likelihood":
            return prior.sde.diffusion_squared(t) / prior.sde.sigma(t).square()
        preconditioning = getattr(prior, "preconditioning", None)
        edm = preconditioning if isinstance(preconditioning, EDM) else EDM()
        return (noise_level(t, prior.sde, prior.data_range) / edm.sigma_data).square() + 1

    def importance(self, sde: SDE, t: Tensor) -> Tensor:
        """Return the density of uniform times over that of `draw_times` at times t: float64, the shape of t.

        This factor keeps the expectation of a loss. It is 1 except for the likelihood weighting, because a focus is
        meant to change the expectation.
        """
        if self.weighting != "likelihood" or self.times == "discrete":
            return torch.ones_like(t)
        low, high = _log_levels(sde)
        return 2 * (high - low) / (1 - TRAINING_START) / (sde.diffusion_squared(t) / sde.sigma(t).square())

    def _times(self, uniform: np.ndarray, sde: SDE, data_range: Range) -> Tensor:
        if self.weighting != "likelihood":
            return super()._times(uniform, sde, data_range)
        low, high = _log_levels(sde)
        return time_at(sde, torch.from_numpy(np.exp(low + uniform * (high - low)))).clamp(TRAINING_START, 1.0)


def _log_levels(sde: SDE) -> tuple[float, float]:
    """Return ln(sigma / alpha) at the first and the last training time."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high


@dataclass(frozen=True)
class ObservationConfig:
    """Observations of training pictures for a conditional prior: shares of six kinds, and of films and prints.

    The shares of the first six attributes add up to 1.

    Attributes:
        nothing: the unconditional prior.
        holes: missing pixels: single ones, scratches, writing, strokes, boxes, borders, halves.
        gray: luma only.
        hints: luma, and chroma in a few places.
        damaged_gray: luma with holes, sometimes with chroma in a few places.
        refined: holes, and the whole picture at half the size, for refining a coarser result.
        other_films: of the pictures with observed luma, the share with the luma of another film
            (`prints.on_other_film`).
        old_prints: of the rest of these, the share on an old print (`prints.on_old_print`).
        colour_films: of all pictures, the share in the colours of another film (`prints.on_colour_film`).
    """

    nothing: float = 0.15
    holes: float = 0.4
    gray: float = 0.15
    hints: float = 0.1
    damaged_gray: float = 0.1
    refined: float = 0.1
    other_films: Annotated[float, Number(0, 1)] = 0.0
    old_prints: Annotated[float, Number(0, 1)] = 0.0
    colour_films: Annotated[float, Number(0, 1)] = 0.0

    def __post_init__(self) -> None:
        shares = self.kinds.values()
        require(all(share >= 0 for share in shares), "observations: shares must not be negative")
        require(abs(sum(shares) - 1) < 1e-6, f"observations: shares must add up to 1, not {sum(shares):g}")
        check_settings(self, "observations.")

    @property
    def kinds(self) -> dict[str, float]:
        """Return the share of each kind of observation."""
        return {name: getattr(self, name) for name in ("nothing", "holes", "gray", "hints", "damaged_gray", "refined")}


@dataclass(frozen=True)
class ObservedBatch(NoisyBatch):
    """Pictures with observations; entries are None if the network does not take them.

    Attributes:
        observed: (B, 3, H, W) bool, the observed components: luma and two of chroma.
        refined: (B,) bool, whether the picture at half the size is observed, too.
        fine: (B, C, sH, sW), pictures at the scale of the observed finer luma; NaN if it is not observed.
        encoder_luma: (B, 1, kH, kW) in [0, 1], the encoder's input.
    """

    observed: Tensor
    refined: Tensor
    fine: Tensor | None = None
    encoder_luma: Tensor | None = None


@dataclass(frozen=True)
class ConditionalLearner(NoiseLearner[ConditionalPrior, ObservedBatch]):
    """Trains a conditional prior by denoising score matching, given observations.

    Attributes:
        reduction: over a picture's values: `mean`, or `sum` (halved, as in the paper).
        observations: what is observed of the pictures.
    """

    reduction: Literal["mean", "sum"] = "mean"
    observations: ObservationConfig = field(default_factory=ObservationConfig)

    trains: ClassVar[type[Config]] = FillConfig
    removed_fields: ClassVar = ("sigma_data", "label_smoothing", "weighting")
    useful: ClassVar[float | None] = 0.95  # the initial estimate is near the best

    def drawn_scale(self, model: Any) -> int:
        """Return the scale of the finest luma that the model takes."""
        return max(model.preconditioning.luma_scale, model.encoder_scale)

    def draw(self, source: PictureSource, step: int, rows: range) -> ObservedBatch:
        """Draw observations, and put some pictures on another film."""
        model, shares = source.model, self.observations
        batch, scale = self._noisy(source, step, rows), self.drawn_scale(model)
        streams = [source.stream(OBSERVED, step, index) for index in rows]
        drawn = [draw_observed(shares, model.image_size, stream) for stream in streams]
        observed, refined = (torch.from_numpy(np.stack(values)) for values in zip(*drawn, strict=True))
        for picture, components, index in zip(batch.images, observed, rows, strict=True):
            generators = source.stream(COLOUR_FILM, step, index), source.stream(FILM, step, index)
            self._put_on_films(picture, bool(components[0].any()), model, *generators)
        fine = luma = None
        if model.preconditioning.luma_scale > 1:
            withheld = torch.tensor([stream.random() < _FINE_WITHHELD for stream in streams])
            fine = F.avg_pool2d(batch.images, scale // model.preconditioning.luma_scale)
            fine = torch.where(withheld[:, None, None, None], torch.nan, fine)
        if model.encoder_scale:
            weights = torch.from_numpy(luma_weights(model.preconditioning.gray_weights)).float()
            reduced = F.avg_pool2d(batch.images, scale // model.encoder_scale)
            low, high = model.data_range
            luma = (torch.einsum("c,bchw->bhw", weights, reduced)[:, None] - low) / (high - low)
        return ObservedBatch(F.avg_pool2d(batch.images, scale), batch.times, batch.noise, observed, refined, fine, luma)

    def _put_on_films(self, picture: Tensor, shows_luma: bool, model: Any, colours: Generator, film: Generator) -> None:
        """Replace a picture (3, H, W) by its rendering on a colour film, another film or an old print."""
        shares, renderings = self.observations, []
        if colours.random() < shares.colour_films:
            renderings.append((on_colour_film, colours))
        if shows_luma and film.random() < shares.other_films:
            renderings.append((on_other_film, film))
        elif shows_luma and film.random() < shares.old_prints:
            renderings.append((on_old_print, film))
        low, high = model.data_range
        for rendering, generator in renderings:
            rgb = ((picture - low) / (high - low)).permute(1, 2, 0).clamp(0, 1).numpy()
            changed = rendering(rgb, model.preconditioning.gray_weights, generator)
            picture.copy_(torch.from_numpy(changed).permute(2, 0, 1) * (high - low) + low)

    def losses(self, model: ConditionalPrior, batch: ObservedBatch) -> Tensor:
        operator = ObservedComponents(batch.observed, model.preconditioning.basis)
        features, luma = None, batch.encoder_luma
        if luma is not None:
            assert isinstance(model, ColourPrior)
            features = luma_features(model, batch.observed, luma)
        coarse = torch.where(batch.refined[:, None, None, None], block_means(batch.images), torch.nan)
        observation = Observation(operator, operator(batch.images), 0.0, coarse, batch.fine, features)
        return self.relative_losses(given(model, observation), batch)

    def measures(self, model: ConditionalPrior, batch: ObservedBatch) -> dict[str, Tensor]:
        return super().measures(model, batch) | {"unconditional": self.relative_losses(model, batch)}

    def baseline_loss(self, model: ConditionalPrior, batch: ObservedBatch) -> float:
        return 1.0

    def relative_losses(self, prior: ConditionalPrior | Conditioned, batch: NoisyBatch) -> Tensor:
        """Return the error of each picture relative to that of its initial estimate, (B,)."""
        losses = denoising_loss(prior, batch.images, batch.times, batch.noise, self.reduction)
        return losses / prior.expected_error(batch.images, batch.times)


@dataclass(frozen=True)
class ChromaLearner(ConditionalLearner):
    """Trains a prior's estimate of the mean chroma of grey pictures, by regression.

    It trains the decoder and the last stages of the encoder; the score network stays fixed.
    """

    trains = ColourConfig

    def refuse(self, model: AnyConfig) -> None:
        super().refuse(model)
        assert isinstance(model, ColourConfig)
        require(model.chroma, "ChromaLearner needs a model with chroma")

    def network(self, model: ConditionalPrior) -> ChromaNetwork:
        assert isinstance(model, ColourPrior)
        assert model.chroma is not None
        model.chroma.train_last_stages()
        return model.chroma

    def losses(self, model: ConditionalPrior, batch: ObservedBatch) -> Tensor:
        """Return |chroma - truth|^2 / (|truth|^2 + e), (B,): the error relative to that of a grey prediction.

        Plain squared errors are dominated by vivid pictures, and a network trained on them oversaturates pale ones.
        """
        assert isinstance(model, ColourPrior)
        assert model.chroma is not None
        predicted, _ = model.chroma(batch.encoder_luma)
        truth = self._truth(model, batch)
        error = self._energy(model, resized_like(predicted, batch.images) - truth)
        return error / (self._energy(model, truth) + _PALE)

    def measures(self, model: ConditionalPrior, batch: ObservedBatch) -> dict[str, Tensor]:
        return {"validation": self.losses(model, batch)}

    def baseline_loss(self, model: ConditionalPrior, batch: ObservedBatch) -> float:
        """Return the loss of a grey prediction."""
        energy = self._energy(model, self._truth(model, batch))
        return float((energy / (energy + _PALE)).mean())

    def _truth(self, model: ConditionalPrior, batch: ObservedBatch) -> Tensor:
        """Return the true chroma, relative to a grey of the same luma."""
        return model.preconditioning.chroma_beyond_gray(centre(batch.images, model.data_range))

    def _energy(self, model: ConditionalPrior, chroma: Tensor) -> Tensor:
        """Return |chroma|^2 relative to its expectation, (B,)."""
        return chroma.square().flatten(1).mean(1) / model.preconditioning.chroma_variance


@dataclass(frozen=True)
class LabelledBatch(NoisyBatch):
    """Pictures with class indices, (B,)."""

    labels: Tensor


@dataclass(frozen=True)
class ClassifierLearner(NoiseLearner[NoiseClassifier, LabelledBatch]):
    """Trains a classifier of noisy pictures by cross-entropy (Song et al. 2021, appendix I.1).

    Attributes:
        label_smoothing: share of the target probability that is spread over all classes.
    """

    label_smoothing: Annotated[float, BELOW_ONE] = 0.0

    trains = ClassifierConfig
    removed_fields: ClassVar = ("sigma_data", "weighting", "reduction")
    useful: ClassVar[float | None] = None

    def draw(self, source: PictureSource, step: int, rows: range) -> LabelledBatch:
        labels = torch.from_numpy(source.pictures.labels)[source.chosen(step, rows)]
        return LabelledBatch(**vars(self._noisy(source, step, rows)), labels=labels)

    def losses(self, model: NoiseClassifier, batch: LabelledBatch) -> Tensor:
        logits = self._logits(model, batch)
        return F.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=self.label_smoothing)

    def measures(self, model: NoiseClassifier, batch: LabelledBatch) -> dict[str, Tensor]:
        logits = self._logits(model, batch)
        loss = F.cross_entropy(logits, batch.labels, reduction="none")
        return {"validation": loss, "accuracy": (logits.argmax(1) == batch.labels).float()}

    def baseline_loss(self, model: NoiseClassifier, batch: LabelledBatch) -> float:
        return math.log(len(model.classes))

    def _logits(self, model: NoiseClassifier, batch: LabelledBatch) -> Tensor:
        return model(model.sde.perturb(batch.images, batch.times, batch.noise), batch.times).float()


@dataclass(frozen=True)
class ScanBatch(Batch):
    """Scans of damaged prints.

    Attributes:
        damaged: (B, 1, H, W), 1 for damaged pixels, else 0.
        certain: (B, 1, H, W), 0 for faint damage, else 1.
    """

    damaged: Tensor
    certain: Tensor


@dataclass(frozen=True)
class DamageLearner(Learner[DamageDetector, ScanBatch]):
    """Trains a damage detector by pixelwise cross-entropy and the overlap of the masks.

    The loss of a picture is `CROSS_ENTROPY` times the mean cross-entropy plus the soft Dice loss (Milletari et al.
    2016), 1 - (2 sum p y + e) / (sum p + sum y + e), which weighs small and large damage equally.

    Attributes:
        damage: the synthetic damage.
    """

    damage: DamageDrawing = field(default_factory=DamageDrawing)

    trains = DetectorConfig

    def draw(self, source: PictureSource, step: int, rows: range) -> ScanBatch:
        images, masks = source.images(step, rows), []
        for picture, index in zip(images, rows, strict=True):
            scan = draw_scan(picture.permute(1, 2, 0).numpy(), self.damage, source.stream(DAMAGE, step, index))
            picture.copy_(torch.from_numpy(scan.damaged).permute(2, 0, 1))
            masks.append(np.stack([scan.mask, ~scan.faint]))
        damaged, certain = torch.from_numpy(np.stack(masks, 1)[:, :, None]).float()
        return ScanBatch(images, torch.zeros(len(rows), dtype=torch.float64), damaged, certain)

    def losses(self, model: DamageDetector, batch: ScanBatch) -> Tensor:
        damaged, certain, logits = batch.damaged, batch.certain, model.logits(batch.images).float()
        entropy = F.binary_cross_entropy_with_logits(logits, damaged, certain, reduction="none").flatten(1).mean(1)
        p, y = (certain * logits.sigmoid()).flatten(1), damaged.flatten(1)
        overlap = (2 * (p * y).sum(1) + _DICE_OFFSET) / (p.sum(1) + y.sum(1) + _DICE_OFFSET)
        return CROSS_ENTROPY * entropy + 1 - overlap

    def measures(self, model: DamageDetector, batch: ScanBatch) -> dict[str, Tensor]:
        damaged, found = batch.damaged, batch.certain * (model.logits(batch.images) > 0)
        shares = {"damaged": damaged, "missed": damaged * (1 - found), "wrong": found * (1 - damaged)}
        return super().measures(model, batch) | {name: value.flatten(1).mean(1) for name, value in shares.items()}

    def baseline_loss(self, model: DamageDetector, batch: ScanBatch) -> float:
        """Return the loss of one probability for all pixels."""
        share = batch.damaged.mean().clamp(1e-6, 1 - 1e-6)
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(CROSS_ENTROPY * entropy + 1 - share)


LEARNERS: dict[str, type[Any]] = {
    **{"score": ScoreLearner, "conditional": ConditionalLearner, "chroma": ChromaLearner},
    **{"classifier": ClassifierLearner, "damage": DamageLearner},
}
"""Learners by their names in files."""


def draw_observed(config: ObservationConfig, side: int, generator: Generator) -> tuple[np.ndarray, bool]:
    """Draw an observation of a picture.

    Returns:
        The observed components, (3, side, side) bool, luma and two of chroma; and whether the picture at half the size
        is observed.
    """
    shares = config.kinds
    total = sum(shares.values())  # numpy requires a sum closer to 1 than rounded shares have
    kind = generator.choice(list(shares), p=[share / total for share in shares.values()])
    observed = np.zeros((3, side, side), dtype=bool)
    if kind in ("holes", "refined"):
        observed[:] = ~draw_hole(side, generator)
    elif kind in ("gray", "hints"):
        observed[0] = True
    elif kind == "damaged_gray":
        observed[0] = ~draw_hole(side, generator)
    if kind == "hints" or (kind == "damaged_gray" and generator.random() < 0.3):
        observed[1:] = observed[0] & draw_hints(side, generator)
    return observed, kind == "refined"


def luma_features(model: ColourPrior, observed: Tensor, luma: Tensor) -> tuple[Tensor, ...]:
    """Return `ColourPrior.gray_features` of the pictures with all luma observed, and zeros for the others.

    Features are returned even if they are all zeros: distributed processes wait for a gradient of the layers that use
    them.

    Args:
        observed: observed components of the pictures, (B, 3, H, W).
        luma: the encoder's input for each picture, (B, 1, kH, kW).
    """
    complete = observed[:, 0].flatten(1).all(1)  # (B,)
    shown = complete if complete.any() else torch.arange(len(luma), device=luma.device) == 0  # one, for the shapes
    maps = model.gray_features(luma[shown])
    places, chosen = (complete,), complete[shown]
    return tuple(value.new_zeros(len(luma), *value.shape[1:]).index_put(places, value[chosen]) for value in maps)
