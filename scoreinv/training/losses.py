"""How each kind of model is trained: which of its networks, by which loss, and what is told of held-out pictures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.interpolation import block_means
from scoreinv.conditional.prior import ConditionalPrior, at_size_of
from scoreinv.models.config import AnyModel, ClassifierConfig
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import NoiseClassifier
from scoreinv.networks.detector import DamageDetector
from scoreinv.preconditioning import centre, noise_level
from scoreinv.prior import ScorePrior
from scoreinv.training.config import TrainingConfig
from scoreinv.training.data.batches import Batch
from scoreinv.training.score_matching import importance, per_image_loss, weight

CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy beside the Dice loss, of the detector of damage."""
_ANY = 100.0  # pixels that stand for some damage, e: a picture without any asks for few found
_PALE = 0.15  # energy of a picture's chroma, 1 on average, that counts as grey: e

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
    def baseline_loss(self, model: Trained, batch: Batch) -> float:
        """The loss over held-out pictures of a model that knows nothing of them."""


class ScoreLearner(Learner[ScorePrior]):
    """A prior, by denoising score matching."""

    def losses(self, model: ScorePrior, batch: Batch) -> Tensor:
        """The objective for each picture, corrected for how its time was drawn."""
        initial = None
        if batch.observed is not None and isinstance(model, ConditionalPrior):
            features = coarse = None
            if batch.seen is not None:
                features = features_given(model, batch.observed, batch.seen)
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

    def baseline_loss(self, model: ScorePrior, batch: Batch) -> float:
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
    """What a model looks at (`ConditionalPrior.look`) of the pictures whose luma is shown whole, zeros for the others.

    Where there is none such all are zeros: each step of training has a gradient for what takes the features, which
    processes that train together wait for.

    Args:
        observed: (B, 3, H, W), the components of the pictures that are shown.
        seen: what the encoder is shown of each, (B, 1, kH, kW).
    """
    whole = observed[:, 0].flatten(1).all(1)
    if not whole.any():
        return tuple(seen.new_zeros(len(seen), *shape) for shape in model.feature_shapes(*seen.shape[-2:]))
    shown = model.look(seen[whole])
    return tuple(value.new_zeros(len(seen), *value.shape[1:]).index_put((whole,), value) for value in shown)


def learner_of(config: TrainingConfig) -> Learner[Any]:
    """How the model of a run is trained."""
    if isinstance(config.model, ClassifierConfig):
        return ClassifierLearner(config)
    if config.damage is not None:
        return DamageLearner(config)
    return ChromaLearner(config) if config.trained == "chroma" else ScoreLearner(config)
