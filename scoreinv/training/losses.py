"""Losses: denoising score matching (Song et al. 2021, eq. 7 and appendix C), and those of the other models.

With x_t = alpha x0 + sigma z and e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha; the error of the denoised picture, weighted by
                                                    (s^2 + sd^2) / (s sd)^2 (Karras et al. 2022, table 1)
    residual     1 / mean of v / (s^2 + v)          of conditional priors: the error over that of the start, v the
                                                    variance of what an observation leaves open, for each picture

SMLD and DDPM are the paper's weight at the discrete times t = i / (N - 1) of the VE SDE and of the DDPM chain.

Objectives are expectations over uniform times, unless a focus changes that. The likelihood weight of VP and sub-VP
grows as 1 / t, so that hardly any picture of a batch would count; its times are drawn by importance (Song et al. 2021,
"Maximum likelihood training", appendix): with s = sigma / alpha it is g^2 / sigma^2 = 2 d ln s / dt, so times whose
ln s is uniform make all of them count alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor, nn

from scoreinv.conditional.interpolation import InitialEstimate, block_means
from scoreinv.conditional.prior import ConditionalPrior, at_size_of
from scoreinv.errors import InputError
from scoreinv.models.config import AnyModel, ClassifierConfig
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import NoiseClassifier
from scoreinv.networks.detector import DamageDetector
from scoreinv.preconditioning import Range, centre, noise_level
from scoreinv.prior import Prior, ScorePrior
from scoreinv.sdes import SDE, TRAINING_START, broadcast, time_at
from scoreinv.training.config import ObjectiveConfig, TrainingConfig
from scoreinv.training.features import KeptFeatures, features_given

CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy beside the Dice loss, of the detector of damage."""
_ANY = 100.0
"""Pixels that stand for some damage, e: a picture without any asks for few found."""
_PALE = 0.15
"""Energy of a picture's chroma, 1 on average, that counts as grey: e."""


@dataclass(frozen=True)
class Batch:
    """What one step of a process trains on; an entry is None where the model has no use for it.

    Attributes:
        images: (B, C, H, W) float32 in the model's range, channels last in memory.
        times: (B,) float64.
        noise: standard normal, as `images`; empty where there is no SDE.
        labels: (B,) class indices.
        observed: (B, 3, H, W) bool, the components that a conditional prior is shown.
        refined: (B,) bool, whether it is also shown the picture at half the size.
        fine: (B, C, sH, sW), the pictures at the scale at which their luma is shown besides; NaN where it is not.
        seen: (B, 1, kH, kW) in [0, 1], the pictures' luma as it is shown to the encoder.
        damaged: (B, 1, H, W), 1 where the pictures were damaged, 0 where not, NaN where the damage is faint.
        crops: (B,) numbers of the pictures' crops, which are drawn again; None where every crop is new.
    """

    images: Tensor
    times: Tensor
    noise: Tensor
    labels: Tensor | None = None
    observed: Tensor | None = None
    refined: Tensor | None = None
    fine: Tensor | None = None
    seen: Tensor | None = None
    damaged: Tensor | None = None
    crops: Tensor | None = None

    def part(self, rows: slice | Tensor) -> Batch:
        """Some of the pictures, by a slice or their indices."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> Batch:
        """On a device; the times stay on the CPU."""
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved | {"times": self.times})


def draw_times(
    objective: ObjectiveConfig, sde: SDE, data_range: Range, count: int, generator: np.random.Generator
) -> Tensor:
    """Times (count,) of a batch, float64: on [1e-5, 1] uniform, by importance or focused, or the grid i / (steps - 1).

    Stratified times are (offset + i / count) mod 1, brought to the interval (Kingma et al. 2021, appendix I.1).
    """
    spread = np.arange(count) / count
    uniform = (generator.random() + spread) % 1.0 if objective.stratified else generator.random(count)
    if objective.times == "discrete":
        return torch.from_numpy(np.floor(uniform * sde.steps) / (sde.steps - 1))
    if objective.weighting == "likelihood":
        low, high = _log_levels(sde)
        levels = np.exp(low + uniform * (high - low))
        return time_at(sde, torch.from_numpy(levels)).clamp(TRAINING_START, 1.0)
    if objective.focus is not None:
        mean, std = objective.focus
        levels = np.exp(mean + std * special.ndtri(uniform)) * (data_range[1] - data_range[0]) / 2
        return time_at(sde, torch.from_numpy(levels)).clamp_min(TRAINING_START)
    return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))


def weight(objective: ObjectiveConfig, sde: SDE, t: Tensor, data_range: Range) -> Tensor:
    """The weight on |e - z|^2 at times t, float64, the shape of t; `sigma_data` refers to pictures on [-1, 1]."""
    if objective.weighting == "paper":
        return torch.ones_like(t)
    if objective.weighting == "likelihood":
        return sde.diffusion_squared(t) / sde.sigma(t).square()
    return (noise_level(t, sde, data_range) / objective.sigma_data).square() + 1


def importance(objective: ObjectiveConfig, sde: SDE, t: Tensor) -> Tensor:
    """Density of uniform times over that of the times t which `draw_times` draws, float64, the shape of t.

    The factor that leaves the expectation of a loss what it is over uniform times. It is 1 but for the likelihood
    weighting: a focus is there to change the expectation.
    """
    if objective.weighting != "likelihood" or objective.times == "discrete":
        return torch.ones_like(t)
    low, high = _log_levels(sde)
    return 2 * (high - low) / (1 - TRAINING_START) / weight(objective, sde, t, (-1.0, 1.0))


def _log_levels(sde: SDE) -> tuple[float, float]:
    """ln(sigma / alpha) at the first and the last time of training."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high


def per_image_loss(
    objective: ObjectiveConfig, prior: Prior, x0: Tensor, t: Tensor, z: Tensor, initial: InitialEstimate | None = None
) -> Tensor:
    """Weighted squared error of the noise prediction, (B,).

    Args:
        x0: pictures (B, C, H, W) in the model's range.
        t: times (B,).
        z: noise, the shape of x0.
        initial: what a conditional prior makes of what it is shown of the pictures; None: it is shown nothing.
    """
    x = prior.sde.perturb(x0, t, z)
    error = (prior.noise(x, t, initial) if isinstance(prior, ConditionalPrior) else prior.noise(x, t)) - z
    squares = error.square().flatten(1)
    loss = squares.mean(1) if objective.reduction == "mean" else 0.5 * squares.sum(1)
    if objective.weighting == "residual":
        assert isinstance(prior, ConditionalPrior)  # as the configuration saw to
        return loss / prior.preconditioning.expected_error(x0, t, prior.sde, prior.data_range, initial)
    return broadcast(weight(objective, prior.sde, t, prior.data_range), error[:, 0, 0, 0]) * loss


Trained = TypeVar("Trained", bound=AnyModel)


class Learner(ABC, Generic[Trained]):
    """How a kind of model is trained: which of its networks, by which loss, and what is told of held-out pictures."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def network(self, model: Trained) -> nn.Module:
        """The network that is trained; the model's other parts stay as they are."""
        return model.network

    @abstractmethod
    def losses(self, model: Trained, batch: Batch) -> Tensor:
        """What is minimised, for each picture, (B,)."""

    def measures(self, model: Trained, batch: Batch) -> dict[str, Tensor]:
        """What is told of held-out pictures, each (B,); the first is their loss, `validation`."""
        return {"validation": self.losses(model, batch)}

    @abstractmethod
    def ignorant_loss(self, model: Trained, batch: Batch) -> float:
        """The loss over held-out pictures of a model that knows nothing of them."""


class ScoreLearner(Learner[ScorePrior]):
    """A prior, by denoising score matching.

    Attributes:
        kept: features of the batches' crops that were looked at before; None where nothing is kept.
    """

    kept: KeptFeatures | None = None

    def losses(self, model: ScorePrior, batch: Batch) -> Tensor:
        """The objective for each picture, corrected for how its time was drawn."""
        initial = None
        if batch.observed is not None and isinstance(model, ConditionalPrior):
            features = coarse = None
            if batch.seen is not None:
                shapes = model.feature_shapes(*batch.seen.shape[-2:])
                features = features_given(batch.observed, batch.seen, model.look, shapes, batch.crops, self.kept)
            if batch.refined is not None:
                coarse = torch.where(batch.refined[:, None, None, None], block_means(batch.images), torch.nan)
            initial = model.initial_estimate(batch.images, batch.observed, coarse, batch.fine, features)
        losses = per_image_loss(self.config.objective, model, batch.images, batch.times, batch.noise, initial)
        return losses * importance(self.config.objective, model.sde, batch.times).to(losses)

    def measures(self, model: ScorePrior, batch: Batch) -> dict[str, Tensor]:
        found = super().measures(model, batch)
        if batch.observed is not None:
            found["unconditional"] = self.losses(model, replace(batch, observed=None))
        return found

    def ignorant_loss(self, model: ScorePrior, batch: Batch) -> float:
        """The loss of knowing nothing of the pictures but the mean and variance of their values.

        For values N(m, v), independent of each other, the best noise prediction is wrong by
        E|e - z|^2 = v / (s^2 + v), with s and v of pictures on [-1, 1]. The residual weighting counts errors in those
        of the initial estimate: 1 is that estimate.
        """
        objective, t = self.config.objective, batch.times
        if objective.weighting == "residual":
            return 1.0
        variance = centre(batch.images, model.data_range).double().var()
        error = variance / (noise_level(t, model.sde, model.data_range).square() + variance)
        values = 1.0 if objective.reduction == "mean" else 0.5 * batch.images[0].numel()
        factors = weight(objective, model.sde, t, model.data_range) * importance(objective, model.sde, t)
        return (values * factors * error).mean().item()


class ChromaLearner(Learner[ConditionalPrior]):
    """The mean chroma of grey pictures that a prior starts its initial estimate from, by regression.

    Trained are the decoder and the last stages of the encoder; the score network stays as it is.
    """

    def network(self, model: ConditionalPrior) -> ChromaNetwork:
        assert model.chroma is not None  # as the configuration saw to
        return model.chroma

    def losses(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        """|chroma - truth|^2 / (|truth|^2 + e), (B,): the error over that of grey, as gains in decibels count it.

        Squared errors alone are those of vivid pictures: what learns by them paints pale ones too boldly.
        """
        assert batch.seen is not None
        found, _ = self.network(model)(batch.seen)
        truth = self._truth(model, batch)
        error = self._energy(model, at_size_of(found, batch.images) - truth)
        return error / (self._energy(model, truth) + _PALE)

    def ignorant_loss(self, model: ConditionalPrior, batch: Batch) -> float:
        energy = self._energy(model, self._truth(model, batch))
        return float((energy / (energy + _PALE)).mean())  # of grey

    def _truth(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        return model.preconditioning.chroma_beyond_gray(centre(batch.images, model.data_range))

    def _energy(self, model: ConditionalPrior, chroma: Tensor) -> Tensor:
        """|chroma|^2 over what is expected of a picture, (B,)."""
        return chroma.square().flatten(1).mean(1) / model.preconditioning.chroma_variance


class ClassifierLearner(Learner[NoiseClassifier]):
    """A classifier of noisy pictures, by the cross-entropy of their classes (Song et al. 2021, appendix I.1)."""

    def losses(self, model: NoiseClassifier, batch: Batch) -> Tensor:
        logits, labels = self._logits(model, batch)
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.config.objective.label_smoothing)

    def measures(self, model: NoiseClassifier, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self._logits(model, batch)
        loss = F.cross_entropy(logits, labels, reduction="none")
        return {"validation": loss, "accuracy": (logits.argmax(1) == labels).float()}

    def ignorant_loss(self, model: NoiseClassifier, batch: Batch) -> float:
        return math.log(len(model.classes))

    def _logits(self, model: NoiseClassifier, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the pictures at the batch's times, and their labels."""
        assert batch.labels is not None  # as `load_pictures` of the run saw to
        return model(model.sde.perturb(batch.images, batch.times, batch.noise), batch.times).float(), batch.labels


class DamageLearner(Learner[DamageDetector]):
    """A detector of damage, by the cross-entropy of its pixels and the overlap with what is damaged.

    The loss of a picture is `CROSS_ENTROPY` times the mean cross-entropy plus the soft Dice loss (Milletari et al.
    2016), 1 - (2 sum p y + e) / (sum p + sum y + e), which counts what is damaged alike however little it is.
    """

    def losses(self, model: DamageDetector, batch: Batch) -> Tensor:
        damaged, told = self._damaged(batch)
        logits = model.logits(batch.images).float()
        entropy = F.binary_cross_entropy_with_logits(logits, damaged, told, reduction="none").flatten(1).mean(1)
        found, there = (told * logits.sigmoid()).flatten(1), damaged.flatten(1)
        overlap = (2 * (found * there).sum(1) + _ANY) / (found.sum(1) + there.sum(1) + _ANY)
        return CROSS_ENTROPY * entropy + 1 - overlap

    def measures(self, model: DamageDetector, batch: Batch) -> dict[str, Tensor]:
        damaged, told = self._damaged(batch)
        found = told * (model.logits(batch.images) > 0)
        shares = {"damaged": damaged, "missed": damaged * (1 - found), "wrong": found * (1 - damaged)}
        return super().measures(model, batch) | {name: value.flatten(1).mean(1) for name, value in shares.items()}

    def ignorant_loss(self, model: DamageDetector, batch: Batch) -> float:
        share = self._damaged(batch)[0].mean().clamp(1e-6, 1 - 1e-6)  # found everywhere with this probability
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(CROSS_ENTROPY * entropy + 1 - share)

    def _damaged(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which pixels are damaged, and of which it can be told: 1 and 0, (B, 1, H, W)."""
        assert batch.damaged is not None  # as the configuration saw to
        return batch.damaged.nan_to_num(0.0), batch.damaged.isfinite().float()


def learner_of(config: TrainingConfig) -> Learner[Any]:
    """How the model of a run is trained."""
    if isinstance(config.model, ClassifierConfig):
        return ClassifierLearner(config)
    if config.damage is not None:
        return DamageLearner(config)
    return ChromaLearner(config) if config.trained == "chroma" else ScoreLearner(config)


def initial_model(config: TrainingConfig, init: AnyModel | None) -> AnyModel:
    """What a run starts from: weights drawn from its seed, or those of `init`; InputError for another network.

    Where the model has a network of chroma and `init` has none, that starts from the encoder and a fresh decoder.
    """
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(config.seed)
        model = config.model.build()
    if init is not None:
        if isinstance(init, ConditionalPrior) and config.observations is None:
            raise InputError("the model to start from takes observations: train a conditional model")
        parts = model.parts()
        try:
            for name, part in init.parts().items():
                parts[name].load_state_dict(part.state_dict())
        except (RuntimeError, KeyError) as error:
            raise InputError("the model to start from has another network than the one to train") from error
    if config.trained == "chroma" and isinstance(model, ConditionalPrior) and model.chroma is not None:
        model.chroma.train_last_stages()
    return model
