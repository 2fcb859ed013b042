"""Training runs: a training is a folder, the loop of `fitting.descend` on drawn batches, and reports between its steps.

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
from dataclasses import asdict, dataclass, replace
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
from scoreinv.system.progress import reported_to
from scoreinv.system.terminal import ENDING_SIGNALS
from scoreinv.training.config import TrainingConfig
from scoreinv.training.data.batches import DROPOUT, Batch, stream
from scoreinv.training.data.pictures import Pictures, check_source, load_pictures, split
from scoreinv.training.distributed import World, process_group
from scoreinv.training.fitting import TrainingState, descend
from scoreinv.training.learners import ChromaLearner
from scoreinv.training.metrics import (
    HeldOut,
    MetricsLog,
    TrainCallback,
    TrainProgress,
    TrainResult,
    evaluate,
    held_out_batch,
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
    clock: Callable[[], float] = monotonic,
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
        clock: returns the time in seconds; it is read before the first step and after each.

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
        log = MetricsLog(run.metrics, run.tensorboard if tensorboard and world.leads else None)
        stack.callback(log.close)
        part = world.part(config.batch_size, config.accumulate)
        trained, average, state = new_state(config, init, world.device)
        saved = _restored(config, run, world, state, resume=resume, overwrite=overwrite)
        if saved is None and config.frozen_norms and init is None:
            raise InputError("frozen_norms needs the statistics of trained weights: give a model to start from")
        record, pictures, held_out = _data(config, run, world, saved)
        report = Report(config, run, world, log, state, average, record, clock)
        if world.leads and len(held_out) and config.validation_images:
            report.held_out = held_out_batch(config, held_out, config.validation_images)
        report.begin(resume=resume, initial=init is not None and state.step == 0)
        stack.enter_context(_memory_remedy(config, world))
        signals = report.signals = stack.enter_context(deferred_signals())
        source = config.source(pictures, config.batch_size, config.seed)
        draw = partial(config.learner.draw, source, rows=range(config.batch_size)[part])
        loss_of: nn.Module = BatchLoss(state.network, partial(config.learner.losses, trained))
        if world.size > 1:
            loss_of = DistributedDataParallel(loss_of)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        drawn = pool.submit(draw, step=state.step)

        def add_gradients(step: int) -> Tensor:
            nonlocal drawn
            batch, drawn = drawn.result(), pool.submit(draw, step=step + 1)
            return add_batch_gradients(loss_of, batch, step, config, world, bfloat16=record.bfloat16)

        for loss, norm in descend(state, add_gradients, config.optimizer, config.ema_decay, report.fraction):
            report.write_due(loss, norm)
            stop = Cancelled(f"training was ended by {signals[0].name}") if signals else report.call(callback)
            if world.agreed(float(stop is not None)):
                try:
                    report.save()
                finally:
                    world.agreed(0.0)  # torchrun ends all processes when one exits: wait until the first has saved
                raise stop or Cancelled("training was stopped")
        return report.finish()


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


def _restored(
    config: TrainingConfig, run: TrainingRun, world: World, state: TrainingState, *, resume: bool, overwrite: bool
) -> RunRecord | None:
    """Load the last state to resume from and return its record; None if the run starts at step 0.

    Raises InputError if that state belongs to another run, or if a new run would replace files of others.
    """
    saved = load_state(run.states, state) if resume else None
    step = torch.tensor(-1 if saved is None else saved.step, dtype=torch.float64)
    if world.mean(step) != step:
        raise InputError(f"{run.path}: the processes found different states: name a folder that all machines share")
    if saved is not None:
        before = saved.config.resume_key()
        if different := [name for name, value in config.resume_key().items() if value != before[name]]:
            raise InputError(f"{run.path}: the run to resume differs in {', '.join(different)}: use another folder")
        if world.leads:
            run.refuse_model_of_others(saved, overwrite=overwrite)
    elif world.leads:
        run.refuse_files(config, resume=resume, overwrite=overwrite)
        if resume:
            _log.warning("%s: holds no state of a run to resume: it starts at step 0", run.path)
    return saved


def _data(
    config: TrainingConfig, run: TrainingRun, world: World, saved: RunRecord | None
) -> tuple[RunRecord, Pictures, Pictures]:
    """Load the pictures; return the record of the run, its training pictures and the held-out ones.

    Raises InputError if a resumed run had others, or if their folders are not the classes of the classifier.
    """
    with world.first_leads():  # the others read the cache of the first
        pictures = load_pictures(config.data, config.drawn_side, config.model.network.channels, cache=run.cache)
    if isinstance(config.model, ClassifierConfig) and pictures.classes != config.model.classes:
        raise InputError(
            f"{config.data.source}: its folders are {', '.join(pictures.classes) or 'no classes'}, and the "
            f"classifier's classes {', '.join(config.model.classes)}"
        )
    if saved is None:
        # `auto` is measured, so the processes have to agree on it; a resumed run keeps it.
        bfloat16 = bool(world.agreed(float(uses_bfloat16(config.precision, world.device))))
        saved = RunRecord(config, pictures.digest, bfloat16)
    if saved.pictures != pictures.digest:
        raise InputError(
            f"{run.path}: the pictures are not those that the run was trained on so far: put them back, or start "
            "another run from its model"
        )
    return replace(saved, config=config), *split(pictures, config.data)


class BatchLoss(nn.Module):
    """The mean loss of a batch, as a module around the network, for DistributedDataParallel."""

    def __init__(self, network: nn.Module, losses: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def forward(self, batch: Batch) -> Tensor:
        return self.losses(batch).mean()


def add_batch_gradients(
    loss_of: nn.Module, batch: Batch, step: int, config: TrainingConfig, world: World, *, bfloat16: bool
) -> Tensor:
    """Add the gradients of a batch, computed in `accumulate` parts; return its mean loss."""
    total = torch.zeros((), device=world.device)
    size = len(batch.times) // config.accumulate
    with _dropout(config.seed, step, world):
        for start in range(0, len(batch.times), size):
            exchange: AbstractContextManager[None] = nullcontext()
            if isinstance(loss_of, DistributedDataParallel) and start + size < len(batch.times):
                exchange = loss_of.no_sync()  # processes exchange gradients after the last part
            with exchange:
                with _precision(world, bfloat16=bfloat16):
                    loss = loss_of(batch.part(slice(start, start + size)).to(world.device)) / config.accumulate
                loss.backward()
            total += loss.detach()
    return total


def _precision(world: World, *, bfloat16: bool) -> AbstractContextManager[object]:
    """Return a context with the precision of inner layers."""
    return torch.autocast(world.device.type, torch.bfloat16) if bfloat16 else nullcontext()


@dataclass
class Report:
    """What a run reports and saves between its steps.

    Attributes:
        config, run, world, log: of the run.
        state: changed by each step.
        model: the model with averaged weights.
        record: identity and precision of the run, and the state that it started from.
        clock: returns the time in seconds.
        held_out: held-out pictures, with the same times and noise in each validation; None without.
        signals: those that came during the run.
        validation, baseline_loss: of the last validation.
        samples: file of the last sample grid.
        last_loss: of the last line of metrics.
        losses: of the steps since then.
        now, saved_at, called_at: times of the last step, of the last state, and of the last call of the callback.
    """

    config: TrainingConfig
    run: TrainingRun
    world: World
    log: MetricsLog
    state: TrainingState
    model: AnyModel
    record: RunRecord
    clock: Callable[[], float]
    held_out: Any = None
    signals: Sequence[signal.Signals] = ()
    validation: HeldOut | None = None
    baseline_loss: float | None = None
    samples: Path | None = None
    last_loss: float | None = None

    def __post_init__(self) -> None:
        self.losses = deque[Tensor](maxlen=self.config.log_every or TrainingConfig.log_every)
        self.step_loss = self.norm = torch.zeros(())
        self.now = self.begun_at = self.saved_at = self.called_at = self.clock()
        self.begun_step, self.begun_fraction = self.state.step, self._fraction()

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

    def fraction(self) -> float:
        """Return the completed fraction of the run, by steps or by time, in all processes alike."""
        return self.world.agreed(self._fraction())

    def write_due(self, loss: Tensor, norm: Tensor) -> None:
        """Write the metrics, validation, samples, snapshot and state that are due after a step; log a failure."""
        config = self.config
        self.now = self.clock()
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
            if self.now - self.saved_at >= 60 * config.save_minutes:
                self.save()
        except OSError as error:
            _log.error("%s: step %d was not written: %s", self.run.path, self.state.step, error)

    def call(self, callback: TrainCallback | None) -> BaseException | None:
        """Call the callback, at most twice a second; return its exception, or Cancelled if it ends the run."""
        if callback is None or not self.world.leads or self.now - self.called_at < _CALLBACK_SECONDS:
            return None
        self.called_at, fraction = self.now, self._fraction()
        progress = TrainProgress(
            step=self.state.step,
            begun=self.begun_step,
            images=self.images,
            fraction=fraction,
            loss=self.step_loss.item(),
            images_per_second=self._images_per_second(),
            seconds=self.seconds,
            seconds_left=(self.now - self.begun_at) * (1 - fraction) / max(fraction - self.begun_fraction, 1e-12),
        )
        try:
            return Cancelled("training was stopped") if says_stop(callback(progress)) else None
        except BaseException as error:  # SystemExit, too
            return error

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
        limit, useful = config.learner.useful, None
        if self.validation is not None and self.baseline_loss is not None and limit is not None:
            useful = self.validation.mean <= limit * self.baseline_loss
        return TrainResult(
            trained=self.model,
            model=self.run.model,
            steps=self.state.step,
            images=self.images,
            seconds=self.seconds,
            loss=self.last_loss,
            validation=self.validation,
            baseline_loss=self.baseline_loss,
            useful=useful,
            samples=self.samples,
            precision="bfloat16" if self.record.bfloat16 else "float32",
        )

    def save(self) -> None:
        """Write the state and the model; raise OSError if that fails, ScoreinvError if the loss is not finite."""
        if self.world.leads:
            self._require_finite()
            self.saved_at = self.now
            self._save_state()
            self._save_model(self.run.model)

    @property
    def images(self) -> int:
        return self.state.step * self.config.batch_size

    @property
    def seconds(self) -> float:
        """The training time, over all resumptions."""
        return self.record.seconds + self.now - self.begun_at

    def _fraction(self) -> float:
        config = self.config
        by_steps = self.state.step / config.steps if config.steps else 0.0
        by_time = self.seconds / (60 * config.minutes) if config.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)

    def _save_state(self) -> None:
        save_state(self.run.states, self.state, replace(self.record, step=self.state.step, seconds=self.seconds))

    def _may_continue(self, _: object = None) -> bool:
        """Return False after a signal: as a callback, this stops validation and sampling."""
        return not self.signals

    def _validate(self) -> None:
        """Log the held-out figures of the averaged weights."""
        data, learner = self.held_out, self.config.learner
        if data is None:
            return
        measures, size, device = partial(learner.measures, self.model), self.config.batch_size, self.world.device
        with _precision(self.world, bfloat16=self.record.bfloat16), reported_to(self._may_continue):
            found = evaluate(measures, data, batch_size=size, device=device)
        self.validation = found["validation"]
        self.baseline_loss = learner.baseline_loss(self.model, data)
        line = {"validated": len(data.times), "ignorant": self.baseline_loss}
        self._append(line | {name: asdict(values) for name, values in found.items()})

    def _sample(self) -> None:
        """Write a grid of samples of a prior."""
        prior = self.model
        if isinstance(prior, ScorePrior) and not isinstance(self.config.learner, ChromaLearner):
            path = self.run.samples / f"step-{self.state.step:09d}.png"
            with _precision(self.world, bfloat16=self.record.bfloat16), reported_to(self._may_continue):
                write_samples(path, prior, self.config.samples, self.config.seed)
            self.samples = path

    def _log_losses(self) -> None:
        """Write a line of metrics; raise ScoreinvError if the loss is not finite."""
        self.last_loss = self.world.mean(torch.stack([*self.losses]).mean()).item()
        self.losses.clear()
        if self.world.leads:
            self._require_finite()
            rate, norm = self.state.optimizer.param_groups[0]["lr"], self.norm.item()
            speed = {"images_per_second": self._images_per_second(), "seconds": self.seconds}
            self._append({"loss": self.last_loss, "learning_rate": rate, "gradient_norm": norm} | speed)

    def _append(self, line: dict[str, Any]) -> None:
        self.log.append({"step": self.state.step, "images": self.images} | line)

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
        return (self.state.step - self.begun_step) * self.config.batch_size / max(self.now - self.begun_at, 1e-9)


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
