"""The training loop.

A step is a function of the state before it and of (seed, step): pictures, times, noise and dropout are drawn by
counters. So a run that is killed and resumed from its last state goes through the same bits as one that was not (on the
same processor, number of threads and processes); where `minutes` end it, the clock decides the last step.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from scoreinv.errors import Cancelled, InputError
from scoreinv.models.config import ClassifierConfig, ModelConfig, NamedSDE
from scoreinv.models.model_file import AnyModel
from scoreinv.training.budget import Clock, started
from scoreinv.training.config import TrainingConfig
from scoreinv.training.distributed import World, processes
from scoreinv.training.folder import RunFolder, claimed
from scoreinv.training.interrupts import deferred_interrupts
from scoreinv.training.objectives import check, check_times
from scoreinv.training.pictures import check_source
from scoreinv.training.progress import TrainCallback, TrainResult
from scoreinv.training.run import Run


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

    Arguments:
        config: the run.
        out: folder of the run; made when it is not there, and not kept when the run cannot begin.
        resume: go on from the last state in `out`, if there is one.
        overwrite: files of these names that this run has not written may be replaced.
        init: weights to start from instead of fresh ones.
        tensorboard: write the metrics to the folder's `tensorboard/` too, for that program.
        device: to compute on; under torchrun with `cuda`, each process takes its own.
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
    clock = clock or started()
    _check_objective(config, out)
    with processes(torch.device(device)) as world, _folder(Path(out), world) as folder:
        run = Run(
            config,
            folder,
            world,
            resume=resume,
            overwrite=overwrite,
            init=init,
            tensorboard=tensorboard,
            clock=clock,
        )
        with deferred_interrupts() as interrupts, ThreadPoolExecutor(1) as drawer:
            stop: BaseException | None = None
            batch = drawer.submit(run.draw, run.state.step)
            while not run.finished:
                current, batch = batch, drawer.submit(run.draw, run.state.step + 1)
                run.step(current)
                try:
                    run.report(callback)
                except BaseException as error:  # `sys.exit` too
                    stop = error
                if interrupts.came is not None:
                    stop = Cancelled(f"training was ended by {interrupts.came.name}")
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
    _check_objective(config, out)
    check_source(config.data)
    with claimed(Path(out)) as folder:
        folder.refuse_states(resume=resume)
        if not resume:
            folder.refuse_others(config, None, resume=False, overwrite=overwrite)


def _check_objective(config: TrainingConfig, out: Path | str) -> None:
    """Raise InputError for an SDE that only its name is known of, and for an objective that the model has not."""
    if isinstance(config.model.sde, NamedSDE):
        raise InputError(f"{out}: the run {config.model.sde.missing()}, in the configuration to train or resume by")
    if isinstance(config.model, ModelConfig):
        check(config.objective, config.model.sde, conditional=config.observations is not None)
    elif isinstance(config.model, ClassifierConfig):
        check_times(config.objective, config.model.sde)


def _folder(out: Path, world: World) -> AbstractContextManager[RunFolder]:
    """The run's folder, which the first process claims for all."""
    return claimed(out) if world.leads else nullcontext(RunFolder(out))
