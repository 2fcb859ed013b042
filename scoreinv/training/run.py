"""A run under way: its state, its pictures and its folder."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoreinv.checkpoints.config import ClassifierConfig
from scoreinv.checkpoints.files import atomic_write
from scoreinv.classifier import NoiseClassifier
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.precision import uses_bfloat16
from scoreinv.prior import ScorePrior
from scoreinv.training import draws
from scoreinv.training.batches import Batch, BatchSource
from scoreinv.training.config import TrainingConfig
from scoreinv.training.distributed import World
from scoreinv.training.ema import averaged
from scoreinv.training.learners import Learner, make_learner
from scoreinv.training.meter import Meter
from scoreinv.training.metrics import JsonLines
from scoreinv.training.pictures import Pictures, load_pictures, split
from scoreinv.training.progress import TrainCallback, TrainProgress, TrainResult
from scoreinv.training.schedule import Schedule, learning_rate
from scoreinv.training.state import TrainingState, load_state, save_state, saved_states
from scoreinv.training.validation import HeldOut, evaluate

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_VALIDATION_SEED = 0  # of every run, so that runs can be compared
_LIMITS = (
    "steps",
    "minutes",
    "log_every",
    "validate_every",
    "sample_every",
    "snapshot_every",
    "validation_images",
    "samples",
    "save_minutes",
)


class _Loss(nn.Module):
    """A step's loss as a module, which is what processes exchange gradients of."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.network = learner.network
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return self.learner.losses(batch).mean()


class Run:
    """A run under way: its state, its pictures and its folder."""

    def __init__(
        self,
        config: TrainingConfig,
        out: Path,
        world: World,
        *,
        resume: bool,
        init: ScorePrior | NoiseClassifier | None,
    ) -> None:
        self.config = config
        self.out = out
        self.world = world
        self.part = world.part(config.batch_size)
        if saved_states(self.states) and not resume:
            raise InputError(f"{out}: holds a training run already: resume it, or choose another folder")
        self.learner = make_learner(config, init)
        network = self.learner.model.to(world.device).network
        network.to(memory_format=torch.channels_last).train()
        average = averaged(network, config.ema_decay)
        self.average = self.learner.twin(average.module)
        self.average.model.eval()
        self.state = TrainingState(network, average, _adam(config, network))
        if resume:
            self._restore()
        self.metrics, record = JsonLines(out / "metrics.jsonl"), JsonLines(out / "schedule.jsonl")
        if world.leads:
            self._begin_folder(record, resume)
        training, held_out = self._pictures()
        self.source = BatchSource.of(config, training, config.batch_size, config.seed)
        self.held_out = self._held_out(held_out)
        self.loss_module = world.wrap(_Loss(self.learner))
        self.bfloat16 = uses_bfloat16(config.precision, world.device)
        self.dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in network.modules())
        self.schedule = Schedule(config, record, world)
        self.meter = Meter(self.state.seconds)
        self.failure: OSError | None = None
        self.last_loss: float | None = None
        self.validation: HeldOut | None = None

    @property
    def states(self) -> Path:
        return self.out / "state"

    @property
    def images(self) -> int:
        return self.state.step * self.config.batch_size

    @property
    def finished(self) -> bool:
        over = self.config.steps is not None and self.state.step >= self.config.steps
        if self.config.minutes is not None:
            over = over or self.world.agreed(self.state.seconds) >= 60 * self.config.minutes
        return over

    def draw(self, step: int) -> Batch:
        """This process's part of a step's batch."""
        return self.source.batch(step, self.part)

    def step(self, drawn: Future[Batch]) -> None:
        """One step of Adam and of the moving average, on a batch that is being drawn."""
        config, state, device = self.config, self.state, self.world.device
        start = time.monotonic()
        batch = drawn.result()
        fraction = self.schedule.fraction(state.step, state.seconds)
        rate = learning_rate(config.optimizer, state.step, fraction)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with self._random_numbers(), self._precision():
            loss = self.loss_module(batch.to(device))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip or math.inf)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.average.update_parameters(state.network)
        state.step += 1
        self.meter.add(loss.detach(), norm, time.monotonic() - start)
        state.seconds = self.meter.seconds()

    def report(self, callback: TrainCallback | None) -> None:
        """Tell the callback, at most twice a second."""
        if callback is None or not self.world.leads or not self.meter.due(_REPORT_SECONDS):
            return
        config, state = self.config, self.state
        speed = self.meter.steps_per_second()
        left = [(config.steps - state.step) / speed] if config.steps else []
        fraction = [state.step / config.steps] if config.steps else []
        if config.minutes is not None:
            left.append(60 * config.minutes - state.seconds)
            fraction.append(state.seconds / (60 * config.minutes))
        callback(
            TrainProgress(
                step=state.step,
                images=self.images,
                fraction=min(max(fraction), 1.0),
                loss=self.meter.loss.item(),
                images_per_second=speed * config.batch_size,
                seconds_left=max(min(left), 0.0),
            )
        )

    def periodic(self) -> None:
        """What is due after a step: metrics, validation, samples, snapshot, state."""
        config, step = self.config, self.state.step
        if _due(step, config.log_every):
            self._log()
        if not self.world.leads:
            return
        if _due(step, config.validate_every):
            self.validate()
        if _due(step, config.sample_every):
            self._sample()
        if _due(step, config.snapshot_every):
            folder = self.out / "snapshots"
            self._write("snapshot", lambda: self._save_model(folder / f"step-{step:09d}.safetensors"))
        if self.meter.save_due(60 * config.save_minutes):
            self.save()

    def save(self) -> None:
        """Write the state and the model; a failure is logged, and older files stay."""
        if not self.world.leads:
            return
        self._require_finite()
        about = self.config.to_dict()
        self.failure = None
        self._write("training state", lambda: save_state(self.states, self.state, about))
        self._write("model", lambda: self._save_model(self.out / "model.safetensors"))
        self.meter.saved()

    def validate(self) -> None:
        """What the averaged weights make of the held-out pictures, into the metrics."""
        if self.held_out is None:
            return
        with self._precision():
            found = evaluate(
                self.average.measures, self.held_out, batch_size=self.config.batch_size, device=self.world.device
            )
        self.validation = found["validation"]
        line = {"step": self.state.step, "images": self.images}
        self.metrics.append(line | {name: asdict(values) for name, values in found.items()})

    def finish(self) -> TrainResult:
        """The end of a run: everything once more, and an error if the result could not be written."""
        if self.meter.steps:
            self._log()
        if self.world.leads:
            self.save()  # whatever happens to what follows
            step, config = self.state.step, self.config
            if self.validation is None or not _due(step, config.validate_every):
                self.validate()
            if config.sample_every and not _due(step, config.sample_every):
                self._sample()
            self.save()
            if self.failure is not None:
                raise ScoreinvError(
                    f"{self.out}: the end of the run could not be written ({self.failure}): "
                    "make room and resume; the last state written before is intact"
                ) from self.failure
        return TrainResult(
            self.average.model,
            self.out / "model.safetensors",
            self.state.step,
            self.images,
            self.state.seconds,
            self.last_loss,
            self.validation,
        )

    def _pictures(self) -> tuple[Pictures, Pictures]:
        """Training and held-out pictures; the first process decodes them before the others, which find its cache."""
        if not self.world.leads:
            self.world.agreed(0)
        config = self.config
        channels = config.model.network.channels
        pictures = load_pictures(config.data, config.drawn_side, channels, cache=self.out / "cache")
        if self.world.leads:
            self.world.agreed(0)
        if isinstance(config.model, ClassifierConfig) and pictures.classes != config.model.classes:
            raise InputError(
                f"{config.data.source}: its folders are {', '.join(pictures.classes) or 'no classes'}, and the "
                f"classifier's classes {', '.join(config.model.classes)}"
            )
        return split(pictures, config.data)

    def _held_out(self, pictures: Pictures) -> Batch | None:
        count = self.config.validated_images
        if not len(pictures) or not count:
            return None
        return BatchSource.of(self.config, pictures, count, _VALIDATION_SEED).batch(0)

    def _begin_folder(self, record: JsonLines, resume: bool) -> None:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            for left in self.out.rglob(".*.part"):  # by a process that was killed
                left.unlink()
            with atomic_write(self.out / "config.json") as temporary:
                temporary.write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{self.out}: cannot be written: {error}") from error
        self.metrics.keep_until(self.state.step)
        record.keep_until(sys.maxsize if resume else -1)  # of what is kept a line cut short is dropped

    def _restore(self) -> None:
        saved = load_state(self.states, self.state)
        if saved is None:
            _log.info("%s: no training state yet: starting from the beginning", self.out)
            return
        now, before = self.config.to_dict(), TrainingConfig.from_dict(saved).to_dict()
        different = [name for name in now if name not in _LIMITS and now[name] != before[name]]
        if different:
            raise InputError(f"{self.out}: the run to resume differs in {', '.join(different)}: use another folder")

    @contextmanager
    def _random_numbers(self) -> Iterator[None]:
        """Dropout as a function of (seed, step); the caller's generators are put back."""
        if not self.dropout:
            yield
            return
        device = self.world.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            stream = draws.stream(self.config.seed, draws.DROPOUT, self.state.step, self.world.rank)
            draws.seed_torch(int(stream.integers(2**63)), device)
            yield

    def _precision(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    def _log(self) -> None:
        losses, norm = self.world.mean(self.meter.mean_loss()), self.meter.norm
        self.last_loss = losses.item()
        if not self.world.leads:
            self.meter.next_window()
            return
        self._require_finite()
        self.metrics.append(
            {
                "step": self.state.step,
                "images": self.images,
                "loss": self.last_loss,
                "learning_rate": self.state.optimizer.param_groups[0]["lr"],
                "gradient_norm": norm.item(),
                "images_per_second": self.config.batch_size * self.meter.steps_per_second(),
                "seconds": self.state.seconds,
            }
        )
        self.meter.next_window()

    def _require_finite(self) -> None:
        if self.meter.norm is not None and not math.isfinite(self.meter.norm.item() + self.meter.loss.item()):
            raise ScoreinvError(
                f"{self.out}: the loss is not finite at step {self.state.step}: lower the learning rate or train in "
                "float32; the last state written before is intact"
            )

    def _sample(self) -> None:
        path = self.out / "samples" / f"step-{self.state.step:09d}.png"

        def write() -> None:
            path.parent.mkdir(exist_ok=True)
            self.average.write_samples(path)

        with self._precision():
            self._write("samples", write)

    def _save_model(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        notes: dict[str, Any] = {"step": self.state.step, "images": self.images}
        if self.validation is not None:
            notes["validation_loss"] = self.validation.mean
        self.average.write(path, notes)

    def _write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.failure = error
            _log.error("%s: the %s of step %d was not written: %s", self.out, what, self.state.step, error)


def _adam(config: TrainingConfig, network: nn.Module) -> torch.optim.AdamW:
    options = config.optimizer
    device = next(network.parameters()).device.type
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        fused=device in ("cpu", "cuda"),
    )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
