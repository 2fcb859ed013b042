"""The training loop.

A step is a function of the previous state and of (seed, step): pictures, times, noise and dropout come from counters.
A resumed run therefore gives the same bits as an uninterrupted one, on the same processor and number of threads and
processes. The exception is a run that ends by `minutes`: the clock decides its last step and annealed learning rates.
"""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scoreinv.models.config import AnyModel, ClassifierConfig, NamedSDE
from scoreinv.models.model_file import save
from scoreinv.prior import ScorePrior
from scoreinv.system.devices import uses_bfloat16
from scoreinv.system.errors import Cancelled, InputError, ScoreinvError
from scoreinv.system.memory import is_out_of_memory
from scoreinv.system.options import says_stop
from scoreinv.system.terminal import ENDING_SIGNALS
from scoreinv.training.config import OptimizerConfig, TrainingConfig
from scoreinv.training.data.batches import DROPOUT, Batch, BatchSource, held_out_batch, stream
from scoreinv.training.data.pictures import Pictures, check_source, load_pictures, split
from scoreinv.training.distributed import World, process_group
from scoreinv.training.ema import update_average
from scoreinv.training.losses import ScoreLearner, learner_of, useful_loss
from scoreinv.training.metrics import (
    HeldOut,
    MetricsLog,
    TrainCallback,
    TrainProgress,
    TrainResult,
    evaluate,
    write_samples,
)
from scoreinv.training.run import RunRecord, TrainingRun, claimed, initial_model, load_state, new_state, save_state

_log = logging.getLogger(__name__)

_CALLBACK_SECONDS = 0.5


def train(
    config: TrainingConfig,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    init: AnyModel | None = None,
    device: str | torch.device = "cpu",
    tensorboard: bool = False,
    callback: TrainCallback | None = None,
) -> TrainResult:
    """Train a prior, a classifier or a damage detector.

        config = small_training(VE(), DataConfig("PHOTOS"))  # of `training.presets` and `training.config`
        result = train(config, "runs/mine")
        prior, file = result.trained, result.model

    The folder gets `config.json`, `metrics.jsonl`, `model.safetensors` (averaged weights), `state/` (the last two
    training states), `snapshots/`, `samples/`, `cache/` (decoded pictures) and `.scoreinv.lock`. Other files in it are
    left alone. Under torchrun, call this with the same arguments in every process.

    Args:
        config: configuration of the run.
        out: folder of the run; created if necessary, and removed again if the run cannot begin.
        resume: continue from the last state in `out`, if there is one.
        overwrite: allow the run to replace files that have its names but that it has not written.
        init: model to start from instead of random weights.
        device: to compute on; under torchrun with `cuda`, each process takes its own GPU.
        tensorboard: also write the metrics to `tensorboard/` in the folder.
        callback: receives the progress at most twice a second; returning False ends the run.

    Raises:
        InputError: bad configuration or data; `out` holds a run (without `resume`), a different run (with `resume`),
            a run in progress, or files of others (without `overwrite`); TensorBoard is wanted but not installed.
        ScoreinvError: the loss is not finite, memory is exhausted, or the result cannot be written.
        OSError: the state cannot be written when the run is interrupted, or before its first step.
        KeyboardInterrupt: on Ctrl-C, after saving. SIGTERM and SIGHUP also save, and then have their usual effect.
        Cancelled: the callback ended the run, after saving. Exceptions of the callback are raised after saving, too.
    """
    _refuse_named_sde(config, out)
    with ExitStack() as stack:
        world = stack.enter_context(process_group(torch.device(device)))
        run = stack.enter_context(claimed(Path(out))) if world.leads else TrainingRun(Path(out))
        trainer = Trainer(config, run, world, resume=resume, overwrite=overwrite, init=init, tensorboard=tensorboard)
        stack.callback(trainer.log.close)
        state = trainer.state
        trainer.begin(resume=resume, initial=init is not None and state.step == 0)
        stack.enter_context(_memory_remedy(config, world))
        signals = trainer.signals = stack.enter_context(deferred_signals())
        pool = stack.enter_context(ThreadPoolExecutor(1))
        drawn = pool.submit(trainer.batches.batch, state.step, trainer.part)
        while (fraction := trainer.fraction()) < 1:
            batch, drawn = drawn.result(), pool.submit(trainer.batches.batch, state.step + 1, trainer.part)
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(config.optimizer, state.step, fraction)
            loss = trainer.add_gradients(batch)
            norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip or math.inf)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
            state.step += 1
            update_average(state.average, state.network, state.step, config.ema_decay)

            trainer.write_due(loss, norm)
            stop = Cancelled(f"training was ended by {signals[0].name}") if signals else trainer.report(callback)
            if world.agreed(float(stop is not None)):
                try:
                    trainer.save()
                finally:
                    world.agreed(0.0)  # torchrun ends all processes when one exits: wait until the first has saved
                raise stop or Cancelled("training was stopped")
        return trainer.finish()


def learning_rate(config: OptimizerConfig, step: int, fraction: float) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then constant, or cosine in the fraction done."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    annealed = 0.5 * (1 + math.cos(math.pi * fraction)) if config.anneal == "cosine" else 1.0
    return config.learning_rate * warm * annealed


def check_run(
    config: TrainingConfig,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    init: AnyModel | None = None,
) -> None:
    """Raise the InputErrors of `train` that depend neither on the content of pictures nor on that of states.

    Leaves no new folder.
    """
    _refuse_named_sde(config, out)
    check_source(config.data)
    if init is not None:
        initial_model(config, init)
    with claimed(Path(out)) as run:
        run.refuse_files(config, resume=resume, overwrite=overwrite or resume)


def _refuse_named_sde(config: TrainingConfig, out: Path | str) -> None:
    """Raise InputError if the configuration has the name of a custom SDE instead of the SDE."""
    if isinstance(config.model.sde, NamedSDE):
        raise InputError(f"{out}: the run {config.model.sde.missing()}, in the configuration given to `train`")


class BatchLoss(nn.Module):
    """The mean loss of a batch, as a module around the network, for DistributedDataParallel."""

    def __init__(self, network: nn.Module, losses: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def forward(self, batch: Batch) -> Tensor:
        return self.losses(batch).mean()


class Trainer:
    """A run in progress: its state and data, and the files that it writes between steps.

    Arguments and errors are those of `train`.

    Attributes:
        state: changed by each step.
        model: the model with averaged weights.
        record: identity and precision of the run.
        held_out: held-out pictures, with the same times and noise in each validation; None without.
    """

    def __init__(
        self,
        config: TrainingConfig,
        run: TrainingRun,
        world: World,
        *,
        resume: bool,
        overwrite: bool,
        init: AnyModel | None,
        tensorboard: bool,
    ) -> None:
        self.config, self.run, self.world = config, run, world
        self.log = MetricsLog(run.metrics, run.tensorboard if tensorboard and world.leads else None)
        self.learner = learner_of(config)
        self.part = world.part(config.batch_size, config.accumulate)
        trained, self.model, self.state = new_state(config, init, world.device)
        self.loss: nn.Module = BatchLoss(self.state.network, partial(self.learner.losses, trained))
        if world.size > 1:
            self.loss = DistributedDataParallel(self.loss)
        saved = self._restored(init, resume=resume, overwrite=overwrite)
        pictures = self._pictures()
        if saved is None:
            # `auto` is measured, so the processes have to agree on it; a resumed run keeps it.
            bfloat16 = bool(world.agreed(float(uses_bfloat16(config.precision, world.device))))
            self.record = RunRecord(config, pictures.digest, bfloat16)
        else:
            saved.refuse_other_pictures(pictures.digest, run.path)
            self.record = replace(saved, config=config)
        training, held_out = split(pictures, config.data)
        self.batches = BatchSource(config, training, config.batch_size, config.seed)
        self.held_out: Batch | None = None
        if world.leads and len(held_out) and config.validation_images:
            self.held_out = held_out_batch(config, held_out, config.validation_images)
        self.validation: HeldOut | None = None
        self.baseline_loss: float | None = None
        self.samples: Path | None = None
        self.last_loss: float | None = None  # of the last line of metrics
        self.losses = deque[Tensor](maxlen=config.log_every or TrainingConfig.log_every)  # of the steps since then
        self.step_loss = self.norm = torch.zeros(())  # of the last step, and the norm of its gradient
        self.signals: Sequence[signal.Signals] = ()  # that came during the run
        self.begun_at = self.saved_at = self.reported_at = monotonic()
        self.begun_step, self.begun_fraction = self.state.step, self._fraction()

    def _restored(self, init: AnyModel | None, *, resume: bool, overwrite: bool) -> RunRecord | None:
        """Load the last state to resume from and return its record; None if the run starts at step 0.

        Raises InputError if that state belongs to another run, or if a new run would replace files of others or freeze
        norms of random weights.
        """
        config, run, world = self.config, self.run, self.world
        saved = load_state(run.states, self.state) if resume else None
        step = torch.tensor(-1 if saved is None else saved.step, dtype=torch.float64)
        if world.mean(step) != step:
            raise InputError(f"{run.path}: the processes found different states: name a folder that all machines share")
        if saved is not None:
            saved.refuse_change(config, run.path)
            if world.leads:
                run.refuse_model_of_others(saved, overwrite=overwrite)
        elif config.frozen_norms and init is None:
            raise InputError("frozen_norms needs the statistics of trained weights: give a model to start from")
        elif world.leads:
            run.refuse_files(config, resume=resume, overwrite=overwrite)
            if resume:
                _log.warning("%s: holds no state of a run to resume: it starts at step 0", run.path)
        return saved

    def _pictures(self) -> Pictures:
        """Load the pictures; raise InputError if their folders are not the classes of the classifier."""
        config = self.config
        with self.world.first_leads():  # the others read the cache of the first
            channels = config.model.network.channels
            pictures = load_pictures(config.data, config.drawn_side, channels, cache=self.run.cache)
        if isinstance(config.model, ClassifierConfig) and pictures.classes != config.model.classes:
            raise InputError(
                f"{config.data.source}: its folders are {', '.join(pictures.classes) or 'no classes'}, and the "
                f"classifier's classes {', '.join(config.model.classes)}"
            )
        return pictures

    def begin(self, *, resume: bool, initial: bool) -> None:
        """Write the first files of the run.

        Args:
            resume: remove files that a killed process left unfinished.
            initial: first save the state. Without it, a run that ended here would resume from random weights.
        """
        if self.world.leads:
            if initial:
                self._save_state()
            self.run.begin(self.config, resume=resume)
            self.log.begin(self.state.step)

    @property
    def images(self) -> int:
        return self.state.step * self.config.batch_size

    def seconds(self) -> float:
        """Return the training time, over all resumptions."""
        return self.record.seconds + monotonic() - self.begun_at

    def fraction(self) -> float:
        """Return the completed fraction of the run, by steps or by time, in all processes alike."""
        return self.world.agreed(self._fraction())

    def _fraction(self) -> float:
        config = self.config
        by_steps = self.state.step / config.steps if config.steps else 0.0
        by_time = self.seconds() / (60 * config.minutes) if config.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)

    def add_gradients(self, batch: Batch) -> Tensor:
        """Add the gradients of a batch, computed in `accumulate` parts; return its mean loss."""
        parts, device = self.config.accumulate, self.world.device
        total = torch.zeros((), device=device)
        size = len(batch.times) // parts
        with _dropout(self.config.seed, self.state.step, self.world):
            for start in range(0, len(batch.times), size):
                exchange: AbstractContextManager[None] = nullcontext()
                if isinstance(self.loss, DistributedDataParallel) and start + size < len(batch.times):
                    exchange = self.loss.no_sync()  # processes exchange gradients after the last part
                with exchange:
                    with self._autocast():
                        loss = self.loss(batch.part(slice(start, start + size)).to(device)) / parts
                    loss.backward()
                total += loss.detach()
        return total

    def report(self, callback: TrainCallback | None) -> BaseException | None:
        """Call the callback, at most twice a second; return its exception, or Cancelled if it ends the run."""
        now = monotonic()
        if callback is None or not self.world.leads or now - self.reported_at < _CALLBACK_SECONDS:
            return None
        self.reported_at = now
        fraction = self._fraction()
        progress = TrainProgress(
            step=self.state.step,
            begun=self.begun_step,
            images=self.images,
            fraction=fraction,
            loss=self.step_loss.item(),
            images_per_second=self._images_per_second(),
            seconds=self.seconds(),
            seconds_left=(now - self.begun_at) * (1 - fraction) / max(fraction - self.begun_fraction, 1e-12),
        )
        try:
            return Cancelled("training was stopped") if says_stop(callback(progress)) else None
        except BaseException as error:  # SystemExit, too
            return error

    def write_due(self, loss: Tensor, norm: Tensor) -> None:
        """Write the metrics, validation, samples, snapshot and state that are due after a step; log a failure."""
        config = self.config
        self.losses.append(loss)
        self.step_loss, self.norm = loss, norm
        try:
            if self._is_due(config.log_every):
                self._log_losses()
            if not self.world.leads:
                return
            with suppress(Cancelled):  # by a signal, after which only saving is left
                if self._is_due(config.validate_every):
                    self._validate()
                if self._is_due(config.sample_every):
                    self._sample()
            if self._is_due(config.snapshot_every):
                self._save_model(self.run.snapshots / f"step-{self.state.step:09d}.safetensors")
            if monotonic() - self.saved_at >= 60 * config.save_minutes:
                self.save()
        except OSError as error:
            _log.error("%s: step %d was not written: %s", self.run.path, self.state.step, error)

    def finish(self) -> TrainResult:
        """Write the last metrics, state, validation, samples and model; raise ScoreinvError if that fails."""
        config = self.config
        try:
            if self.losses:
                self._log_losses()
            if self.world.leads:
                self.save()  # before the rest, which may be interrupted
                if self.validation is None or not self._is_due(config.validate_every):
                    self._validate()
                if config.sample_every and (self.samples is None or not self._is_due(config.sample_every)):
                    self._sample()
                self._save_model(self.run.model, ended=[config.steps, config.minutes])
        except OSError as error:
            raise ScoreinvError(
                f"{self.run.path}: the end of the run could not be written ({error}): "
                "make room and resume; the last state written before is intact"
            ) from error
        useful = None
        if self.validation is not None and self.baseline_loss is not None:
            limit = useful_loss(config, self.baseline_loss)
            useful = None if limit is None else self.validation.mean <= limit
        return TrainResult(
            trained=self.model,
            model=self.run.model,
            steps=self.state.step,
            images=self.images,
            seconds=self.seconds(),
            loss=self.last_loss,
            validation=self.validation,
            baseline_loss=self.baseline_loss,
            useful=useful,
            samples=self.samples,
            precision="bfloat16" if self.record.bfloat16 else "float32",
        )

    def save(self) -> None:
        """Write the state and the model; raise OSError if that fails, ScoreinvError if the loss is not finite."""
        if not self.world.leads:
            return
        self._require_finite()
        self.saved_at = monotonic()
        self._save_state()
        self._save_model(self.run.model)

    def _save_state(self) -> None:
        save_state(self.run.states, self.state, replace(self.record, step=self.state.step, seconds=self.seconds()))

    def _may_continue(self, _: object = None) -> bool:
        """Return False after a signal: as a callback, this stops validation and sampling."""
        return not self.signals

    def _validate(self) -> None:
        """Log the held-out figures of the averaged weights."""
        data = self.held_out
        if data is None:
            return
        measures = partial(self.learner.measures, self.model)
        with self._autocast():
            found = evaluate(
                measures, data, batch_size=self.config.batch_size, device=self.world.device, callback=self._may_continue
            )
        self.validation = found["validation"]
        self.baseline_loss = self.learner.baseline_loss(self.model, data)
        validated = len(data.times)
        line = {"step": self.state.step, "images": self.images, "validated": validated, "ignorant": self.baseline_loss}
        self.log.append(line | {name: asdict(values) for name, values in found.items()})

    def _sample(self) -> None:
        """Write a grid of samples of a prior."""
        prior = self.model
        if isinstance(self.learner, ScoreLearner) and isinstance(prior, ScorePrior):
            path = self.run.samples / f"step-{self.state.step:09d}.png"
            with self._autocast():
                write_samples(path, prior, self.config.samples, self.config.seed, self._may_continue)
            self.samples = path

    def _log_losses(self) -> None:
        """Write a line of metrics; raise ScoreinvError if the loss is not finite."""
        self.last_loss = self.world.mean(torch.stack([*self.losses]).mean()).item()
        self.losses.clear()
        if self.world.leads:
            self._require_finite()
            self.log.append(
                {
                    "step": self.state.step,
                    "images": self.images,
                    "loss": self.last_loss,
                    "learning_rate": self.state.optimizer.param_groups[0]["lr"],
                    "gradient_norm": self.norm.item(),
                    "images_per_second": self._images_per_second(),
                    "seconds": self.seconds(),
                }
            )

    def _save_model(self, path: Path, **notes: Any) -> None:
        """Write the averaged weights; the notes get step, images, run and held-out loss."""
        notes |= {"step": self.state.step, "images": self.images, "run": self.record.run}
        if self.validation is not None:
            notes["validation_loss"] = self.validation.mean
        path.parent.mkdir(exist_ok=True)
        save(self.model, path, notes=notes)

    def _require_finite(self) -> None:
        if not math.isfinite((self.norm + self.step_loss).item()):
            weights = f" from {self.run.model}" if self.run.model.exists() else ""
            raise ScoreinvError(
                f"{self.run.path}: the loss is not finite at step {self.state.step}: begin another run{weights} at "
                "a lower learning rate, or in float32"
            )

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.state.step % every == 0

    def _images_per_second(self) -> float:
        """Return the speed since the run was started or resumed."""
        return (self.state.step - self.begun_step) * self.config.batch_size / max(monotonic() - self.begun_at, 1e-9)

    def _autocast(self) -> torch.autocast | nullcontext[None]:
        """Return a context with the precision of inner layers."""
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.record.bfloat16 else nullcontext()


@contextmanager
def _dropout(seed: int, step: int, world: World) -> Iterator[None]:
    """Make dropout a function of (seed, step), and restore the caller's generators afterwards."""
    device = world.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        drawn = int(stream(seed, DROPOUT, step, world.rank).integers(2**63))
        torch.default_generator.manual_seed(drawn)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(drawn)
        elif device.type == "mps":
            torch.mps.manual_seed(drawn)
        yield


@contextmanager
def _memory_remedy(config: TrainingConfig, world: World) -> Iterator[None]:
    """Turn exhausted memory into a ScoreinvError with a remedy."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ScoreinvError(
            f"not enough memory on {world.device} for batch_size {config.batch_size}, accumulate {config.accumulate}: "
            "lower the batch size, or raise accumulate in the configuration"
        ) from error


@contextmanager
def deferred_signals() -> Iterator[list[signal.Signals]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP in the block; afterwards, pass the first on to its previous handler.

    The first is logged. A second signal has its usual effect at once. Ignored signals stay ignored: `nohup` ignores
    SIGHUP, and shells ignore SIGINT in background jobs. Outside of the main thread nothing is collected.
    """
    came: list[signal.Signals] = []
    numbers = ENDING_SIGNALS if threading.current_thread() is threading.main_thread() else []
    handlers = {number: signal.getsignal(number) for number in numbers}
    # None is a handler that Python did not install and cannot restore.
    handlers = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def collect(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        restore()
        with suppress(RuntimeError):  # the signal came while the same stream was being written
            _log.warning("finishing the step, saving")

    for number in handlers:
        signal.signal(number, collect)
    try:
        yield came
    finally:
        restore()
        if came:
            signal.raise_signal(came[0])
