"""Configuration of a training run: frozen dataclasses, stored as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from scoreinv.models.codec import decode, encode, in_file, read_json
from scoreinv.models.config import AnyConfig, DetectorConfig
from scoreinv.system.errors import InputError
from scoreinv.system.options import (
    BATCH_SIZE,
    BELOW_ONE,
    TRAINING_MINUTES,
    TRAINING_STEPS,
    Number,
    Whole,
    check_settings,
)
from scoreinv.training.data.batches import PictureSource
from scoreinv.training.data.pictures import DataConfig, Pictures
from scoreinv.training.fitting import OptimizerConfig
from scoreinv.training.learners import LEARNERS, Learner, ScoreLearner


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training run. It needs `steps` or `minutes`, and ends at whichever is reached first.

    Attributes:
        model: a prior, a classifier of noisy pictures, or a damage detector.
        learner: the objective, for this kind of model; see `training.learners`.
        data, optimizer: see their classes.
        batch_size: pictures of a step, over all processes.
        accumulate: number of parts that a batch is computed in, to save memory. Gradients are those of the whole batch,
            to rounding, except that batch norms (unless frozen) normalise each part.
        frozen_norms: batch norms keep the statistics of the initial weights and normalise by them, as in evaluation.
            Statistics of small batches are inaccurate, and a network trained on them is less accurate in evaluation.
        ema_decay: of the moving average of the weights, after its warm-up min(decay, (1 + n) / (10 + n)).
        steps: number of training steps.
        minutes: training time, over all resumptions, without loading pictures before the first step.
        seed: of weights, pictures, noise and dropout.
        precision: of the network's inner layers; `auto` is bfloat16 on CUDA devices that support it, and on processors
            on which it is measured to be faster.
        compile: compile the network by `torch.compile`, which takes minutes and makes steps faster. Weights are the
            same to rounding, and files the same.
        log_every, validate_every, sample_every, snapshot_every: steps between lines of metrics, held-out losses, sample
            grids and kept snapshots; 0 for none.
        validation_images: number of held-out crops for the validation loss; 0 for none.
        samples: number of pictures in a sample grid.
        save_minutes: time between training states.
    """

    model: AnyConfig
    data: DataConfig = field(default_factory=DataConfig)
    learner: Annotated[Learner[Any, Any], LEARNERS] = field(default_factory=ScoreLearner)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: Annotated[int, BATCH_SIZE] = 64
    accumulate: Annotated[int, BATCH_SIZE] = 1
    frozen_norms: bool = False
    ema_decay: Annotated[float, BELOW_ONE] = 0.999
    steps: Annotated[int | None, TRAINING_STEPS] = None
    minutes: Annotated[float | None, TRAINING_MINUTES] = None
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    log_every: Annotated[int, Whole(0)] = 50
    validate_every: Annotated[int, Whole(0)] = 1000
    sample_every: Annotated[int, Whole(0)] = 5000
    snapshot_every: Annotated[int, Whole(0)] = 10000
    validation_images: Annotated[int, Whole(0, BATCH_SIZE.most)] = 256
    samples: Annotated[int, Whole(1, 1000)] = 16
    save_minutes: Annotated[float, Number(0)] = 5.0

    def __post_init__(self) -> None:
        check_settings(self)
        if self.steps is None and self.minutes is None:
            raise InputError("a training run needs steps or minutes")
        if self.batch_size % self.accumulate:
            raise InputError(f"accumulate must divide the batch of {self.batch_size} evenly")
        self.learner.refuse(self.model)
        if isinstance(self.model, DetectorConfig) and self.model.network.second and not self.frozen_norms:
            raise InputError("a detector with second levels needs frozen_norms: the first levels stay fixed")

    @classmethod
    def of_released(cls, entries: dict[str, Any]) -> dict[str, Any]:
        """Convert the entries of released versions, which describe the learner in four places."""
        former = {name: entries.get(name) for name in ("objective", "observations", "damage", "trained")}
        if "learner" in entries or not isinstance(objective := former["objective"] or {}, dict):
            return entries
        model = entries.get("model")
        if former["damage"] is not None:
            learner = {"name": "damage", "damage": former["damage"]}
        elif isinstance(model, dict) and "classes" in model:
            learner = objective | {"name": "classifier"}
        elif former["observations"] is not None:
            name = "chroma" if former["trained"] == "chroma" else "conditional"
            learner = objective | {"name": name, "observations": former["observations"]}
        else:
            learner = objective | {"name": "score"}
        return {name: value for name, value in entries.items() if name not in former} | {"learner": learner}

    @property
    def drawn_side(self) -> int:
        """Return the side of drawn pictures, in pixels: that of the finest luma which the model takes."""
        return self.model.image_size * self.learner.drawn_scale(self.model)

    def source(self, pictures: Pictures, batch_size: int, seed: int) -> PictureSource:
        """Return the source of batches from some pictures."""
        return PictureSource(pictures, self.data, self.model, self.drawn_side, batch_size, seed)

    def resume_key(self) -> dict[str, Any]:
        """Return the entries that a resumed run must not change.

        They exclude the length of the run, its reports, the location of the pictures and the use of memory.
        """
        entries = {name: value for name, value in encode(self).items() if name not in _CHANGEABLE}
        data = {name: value for name, value in entries["data"].items() if name not in _CHANGEABLE}
        return entries | {"data": data}


def read_config(path: Path) -> TrainingConfig:
    """Read a configuration from a JSON file; raise InputError naming the file and the fault."""
    data = read_json(path)
    with in_file(path):
        return decode(TrainingConfig, data)


_CHANGEABLE = {
    *("source", "memory_gb", "accumulate", "compile", "steps", "minutes", "validation_images", "samples"),
    *("log_every", "validate_every", "sample_every", "snapshot_every", "save_minutes"),
}
"""Entries of a configuration and its data that a resumed run may change."""
