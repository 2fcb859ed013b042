"""What a run tells: while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scoreinv.models.model_file import AnyModel
from scoreinv.training.validation import HeldOut


@dataclass(frozen=True)
class TrainProgress:
    """What a callback is told, about twice a second.

    Attributes:
        step: steps done.
        images: pictures trained on.
        fraction: of the run that is done.
        loss: of the last step.
        images_per_second: over the last moments.
        seconds_left: an estimate.
    """

    step: int
    images: int
    fraction: float
    loss: float
    images_per_second: float
    seconds_left: float


TrainCallback = Callable[[TrainProgress], bool | None]
"""By returning False it ends the run with `Cancelled`; its state is saved first."""


@dataclass(frozen=True)
class TrainResult:
    """A run that has ended.

    Attributes:
        trained: the prior or classifier with the averaged weights, in evaluation mode.
        model: the file that they are in.
        steps, images: done in all, over all resumptions.
        seconds: spent, likewise.
        loss: mean of the last line of metrics; None when no step was done.
        validation: held-out loss of the averaged weights; None without held-out pictures.
        ignorant_loss: held-out loss of knowing nothing of the pictures, likewise.
        samples: the file of the last samples; None where none were drawn.
        precision: that the network's inner layers were computed in, `float32` or `bfloat16`.
    """

    trained: AnyModel
    model: Path
    steps: int
    images: int
    seconds: float
    loss: float | None
    validation: HeldOut | None
    ignorant_loss: float | None
    samples: Path | None
    precision: str
