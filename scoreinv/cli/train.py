"""`scoreinv train --sde ve|vp|subvp`."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from scoreinv import models, training
from scoreinv.cli.options import Common
from scoreinv.cli.render import advise, emit, notice, rehearse, warn
from scoreinv.models.catalogue import HUB_PREFIX, load, load_classifier, load_damage_detector, locate
from scoreinv.system.devices import device_of
from scoreinv.system.errors import InputError
from scoreinv.system.memory import keep_freed
from scoreinv.system.options import BATCH_SIZE, LEARNING_RATE, TRAINING_MINUTES, TRAINING_STEPS, Setting, Whole
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.terminal import duration
from scoreinv.system.threads import set_threads


@dataclass(frozen=True)
class Subject:
    """Options for the model to train, and for its pictures."""

    sde: Annotated[Literal["ve", "vp", "subvp"] | None, Setting("SDE of the paper, with a small network.")] = None
    size: Annotated[
        int | None,
        Setting("With --sde: side of the pictures in pixels. (default: 64, without a GPU 32)", Whole(8, 4096)),
    ] = None
    config: Annotated[
        str | None,
        Setting("Training configuration (JSON), or a published model's name.", metavar="FILE|NAME", advanced=True),
    ] = None
    conditional: Annotated[bool, Setting("With --sde: a network that takes an observation: holes, grey, hints.")] = (
        False
    )
    classifier: Annotated[
        bool,
        Setting(
            "With --sde: a classifier of noisy pictures, for sample --class; folders of --data are its classes.",
            advanced=True,
        ),
    ] = False
    damage: Annotated[bool, Setting("Instead of a prior, train a damage detector.", advanced=True)] = False
    data: Annotated[
        str | None,
        Setting(
            "Pictures: a folder, a zip or TFRecord file, or an LMDB. (default: a small built-in set of photographs)",
            metavar="FOLDER|FILE",
        ),
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """Options for the folder, start, end and optimisation of a run; None: the default."""

    out: Annotated[str | None, Setting("Folder of this run. (default: runs/SDE-DATE)", metavar="FOLDER")] = None
    steps: Annotated[int | None, Setting("Total number of steps.", TRAINING_STEPS)] = None
    minutes: Annotated[float | None, Setting("Total training time in minutes.", TRAINING_MINUTES)] = None
    resume: Annotated[bool, Setting("Resume the run in --out.")] = False
    init: Annotated[
        str | None, Setting("Model to start from, such as cifar10 with --sde for few pictures.", metavar="NAME|FILE")
    ] = None
    tensorboard: Annotated[
        bool, Setting("Also write the metrics to tensorboard/ in the run's folder.", advanced=True)
    ] = False
    compile: Annotated[
        bool, Setting("Compile the network first, for minutes: small ones then train faster. Needs g++.", advanced=True)
    ] = False
    batch_size: Annotated[int | None, Setting("Pictures in each step.", BATCH_SIZE, advanced=True)] = None
    learning_rate: Annotated[float | None, Setting("Learning rate of Adam.", LEARNING_RATE, advanced=True)] = None
    sigma_max: Annotated[
        str | None,
        Setting("Largest noise of VE; data: estimated from the pictures.", metavar="NUMBER|data", advanced=True),
    ] = None


def train(*, subject: Subject, options: RunOptions, common: Common) -> None:
    """Train a prior, a classifier or a damage detector. Ctrl-C saves, --resume continues.

    \b
    scoreinv train --sde ve --conditional --init photo --data PHOTOS/ --out mine
    scoreinv train --resume --out mine   # continues where it stopped
    """
    _check(subject, options)
    leads = os.environ.get("RANK", "0") == "0"  # the first of torchrun's processes
    if not leads:
        common = replace(common, quiet=True, json=False)
    device = device_of(common.device)
    set_threads(common.threads)
    config = _configuration(subject, options, common)
    kind = type(config.model.sde).__name__.lower() if config.model.sde else "damage"
    remark = _remark(config, subject, options)
    run = training.TrainingRun(Path(options.out or f"runs/{kind}-{datetime.now():%Y-%m-%d-%H%M%S}"))
    if common.dry_run:
        if leads:
            local = options.init if options.init and not options.init.startswith(HUB_PREFIX) else None  # fetch nothing
            init = None if local is None else _initial_model(local, config)
            training.check_run(config, run.path, resume=options.resume, overwrite=common.overwrite, init=init)
            if remark:
                notice(common, remark)
            rehearse(common, {"output": str(run.path)}, f"would train {_ends(config)} in {run.path}")
        return
    if options.resume and (notes := run.finished(config)):
        model = str(run.model)
        emit(common, {"output": model, "outputs": [model], "steps": notes["step"], "images": notes["images"]})
        notice(common, f"{run.path}: the run of {_ends(config)} is finished; --steps or --minutes extend it")
        return
    result = _train(config, run, options, device, common, remark)
    outputs = [str(path) for path in (result.model, result.samples) if path is not None]
    record = {
        "output": str(result.model),
        "outputs": outputs,
        "steps": result.steps,
        "images": result.images,
        "loss": result.loss,
        "validation_loss": result.validation.mean if result.validation else None,
        "seconds": round(result.seconds, 3),
        "seed": config.seed,
        "device": device,
        "precision": result.precision,
    }
    emit(common, record)
    loss = "" if result.loss is None else f", loss {result.loss:.4f}"
    notice(common, f"{', '.join(outputs)} ({result.steps:,} steps, {duration(result.seconds)}{loss})")
    notice(common, f"{run.path}: config.json, metrics.jsonl and state/; --resume continues from them")
    if result.useful is False and result.validation is not None:
        losses = f"the held-out loss is {result.validation.mean:.3g}, a constant's {result.baseline_loss:.3g}"
        # The loss of a warm-up says little, so ten times its steps are advised at least.
        steps = 10 * max(result.steps, config.optimizer.warmup)
        longer = f"train longer (--resume --out {shlex.quote(str(run.path))} --steps {steps})"
        warn(
            f"{result.model}: hardly better than no model yet: {losses}: {longer}, or start from a model (--init MODEL)"
        )


def _check(subject: Subject, options: RunOptions) -> None:
    """Raise InputError if options exclude each other or the pictures are missing."""
    if subject.data is not None and not os.path.lexists(subject.data):
        raise InputError(f"{subject.data}: no such folder or file of pictures")
    if options.resume and options.out is None:
        raise InputError("--resume: name the folder of the run with --out")
    if "RANK" in os.environ and options.out is None:
        raise InputError("torchrun: name one folder for all processes with --out")
    if options.init is not None and options.resume:
        raise InputError("--init and --resume: a resumed run starts from its own state")
    kinds = sum(map(bool, (subject.sde, subject.config, subject.damage)))
    if kinds > 1:
        raise InputError("--sde, --config and --damage: a configuration names its SDE; give one of them")
    if not (kinds or options.resume):
        raise InputError("nothing to train: give --sde ve, vp or subvp, --damage, or --config FILE")
    if subject.damage and options.resume:
        raise InputError("--damage: is for a new run; the configuration of a resumed one names its model")
    for name, given in (
        ("--size", subject.size),
        ("--conditional", subject.conditional),
        ("--classifier", subject.classifier),
    ):
        if given and (subject.sde is None or options.resume):
            raise InputError(f"{name}: goes with --sde, for a new run; a configuration contains it")
    if subject.size is not None and (subject.conditional or subject.classifier):
        raise InputError("--size: these networks have one size: --conditional 64 pixels, --classifier 32")
    if subject.conditional and subject.classifier:
        raise InputError("--conditional and --classifier: a prior, or a classifier; give one of them")
    if subject.classifier and subject.data is None:
        raise InputError("--classifier: name the pictures with --data: a folder with a folder for each class")


def _train(
    config: training.TrainingConfig,
    run: training.TrainingRun,
    options: RunOptions,
    device: str,
    common: Common,
    remark: str,
) -> training.TrainResult:
    """Train with a progress bar.

    Print `remark` and the end of the run at the first step, and after an interrupt how to continue.
    """
    from scoreinv.training.data.pictures import picture_files

    init = None if options.init is None else _initial_model(options.init, config)
    keep_freed()
    with picture_files(config.data) as files:
        notice(common, f"reading {len(files):,} pictures from {config.data.source or 'the built-in set'}")
    with progress_bar("training", quiet=common.quiet) as show:
        begun = False

        def callback(progress: training.TrainProgress) -> None:
            nonlocal begun
            if not begun:
                begun = True
                if remark:
                    notice(common, remark)
                notice(common, _start_notice(config, run, progress))
            speed = f"{progress.images_per_second:.3g} images/s"
            show(progress.fraction, progress.seconds_left, f"loss {progress.loss:.4f}, {speed}")

        try:
            return training.train(
                config,
                run.path,
                resume=options.resume,
                overwrite=common.overwrite,
                init=init,
                device=device,
                tensorboard=options.tensorboard,
                callback=callback,
            )
        except KeyboardInterrupt:
            advise(common, _interrupt_advice(run))
            raise


def _initial_model(name: str, config: training.TrainingConfig) -> models.AnyModel:
    """Load the model of --init, of the kind that the configuration trains."""
    if isinstance(config.model, models.DetectorConfig):
        return load_damage_detector(name)
    return load_classifier(name) if isinstance(config.model, models.ClassifierConfig) else load(name)


def _start_notice(config: training.TrainingConfig, run: training.TrainingRun, progress: training.TrainProgress) -> str:
    """Return the notice at the first step: the run's folder, its end, and for a resumed run its start."""
    start = f"from step {progress.begun:,} " if progress.begun else ""
    left = ""
    if progress.begun and config.minutes:
        total = 60 * config.minutes
        left = f" ({duration(max(0, total - progress.seconds))} of {duration(total)} left)"
    return f"training in {run.path}, {start}to {_ends(config)}{left}; Ctrl-C saves, --resume continues"


def _interrupt_advice(run: training.TrainingRun) -> str:
    """Return how to continue an interrupted run."""
    if not run.config.exists():
        return "nothing was trained yet, and nothing is kept: start again"
    kept = "saved" if training.saved_states(run.states) else "no step was finished"
    return f"{kept} in {run.path}; continue with: scoreinv train --resume --out {shlex.quote(str(run.path))}"


def _configuration(subject: Subject, options: RunOptions, common: Common) -> training.TrainingConfig:
    """Return the configuration of the run, with the command's options applied."""
    config = _base_configuration(subject, options, common)
    if subject.damage and options.init is not None:  # continue with the network of that model
        known, _ = models.read_metadata(locate(options.init))
        if isinstance(known, models.DetectorConfig):  # other models are refused when they are loaded
            config = replace(config, model=models.DetectorConfig(known.network), frozen_norms=known.network.second)
    given: dict[str, Any] = {"seed": common.seed, "batch_size": options.batch_size, "compile": options.compile or None}
    given["precision"] = None if common.precision == "auto" else common.precision
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    if subject.data is not None:
        config = replace(config, data=replace(config.data, source=subject.data))
    if options.learning_rate is not None:
        config = replace(config, optimizer=replace(config.optimizer, learning_rate=options.learning_rate))
    if options.steps is not None or options.minutes is not None:
        # A run by the clock has no number of steps, unless both are given.
        config = replace(config, steps=options.steps, minutes=options.minutes)
    if options.sigma_max is None:
        return config
    from scoreinv.sdes import VE

    if not isinstance(config.model.sde, VE):
        raise InputError("--sigma-max needs the VE SDE")
    if options.sigma_max == "data":
        return training.with_estimated_sigma_max(config)
    try:
        sde = replace(config.model.sde, sigma_max=float(options.sigma_max))
    except ValueError:
        least = f"{config.model.sde.sigma_min:g}"
        raise InputError(f"--sigma-max {options.sigma_max}: give data, or a number above sigma_min, {least}") from None
    return replace(config, model=replace(config.model, sde=sde))


def _base_configuration(subject: Subject, options: RunOptions, common: Common) -> training.TrainingConfig:
    """Return the configuration of a file, of a published model or of the resumed run, else a preset."""
    from scoreinv.training import presets

    resumed = Path(options.out) if options.resume and options.out is not None else None
    if subject.config is not None:
        is_file = subject.config.endswith(".json")
        return training.read_config(Path(subject.config)) if is_file else presets.paper_training(subject.config)
    if resumed is not None and (path := training.TrainingRun(resumed).config).is_file():
        config = training.read_config(path)
        if subject.sde is not None and type(config.model.sde) is not models.SDES[subject.sde]:
            raise InputError(f"{resumed}: holds a run of another SDE than {subject.sde}; leave --sde out to resume it")
        return config
    data = training.DataConfig()
    if subject.damage:
        return presets.damage_training(data)
    if subject.sde is None:
        raise InputError(f"{resumed}: holds no run to resume; give --sde or --config")
    sde = models.SDES[subject.sde]()
    if subject.classifier and subject.data is not None:
        return presets.classifier_training(sde, data, training.class_names(Path(subject.data)))
    if subject.conditional:
        return presets.conditional_training(sde, data)
    if options.init is not None:
        from scoreinv.preconditioning import EDM

        known, _ = models.read_metadata(locate(options.init))
        if isinstance(known, models.ModelConfig) and isinstance(known.preconditioning, EDM):
            return presets.continued_training(known, sde, data, subject.size)
    if subject.size is None and device_of(common.device) == "cpu":
        return presets.small_training(sde, data, presets.CPU_SIZE)
    return presets.small_training(sde, data, subject.size or 64)


def _remark(config: training.TrainingConfig, subject: Subject, options: RunOptions) -> str:
    """Return a notice about a small prior from random weights: its size, if it was not chosen, and a faster start."""
    from scoreinv.training.presets import CPU_SIZE

    continued = options.resume or options.init is not None
    if subject.sde is None or subject.classifier or continued or config.model.image_size != CPU_SIZE:
        return ""
    size = f"without a GPU: pictures of {CPU_SIZE} pixels (--size and --config choose others); "
    # `examples/training.md` has the measurement.
    faster = "random weights take some 46,000 steps to the samples that --init cifar10 has after 1,400"
    return f"{'' if subject.size else size}{faster} (measured with 2,000 photographs)"


def _ends(config: training.TrainingConfig) -> str:
    """Return the end of a run, in words."""
    steps = f"{config.steps:,} steps" if config.steps else ""
    minutes = f"{config.minutes:g} minutes" if config.minutes else ""
    return " or ".join(filter(None, (steps, minutes)))
