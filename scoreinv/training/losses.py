"""Training losses: denoising score matching, chroma regression, noisy classification and damage detection.

Denoising score matching (Song et al. 2021, eq. 7 and appendix C): with x_t = alpha x0 + sigma z and
e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha, sd the preconditioning's sigma_data; the error
                                                    of the denoised picture, weighted by (s^2 + sd^2) / (s sd)^2
                                                    (Karras et al. 2022, table 1)
    residual     1 / mean of v / (s^2 + v)          for conditional priors: each picture's error, relative to the
                                                    error of its initial estimate (F = 0); v is the variance that the
                                                    observation leaves

SMLD and DDPM are the paper's weight at the discrete times t = i / (N - 1) of the VE SDE and of the DDPM chain.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.conditional.initial_estimate import block_means
from scoreinv.conditional.prior import ConditionalPrior, resized_like
from scoreinv.guidance import Conditioned, Observation, given
from scoreinv.models.config import AnyModel, ClassifierConfig
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.operators import ObservedComponents
from scoreinv.preconditioning import EDM, centre, noise_level
from scoreinv.prior import Prior, ScorePrior
from scoreinv.sdes import broadcast
from scoreinv.training.config import ObjectiveConfig, TrainingConfig
from scoreinv.training.data.batches import Batch, importance

CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy relative to the Dice loss, for the damage detector."""
_DICE_OFFSET = 100.0  # e, in pixels: makes the Dice loss of undamaged pictures finite
_PALE = 0.15  # e: chroma energy of a nearly grey picture, relative to the average picture's

Trained = TypeVar("Trained", bound=AnyModel)
TrainedPrior = TypeVar("TrainedPrior", bound=ScorePrior)


def weight(objective: ObjectiveConfig, prior: Prior, t: Tensor) -> Tensor:
    """Return the weight on |e - z|^2 at times t, float64, the shape of t.

    The uniform weight takes sd from the prior's `EDM` preconditioning, or from `EDM()` if it has another.
    """
    if objective.weighting == "paper":
        return torch.ones_like(t)
    if objective.weighting == "likelihood":
        return prior.sde.diffusion_squared(t) / prior.sde.sigma(t).square()
    preconditioning = getattr(prior, "preconditioning", None)
    edm = preconditioning if isinstance(preconditioning, EDM) else EDM()
    return (noise_level(t, prior.sde, prior.data_range) / edm.sigma_data).square() + 1


def per_image_loss(objective: ObjectiveConfig, prior: Prior, x0: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Return the weighted squared error of the noise prediction for each picture, (B,).

    Args:
        x0: pictures (B, C, H, W) in the model's range.
        t: times (B,).
        z: noise, the shape of x0.
    """
    error = prior.noise(prior.sde.perturb(x0, t, z), t) - z
    squares = error.square().flatten(1)
    loss = squares.mean(1) if objective.reduction == "mean" else 0.5 * squares.sum(1)
    if objective.weighting == "residual":
        assert isinstance(prior, ConditionalPrior | Conditioned)  # as the training configuration checks
        return loss / prior.expected_error(x0, t)
    return broadcast(weight(objective, prior, t), error[:, 0, 0, 0]) * loss


class Learner(ABC, Generic[Trained]):
    """The training of one kind of model: the network to train, its loss and its held-out figures."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config

    def network(self, model: Trained) -> nn.Module:
        """Return the network to train; the other parts of the model stay fixed."""
        return model.network

    @abstractmethod
    def losses(self, model: Trained, batch: Batch) -> Tensor:
        """Return the loss of each picture, (B,)."""

    def measures(self, model: Trained, batch: Batch) -> dict[str, Tensor]:
        """Return figures of held-out pictures by name, each (B,); the loss is `validation`."""
        return {"validation": self.losses(model, batch)}

    @abstractmethod
    def baseline_loss(self, model: Trained, batch: Batch) -> float:
        """Return the held-out loss of the best prediction that ignores the pictures."""


class ScoreLearner(Learner[TrainedPrior]):
    """Trains a prior by denoising score matching."""

    def losses(self, model: TrainedPrior, batch: Batch) -> Tensor:
        """Return the objective of each picture, (B,), corrected for the density of its time."""
        return self._corrected(model, batch)

    def baseline_loss(self, model: TrainedPrior, batch: Batch) -> float:
        """Return the loss of the best prediction from the mean and variance of all values.

        For independent values N(m, v) the best noise prediction has the error E|e - z|^2 = v / (s^2 + v), with s and v
        for pictures on [-1, 1].
        """
        objective, t = self.config.objective, batch.times
        variance = centre(batch.images, model.data_range).double().var()
        error = variance / (noise_level(t, model.sde, model.data_range).square() + variance)
        values = 1.0 if objective.reduction == "mean" else 0.5 * batch.images[0].numel()
        factors = weight(objective, model, t) * importance(objective, model.sde, t)
        return (values * factors * error).mean().item()

    def _corrected(self, prior: Prior, batch: Batch) -> Tensor:
        """Return the loss of each picture times the importance of its time."""
        losses = per_image_loss(self.config.objective, prior, batch.images, batch.times, batch.noise)
        return losses * importance(self.config.objective, prior.sde, batch.times).to(losses)


class ConditionalLearner(ScoreLearner[ConditionalPrior]):
    """Trains a conditional prior by denoising score matching, given observations."""

    def losses(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        assert batch.observed is not None  # checked by the configuration
        operator = ObservedComponents(batch.observed, model.preconditioning.basis)
        features = coarse = None
        if batch.encoder_luma is not None:
            features = luma_features(model, batch.observed, batch.encoder_luma)
        if batch.refined is not None:
            coarse = torch.where(batch.refined[:, None, None, None], block_means(batch.images), torch.nan)
        observation = Observation(operator, operator(batch.images), 0.0, coarse, batch.fine, features)
        return self._corrected(given(model, observation), batch)

    def measures(self, model: ConditionalPrior, batch: Batch) -> dict[str, Tensor]:
        return super().measures(model, batch) | {"unconditional": self._corrected(model, batch)}

    def baseline_loss(self, model: ConditionalPrior, batch: Batch) -> float:
        return 1.0  # the residual weighting is relative to the initial estimate


class ChromaLearner(Learner[ConditionalPrior]):
    """Trains a prior's estimate of the mean chroma of grey pictures, by regression.

    It trains the decoder and the last stages of the encoder; the score network stays fixed.
    """

    def network(self, model: ConditionalPrior) -> ChromaNetwork:
        assert model.chroma is not None  # checked by the configuration
        return model.chroma

    def losses(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        """Return |chroma - truth|^2 / (|truth|^2 + e), (B,): the error relative to that of a grey prediction.

        Plain squared errors are dominated by vivid pictures, and a network trained on them oversaturates pale ones.
        """
        assert batch.encoder_luma is not None
        predicted, _ = self.network(model)(batch.encoder_luma)
        truth = self._truth(model, batch)
        error = self._energy(model, resized_like(predicted, batch.images) - truth)
        return error / (self._energy(model, truth) + _PALE)

    def baseline_loss(self, model: ConditionalPrior, batch: Batch) -> float:
        """Return the loss of a grey prediction."""
        energy = self._energy(model, self._truth(model, batch))
        return float((energy / (energy + _PALE)).mean())

    def _truth(self, model: ConditionalPrior, batch: Batch) -> Tensor:
        """Return the true chroma, relative to a grey of the same luma."""
        return model.preconditioning.chroma_beyond_gray(centre(batch.images, model.data_range))

    def _energy(self, model: ConditionalPrior, chroma: Tensor) -> Tensor:
        """Return |chroma|^2 relative to its expectation, (B,)."""
        return chroma.square().flatten(1).mean(1) / model.preconditioning.chroma_variance


class ClassifierLearner(Learner[NoiseClassifier]):
    """Trains a classifier of noisy pictures by cross-entropy (Song et al. 2021, appendix I.1)."""

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
        """Return the logits of the noisy pictures, and their labels."""
        assert batch.labels is not None  # checked when the pictures were loaded
        return model(model.sde.perturb(batch.images, batch.times, batch.noise), batch.times).float(), batch.labels


class DamageLearner(Learner[DamageDetector]):
    """Trains a damage detector by pixelwise cross-entropy and the overlap of the masks.

    The loss of a picture is `CROSS_ENTROPY` times the mean cross-entropy plus the soft Dice loss (Milletari et al.
    2016), 1 - (2 sum p y + e) / (sum p + sum y + e), which weighs small and large damage equally.
    """

    def losses(self, model: DamageDetector, batch: Batch) -> Tensor:
        damaged, certain = self._masks(batch)
        logits = model.logits(batch.images).float()
        entropy = F.binary_cross_entropy_with_logits(logits, damaged, certain, reduction="none").flatten(1).mean(1)
        p, y = (certain * logits.sigmoid()).flatten(1), damaged.flatten(1)
        overlap = (2 * (p * y).sum(1) + _DICE_OFFSET) / (p.sum(1) + y.sum(1) + _DICE_OFFSET)
        return CROSS_ENTROPY * entropy + 1 - overlap

    def measures(self, model: DamageDetector, batch: Batch) -> dict[str, Tensor]:
        damaged, certain = self._masks(batch)
        found = certain * (model.logits(batch.images) > 0)
        shares = {"damaged": damaged, "missed": damaged * (1 - found), "wrong": found * (1 - damaged)}
        return super().measures(model, batch) | {name: value.flatten(1).mean(1) for name, value in shares.items()}

    def baseline_loss(self, model: DamageDetector, batch: Batch) -> float:
        """Return the loss of one probability for all pixels."""
        share = self._masks(batch)[0].mean().clamp(1e-6, 1 - 1e-6)
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(CROSS_ENTROPY * entropy + 1 - share)

    def _masks(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the damaged pixels, and those with certain labels: 1 or 0, (B, 1, H, W)."""
        assert batch.damaged is not None  # checked by the configuration
        return batch.damaged.nan_to_num(0.0), batch.damaged.isfinite().float()


def luma_features(model: ConditionalPrior, observed: Tensor, luma: Tensor) -> tuple[Tensor, ...]:
    """Return `ConditionalPrior.gray_features` of the pictures with all luma observed, and zeros for the others.

    Features are returned even if they are all zeros: distributed processes wait for a gradient of the layers that use
    them.

    Args:
        observed: observed components of the pictures, (B, 3, H, W).
        luma: the encoder's input for each picture, (B, 1, kH, kW).
    """
    complete = observed[:, 0].flatten(1).all(1)  # (B,)
    if not complete.any():
        return tuple(luma.new_zeros(len(luma), *shape) for shape in model.feature_shapes(*luma.shape[-2:]))
    maps = model.gray_features(luma[complete])
    return tuple(value.new_zeros(len(luma), *value.shape[1:]).index_put((complete,), value) for value in maps)


def useful_loss(config: TrainingConfig, baseline: float) -> float | None:
    """Return the held-out loss above which samples are noise, or results are hardly better than classical ones.

    None for classifiers.
    """
    if isinstance(config.model, ClassifierConfig):
        return None
    return (0.95 if config.trained == "chroma" or config.observations is not None else 0.5) * baseline


def learner_of(config: TrainingConfig) -> Learner[Any]:
    """Return the learner for the model of a run."""
    if isinstance(config.model, ClassifierConfig):
        return ClassifierLearner(config)
    if config.damage is not None:
        return DamageLearner(config)
    if config.trained == "chroma":
        return ChromaLearner(config)
    return ScoreLearner(config) if config.observations is None else ConditionalLearner(config)
