"""What is kept and told of a run between its steps: metrics, held-out figures, samples, models and states.

A run that ends by time has done its last validation, its last samples and saving within its minutes; steps have half of
what loading leaves at least, and a tenth of all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoreinv.errors import Cancelled, ScoreinvError
from scoreinv.models.model_file import save
from scoreinv.options import says_stop
from scoreinv.prior import ScorePrior
from scoreinv.time_left import ETA
from scoreinv.training.config import GRID_STEPS, STEP_EVALUATIONS
from scoreinv.training.losses import ScoreLearner
from scoreinv.training.metrics import HeldOut, TrainCallback, TrainProgress, TrainResult, evaluate, write_samples
from scoreinv.training.setup import Run
from scoreinv.training.state import save_state

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_PICTURES_SHARE = 0.05


class Logbook:
    """Keeps the log of a run.

    Attributes:
        run: whose.
        clock: seconds of training, over all resumptions.
        begun: the step that it goes on from.
        losses: of the steps since the last line of metrics.
        busy: seconds that these took.
        norm: of the last step's gradient.
        step_seconds, evaluation_seconds: what a step takes, and an evaluation of the network for a picture.
        whole: seconds of the whole run; infinite where steps alone end it.
        pictures_seconds: what validation may take of them, and samples as much.
        loaded: the second at which steps began.
        costs: seconds that validation, samples and saving take: as the last did; before, validation and samples have
            their share of the time.
        told, saved: when the callback was told last, and when the state was saved.
        failure: why the last files could not be written; None where they were.
        loss: of the last line of metrics.
        held_out: what is validated: of a run by the clock as many as the first validation had time for.
        validation, baseline_loss, samples: see `TrainResult`.
        ended: whether nothing is left but to write the result.
    """

    def __init__(self, run: Run, clock: Callable[[], float]) -> None:
        self.run, self.clock, self.begun = run, clock, run.state.step
        self.losses: list[Tensor] = []
        self.busy = self.step_seconds = self.evaluation_seconds = 0.0
        self.norm = torch.zeros(())
        self.whole = math.inf if run.config.minutes is None else 60 * run.config.minutes
        self.pictures_seconds = _PICTURES_SHARE * self.whole
        self.loaded = 0.0
        self.costs = {
            "saving": 0.0,
            "validation": 0.0 if run.held_out is None else self.pictures_seconds,
            "samples": self.pictures_seconds if run.config.sample_every else 0.0,
        }
        self.told = self.saved = clock()
        self.eta = ETA()
        self.failure: OSError | None = None
        self.loss: float | None = None
        self.validation: HeldOut | None = None
        self.baseline_loss: float | None = None
        self.samples: Path | None = None
        self.ended = False
        self.held_out, self.counted = run.held_out, False
        if run.held_out is not None and run.config.minutes is not None:
            counts = [line.get("validated") for line in reversed(run.metrics.read())]
            if count := next((count for count in counts if type(count) is int and count > 0), None):
                self.held_out, self.counted = run.held_out.part(slice(count)), True

    @property
    def images(self) -> int:
        return self.run.state.step * self.run.config.batch_size

    def fraction(self) -> float:
        """How much of the run is over before a step, from 0 to 1: no step is left."""
        config, world = self.run.config, self.run.world
        by_steps = self.run.state.step / config.steps if config.steps else 0.0
        by_time = 0.0 if config.minutes is None else world.agreed(self._passed(self.clock() + self.step_seconds / 2))
        return min(max(by_steps, by_time), 1.0)

    def _passed(self, seconds: float) -> float:
        """Share of the time for steps that is over after so many seconds of a run by the clock."""
        least = max((self.whole - self.loaded) / 2, self.whole / 10)
        end = self.costs["validation"] + self.costs["samples"] + 2 * self.costs["saving"]
        return seconds / max(self.whole - end, self.loaded + least)

    def count(self, loss: Tensor, norm: Tensor, seconds: float) -> None:
        """A step is done."""
        self.losses.append(loss)
        self.norm = norm
        self.busy += seconds
        self.step_seconds = self.busy / len(self.losses)

    def tell(self, callback: TrainCallback | None) -> BaseException | None:
        """Tell the callback, at most twice a second; returns what it ends the run by."""
        now, config, step = self.clock(), self.run.config, self.run.state.step
        if callback is None or not self.run.world.leads or now - self.told < _REPORT_SECONDS:
            return None
        self.told = now
        fractions, left = [], []
        if config.steps is not None:
            fractions.append(step / config.steps)
            by_pace = self.eta.left(now, fractions[0])
            left.append((config.steps - step) * self.step_seconds if by_pace is None else by_pace)
        if config.minutes is not None:
            fractions.append(now / (60 * config.minutes))
            left.append(60 * config.minutes - now)
        progress = TrainProgress(
            step=step,
            begun=self.begun,
            images=self.images,
            fraction=min(max(fractions), 1.0),
            loss=self.losses[-1].item(),
            images_per_second=config.batch_size / max(self.step_seconds, 1e-9),
            seconds_left=max(min(left), 0.0),
        )
        try:
            return Cancelled("training was stopped") if says_stop(callback(progress)) else None
        except BaseException as error:  # `sys.exit` too
            return error

    def periodic(self) -> None:
        """What is due after a step: metrics, validation, samples, snapshot, state."""
        config = self.run.config
        if self._is_due(config.log_every):
            self._log_line()
        if not self.run.world.leads:
            return
        if self._is_due(config.validate_every):
            self.validate()
        if self._is_due(config.sample_every):
            self._sample(self.pictures_seconds)
        if self._is_due(config.snapshot_every):
            path = self.run.folder.snapshots / f"step-{self.run.state.step:09d}.safetensors"
            self._write("snapshot", lambda: self._save_model(path))
        if self.clock() - self.saved >= 60 * config.save_minutes:
            self.save()

    def finish(self) -> TrainResult:
        """The end of a run: everything once more, and an error if the result could not be written."""
        run = self.run
        if self.losses:
            self._log_line()
        if run.world.leads:
            self.save()  # whatever happens to what follows
            if self.validation is None or not self._is_due(run.config.validate_every):
                self.validate()
            if run.config.sample_every and not self._is_due(run.config.sample_every):
                self._sample(self.whole - self.clock() - self.costs["saving"])
            self.ended = True
            self.save()
            if self.failure is not None:
                raise ScoreinvError(
                    f"{run.folder.path}: the end of the run could not be written ({self.failure}): "
                    "make room and resume; the last state written before is intact"
                ) from self.failure
        return TrainResult(
            trained=run.average,
            model=run.folder.model,
            steps=run.state.step,
            images=self.images,
            seconds=self.clock(),
            loss=self.loss,
            validation=self.validation,
            baseline_loss=self.baseline_loss,
            samples=self.samples,
            precision=run.about.precision,
        )

    def save(self) -> None:
        """Write the state and the model; where that fails it is logged, and older files stay.

        Raises ScoreinvError, and writes nothing, when the loss is not finite.
        """
        run = self.run
        if not run.world.leads:
            return
        self._require_finite()
        self.failure = None
        begun = self.clock()
        about = replace(run.about, step=run.state.step, seconds=begun)
        self._write("training state", lambda: save_state(run.folder.states, run.state, about))
        if self.failure is None:  # a model without its state could not be told from another run's
            self._write("model", lambda: self._save_model(run.folder.model))
        self.saved = self.clock()
        self.costs["saving"] = self.saved - begun

    def validate(self) -> None:
        """What the averaged weights make of the held-out pictures, into the metrics.

        A run by the clock takes as many pictures as the first time allows, and the same ones from then on.
        """
        run, begun = self.run, self.clock()
        if self.held_out is None:
            return
        by_the_clock = run.config.minutes is not None
        end = begun + self.pictures_seconds if not self.counted else math.inf
        with run.autocast():
            found, count = evaluate(
                partial(run.learner.measures, run.average),
                self.held_out,
                batch_size=min(run.config.batch_size, 16) if by_the_clock else run.config.batch_size,
                device=run.world.device,
                enough=lambda: self.clock() >= end,
            )
            self.held_out, self.counted = self.held_out.part(slice(count)), True
            self.baseline_loss = run.learner.baseline_loss(run.average, self.held_out)
        self.validation = found["validation"]
        cost = self.costs["validation"] = self.clock() - begun
        self.evaluation_seconds = cost / (count * (2 if "unconditional" in found else 1))
        figures = {name: asdict(values) for name, values in found.items()}
        line = {"step": run.state.step, "images": self.images, "validated": count, "ignorant": self.baseline_loss}
        run.metrics.append(line | figures)

    def _sample(self, seconds: float) -> None:
        """Draw a grid of samples, of as many pictures as there is time for, where the model is a prior."""
        run, prior = self.run, self.run.average
        if not isinstance(run.learner, ScoreLearner) or not isinstance(prior, ScorePrior):
            return
        evaluation = self.evaluation_seconds or self.step_seconds / (STEP_EVALUATIONS * run.config.batch_size)
        begun, each = self.clock(), GRID_STEPS * evaluation
        wanted = run.config.grid_images
        count = wanted if each * wanted <= seconds else max(1, int(seconds / each))
        path = run.folder.samples / f"step-{run.state.step:09d}.png"

        def write() -> None:
            path.parent.mkdir(exist_ok=True)
            write_samples(path, prior, count, run.config.seed)
            self.samples = path

        with run.autocast():
            self._write("samples", write)
        self.costs["samples"] = self.clock() - begun

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.run.state.step % every == 0

    def _log_line(self) -> None:
        self.loss = self.run.world.mean(torch.stack(self.losses).mean()).item()
        if self.run.world.leads:
            self._require_finite()
            self.run.metrics.append(
                {
                    "step": self.run.state.step,
                    "images": self.images,
                    "loss": self.loss,
                    "learning_rate": self.run.state.optimizer.param_groups[0]["lr"],
                    "gradient_norm": self.norm.item(),
                    "images_per_second": self.run.config.batch_size / max(self.step_seconds, 1e-9),
                    "seconds": self.clock(),
                }
            )
        self.losses, self.busy = [], 0.0

    def _require_finite(self) -> None:
        loss = self.losses[-1].item() if self.losses else self.loss or 0.0
        if not math.isfinite(self.norm.item() + loss):
            folder = self.run.folder
            weights = f" from {folder.model}" if folder.model.exists() else ""
            raise ScoreinvError(
                f"{folder.path}: the loss is not finite at step {self.run.state.step}: begin another run{weights} at "
                "a lower learning rate, or in float32"
            )

    def _save_model(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        notes: dict[str, Any] = {"step": self.run.state.step, "images": self.images, "run": self.run.about.run}
        if self.validation is not None:
            notes["validation_loss"] = self.validation.mean
        if self.ended:
            notes["ended"] = [self.run.config.steps, self.run.config.minutes]
        save(self.run.average, path, notes=notes)

    def _write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.failure = error
            where, step = self.run.folder.path, self.run.state.step
            _log.error("%s: the %s of step %d was not written: %s", where, what, step, error)
