"""What `train` says to people: how long a run will take here, what to expect of it, and what it has come to."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path

from scoreinv import models, training
from scoreinv.cli.options import Common
from scoreinv.cli.report import notice, warn
from scoreinv.models.catalogue import locate
from scoreinv.system.terminal import duration

_STEPS_THAT_TELL = 5  # steps after which the pace of a run is told: the first is slower
_NOISE = 0.5
"""Held-out loss of a prior over that of knowing nothing, above which its samples are noise or blots of colour."""
_CLASSICAL = 0.95
"""The same of a prior that takes observations, above which its fills are hardly better than the initial estimate's."""


def ends(run: training.TrainingConfig) -> str:
    """When a run ends, in words."""
    ends = [f"{run.steps:,} steps" if run.steps else "", f"{run.minutes:g} minutes" if run.minutes else ""]
    return " or ".join(filter(None, ends))


def speed(rate: float) -> str:
    """Pictures a second, with two digits at least."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


@dataclass
class Teller:
    """What is said while a run goes on.

    Attributes:
        fresh: it begins with random weights.
        first: the step of the first report; None before it.
        paced: it was said how long the run will take.
    """

    folder: Path
    run: training.TrainingConfig
    fresh: bool
    common: Common
    first: int | None = None
    paced: bool = False

    def tell(self, progress: training.TrainProgress) -> None:
        """Say what is known by now and was not before: that nothing is wrong with data and folder, then the pace."""
        if self.first is None:
            self.first = progress.step
            start = f"from step {progress.begun:,} " if progress.begun else ""
            notice(
                self.common, f"training in {self.folder}, {start}to {ends(self.run)}; Ctrl-C saves, --resume goes on"
            )
        if not self.paced and progress.step >= self.first + _STEPS_THAT_TELL:
            self.paced = True
            rate = progress.images_per_second
            total = math.inf if self.run.steps is None else self.run.steps * self.run.batch_size
            if self.run.minutes is not None:
                total = min(total, progress.images + round(rate * progress.seconds_left))
            pace = (
                f"{speed(rate)} pictures a second here: {duration(progress.seconds_left)} to the end, {total:,} in all"
            )
            notice(self.common, f"{pace}{_expectation(self.run) if self.fresh else ''}")


def _expectation(run: training.TrainingConfig) -> str:
    """What such a run leads to, by what was seen of the bundled models."""
    if isinstance(run.model, models.ClassifierConfig) or run.trained == "chroma" or run.damage is not None:
        return ""
    if run.observations is not None:
        return (
            f". Expect fills like the best classical ones after some 20,000, and like those of photo after "
            f"{_trained_on('photo'):,}; --init photo starts from its weights"
        )
    return (
        f". Expect noise, then blots of colour; cifar10, of 32 pixels a side, took {_trained_on('cifar10'):,}. "
        "To restore photographs, --conditional --init photo starts from trained weights"
    )


def _trained_on(model: str) -> int:
    """Pictures that a bundled model was trained on."""
    return int(models.read_metadata(locate(model))[1]["images"])


def enough_steps(steps: int, run: training.TrainingConfig) -> int:
    """Steps to go on to, rounded up to one digit: ten times what was not enough, or its warm-up."""
    least = 10 * max(steps, run.optimizer.warmup, 1)
    digit = 10 ** (len(str(least)) - 1)
    return -(-least // digit) * digit


def warn_of_noise(result: training.TrainResult, run: training.TrainingConfig, folder: Path) -> None:
    """Warn where the model is hardly better than one that knows nothing."""
    if result.validation is None or result.baseline_loss is None or isinstance(run.model, models.ClassifierConfig):
        return
    loss, nothing = result.validation.mean, result.baseline_loss
    longer = f"train longer (--resume --out {shlex.quote(str(folder))} --steps {enough_steps(result.steps, run)})"
    if run.damage is not None:
        most, said = _NOISE, f"finds little damage yet ({loss:.3g}, knowing nothing {nothing:.3g}): {longer}"
    elif run.trained == "chroma":
        most, said = _CLASSICAL, f"colours are hardly nearer than grey yet ({loss:.3g}, grey {nothing:.3g}): {longer}"
    elif run.observations is not None:
        said = f"fills are hardly better than classical ones yet: the held-out loss is {loss:.3g}, and theirs "
        most, said = _CLASSICAL, f"{said}{nothing:.3g}: {longer}, or start from trained weights by --init photo"
    else:
        said = f"samples are noise yet: the held-out loss is {loss:.3g}, and that of knowing nothing {nothing:.3g}"
        most, said = _NOISE, f"{said}: {longer}, or start from trained weights by --conditional --init photo"
    if loss > most * nothing:
        warn(f"{result.model}: {said}")
