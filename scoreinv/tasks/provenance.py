"""Provenance of outcomes: the record of a run, and the mask of its generated, altered and kept pixels.

Imports no torch.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from scoreinv.imaging.changes import changes
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, SourceType, pixel_hash, with_record
from scoreinv.models import catalogue
from scoreinv.models.loading import Models
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError
from scoreinv.system.version import __version__
from scoreinv.tasks.requests import Inputs, Request
from scoreinv.tasks.table import BY_NAME, Task

if TYPE_CHECKING:
    from scoreinv.tasks.outcome import Outcome


def recorded(
    task: Task, outcome: Outcome[Picture], inputs: Inputs, request: Request, models: Models, *, timed: bool = False
) -> Any:
    """Return the outcome of a task with its record, or the outcome itself if its image is a mask.

    Args:
        timed: record the time.
    """
    if task.makes_mask:
        return outcome
    roles, picture = request.roles(inputs.given), inputs.picture
    device, precision = models.device_and_precision(roles[0]) if roles else ("cpu", "")
    software = _software(torch=bool(roles) or task.name != "inpaint")  # classical fills need none
    record = Record(
        task=task.name,
        settings=settings_of(request),
        models={role: models.identity(role) for role in roles}
        | {name: catalogue.identity(name, catalogue.locate(name)) for name in request.helpers(inputs.given)},
        software=software,
        original=pixel_hash(picture),
        inputs=hashes(inputs),
        method=outcome.method,
        device=device,
        precision=precision,
        threads=sys.modules["torch"].get_num_threads() if "torch" in software else None,
        source_type=_source_type(outcome, picture),
        box=outcome.box,
        notes=[note.row() for note in outcome.notes],
        created=datetime.now(UTC).isoformat(timespec="seconds") if timed else "",
    )
    return replace(outcome, provenance=record)


def with_provenance(outcome: Outcome[Picture], picture: Picture) -> Picture:
    """Return the image or a sample of an outcome with the outcome's record, if any, in its metadata."""
    record = outcome.provenance
    if not isinstance(record, Record):
        return picture
    number = next((number for number, sample in enumerate(outcome.samples) if sample is picture), 0)
    return with_record(picture, replace(record, sample=number or None))


def changes_of(outcome: Outcome[Picture], original: Picture, results: Sequence[Picture]) -> Picture:
    """Return the mask of changes of a recorded outcome's results, with the record in its metadata."""
    record = outcome.provenance
    assert isinstance(record, Record)
    mask = Picture(changes(original, results, outcome.generated, outcome.box))
    # The source type would be that of the mask.
    record = replace(record, source_type=None, result=pixel_hash(results[0]))
    return replace(mask, metadata=replace(mask.metadata, xmp=record.xmp()))


def settings_of(request: Request) -> dict[str, Any]:
    """Return the settings of a request for JSON. `request_of` is the inverse, except for a kernel from a file."""
    return {each.name: _plain(getattr(request, each.name)) for each in fields(request)}  # type: ignore[arg-type]


def request_of(record: Record) -> Request:
    """Return the request of a record; raise InputError if this version has no such task, or cannot use a setting."""
    task = BY_NAME.get(record.task)
    if task is None or task.makes_mask:
        raise InputError(f"the task {record.task!r} of the record is unknown: another version made it")
    kind, settings = task.request, dict(record.settings)
    if unknown := settings.keys() - {each.name for each in fields(kind)}:  # type: ignore[arg-type]
        raise InputError(f"the record has unknown settings ({', '.join(sorted(unknown))}): another version made it")
    try:
        if (kernel := settings.get("kernel")) is not None:
            if "sha256" in kernel:
                raise InputError("the record's kernel was a file, of which it has the hash alone")
            settings["kernel"] = PointSpread(**kernel)
            settings["kernel"].kernel()
        return kind(**settings)
    except TypeError as error:
        raise InputError(f"the record has a setting of a wrong type: {error}") from error


def hashes(inputs: Inputs) -> dict[str, Any]:
    """Return the SHA-256 of the inputs beside the picture, by name."""
    found: dict[str, Any] = {}
    for name, hole in (("mask", inputs.hole), ("avoid", inputs.avoid)):
        if hole is not None:
            found[name] = _sha256(hole.astype(bool))
    if inputs.hints is not None:
        found["hints"] = _sha256(np.where(inputs.hints.known[..., None], inputs.hints.rgb, 0).astype("<f4"))
    if inputs.references:
        found["references"] = [pixel_hash(picture) for picture in inputs.references]
    return found


def _sha256(values: np.ndarray) -> str:
    shape = "x".join(map(str, values.shape))
    return hashlib.sha256(f"{shape} {values.dtype.name}\n".encode() + values.tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    """Return the value of a setting for JSON."""
    if isinstance(value, PointSpread):
        return asdict(value)
    return {"sha256": _sha256(value)} if isinstance(value, np.ndarray) else value


def _software(*, torch: bool) -> dict[str, str]:
    """Return the versions of scoreinv and of the libraries that compute the result."""
    modules = {"numpy": np, **({"torch": sys.modules.get("torch")} if torch else {})}
    versions = {name: str(module.__version__) for name, module in modules.items() if module is not None}
    return {"scoreinv": __version__} | versions


def _source_type(outcome: Outcome[Picture], original: Picture) -> SourceType | None:
    kept = original if outcome.box is None else original.part(outcome.box)
    if np.array_equal(outcome.image.pixels, kept.pixels):
        return None
    return "compositeWithTrainedAlgorithmicMedia" if outcome.invents else "algorithmicallyEnhanced"
