"""`scoreinv evaluate GENERATED --reference REAL`: how like real pictures generated ones are."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging, models, tasks
from scoreinv.cli.options import Common, advanced, option
from scoreinv.cli.outputs import check_file
from scoreinv.cli.plan import expand
from scoreinv.cli.report import emit, notice, put, rehearse
from scoreinv.models.catalogue import HUB_PREFIX, load_classifier
from scoreinv.system.devices import device_of
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.system.terminal import progress_bar
from scoreinv.system.threads import set_threads

if TYPE_CHECKING:
    from scoreinv.models.noise_classifier import NoiseClassifier

EXAMPLES = """
  scoreinv evaluate drawn/ --reference photographs/
"""
UNUSED = ("seed", "overwrite", "precision")
_JUDGE = "cifar10-judge"  # the bundled classifier of clean pictures


def evaluate(
    generated: Annotated[
        str, typer.Argument(metavar="GENERATED", help="Generated pictures, in a folder or in folders named by classes.")
    ],
    common: Common,
    reference: Annotated[str, option(metavar="FOLDER", help="Real pictures of the same kind, ideally as many.")],
    classifier: Annotated[
        str | None,
        option(
            metavar="NAME|FILE", help="Distances in its features, and shares of its classes. (default: cifar10-judge)"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        option(
            "--class",
            envvar="SCOREINV_EVALUATE_CLASS",
            metavar="NAME|NUMBER",
            help="Class that the pictures should be of, to count how many are. (default: the name of their folders)",
        ),
    ] = None,
    inception: Annotated[
        str | None,
        advanced(
            metavar="FILE", help="Weights of Inception as torch-fidelity takes them: FID, KID and Inception score."
        ),
    ] = None,
) -> None:
    """Compare generated pictures with real ones: distances in a classifier's features, FID, KID, Inception score."""
    for name, folder in (("GENERATED", generated), ("--reference", reference)):
        if Path(folder).is_file():
            raise InputError(f"{name} {folder}: is a file: give a folder of pictures (scoreinv sample -o FOLDER/)")
        if not Path(folder).is_dir():
            raise InputError(f"{name} {folder}: no such folder of pictures")
    drawn, real = expand(generated, deep=True), expand(reference, deep=True)
    for folder, found in ((generated, drawn), (reference, real)):
        if len(found) < 2:
            raise InputError(f"{folder}: holds one picture, and a set to be compared needs two at least")
    measure = None if inception is None else _inception(inception, common)
    record: dict[str, Any] = {"input": generated, "reference": reference, "pictures": len(drawn)}
    if common.dry_run:
        if not (classifier or "").startswith(HUB_PREFIX):  # nothing is fetched
            _judge(classifier or _JUDGE, class_, common)
        said = f"{len(drawn)} pictures in {generated} would be compared with {len(real)} in {reference}"
        rehearse(common, record, said)
        return
    started = time.monotonic()
    set_threads(common.threads)
    try:
        record |= _by_classifier(drawn, real, classifier or _JUDGE, class_, common)
    except InputError as error:
        if measure is None or classifier or class_ is not None:
            raise
        notice(common, f"compared by Inception only: {error}")  # pictures of another size, as the judge was not asked
    if measure is None:
        notice(common, "FID, KID and Inception score need --inception and its weights")
    else:
        record |= measure(drawn, real)
    record["seconds"] = round(time.monotonic() - started, 3)
    emit(common, record)
    if not common.json:
        for key, value in record.items():
            shares = isinstance(value, dict)
            text = ", ".join(f"{name} {share:.1%}" for name, share in value.items()) if shares else value
            put(f"{_told(key, record)}: {f'{value:.4f}' if isinstance(value, float) else text}")


def _told(key: str, record: dict[str, Any]) -> str:
    """What people are told that a figure is."""
    name = record.get("classifier")
    figures = {
        "frechet_distance": f"Fréchet distance in the features of {name} (not FID, which is Inception's)",
        "kernel_distance": f"kernel distance in the features of {name} (not KID)",
        "class_shares": f"classes by {name}",
        "accuracy": f"share of the class asked for, by {name}",
        "fid": "FID",
        "kid": "KID",
        "inception_score": "Inception score",
    }
    return figures.get(key, key)


def _by_classifier(
    generated: list[str], real: list[str], name: str, class_name: str | None, common: Common
) -> dict[str, Any]:
    from scoreinv.tasks.evaluate import evaluate as compare

    classifier, label = _judge(name, class_name, common)
    for first in (generated[0], real[0]):  # pictures of another size are told before minutes of looking at the others
        tasks.look_at([(first, files.read_picture(first))], classifier)
    folders = [Path(path).parent.name for path in generated]
    asked = [classifier.classes.index(folder) for folder in folders if folder in classifier.classes]
    if label is not None:
        asked = [label] * len(generated)
    seen, true = (_look(paths, classifier, common) for paths in (generated, real))
    record = {"classifier": name, **compare(seen, true, classifier.classes)}
    known = len(asked) == len(generated)  # what every picture should be
    return record | ({"accuracy": float((seen.labels == asked).mean())} if known else {})


def _judge(name: str, class_name: str | None, common: Common) -> tuple[NoiseClassifier, int | None]:
    """The classifier on the device of the run, and its label of the class that is asked for."""
    classifier = load_classifier(name).to(device_of(common.device))
    return classifier, None if class_name is None else tasks.class_index(classifier, class_name)


def _look(paths: list[str], classifier: NoiseClassifier, common: Common) -> tasks.Seen:
    title = os.path.commonpath([Path(path).parent for path in paths])
    with progress_bar(title, quiet=common.quiet) as show:

        def pictures() -> Iterator[tuple[str, imaging.Picture]]:
            for number, path in enumerate(paths, 1):
                yield path, files.read_picture(path)
                show(number / len(paths))

        return tasks.look_at(pictures(), classifier)


def _inception(weights: str, common: Common) -> Callable[[list[str], list[str]], dict[str, float]]:
    """What compares pictures by the features of Inception; InputError where it or its weights cannot be had."""
    check_file(weights, "--inception")
    try:
        models.read_pickled(Path(weights))  # torch-fidelity would run what a pickle says
    except CheckpointError as error:
        raise InputError(f"--inception {weights}: holds no weights as torch-fidelity takes them") from error
    try:
        from torch_fidelity import calculate_metrics
        from torch_fidelity.datasets import ImagesPathDataset
    except ImportError as error:
        raise InputError("--inception: needs torch-fidelity: pip install torch-fidelity") from error

    def measure(drawn: list[str], real: list[str]) -> dict[str, float]:
        fewest = min(len(drawn), len(real))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # torch's, of weights that have been read
            found = calculate_metrics(
                input1=ImagesPathDataset(drawn),
                input2=ImagesPathDataset(real),
                fid=True,
                kid=True,
                isc=True,
                isc_splits=min(10, len(drawn)),
                kid_subset_size=min(1000, fewest),
                feature_extractor_weights_path=weights,
                cuda=device_of(common.device) == "cuda",
                verbose=False,
            )
        return {
            "fid": float(found["frechet_inception_distance"]),
            "kid": float(found["kernel_inception_distance_mean"]),
            "inception_score": float(found["inception_score_mean"]),
        }

    return measure
