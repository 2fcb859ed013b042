"""The training loop.

A step is a function of the state before it and of (seed, step): pictures, times, noise and dropout are drawn by
counters. So a run that is killed and resumed from its last state goes through the same bits as one that was not (on the
same processor, number of threads and processes); where `minutes` end it, the clock decides the last step.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.errors import Cancelled, InputError, ScoreinvError
from scoreinv.files import atomic_write
from scoreinv.machine import uses_bfloat16
from scoreinv.models.codec import encode
from scoreinv.models.config import AnyModel, ClassifierConfig, NamedSDE
from scoreinv.models.model_file import save
from scoreinv.networks.blocks import channels_last, freeze_norms, norms_learn
from scoreinv.options import says_stop
from scoreinv.prior import ScorePrior
from scoreinv.time_left import ETA
from scoreinv.training.batches import DROPOUT, BatchSource, stream
from scoreinv.training.config import GRID_STEPS, STEP_EVALUATIONS, TrainingConfig
from scoreinv.training.distributed import World, processes
from scoreinv.training.ema import update_average
from scoreinv.training.features import KeptFeatures
from scoreinv.training.folder import RunFolder, claimed, deferred_interrupts
from scoreinv.training.losses import Batch, ScoreLearner, initial_model, learner_of
from scoreinv.training.metrics import (
    HeldOut,
    JsonLines,
    TrainCallback,
    TrainProgress,
    TrainResult,
    evaluate,
    write_samples,
)
from scoreinv.training.pictures import Pictures, check_source, load_pictures, split
from scoreinv.training.schedule import Deadline, Schedule, learning_rate
from scoreinv.training.state import SavedRun, TrainingState, load_state, save_state

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_VALIDATION_SEED = 0  # of every run, so that runs can be compared

Clock = Callable[[], float]
"""Seconds since the run was asked for."""


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
    clock: Clock | None = None,
) -> TrainResult:
    """Train a prior by denoising score matching, or a classifier of noisy pictures, into the folder `out`.

        run = small_training(VE(), DataConfig("PHOTOS"))  # of `training.presets` and `training.config`
        result = train(run, "runs/mine")
        prior, file = result.trained, result.model

    The folder gets `config.json`, `metrics.jsonl`, `schedule.jsonl`, `model.safetensors` (averaged weights), `state/`
    (the last two states of training), `snapshots/`, `samples/`, `cache/` (decoded pictures, and what an encoder made of
    them) and `.scoreinv.lock`; nothing else in it is touched. Under torchrun every process calls this with the same
    arguments.

    Args:
        config: the run.
        out: folder of the run; made when it is not there, and not kept when the run cannot begin.
        resume: go on from the last state in `out`, if there is one.
        overwrite: files of these names that this run has not written may be replaced.
        init: weights to start from instead of fresh ones.
        device: to compute on; under torchrun with `cuda`, each process takes its own.
        tensorboard: write the metrics to the folder's `tensorboard/` too, for that program.
        callback: told about progress; ends the run by returning False.
        clock: seconds since the run was asked for, by which `minutes` end it; None: since this call.

    Raises:
        InputError: bad configuration or data; a run there already (`resume=False`), a different one (`resume=True`),
            or one that another process is training; files of others (`overwrite=False`); no TensorBoard where it is
            wanted.
        ScoreinvError: the loss is not finite, or the end result could not be written.
        KeyboardInterrupt: by Ctrl-C, after the state was saved. SIGTERM and SIGHUP save it too, and then do what they
            did before: if nothing, they end the process.
        Cancelled: the callback ended the run; after the state was saved, as for whatever else the callback raises.
    """
    called = time.monotonic()
    clock = clock or (lambda: time.monotonic() - called)
    _refuse_named_sde(config, out)
    with ExitStack() as stack:
        world = stack.enter_context(processes(torch.device(device)))
        # The first process claims the folder for all.
        folder = stack.enter_context(claimed(Path(out))) if world.leads else RunFolder(Path(out))
        run = Run(config, folder, world, clock, resume=resume, overwrite=overwrite, init=init, tensorboard=tensorboard)
        state, optimizer = run.state, run.state.optimizer
        with deferred_interrupts() as signals, ThreadPoolExecutor(1) as drawer:
            stop: BaseException | None = None
            drawn = drawer.submit(run.source.batch, state.step, run.part)
            while not run.finished():
                begun = clock()
                batch, drawn = drawn.result(), drawer.submit(run.source.batch, state.step + 1, run.part)
                fraction = run.schedule.fraction(state.step, run.deadline.passed(run.seconds()))
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config.optimizer, state.step, fraction)
                loss = torch.zeros((), device=world.device)
                with run.dropout():
                    size = len(batch.times) // config.accumulate
                    for start in range(0, len(batch.times), size):
                        last = start + size == len(batch.times)
                        with nullcontext() if last else world.alone(run.loss):
                            with run.precision():
                                part = batch.part(slice(start, start + size)).to(world.device)
                                share = run.loss(part) / config.accumulate
                            share.backward()
                        loss += share.detach()
                norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip or math.inf)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                state.step += 1
                update_average(state.average, state.network, state.step, config.ema_decay)

                run.count(loss, norm, clock() - begun)
                try:
                    run.report(callback)
                except BaseException as error:  # `sys.exit` too
                    stop = error
                if signals:
                    stop = Cancelled(f"training was ended by {signals[0].name}")
                run.periodic()
                if world.agreed(float(stop is not None)):
                    try:
                        run.save()
                    finally:
                        world.agreed(0.0)  # the others wait for it: where one of them ends, the first is ended too
                    raise stop or Cancelled("training was stopped")
            return run.finish()


def check_run(config: TrainingConfig, out: Path | str, *, resume: bool = False, overwrite: bool = False) -> None:
    """Raise the InputError by which `train` would refuse to begin, as far as it reads no picture and no state for that.

    Arguments as of `train`. A folder that is not there is not made.
    """
    _refuse_named_sde(config, out)
    check_source(config.data)
    with claimed(Path(out)) as folder:
        folder.refuse_states(resume=resume)
        if not resume:
            folder.refuse_others(config, None, resume=False, overwrite=overwrite)


def _refuse_named_sde(config: TrainingConfig, out: Path | str) -> None:
    """Raise InputError for an SDE that only its name is known of."""
    if isinstance(config.model.sde, NamedSDE):
        raise InputError(f"{out}: the run {config.model.sde.missing()}, in the configuration to train or resume by")


class _Loss(nn.Module):
    """The mean loss of a batch as a module of the network that is trained, whose gradients processes exchange."""

    def __init__(self, network: nn.Module, losses: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.losses = losses

    def forward(self, batch: Batch) -> Tensor:
        return self.losses(batch).mean()


class Run:
    """What `train` sets up; and what it tells, measures and saves between the steps."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        world: World,
        clock: Clock,
        *,
        resume: bool,
        overwrite: bool,
        init: AnyModel | None,
        tensorboard: bool,
    ) -> None:
        self.config, self.folder, self.world, self.clock = config, folder, world, clock
        self.part = world.part(config.batch_size, config.accumulate)
        folder.refuse_states(resume=resume)
        self.learner = learner_of(config)
        model = initial_model(config, init).to(world.device)
        network = channels_last(self.learner.network(model)).train()
        frozen = freeze_norms(network) if config.frozen_norms else 0
        crops = (self.part.stop - self.part.start) // config.accumulate
        if crops == 1 and norms_learn(network) and config.model.image_size // vars(network)["stride"] <= 1:
            raise InputError(
                "batch norms take no statistics of a single crop that is a pixel in the end: "
                "raise image_size or batch_size, or lower accumulate"
            )
        fixed = nn.ModuleList(part for part in model.parts().values() if part is not network)
        options = config.optimizer
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
            eps=options.epsilon,
            weight_decay=options.weight_decay,
            fused=world.device.type in ("cpu", "cuda"),
        )
        # What is not trained is shared: a state that is restored is that of both.
        self.average: AnyModel = copy.deepcopy(model, {id(module): module for module in fixed.modules()}).eval()
        self.state = TrainingState(network, self.learner.network(self.average), optimizer, fixed)
        self.loss = world.wrap(_Loss(network, partial(self.learner.losses, model)))
        self.drops_out = any(isinstance(m, nn.Dropout) and m.p > 0 for m in network.modules())

        saved = self._restored() if resume else None
        if config.frozen_norms and (not frozen or (init is None and saved is None)):
            raise InputError(
                "frozen_norms is for networks with batch norms that start from weights: give a model to start from"
            )
        if world.leads:
            folder.refuse_others(config, saved, resume=resume, overwrite=overwrite)
        pictures = self._pictures()
        self.about = self._about(saved, pictures)
        training, others = split(pictures, config.data)
        self.source = BatchSource(config, training, config.batch_size, config.seed)
        self.held_out_batch: Batch | None = None  # with their times and noise
        if len(others) and (count := config.validated_images):
            self.held_out_batch = replace(BatchSource(config, others, count, _VALIDATION_SEED).batch(0), crops=None)
            if config.minutes is not None:  # in random order: any part is fair
                order = torch.randperm(count, generator=torch.Generator().manual_seed(_VALIDATION_SEED))
                self.held_out_batch = self.held_out_batch.part(order)
        if config.data.crops and config.encoder_scale and isinstance(self.learner, ScoreLearner):
            self.learner.kept = self._kept_features(model, pictures)

        self.metrics = JsonLines(folder.metrics, folder.board if tensorboard and world.leads else None)
        record = JsonLines(folder.schedule)
        if world.leads:
            self._begin(record, resume=resume)
        self.schedule = Schedule(config, record, world)
        self.deadline = Deadline(config, validates=self.held_out_batch is not None)
        self.seconds_before = self.state.seconds
        self.recent_losses: list[Tensor] = []  # of the steps since the last line of metrics, and the seconds they took
        self.busy = self.step_seconds = self.evaluation_seconds = 0.0
        self.norm = torch.zeros(())
        self.reported = self.saved_at = clock()
        self.pace = ETA()
        self.failure: OSError | None = None
        self.last_loss: float | None = None
        self.ignorant_loss: float | None = None
        self.validation: HeldOut | None = None
        # A run by the clock goes on with as many held-out pictures as it has validated before.
        counts = [line.get("validated") for line in reversed(self.metrics.read()) if config.minutes is not None]
        self.validated_count = next((count for count in counts if type(count) is int and count > 0), None)
        self.samples: Path | None = None
        if (init is not None and saved is None) or config.minutes is not None:
            # What is killed before its first state would begin again without these weights. And saving is timed by it.
            self.save()
        self.deadline.begun = clock()

    @property
    def images(self) -> int:
        return self.state.step * self.config.batch_size

    def seconds(self) -> float:
        """Of training, over all resumptions."""
        return self.clock() + self.seconds_before

    def finished(self) -> bool:
        over = self.config.steps is not None and self.state.step >= self.config.steps
        if self.config.minutes is not None:
            over = over or self.world.agreed(self.deadline.passed(self.seconds() + self.step_seconds / 2)) >= 1
        return over

    @contextmanager
    def dropout(self) -> Iterator[None]:
        """Dropout as a function of (seed, step); the caller's generators are put back."""
        if not self.drops_out:
            yield
            return
        device = self.world.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed = int(stream(self.config.seed, DROPOUT, self.state.step, self.world.rank).integers(2**63))
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            elif device.type == "mps":
                torch.mps.manual_seed(seed)
            yield

    def precision(self) -> torch.autocast | nullcontext[None]:
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.about.bfloat16 else nullcontext()

    def count(self, loss: Tensor, norm: Tensor, seconds: float) -> None:
        """A step is done."""
        self.recent_losses.append(loss)
        self.norm = norm
        self.busy += seconds
        self.step_seconds = self.busy / len(self.recent_losses)
        self.state.seconds = self.seconds()

    def report(self, callback: TrainCallback | None) -> None:
        """Tell the callback, at most twice a second; raises Cancelled when it returns False."""
        now = self.clock()
        if callback is None or not self.world.leads or now - self.reported < _REPORT_SECONDS:
            return
        self.reported = now
        config, state = self.config, self.state
        fractions, left = [], []
        if config.steps is not None:
            fractions.append(state.step / config.steps)
            by_pace = self.pace.left(now, fractions[0])
            left.append((config.steps - state.step) * self.step_seconds if by_pace is None else by_pace)
        if config.minutes is not None:
            fractions.append(state.seconds / (60 * config.minutes))
            left.append(60 * config.minutes - state.seconds)
        progress = TrainProgress(
            step=state.step,
            images=self.images,
            fraction=min(max(fractions), 1.0),
            loss=self.recent_losses[-1].item(),
            images_per_second=config.batch_size / max(self.step_seconds, 1e-9),
            seconds_left=max(min(left), 0.0),
        )
        if says_stop(callback(progress)):
            raise Cancelled("training was stopped")

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
            self.sample(self.deadline.pictures_seconds)
        if _due(step, config.snapshot_every):
            self._write("snapshot", lambda: self._save_model(self.folder.snapshots / f"step-{step:09d}.safetensors"))
        if self.clock() - self.saved_at >= 60 * config.save_minutes:
            self.save()

    def finish(self) -> TrainResult:
        """The end of a run: everything once more, and an error if the result could not be written."""
        if self.recent_losses:
            self._log()
        if self.world.leads:
            self.save()  # whatever happens to what follows
            step, config = self.state.step, self.config
            if self.validation is None or not _due(step, config.validate_every):
                self.validate()
            if config.sample_every and not _due(step, config.sample_every):
                self.sample(self.deadline.whole - self.seconds() - self.deadline.costs["saving"])
            self.save()
            if self.failure is not None:
                raise ScoreinvError(
                    f"{self.folder.path}: the end of the run could not be written ({self.failure}): "
                    "make room and resume; the last state written before is intact"
                ) from self.failure
        return TrainResult(
            self.average,
            self.folder.model,
            self.state.step,
            self.images,
            self.seconds(),
            self.last_loss,
            self.validation,
            self.ignorant_loss,
            self.samples,
            "bfloat16" if self.about.bfloat16 else "float32",
        )

    def save(self) -> None:
        """Write the state and the model; where that fails it is logged, and older files stay.

        Raises ScoreinvError, and writes nothing, when the loss is not finite.
        """
        if not self.world.leads:
            return
        self._require_finite()
        self.failure = None
        begun, self.state.seconds = self.clock(), self.seconds()
        self._write("training state", lambda: save_state(self.folder.states, self.state, self.about))
        self._write("model", lambda: self._save_model(self.folder.model))
        self.saved_at = self.clock()
        self.deadline.costs["saving"] = self.saved_at - begun

    def validate(self) -> None:
        """What the averaged weights make of the held-out pictures, into the metrics.

        A run by the clock takes as many pictures as the first time allows, and the same ones from then on.
        """
        if self.held_out_batch is None:
            return
        begun, by_the_clock = self.clock(), self.config.minutes is not None
        end = math.inf if self.validated_count is not None else begun + self.deadline.pictures_seconds
        pictures = self.held_out_batch.part(slice(self.validated_count))
        with self.precision():
            found, self.validated_count = evaluate(
                partial(self.learner.measures, self.average),
                pictures,
                batch_size=min(self.config.batch_size, 16) if by_the_clock else self.config.batch_size,
                device=self.world.device,
                enough=lambda: self.clock() >= end,
            )
            self.ignorant_loss = self.learner.ignorant_loss(self.average, pictures.part(slice(self.validated_count)))
        self.validation = found["validation"]
        cost = self.deadline.costs["validation"] = self.clock() - begun
        evaluations = 2 if "unconditional" in found else 1
        self.evaluation_seconds = cost / (self.validated_count * evaluations)
        line = {"step": self.state.step, "images": self.images, "validated": self.validated_count}
        # A finished run may be taken up again.
        if not any(done["step"] == self.state.step and "validation" in done for done in self.metrics.read()):
            figures = {name: asdict(values) for name, values in found.items()}
            self.metrics.append(line | {"ignorant": self.ignorant_loss} | figures)

    def sample(self, seconds: float) -> None:
        """Draw a grid of samples, of as many pictures as there is time for, where the model is a prior."""
        prior = self.average
        if not isinstance(self.learner, ScoreLearner) or not isinstance(prior, ScorePrior):
            return
        evaluation = self.evaluation_seconds or self.step_seconds / (STEP_EVALUATIONS * self.config.batch_size)
        begun, each = self.clock(), GRID_STEPS * evaluation
        wanted = self.config.grid_images
        count = wanted if each * wanted <= seconds else max(1, int(seconds / each))
        path = self.folder.samples / f"step-{self.state.step:09d}.png"

        def write() -> None:
            path.parent.mkdir(exist_ok=True)
            write_samples(path, prior, count, self.config.seed)
            self.samples = path

        with self.precision():
            self._write("samples", write)
        self.deadline.costs["samples"] = self.clock() - begun

    def _restored(self) -> SavedRun | None:
        """The last state, put in place; InputError when it is of another run, None when there is none."""
        saved = load_state(self.folder.states, self.state)
        if saved is None:
            return None
        before = saved.config.settled()
        if different := [name for name, value in self.config.settled().items() if value != before[name]]:
            raise InputError(
                f"{self.folder.path}: the run to resume differs in {', '.join(different)}: use another folder"
            )
        return saved

    def _pictures(self) -> Pictures:
        """All pictures, which one process decodes and the others find in the cache."""
        config = self.config
        channels = config.model.network.channels
        with self.world.first_leads():
            pictures = load_pictures(config.data, config.drawn_side, channels, cache=self.folder.cache)
        if isinstance(config.model, ClassifierConfig) and pictures.classes != config.model.classes:
            raise InputError(
                f"{config.data.source}: its folders are {', '.join(pictures.classes) or 'no classes'}, and the "
                f"classifier's classes {', '.join(config.model.classes)}"
            )
        return pictures

    def _about(self, saved: SavedRun | None, pictures: Pictures) -> SavedRun:
        """What states say of this run: what the last one said, or what it begins with.

        Raises InputError when the pictures are others than those that the state was trained on.
        """
        config = self.config
        if saved is None:
            # The processes must agree on it, and a resumed run with those before: `auto` is measured.
            bfloat16 = bool(self.world.agreed(float(uses_bfloat16(config.precision, self.world.device))))
            name = _hashed(config, pictures, self.state.network)[:16]
            return SavedRun(config, name, pictures.digest, bfloat16, 0, 0.0)
        if saved.pictures != pictures.digest:
            raise InputError(
                f"{config.data.source or 'the built-in pictures'}: the pictures are not those that the run in "
                f"{self.folder.path} was trained on so far: put them back, or start another run from its model"
            )
        return replace(saved, config=config)

    def _kept_features(self, model: AnyModel, pictures: Pictures) -> KeptFeatures:
        """What the encoder made of the run's crops so far, in a file that one process makes and the others find."""
        assert isinstance(model, ConditionalPrior)  # as the configuration saw to
        seeing = model.encoder if model.chroma is None else model.chroma
        precision = "bfloat16" if self.about.bfloat16 else "float32"
        key = _hashed(self.config, pictures, seeing) + precision
        side = self.config.model.image_size * self.config.encoder_scale
        try:
            with self.world.first_leads():
                return KeptFeatures(self.folder.cache, key, model.feature_shapes(side, side))
        except OSError as error:
            raise InputError(f"{self.folder.cache}: cannot be written: {error.strerror}") from error

    def _begin(self, record: JsonLines, *, resume: bool) -> None:
        """The first files of the run: from now on the folder is its own."""
        folder = self.folder
        try:
            if resume:
                folder.clear_parts()
            with atomic_write(folder.config) as temporary:
                temporary.write_text(json.dumps(encode(self.config), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{folder.path}: cannot be written: {error}") from error
        folder.begun = True
        self.metrics.keep_until(self.state.step)
        record.keep_until(sys.maxsize if resume else -1)

    def _log(self) -> None:
        loss = self.world.mean(torch.stack(self.recent_losses).mean())
        self.last_loss = loss.item()
        if self.world.leads:
            self._require_finite()
            self.metrics.append(
                {
                    "step": self.state.step,
                    "images": self.images,
                    "loss": self.last_loss,
                    "learning_rate": self.state.optimizer.param_groups[0]["lr"],
                    "gradient_norm": self.norm.item(),
                    "images_per_second": self.config.batch_size / max(self.step_seconds, 1e-9),
                    "seconds": self.state.seconds,
                }
            )
        self.recent_losses, self.busy = [], 0.0

    def _require_finite(self) -> None:
        loss = self.recent_losses[-1].item() if self.recent_losses else self.last_loss or 0.0
        if not math.isfinite(self.norm.item() + loss):
            weights = f" from {self.folder.model}" if self.folder.model.exists() else ""
            raise ScoreinvError(
                f"{self.folder.path}: the loss is not finite at step {self.state.step}: begin another run{weights} at "
                "a lower learning rate, or in float32"
            )

    def _save_model(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        notes: dict[str, Any] = {"step": self.state.step, "images": self.images, "run": self.about.run}
        if self.validation is not None:
            notes["validation_loss"] = self.validation.mean
        save(self.average, path, notes=notes)

    def _write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.failure = error
            _log.error("%s: the %s of step %d was not written: %s", self.folder.path, what, self.state.step, error)


def _hashed(config: TrainingConfig, pictures: Pictures, network: nn.Module | None) -> str:
    """A hash of a configuration, pictures and weights: tells runs apart, and what is kept of crops."""
    found = hashlib.sha256(json.dumps([config.settled(), pictures.digest]).encode())
    for value in network.state_dict().values() if network is not None else ():
        found.update(value.detach().cpu().contiguous().numpy())
    return found.hexdigest()


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
