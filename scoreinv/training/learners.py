"""How each kind of model is trained: its trained network, the loss, and the measures on held-out pictures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional import Observation
from scoreinv.conditional.initial_estimate import block_means
from scoreinv.conditional.prior import ConditionalPrior, at_size_of
from scoreinv.models.config import AnyModel, ClassifierConfig
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.operators import ObservedComponents
from scoreinv.preconditioning import centre, noise_level
from scoreinv.prior import Prior, ScorePrior
from scoreinv.training.batches import Batch
from scoreinv.training.config import TrainingConfig
from scoreinv.training.score_matching import importance, per_image_loss, weight

CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy beside the Dice loss, of the detector of damage."""
_ANY = 100.0  # pixels that stand for some damage, e: a picture without any asks for few found
_PALE = 0.15  # energy of a picture's chroma, 1 on average, that counts as grey: e

Trained = TypeVar("Trained", bound=AnyModel)
TrainedPrior = TypeVar("TrainedPrior", bound=ScorePrior)


class Learner(ABC, Generic[Trained]):
    """How a kind of model is trained: its trained network, the loss, and the measures on held-out pictures."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def network(self, model: Trained) -> nn.Module:
        """Return the trained network; the model's other parts are frozen."""
        return model.network

    @abstractmethod
    def losses(self, model: Trained, batch: Batch) -> Tensor:
        """Return the loss of each picture, (B,)."""

    def measures(self, model: Trained, batch: Batch) -> dict[str, Tensor]:
        """Return measures of held-out pictures, each (B,); the first is their loss, `validation`."""
        return {"validation": self.losses(model, batch)}

    @abstractmethod
    def baseline_loss(self, model: Trained, batch: Batch) -> float:
        """Return the loss over held-out pictures of a model that knows nothing of them."""


class ScoreLearner(Learner[TrainedPrior]):
    """Trains a prior by denoising score matching."""

    def losses(self, model: TrainedPrior, batch: Batch) -> Tensor:
        """Return the objective for each picture, (B,), corrected for the density of its time."""
        return self._weighted(model, batch)

    def baseline_loss(self, model: TrainedPrior, batch: Batch) -> float:
        """Return the loss of a model that knows only the mean and variance of the pictures' values.

        For independent values N(m, v), the best noise prediction has E|e - z|^2 = v / (s^2 + v), with s and v of
        pictures on [-1, 1].
        """
        objective, t = self.config.objective, batch.times
        variance = centre(batch.images, model.data_range).double().var()
        error = variance / (noise_level(t, model.sde, model.data_range).square() + variance)
        values = 1.0 if objective.reduction == "mean" else 0.5 * batch.images[0].numel()
        factors = weight(objective, model, t) * importance(objective, model.sde, t)
        return (values * factors * error).mean().item()

    def _weighted(self, prior: Prior, batch: Batch) -> Tensor:
        losses = per_image_loss(self.config.objective, prior, batch.images, batch.times, batch.noise)
        return losses * importance(self.config.objective, prior.sde, batch.times).to(losses)


class ConditionalLearner(ScoreLearner[ConditionalPrior]):
    """Trains a conditional prior by denoising score matching, given observations."""

    def losses(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        assert batch.observed is not None  # as the configuration checked
        operator = ObservedComponents(batch.observed, model.preconditioning.basis)
        features = coarse = None
        if batch.seen is not None:
            features = features_given(model, batch.observed, batch.seen)
        if batch.refined is not None:
            coarse = torch.where(batch.refined[:, None, None, None], block_means(batch.images), torch.nan)
        observation = Observation(operator, operator(batch.images), 0.0, coarse, batch.fine, features)
        return self._weighted(model.given(observation), batch)

    def measures(self, model: ConditionalPrior, batch: Batch) -> dict[str, Tensor]:
        return super().measures(model, batch) | {"unconditional": self._weighted(model, batch)}

    def baseline_loss(self, model: ConditionalPrior, batch: Batch) -> float:
        return 1.0  # the residual weighting counts errors in units of the initial estimate's


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

    def baseline_loss(self, model: ConditionalPrior, batch: Batch) -> float:
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

    def baseline_loss(self, model: NoiseClassifier, batch: Batch) -> float:
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

    def baseline_loss(self, model: DamageDetector, batch: Batch) -> float:
        share = self._damaged(batch)[0].mean().clamp(1e-6, 1 - 1e-6)  # found everywhere with this probability
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(CROSS_ENTROPY * entropy + 1 - share)

    def _damaged(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which pixels are damaged, and of which it can be told: 1 and 0, (B, 1, H, W)."""
        assert batch.damaged is not None  # as the configuration saw to
        return batch.damaged.nan_to_num(0.0), batch.damaged.isfinite().float()


def features_given(model: ConditionalPrior, observed: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
    """Return the features (`ConditionalPrior.look`) of pictures whose luma is observed everywhere, zeros for others.

    Without such pictures all are zeros, so that each step has a gradient for the layers of features. Processes that
    train together wait for it.

    Args:
        observed: observed components of the pictures, (B, 3, H, W).
        seen: the encoder's luma of each picture, (B, 1, kH, kW).
    """
    whole = observed[:, 0].flatten(1).all(1)
    if not whole.any():
        return tuple(seen.new_zeros(len(seen), *shape) for shape in model.feature_shapes(*seen.shape[-2:]))
    features = model.look(seen[whole])
    return tuple(value.new_zeros(len(seen), *value.shape[1:]).index_put((whole,), value) for value in features)


def learner_of(config: TrainingConfig) -> Learner[Any]:
    """Return the learner of a run's model."""
    if isinstance(config.model, ClassifierConfig):
        return ClassifierLearner(config)
    if config.damage is not None:
        return DamageLearner(config)
    if config.trained == "chroma":
        return ChromaLearner(config)
    return ScoreLearner(config) if config.observations is None else ConditionalLearner(config)
