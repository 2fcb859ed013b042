"""One step of training, and what is measured, reported and saved around it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoreinv.checks import says_stop
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.errors import Cancelled, InputError, ScoreinvError
from scoreinv.eta import ETA
from scoreinv.files import atomic_write
from scoreinv.machine import uses_bfloat16
from scoreinv.models.config import ClassifierConfig
from scoreinv.models.model_file import AnyModel
from scoreinv.networks.layers import channels_last, freeze_norms, norms_learn
from scoreinv.training import draws
from scoreinv.training.batches import Batch, BatchSource
from scoreinv.training.budget import Budget, Clock
from scoreinv.training.config import TrainingConfig
from scoreinv.training.distributed import World
from scoreinv.training.ema import averaged
from scoreinv.training.ending import STRIDE, Ending, last_stride
from scoreinv.training.features import KeptFeatures
from scoreinv.training.folder import RunFolder
from scoreinv.training.json_lines import JsonLines
from scoreinv.training.learners import AnyLearner, ScoreLearner, make_learner
from scoreinv.training.meter import Meter
from scoreinv.training.metrics import Metrics
from scoreinv.training.pictures import Pictures, load_pictures, split
from scoreinv.training.progress import TrainCallback, TrainProgress, TrainResult
from scoreinv.training.schedule import Schedule, learning_rate
from scoreinv.training.state import SavedRun, TrainingState, load_state, save_state
from scoreinv.training.validation import HeldOut, evaluate

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_VALIDATION_SEED = 0  # of every run, so that runs can be compared


class _Loss(nn.Module):
    """A step's loss as a module, so that processes can exchange its gradients."""

    def __init__(self, learner: AnyLearner) -> None:
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
        folder: RunFolder,
        world: World,
        *,
        resume: bool,
        overwrite: bool,
        init: AnyModel | None,
        tensorboard: bool,
        clock: Clock,
    ) -> None:
        self.config = config
        self.folder = folder
        self.world = world
        self.part = world.part(config.batch_size, config.accumulate)
        folder.refuse_states(resume=resume)
        self.learner = make_learner(config, init)
        self.learner.model.to(world.device)
        network = channels_last(self.learner.network).train()
        frozen = freeze_norms(network) if config.frozen_norms else 0
        crops = (self.part.stop - self.part.start) // config.accumulate
        if crops == 1 and norms_learn(network) and config.model.image_size // vars(network)["stride"] <= 1:
            raise InputError(
                "batch norms take no statistics of a single crop that is a pixel in the end: "
                "raise image_size or batch_size, or lower accumulate"
            )
        average = averaged(network, config.ema_decay)
        self.average = self.learner.twin(average.module)
        self.average.model.eval()
        self.state = TrainingState(network, average, _adam(config, network), self.learner.fixed)
        saved = self._restored() if resume else None
        if config.frozen_norms and (not frozen or (init is None and saved is None)):
            raise InputError("frozen_norms is for networks with batch norms that start from weights: give `init`")
        if world.leads:
            folder.refuse_others(config, saved, resume=resume, overwrite=overwrite)
        pictures = self._pictures()
        self.about = self._about(saved, pictures)
        training, others = split(pictures, config.data)
        self.source = BatchSource.of(config, training, config.batch_size, config.seed)
        held_out = self._held_out(others)
        if config.data.crops and config.encoder_scale and isinstance(self.learner, ScoreLearner):
            self.learner.kept = self._kept_features(pictures)
        self.metrics = Metrics(JsonLines(folder.metrics), folder.board if tensorboard and world.leads else None)
        record = JsonLines(folder.schedule)
        if world.leads:
            self._begin(record, resume=resume)
        self.loss_module = world.wrap(_Loss(self.learner))
        self.dropout = any(isinstance(m, nn.Dropout) and m.p > 0 for m in network.modules())
        self.schedule = Schedule(config, record, world)
        self.meter = Meter(clock, self.state.seconds)
        self.budget = Budget(clock)
        self.ending = Ending(
            config,
            self.meter,
            self.budget,
            held_out=held_out,
            weights=sum(parameter.numel() for parameter in network.parameters()),
            stride=last_stride(config, saved, self.metrics.lines),
        )
        self.pace = ETA()
        self.failure: OSError | None = None
        self.last_loss: float | None = None
        self.ignorant_loss: float | None = None
        self.validation: HeldOut | None = None
        self.samples: Path | None = None
        if init is not None and saved is None:
            self.save()  # what is killed before its first state begins anew, and would do so without these weights
        if config.minutes is not None and world.leads:
            with self._precision():
                self.ending.rehearse(self._evaluated, self.average.rehearse_samples, self.save)

    @property
    def images(self) -> int:
        return self.state.step * self.config.batch_size

    @property
    def finished(self) -> bool:
        over = self.config.steps is not None and self.state.step >= self.config.steps
        if self.config.minutes is not None:
            over = over or self.world.agreed(self.ending.elapsed(self.meter.step_seconds / 2)) >= 1
        return over

    def draw(self, step: int) -> Batch:
        """This process's part of a step's batch."""
        return self.source.batch(step, self.part)

    def step(self, drawn: Future[Batch]) -> None:
        """One step of Adam and of the moving average, on a batch that is being drawn."""
        config, state, device = self.config, self.state, self.world.device
        start = self.meter.clock()
        batch = drawn.result()
        fraction = self.schedule.fraction(state.step, self.ending.elapsed())
        rate = learning_rate(config.optimizer, state.step, fraction)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        loss = torch.zeros((), device=device)
        with self._random_numbers():
            for part in _divided(len(batch.times), config.accumulate):
                last = part.stop == len(batch.times)
                with nullcontext() if last else self.world.alone(self.loss_module):
                    with self._precision():
                        share = self.loss_module(batch.part(part).to(device)) / config.accumulate
                    share.backward()
                loss += share.detach()
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip or math.inf)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.average.update_parameters(state.network)
        state.step += 1
        self.meter.add(loss, norm, self.meter.clock() - start)
        state.seconds = self.meter.seconds()

    def report(self, callback: TrainCallback | None) -> None:
        """Tell the callback, at most twice a second; raises Cancelled when it returns False."""
        if callback is None or not self.world.leads or not self.meter.due(_REPORT_SECONDS):
            return
        config, state = self.config, self.state
        speed = self.meter.steps_per_second()
        fractions, left = [], []
        if config.steps is not None:
            fractions.append(state.step / config.steps)
            by_pace = self.pace.left(self.meter.clock(), fractions[0])
            left.append(self.ending.seconds() + ((config.steps - state.step) / speed if by_pace is None else by_pace))
        if config.minutes is not None:
            fractions.append(state.seconds / (60 * config.minutes))
            left.append(60 * config.minutes - state.seconds)
        progress = TrainProgress(
            step=state.step,
            images=self.images,
            fraction=min(max(fractions), 1.0),
            loss=self.meter.loss.item(),
            images_per_second=speed * config.batch_size,
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
            self._sample(self.ending.grid_images())
        if _due(step, config.snapshot_every):
            snapshot = self.folder.snapshots / f"step-{step:09d}.safetensors"
            self._write("snapshot", lambda: self._save_model(snapshot))
        if self.meter.save_due(60 * config.save_minutes):
            self.save()

    def save(self) -> None:
        """Write the state and the model; where that fails it is logged, and older files stay.

        Raises ScoreinvError, and writes nothing, when the loss is not finite.
        """
        if not self.world.leads:
            return
        self._require_finite()
        self.failure = None
        self.state.seconds = self.meter.seconds()
        with self.budget.measured("saving"):
            self._write("training state", lambda: save_state(self.folder.states, self.state, self.about))
            self._write("model", lambda: self._save_model(self.folder.model))
        self.meter.saved()

    def validate(self) -> None:
        """What the averaged weights make of the held-out pictures, into the metrics."""
        validated = self.ending.validated()
        if validated is None:
            return
        with self.budget.measured("validation"), self._precision():
            found = self._evaluated(validated)
        self.validation, self.ignorant_loss = found["validation"], self.average.ignorant_loss(validated)
        line = {
            "step": self.state.step,
            "images": self.images,
            STRIDE: self.ending.stride,
            "ignorant": self.ignorant_loss,
        }
        if not self.metrics.has("validation", self.state.step):  # a finished run may be taken up again
            self.metrics.append(line | {name: asdict(values) for name, values in found.items()})

    def _evaluated(self, held_out: Batch) -> dict[str, HeldOut]:
        """What the averaged weights make of these pictures."""
        return evaluate(self.average.measures, held_out, batch_size=self.config.batch_size, device=self.world.device)

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
                self._sample(self.ending.last_images())
            self.save()
            if self.failure is not None:
                raise ScoreinvError(
                    f"{self.folder.path}: the end of the run could not be written ({self.failure}): "
                    "make room and resume; the last state written before is intact"
                ) from self.failure
        return TrainResult(
            self.average.model,
            self.folder.model,
            self.state.step,
            self.images,
            self.meter.seconds(),
            self.last_loss,
            self.validation,
            self.ignorant_loss,
            self.samples,
            "bfloat16" if self.about.bfloat16 else "float32",
        )

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
        if saved is not None and saved.pictures is not None and saved.pictures != pictures.digest:
            raise InputError(
                f"{config.data.source or 'the built-in pictures'}: the pictures are not those that the run in "
                f"{self.folder.path} was trained on so far: put them back, or start another run from its model (`init`)"
            )
        name = saved.name if saved is not None else None
        bfloat16 = saved.bfloat16 if saved is not None else None
        if bfloat16 is None:
            # The processes must agree on it, and a resumed run with those before: `auto` is measured.
            bfloat16 = bool(self.world.agreed(float(uses_bfloat16(config.precision, self.world.device))))
        return SavedRun(config, name or _name(config, pictures, self.state.network), pictures.digest, bfloat16)

    def _kept_features(self, pictures: Pictures) -> KeptFeatures:
        """What the encoder made of the run's crops so far, in a file that one process makes and the others find."""
        prior = self.learner.model
        assert isinstance(prior, ConditionalPrior)  # as the configuration saw to
        found = _hashed(self.config, pictures)
        found.update(b"bfloat16" if self.about.bfloat16 else b"float32")
        seeing = prior.encoder if prior.chroma is None else prior.chroma
        if seeing is not None:
            _add_weights(found, seeing)
        key = found.hexdigest()
        side = self.config.model.image_size * self.config.encoder_scale
        try:
            with self.world.first_leads():
                return KeptFeatures(self.folder.cache, key, prior.feature_shapes(side, side))
        except OSError as error:
            raise InputError(f"{self.folder.cache}: cannot be written: {error.strerror}") from error

    def _held_out(self, pictures: Pictures) -> Batch | None:
        count = self.config.validated_images
        if not len(pictures) or not count:
            return None
        return BatchSource.of(self.config, pictures, count, _VALIDATION_SEED).batch(0)

    def _begin(self, record: JsonLines, *, resume: bool) -> None:
        """The first files of the run: from now on the folder is its own."""
        folder = self.folder
        try:
            if resume:
                folder.clear_parts()
            with atomic_write(folder.config) as temporary:
                temporary.write_text(json.dumps(self.config.to_dict(), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{folder.path}: cannot be written: {error}") from error
        folder.begun = True
        self.metrics.keep_until(self.state.step)
        record.keep_until(sys.maxsize if resume else -1)

    def _restored(self) -> SavedRun | None:
        """The last state, put in place; InputError when it is of another run, None when there is none."""
        saved = load_state(self.folder.states, self.state)
        if saved is None:
            return None
        different = self.config.differences(saved.config)
        if saved.pictures is None and self.config.data.source != saved.config.data.source:
            different.append("data")  # which nothing else tells
        if different:
            raise InputError(
                f"{self.folder.path}: the run to resume differs in {', '.join(different)}: use another folder"
            )
        return saved

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
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.about.bfloat16 else nullcontext()

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
        if not math.isfinite(self.meter.norm.item() + self.meter.loss.item()):
            weights = f" from {self.folder.model} (`init`)" if self.folder.model.exists() else ""
            raise ScoreinvError(
                f"{self.folder.path}: the loss is not finite at step {self.state.step}: begin another run{weights} at "
                "a lower learning rate, or in float32"
            )

    def _sample(self, images: int) -> None:
        path = self.folder.samples / f"step-{self.state.step:09d}.png"

        def write() -> None:
            path.parent.mkdir(exist_ok=True)
            self.average.write_samples(path, images)
            self.samples = path if path.exists() else None  # a classifier draws none

        with self.budget.measured("samples"), self._precision():
            self._write("samples", write)

    def _save_model(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        notes: dict[str, Any] = {"step": self.state.step, "images": self.images, "run": self.about.name}
        if self.validation is not None:
            notes["validation_loss"] = self.validation.mean
        self.average.write(path, notes)

    def _write(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.failure = error
            _log.error("%s: the %s of step %d was not written: %s", self.folder.path, what, self.state.step, error)


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


def _name(config: TrainingConfig, pictures: Pictures, network: nn.Module) -> str:
    """What tells a run that begins from others: its configuration, its pictures and the weights that it starts from."""
    found = _hashed(config, pictures)
    _add_weights(found, network)
    return found.hexdigest()[:16]


def _add_weights(found: hashlib._Hash, network: nn.Module) -> None:
    for value in network.state_dict().values():
        found.update(value.detach().cpu().contiguous().numpy())


def _hashed(config: TrainingConfig, pictures: Pictures) -> hashlib._Hash:
    """A hash of the configuration and the pictures, to be updated with more."""
    return hashlib.sha256(json.dumps([config.settled(), pictures.digest]).encode())


def _divided(count: int, parts: int) -> Iterator[slice]:
    """The rows of each of so many equal parts."""
    size = count // parts
    return (slice(begin, begin + size) for begin in range(0, count, size))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
