"""Repetition of a run from its record. Imports no torch."""

from __future__ import annotations

from typing import Any

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, pixel_hash
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks.once import once
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.provenance import hashes, request_of
from scoreinv.tasks.requests import Inputs
from scoreinv.tasks.table import BY_NAME


def rerun(record: Record, inputs: Inputs, models: Models) -> Outcome[Picture]:
    """Run the task of a record again; the outcome has its own record.

    Raises InputError if an input is missing or is not that of the record, or if this version cannot run it.
    """
    request, given = request_of(record), hashes(inputs)
    if (own := pixel_hash(inputs.picture)) != record.original:
        raise InputError(f"the original has the SHA-256 {own}, and that of the record {record.original}")
    for name in sorted(record.inputs.keys() | given.keys()):
        setting = "like" if name == "references" else name
        if name not in given:
            raise SettingError(setting, "is missing: give the same as for the run")
        if record.inputs.get(name) != given[name]:
            raise SettingError(setting, "is not that of the run, which had another or none")
    return once(BY_NAME[record.task], inputs, request, models)  # type: ignore[no-any-return]


def repeated(outcome: Outcome[Picture], record: Record) -> Picture:
    """Return the picture of a repeated run to which the record belongs: one of the samples, or the outcome's image.

    Raises InputError if the run has no such sample.
    """
    if record.sample is None:
        return outcome.image
    if not 0 <= record.sample < len(outcome.samples):
        raise InputError(f"the record is of sample {record.sample + 1}, and the run has {len(outcome.samples)}")
    return outcome.samples[record.sample]


def differences(record: Record, now: Record) -> dict[str, tuple[Any, Any]]:
    """Return what differs between a run and its repetition: versions, models, method, device, precision and threads."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted(record.software.keys() | now.software.keys()):
        found[name] = record.software.get(name), now.software.get(name)
    for role in sorted(record.models.keys() | now.models.keys()):
        found[f"{role} model"] = tuple(each.models.get(role, {}).get("sha256") for each in (record, now))  # type: ignore[assignment]
    for name in ("method", "device", "precision", "threads"):
        found[name] = getattr(record, name), getattr(now, name)
    return {name: (before, after) for name, (before, after) in found.items() if before != after}
