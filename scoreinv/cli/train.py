"""`scoreinv train --sde ve|vp|subvp`: train a prior."""

from __future__ import annotations

import math
import os
import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from scoreinv import models, training
from scoreinv.cli.loading import Model
from scoreinv.cli.main import running_seconds
from scoreinv.cli.options import Common, advanced, option
from scoreinv.cli.report import advise, emit, notice, rehearse
from scoreinv.cli.training_notes import Teller, ends, speed, warn_of_noise
from scoreinv.models.catalogue import MODEL_FILE, load, load_classifier, load_damage_detector, locate
from scoreinv.system.devices import device_of
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.memory import keep_freed
from scoreinv.system.options import BATCH_SIZE, LEARNING_RATE, TRAINING_MINUTES, TRAINING_STEPS
from scoreinv.system.terminal import duration, progress_bar
from scoreinv.system.threads import set_threads

EXAMPLES = """
  scoreinv train --sde ve --conditional --init photo --data PHOTOS/ --out mine
  scoreinv train --resume --out mine   # goes on exactly where it was
"""
RUN = "Run"
CONFIG, STATES = "config.json", "state"


@dataclass(frozen=True)
class Subject:
    """What is trained, and on which pictures."""

    sde: Annotated[
        Literal["ve", "vp", "subvp"] | None,
        option(help="Which of the paper's SDEs, with a small network for crops of colour photographs."),
    ] = None
    config: Annotated[
        str | None, advanced(metavar="FILE|NAME", help="A training configuration (JSON), or a published model's name.")
    ] = None
    conditional: Annotated[
        bool,
        option(
            "--conditional",
            help="With --sde: a network that is also given what is known of a picture: holes, grey, hints.",
        ),
    ] = False
    classifier: Annotated[
        bool,
        advanced(
            "--classifier",
            help="With --sde: a classifier of noisy pictures, for sample --class; folders of --data are its classes.",
        ),
    ] = False
    damage: Annotated[
        bool, advanced("--damage", help="Train the damage-detection model of scoreinv damage instead of a prior.")
    ] = False
    data: Annotated[
        str | None, option(metavar="FOLDER|ZIP", help="Pictures. (default: a small built-in set of photographs)")
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """Where a run is, where it begins, when it ends, and what is changed in its steps; None leaves the default."""

    out: Annotated[
        str | None, option(metavar="FOLDER", help="Folder of this run. (default: runs/SDE-DATE)", rich_help_panel=RUN)
    ] = None
    steps: Annotated[
        int | None,
        option(min=1, max=TRAINING_STEPS.most, help="Stop after this many steps, in all.", rich_help_panel=RUN),
    ] = None
    minutes: Annotated[
        float | None,
        option(min=0.01, max=TRAINING_MINUTES.most, help="Stop after this time, in all.", rich_help_panel=RUN),
    ] = None
    resume: Annotated[bool, option("--resume", help="Resume the run in --out.", rich_help_panel=RUN)] = False
    init: Annotated[str | None, option(metavar="NAME|FILE", help="Model to start from.", rich_help_panel=RUN)] = None
    tensorboard: Annotated[
        bool, advanced("--tensorboard", help="Write the metrics to tensorboard/ in the run's folder too.")
    ] = False
    compile: Annotated[
        bool,
        advanced("--compile", help="Compile the network first, for minutes: small ones then train faster. Needs g++."),
    ] = False
    batch_size: Annotated[int | None, advanced(min=1, max=BATCH_SIZE.most, help="Pictures in each step.")] = None
    learning_rate: Annotated[
        float | None, advanced(min=1e-12, max=LEARNING_RATE.most, help="Learning rate of Adam.")
    ] = None
    sigma_max: Annotated[
        str | None, advanced(metavar="NUMBER|data", help="Largest noise of VE; data: estimated from the pictures.")
    ] = None


def train(*, subject: Subject, how: RunOptions, common: Common) -> None:
    """Train a prior, or a classifier for one. Ctrl-C, SIGTERM and SIGHUP save first; --resume goes on."""
    _check(subject, how)
    leads = os.environ.get("RANK", "0") == "0"  # the first of torchrun's processes
    if not leads:
        common = replace(common, quiet=True, json=False)
    device = device_of(common.device)
    set_threads(common.threads)
    run = _configuration(subject, how, common)
    kind = "damage" if run.damage is not None else type(run.model.sde).__name__.lower()
    folder = Path(how.out or f"runs/{kind}-{datetime.now():%Y-%m-%d-%H%M%S}")
    if common.dry_run:
        if leads:  # what can be checked without decoding pictures
            if how.init is not None:
                Model(how.init, common).check()
            training.check_run(run, folder, resume=how.resume, overwrite=common.overwrite)
            rehearse(common, {"output": str(folder)}, f"{folder}: would be trained in, to {ends(run)}")
        return
    if how.resume and (done := training.RunFolder(folder).result(run)):
        model = str(folder / MODEL_FILE)
        emit(common, {"output": model, "outputs": [model], "steps": done["step"], "images": done["images"]})
        notice(common, f"{folder}: nothing is left of {ends(run)}; to go on give more by --steps or --minutes")
        return
    result = _train(run, folder, how, device, common)
    outputs = [str(path) for path in (result.model, result.samples) if path is not None]
    emit(
        common,
        {
            "output": str(result.model),
            "outputs": outputs,
            "steps": result.steps,
            "images": result.images,
            "loss": result.loss,
            "validation_loss": result.validation.mean if result.validation else None,
            "seconds": round(result.seconds, 3),
            "seed": run.seed,
            "device": device,
            "precision": result.precision,
        },
    )
    loss = "" if result.loss is None else f", loss {result.loss:.4f}"
    notice(common, f"{', '.join(outputs)} ({result.steps:,} steps, {duration(result.seconds)}{loss})")
    notice(common, f"{folder}: the run's config.json, metrics.jsonl and state/, by which --resume goes on")
    warn_of_noise(result, run, folder)


def _check(subject: Subject, how: RunOptions) -> None:
    """Raise InputError where the options do not go together, or with torchrun; or where there are no pictures."""
    if subject.data is not None and not os.path.lexists(subject.data):
        raise InputError(f"{subject.data}: no such folder or zip file of pictures")
    if how.resume and how.out is None:
        raise InputError("--resume: name the run's folder by --out")
    if "RANK" in os.environ and how.out is None:
        raise InputError("under torchrun the processes need one folder: give --out")
    if how.init is not None and how.resume:
        raise InputError("--init and --resume: a resumed run starts from its own state")
    if subject.sde is not None and subject.config is not None:
        raise InputError("--sde and --config: the configuration names its SDE; give one of them")
    for name, given in (("--conditional", subject.conditional), ("--classifier", subject.classifier)):
        if given and (subject.sde is None or how.resume):
            raise InputError(f"{name}: goes with --sde, for a new run; a configuration says it by itself")
    if subject.conditional and subject.classifier:
        raise InputError("--conditional and --classifier: a prior, or a classifier; give one of them")
    if subject.classifier and subject.data is None:
        raise InputError("--classifier: name the pictures by --data: a folder of each class's folder")
    if subject.damage and (subject.sde is not None or subject.config is not None or how.resume):
        raise InputError("--damage: goes in place of --sde, for a new run; a configuration says it by itself")
    if subject.sde is None and subject.config is None and not subject.damage and not how.resume:
        raise InputError("say what to train: --sde ve, vp or subvp, --damage, or --config FILE")


def _train(
    run: training.TrainingConfig, folder: Path, how: RunOptions, device: str, common: Common
) -> training.TrainResult:
    """Do the run, with its progress shown."""
    import torch

    init: models.AnyModel | None = None
    if how.init is not None:
        if run.damage is not None:
            init = load_damage_detector(how.init)
        else:
            init = load_classifier(how.init) if isinstance(run.model, models.ClassifierConfig) else load(how.init)
    teller = Teller(folder, run, init is None and not how.resume, common)
    keep_freed()
    with progress_bar("training", quiet=common.quiet) as show:

        def tell(progress: training.TrainProgress) -> None:
            teller.tell(progress)
            show(
                progress.fraction,
                progress.seconds_left,
                f"loss {progress.loss:.4f}, {speed(progress.images_per_second)} images/s",
            )

        try:
            return training.train(
                run,
                folder,
                resume=how.resume,
                overwrite=common.overwrite,
                init=init,
                device=device,
                tensorboard=how.tensorboard,
                callback=tell,
                clock=running_seconds,
            )
        except KeyboardInterrupt:
            if training.saved_states(folder / STATES):
                kept = f"saved in {folder}; go on by: scoreinv train --resume --out {shlex.quote(str(folder))}"
            else:
                kept = "nothing was done yet, and nothing is kept: begin again"
            advise(common, kept)
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ScoreinvError(f"--batch-size {run.batch_size}: more than the memory of {device} takes") from error


def _configuration(subject: Subject, how: RunOptions, common: Common) -> training.TrainingConfig:
    """The run that is asked for, as changed by the other options."""
    run = _named(subject, Path(how.out) if how.resume and how.out is not None else None)
    if subject.damage and how.init is not None:  # the run goes on with the network of that model
        known, _ = models.read_metadata(locate(how.init))
        if isinstance(known, models.DetectorConfig):  # what is none is refused when it is loaded
            run = replace(run, model=models.DetectorConfig(known.network), frozen_norms=known.network.second)
    given: dict[str, Any] = {"seed": common.seed, "batch_size": how.batch_size, "compile": how.compile or None}
    given["precision"] = None if common.precision == "auto" else common.precision
    run = replace(run, **{name: value for name, value in given.items() if value is not None})
    if subject.data is not None:
        run = replace(run, data=replace(run.data, source=subject.data))
    if how.learning_rate is not None:
        run = replace(run, optimizer=replace(run.optimizer, learning_rate=how.learning_rate))
    if how.steps is not None or how.minutes is not None:
        # A run by the clock has no number of steps, unless both are asked for.
        run = replace(run, steps=how.steps, minutes=how.minutes)
    if how.sigma_max is None:
        return run
    from scoreinv.sdes import VE

    if not isinstance(run.model.sde, VE):
        raise InputError("--sigma-max belongs to the VE SDE")
    if how.sigma_max == "data":
        return training.with_estimated_sigma_max(run)
    try:
        value = float(how.sigma_max)
    except ValueError:
        raise InputError(f"--sigma-max {how.sigma_max}: give a number, or data") from None
    if not run.model.sde.sigma_min < value < math.inf:
        raise InputError(f"--sigma-max {how.sigma_max}: must be above sigma_min, {run.model.sde.sigma_min:g}")
    return replace(run, model=replace(run.model, sde=replace(run.model.sde, sigma_max=value)))


def _named(subject: Subject, resumed: Path | None) -> training.TrainingConfig:
    """The run of a file, of a published name, of the folder that is resumed, or of an SDE."""
    from scoreinv.training import presets

    if subject.config is not None:
        is_file = subject.config.endswith(".json")
        return training.read_config(Path(subject.config)) if is_file else presets.paper_training(subject.config)
    if resumed is not None and (resumed / CONFIG).is_file():
        run = training.read_config(resumed / CONFIG)
        if subject.sde is not None and type(run.model.sde) is not models.SDES[subject.sde]:
            raise InputError(
                f"{resumed}: holds a run of another SDE than {subject.sde}; leave --sde out to go on with it"
            )
        return run
    data = training.DataConfig()
    if subject.damage:
        return presets.damage_training(data)
    if subject.sde is None:
        raise InputError(f"{resumed}: holds no run to resume; say what to train by --sde or --config")
    sde = models.SDES[subject.sde]()
    if subject.classifier and subject.data is not None:
        return presets.classifier_training(sde, data, training.class_names(Path(subject.data)))
    return presets.conditional_training(sde, data) if subject.conditional else presets.small_training(sde, data)
