"""The training loop.

A step is a function of the state before it and of (seed, step): pictures, times, noise and dropout are drawn by
counters. So a run that is killed and resumed from its last state goes through the same bits as one that was not (on the
same processor, number of threads and processes); where `minutes` end it, the clock decides the last step, and how far
an annealed learning rate has come.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from scoreinv.errors import Cancelled, InputError
from scoreinv.models.config import AnyModel, NamedSDE
from scoreinv.training.config import OptimizerConfig, TrainingConfig
from scoreinv.training.data.batches import DROPOUT, Batch, stream
from scoreinv.training.data.pictures import check_source
from scoreinv.training.distributed import World, processes
from scoreinv.training.logbook import Logbook
from scoreinv.training.metrics import TrainCallback, TrainResult
from scoreinv.training.run import RunFolder, claimed, deferred_interrupts
from scoreinv.training.setup import Run, set_up


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
    clock: Callable[[], float] | None = None,
) -> TrainResult:
    """Train a model into the folder `out`: a prior by denoising score matching, a classifier, a detector of damage.

        run = small_training(VE(), DataConfig("PHOTOS"))  # of `training.presets` and `training.config`
        result = train(run, "runs/mine")
        prior, file = result.trained, result.model

    The folder gets `config.json`, `metrics.jsonl`, `model.safetensors` (averaged weights), `state/` (the last two
    states of training), `snapshots/`, `samples/`, `cache/` (decoded pictures) and `.scoreinv.lock`; nothing else in it
    is touched. Under torchrun every process calls this with the same arguments.

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
        run = set_up(config, folder, world, resume=resume, overwrite=overwrite, init=init, tensorboard=tensorboard)
        state, before = run.state, run.about.seconds
        log = Logbook(run, lambda: clock() + before)
        if (init is not None and state.step == 0) or config.minutes is not None:
            # What is killed before its first state would begin again without these weights. And saving is timed by it.
            log.save()
        log.loaded = clock()
        signals = stack.enter_context(deferred_interrupts())
        drawer = stack.enter_context(ThreadPoolExecutor(1))
        part = world.part(config.batch_size, config.accumulate)

        def draw(step: int) -> Batch:
            batch = run.batches.batch(step, part)
            return batch.pinned() if world.device.type == "cuda" else batch

        drawn = drawer.submit(draw, state.step)
        while (fraction := log.fraction()) < 1:
            begun = clock()
            batch, drawn = drawn.result(), drawer.submit(draw, state.step + 1)
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(config.optimizer, state.step, fraction)
            loss = _add_gradients(run, batch)
            norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip or math.inf)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
            state.step += 1
            update_average(state.average, state.network, state.step, config.ema_decay)

            log.count(loss, norm, clock() - begun)
            stop = log.tell(callback)
            if signals:
                stop = Cancelled(f"training was ended by {signals[0].name}")
            log.periodic()
            if world.agreed(float(stop is not None)):
                try:
                    log.save()
                finally:
                    world.agreed(0.0)  # the others wait for it: where one of them ends, the first is ended too
                raise stop or Cancelled("training was stopped")
        return log.finish()


def learning_rate(config: OptimizerConfig, step: int, fraction: float) -> float:
    """Of a step (from 0): linear warm-up to the full rate, constant or annealed by the fraction that is done."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    annealed = 0.5 * (1 + math.cos(math.pi * fraction)) if config.anneal == "cosine" else 1.0
    return config.learning_rate * warm * annealed


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, update: int, decay: float) -> None:
    """The moving average: average += (1 - decay_n) (network - average), for the n-th update, n from 1.

    decay_1 = 0, so that the first update copies the network; decay_n = min(decay, (1 + n) / (10 + n)) from the second
    on, as in the reference implementation.
    Buffers are averaged too, so that a frozen embedding is never lost; counts, such as BatchNorm's, are copied.
    """
    decay = min(decay, (1 + update) / (10 + update)) if update > 1 else 0.0
    mean: list[Tensor] = [*average.parameters()]
    latest: list[Tensor] = [*network.parameters()]
    for kept, current in zip(average.buffers(), network.buffers(), strict=True):
        if current.is_floating_point():
            mean.append(kept)
            latest.append(current)
        else:
            kept.copy_(current)
    torch._foreach_lerp_(mean, latest, 1 - decay)


def _add_gradients(run: Run, batch: Batch) -> Tensor:
    """The mean loss of a batch, in parts done one after the other, whose gradients are added to the network's."""
    world, parts = run.world, run.config.accumulate
    total = torch.zeros((), device=world.device)
    size = len(batch.times) // parts
    with _dropout(run.config.seed, run.state.step, world):
        for start in range(0, len(batch.times), size):
            is_last = start + size == len(batch.times)
            with nullcontext() if is_last else world.alone(run.loss):
                with run.autocast():
                    loss = run.loss(batch.part(slice(start, start + size)).to(world.device)) / parts
                loss.backward()
            total += loss.detach()
    return total


@contextmanager
def _dropout(seed: int, step: int, world: World) -> Iterator[None]:
    """Dropout as a function of (seed, step); the caller's generators are put back."""
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
