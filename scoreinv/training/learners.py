"""What a run trains: a network and how it is read, its loss, and what is written of it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.classifier import NoiseClassifier
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import at_size_of
from scoreinv.damage import DamageFinder
from scoreinv.errors import InputError
from scoreinv.models.model_file import AnyModel, save_model
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.preconditioning import centre
from scoreinv.prior import ScorePrior
from scoreinv.training import draws
from scoreinv.training.batches import Batch
from scoreinv.training.config import TrainingConfig
from scoreinv.training.features import KeptFeatures
from scoreinv.training.objectives import ignorant_loss
from scoreinv.training.sample_grid import rehearse, write_samples

Trained = TypeVar("Trained", bound=AnyModel)


class Learner(ABC, Generic[Trained]):
    """A model under training, or the same model with its averaged weights.

    Attributes:
        kept: features of crops that were looked at before; None where nothing is kept.
    """

    def __init__(self, config: TrainingConfig, model: Trained) -> None:
        self.config = config
        self.model: Trained = model
        self.kept: KeptFeatures | None = None

    @property
    def network(self) -> nn.Module:
        return self.model.network

    @property
    def fixed(self) -> nn.Module:
        """The other parts of the model, which training leaves as they are."""
        return nn.ModuleList(part for part in self.model.parts().values() if part is not self.network)

    def twin(self, network: Any) -> Self:
        """The same reading of another network of the kind (of type Any, as torch's averages give it)."""
        parts = {id(part): part for part in self.model.children()} | {id(self.network): network}
        return type(self)(self.config, copy.deepcopy(self.model, parts))  # a copy that shares the parts it is given

    @abstractmethod
    def losses(self, batch: Batch) -> Tensor:
        """What is minimised, for each picture, (B,)."""

    @abstractmethod
    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """What is told of held-out pictures, each (B,); the first is their loss, `validation`."""

    @abstractmethod
    def ignorant_loss(self, batch: Batch) -> float:
        """The loss over held-out pictures of a model that knows nothing of them."""

    def write(self, path: Path, notes: dict[str, Any]) -> None:
        """The model's file."""
        save_model(path, self.model, self.config.model, half=False, notes=notes)

    def write_samples(self, path: Path, count: int) -> None:
        """A picture of so many samples of the model as it is by now, where it draws pictures."""

    def rehearse_samples(self, count: int) -> None:
        """One of the `GRID_STEPS` evaluations of the network that so many samples take, to measure it."""


class ScoreLearner(Learner[ScorePrior]):
    """A prior, by denoising score matching."""

    def losses(self, batch: Batch) -> Tensor:
        return batch.losses(self.config.objective, self.model, self.kept)

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        found = {"validation": self.losses(batch)}
        if batch.observed is not None:
            found["unconditional"] = self.losses(replace(batch, observed=None, refined=None))
        return found

    def ignorant_loss(self, batch: Batch) -> float:
        model = self.model
        return ignorant_loss(self.config.objective, model.sde, batch.images, batch.times, model.data_range)

    def write_samples(self, path: Path, count: int) -> None:
        write_samples(path, self.model, count, self.config.seed)

    def rehearse_samples(self, count: int) -> None:
        rehearse(self.model, count)


class ChromaLearner(Learner[ConditionalPrior]):
    """The mean chroma of grey pictures that a prior starts its guess from, by regression.

    Trained are the decoder and the last stages of the encoder; the score network stays as it is.
    """

    def __init__(self, config: TrainingConfig, model: ConditionalPrior) -> None:
        super().__init__(config, model)
        self.network.train_last_stages()

    @property
    def network(self) -> ChromaNetwork:
        assert self.model.chroma is not None  # as the configuration saw to
        return self.model.chroma

    def losses(self, batch: Batch) -> Tensor:
        """|chroma - truth|^2 / (|truth|^2 + e), (B,): the error over that of grey, as gains in decibels count it.

        Squared errors alone are those of vivid pictures: what learns by them paints pale ones too boldly.
        """
        assert batch.seen is not None
        found, _ = self.network(batch.seen)
        truth = self._truth(batch)
        return self._energy(at_size_of(found, batch.images) - truth) / (self._energy(truth) + _PALE)

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        return {"validation": self.losses(batch)}

    def ignorant_loss(self, batch: Batch) -> float:
        energy = self._energy(self._truth(batch))
        return float((energy / (energy + _PALE)).mean())  # of grey

    def _truth(self, batch: Batch) -> Tensor:
        return self.model.preconditioning.chroma_beyond_gray(centre(batch.images, self.model.data_range))

    def _energy(self, chroma: Tensor) -> Tensor:
        """|chroma|^2 over what is expected of a picture, (B,)."""
        return chroma.square().flatten(1).mean(1) / self.model.preconditioning.chroma_variance


_PALE = 0.15
"""Energy of a picture's chroma, 1 on average, that counts as grey: e."""


class ClassifierLearner(Learner[NoiseClassifier]):
    """A classifier of noisy pictures, by the cross-entropy of their classes (Song et al. 2021, appendix I.1)."""

    def logits(self, batch: Batch) -> Tensor:
        """Of the pictures at the batch's times."""
        return self.model(self.model.sde.perturb(batch.images, batch.times, batch.noise), batch.times).float()

    def losses(self, batch: Batch) -> Tensor:
        smoothing = self.config.objective.label_smoothing
        return F.cross_entropy(self.logits(batch), _labels(batch), reduction="none", label_smoothing=smoothing)

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self.logits(batch), _labels(batch)
        loss = F.cross_entropy(logits, labels, reduction="none")
        return {"validation": loss, "accuracy": (logits.argmax(1) == labels).float()}

    def ignorant_loss(self, batch: Batch) -> float:
        return math.log(len(self.model.classes))


class DamageLearner(Learner[DamageFinder]):
    """A finder of damage, by the cross-entropy of its pixels and the overlap with what is damaged.

    The loss of a picture is `CROSS_ENTROPY` times the mean cross-entropy plus the soft Dice loss (Milletari et al.
    2016), 1 - (2 sum p y + e) / (sum p + sum y + e), which counts what is damaged alike however little it is.
    """

    def losses(self, batch: Batch) -> Tensor:
        damaged, told = _damaged(batch)
        logits = self.model.logits(batch.images).float()
        entropy = F.binary_cross_entropy_with_logits(logits, damaged, told, reduction="none").flatten(1).mean(1)
        found, there = (told * logits.sigmoid()).flatten(1), damaged.flatten(1)
        overlap = (2 * (found * there).sum(1) + _ANY) / (found.sum(1) + there.sum(1) + _ANY)
        return CROSS_ENTROPY * entropy + 1 - overlap

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        damaged, told = _damaged(batch)
        found = told * (self.model.logits(batch.images) > 0)
        shares = {"damaged": damaged, "missed": damaged * (1 - found), "wrong": found * (1 - damaged)}
        return {"validation": self.losses(batch)} | {name: value.flatten(1).mean(1) for name, value in shares.items()}

    def ignorant_loss(self, batch: Batch) -> float:
        share = _damaged(batch)[0].mean().clamp(1e-6, 1 - 1e-6)  # found everywhere with this probability
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        return float(CROSS_ENTROPY * entropy + 1 - share)


CROSS_ENTROPY = 20.0
"""Weight of the cross-entropy beside the Dice loss."""
_ANY = 100.0
"""Pixels that stand for some damage, e: a picture without any asks for few found."""


def _damaged(batch: Batch) -> tuple[Tensor, Tensor]:
    """Which pixels are damaged, and of which it can be told: 1 and 0, (B, 1, H, W)."""
    assert batch.damaged is not None  # as the configuration saw to
    return batch.damaged.nan_to_num(0.0), batch.damaged.isfinite().float()


def _labels(batch: Batch) -> Tensor:
    """Class indices of the pictures; InputError without any, which a `Run` asks for at its start."""
    if batch.labels is None:
        raise InputError("a classifier needs pictures in folders of their classes")
    return batch.labels


AnyLearner = ScoreLearner | ChromaLearner | ClassifierLearner | DamageLearner


def make_learner(config: TrainingConfig, init: AnyModel | None) -> AnyLearner:
    """What a run starts from: weights drawn from its seed, or those of `init`; InputError for another network.

    Where the model has a network of chroma and `init` has none, that starts from the encoder and a fresh decoder.
    """
    with torch.random.fork_rng([]):
        draws.seed_torch(config.seed, torch.device("cpu"))
        model = config.model.build()
    if init is not None:
        if isinstance(init, ConditionalPrior) and config.observations is None:
            raise InputError("the model to start from takes observations: train it to (`conditional_training`)")
        parts = model.parts()
        try:
            for name, part in init.parts().items():
                parts[name].load_state_dict(part.state_dict())
        except (RuntimeError, KeyError) as error:
            raise InputError("the model to start from has another network than the one to train") from error
    if isinstance(model, NoiseClassifier):
        return ClassifierLearner(config, model)
    if isinstance(model, DamageFinder):
        return DamageLearner(config, model)
    if config.trained == "chroma":
        assert isinstance(model, ConditionalPrior)  # as the configuration saw to
        return ChromaLearner(config, model)
    return ScoreLearner(config, model)
