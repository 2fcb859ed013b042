"""`scoreinv evaluate GENERATED --reference REAL`, `scoreinv evaluate RUN`."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging, models, tasks
from scoreinv.batch.plan import expand
from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, notice, put, rehearse
from scoreinv.models.catalogue import HUB_PREFIX, load_classifier
from scoreinv.system.devices import device_of
from scoreinv.system.errors import CheckpointError, InputError, SettingError
from scoreinv.system.options import Setting
from scoreinv.system.progress import reported_to
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.threads import set_threads
from scoreinv.tasks.sampling_settings import RunEvaluationSettings

if TYPE_CHECKING:
    from scoreinv.models.noise_classifier import NoiseClassifier

UNUSED = ("seed", "overwrite", "precision")
_JUDGE = "cifar10-judge"
"""Bundled classifier of clean pictures."""
_FIGURES = (
    *("validation_loss", "bits_per_dim", "frechet_distance", "kernel_distance"),
    *("fid", "kid", "inception_score", "accuracy", "unconditional"),
)
"""Columns of the table of a run."""


def evaluate(
    generated: Annotated[
        str,
        typer.Argument(
            metavar="GENERATED|RUN", help="Folder of generated pictures (or of folders named by classes), or of a run."
        ),
    ],
    common: Common,
    settings: RunEvaluationSettings,
    reference: Annotated[
        str | None,
        Setting(
            "Real pictures of the same kind, ideally as many; for a run of any size. "
            "(default for a run: its held-out pictures)",
            metavar="FOLDER",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        Setting(
            "Classifier for feature distances and shares of classes. (default: cifar10-judge)", metavar="NAME|FILE"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        Setting(
            "Class of all generated pictures, for the accuracy. (default: the names of their folders)",
            metavar="NAME|NUMBER",
            option="--class",
        ),
    ] = None,
    inception: Annotated[
        str | None,
        Setting(
            "Inception weights of torch-fidelity, for FID, KID and Inception score.", metavar="FILE", advanced=True
        ),
    ] = None,
) -> None:
    """Compare generated pictures with real ones, or follow a training run: feature distances, FID, KID.

    \b
    scoreinv evaluate drawn/ --reference photographs/
    scoreinv evaluate runs/mine/   # held-out loss, bits/dim and samples of its snapshots
    """
    if inception is not None:
        _check_inception(inception)
    if Path(generated, "config.json").is_file():
        if class_ is not None:
            raise InputError("--class: is for generated pictures, not for a run")
        evaluate_run(generated, reference, settings, classifier or _JUDGE, inception, common)
        return
    if reference is None:
        raise InputError(f"{generated}: is not a training run: compare its pictures with --reference FOLDER")
    default = RunEvaluationSettings()
    for each in fields(settings):
        if getattr(settings, each.name) != getattr(default, each.name):
            raise SettingError(each.name, f"is for training runs, and {generated} is none")
    drawn, real = _pictures("GENERATED", generated), _pictures("--reference", reference)
    judge = classifier or _JUDGE
    record: dict[str, Any] = {"input": generated, "reference": reference, "pictures": len(drawn)}
    if common.dry_run:
        if not judge.startswith(HUB_PREFIX):  # nothing is fetched
            _judge(judge, class_, common)
        said = f"{len(drawn)} pictures in {generated} would be compared with {len(real)} in {reference}"
        rehearse(common, record, said)
        return
    started = time.monotonic()
    set_threads(common.threads)
    try:
        record |= _by_classifier(drawn, real, judge, class_, common)
    except InputError as error:  # pictures of another size than the default judge's
        if inception is None or classifier or class_ is not None:
            raise
        notice(common, f"compared with Inception only: {error}")
    if inception is None:
        notice(common, "FID, KID and Inception score need --inception")
    else:
        record |= _by_inception(drawn, real, inception, common)
    record["seconds"] = round(time.monotonic() - started, 3)
    emit(common, record)
    if not common.json:
        for key, value in record.items():
            shares = isinstance(value, dict)
            text = ", ".join(f"{name} {share:.1%}" for name, share in value.items()) if shares else value
            put(f"{key.replace('_', ' ')}: {f'{value:.4f}' if isinstance(value, float) else text}")


def _pictures(option: str, folder: str) -> list[str]:
    """Return the paths of the pictures in a folder and its subfolders; raise InputError for fewer than two."""
    if not Path(folder).is_dir():
        raise InputError(f"{option} {folder}: is not a folder of pictures (scoreinv sample -o FOLDER/ makes one)")
    found = expand(folder, recursive=True)
    if len(found) < 2:
        raise InputError(f"{folder}: has one picture; a comparison needs two")
    return found


def evaluate_run(
    folder: str,
    reference: str | None,
    settings: RunEvaluationSettings,
    judge: str,
    inception: str | None,
    common: Common,
) -> None:
    """Evaluate the snapshots of a run, print a table of their figures, and plot it.

    Figures are appended to `evaluation.jsonl`. A snapshot that has figures there for the same settings is not evaluated
    again.
    """
    from scoreinv.imaging.plot import line_plots
    from scoreinv.models.config import PriorConfig
    from scoreinv.tasks.evaluate_run import RunEvaluation, snapshot_in, snapshots_of
    from scoreinv.training import TrainingRun, read_config

    run = TrainingRun(Path(folder))
    snapshots = snapshots_of(run, settings)
    if common.dry_run:
        steps = ", ".join(f"{snapshot.step:,}" for snapshot in snapshots)
        rehearse(common, {"input": folder}, f"{folder}: the models of the steps {steps} would be evaluated")
        return
    set_threads(common.threads)
    model, judged = read_config(run.config).model, _judge(judge, None, common)[0].image_size
    side = model.image_size
    if not isinstance(model, PriorConfig):  # only priors have samples
        settings = replace(settings, samples=0)
    if settings.samples and side != judged and inception is None:
        notice(common, f"no samples are compared: {judge} takes {judged}x{judged} pixels; others need --inception")
        settings = replace(settings, samples=0)
    evaluation = RunEvaluation(run, settings, device_of(common.device))
    log, rows = run.evaluation / "evaluation.jsonl", []
    real: list[str] = []
    measured: dict[str, Any] = {name: getattr(settings, name) for name in ("samples", "likelihood", "exact")}
    measured |= {"classifier": judge, "reference": reference, "inception": inception is not None}
    known = list(_records(log))
    for path in [snapshot.path for snapshot in snapshots]:
        snapshot = snapshot_in(path)  # the run may have gone on meanwhile
        key = {"step": snapshot.step, "run": snapshot.run, **measured}
        record = next((each for each in known if key.items() <= each.items()), None)
        if record is None:
            started = time.monotonic()
            if settings.samples and not real:  # before the work, since there may be none
                real = evaluation.write_real(reference)
            with progress_bar(path.name, quiet=common.quiet) as show, reported_to(show):
                record = key | evaluation.measure(snapshot)
            drawn = sorted(map(str, evaluation.samples_of(snapshot).glob("*.png")))[: settings.samples]
            if len(drawn) > 1:
                record |= _by_classifier(drawn, real, judge, None, common) if side == judged else {}
                record |= {} if inception is None else _by_inception(drawn, real, inception, common)
            record["seconds"] = round(time.monotonic() - started, 3)
            log.parent.mkdir(exist_ok=True)
            with log.open("a") as file:
                file.write(f"{json.dumps(record)}\n")
        emit(common, {"input": folder, **record})
        rows.append(record)
    figures = {name: [row.get(name) for row in rows] for name in _FIGURES if any(name in row for row in rows)}
    if figures and len(rows) > 1:
        plot = imaging.Picture(line_plots([row["step"] for row in rows], figures))
        files.write_picture(run.evaluation / "evaluation.png", plot, overwrite=True)
    notice(common, f"figures and samples are in {run.evaluation}")
    if not common.json:
        _print_table(["step", *figures], rows)


def _print_table(names: list[str], rows: list[dict[str, Any]]) -> None:
    """Print the named figures of each snapshot, one snapshot per line."""
    put("  ".join(f"{name.replace('_', ' '):>16}" for name in names))
    for row in rows:
        put("  ".join(f"{_figure(row.get(name)):>16}" for name in names))


def _records(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log; skip a line that a killed process left unfinished."""
    for line in log.read_text().splitlines() if log.exists() else ():
        with suppress(ValueError):
            yield json.loads(line)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _by_classifier(
    generated: list[str], real: list[str], name: str, class_name: str | None, common: Common
) -> dict[str, Any]:
    """Return the feature distances of two sets of pictures, and the accuracy for a class or for folders of classes."""
    from scoreinv.tasks.evaluate import evaluate as compare

    classifier, label = _judge(name, class_name, common)
    for first in (generated[0], real[0]):  # fail early for pictures of another size
        tasks.picture_features([(first, files.read_picture(first))], classifier)
    drawn_features, real_features = (_features(paths, classifier, common) for paths in (generated, real))
    record = {"classifier": name, **compare(drawn_features, real_features, classifier.classes)}
    folders = [Path(path).parent.name for path in generated]
    if label is not None:
        record["accuracy"] = float((drawn_features.labels == label).mean())
    elif set(folders) <= set(classifier.classes):
        labels = list(map(classifier.classes.index, folders))
        record["accuracy"] = float((drawn_features.labels == labels).mean())
    return record


def _judge(name: str, class_name: str | None, common: Common) -> tuple[NoiseClassifier, int | None]:
    """Return the classifier on its device, and the label of the requested class; None without one."""
    classifier = load_classifier(name).to(device_of(common.device))
    return classifier, None if class_name is None else tasks.class_index(classifier, class_name)


def _features(paths: list[str], classifier: NoiseClassifier, common: Common) -> tasks.PictureFeatures:
    """Return the classifier's features of pictures, and show the progress."""
    title = os.path.commonpath([Path(path).parent for path in paths])
    with progress_bar(title, quiet=common.quiet) as show:

        def pictures() -> Iterator[tuple[str, imaging.Picture]]:
            for number, path in enumerate(paths, 1):
                yield path, files.read_picture(path)
                show(number / len(paths))

        return tasks.picture_features(pictures(), classifier)


def _check_inception(weights: str) -> None:
    """Raise InputError if torch-fidelity or its weights are missing."""
    files.check_file(weights, "--inception")
    try:
        models.read_pickled(Path(weights))  # torch-fidelity would execute a pickle
    except CheckpointError as error:
        raise InputError(f"--inception {weights}: has no weights for torch-fidelity") from error
    if find_spec("torch_fidelity") is None:
        raise InputError("--inception: needs torch-fidelity: pip install torch-fidelity")


def _by_inception(drawn: list[str], real: list[str], weights: str, common: Common) -> dict[str, float]:
    """Return FID, KID and Inception score by torch-fidelity."""
    from torch_fidelity import calculate_metrics
    from torch_fidelity.datasets import ImagesPathDataset

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # torch's, about weights that were checked
        found = calculate_metrics(
            input1=ImagesPathDataset(drawn),
            input2=ImagesPathDataset(real),
            fid=True,
            kid=True,
            isc=True,
            isc_splits=min(10, len(drawn)),
            kid_subset_size=min(1000, len(drawn), len(real)),
            feature_extractor_weights_path=weights,
            cuda=device_of(common.device) == "cuda",
            save_cpu_ram=True,  # without worker processes, about which torch warns on few cores
            verbose=False,
        )
    keys = {"fid": "frechet_inception_distance", "kid": "kernel_inception_distance_mean"}
    return {name: float(found[key]) for name, key in (keys | {"inception_score": "inception_score_mean"}).items()}
