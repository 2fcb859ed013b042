"""The way of a photograph through a task, for all front ends and for the functions in Python. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from scoreinv.imaging.records import pixel_hash
from scoreinv.inputs.arrays import Form
from scoreinv.models.loading import Models
from scoreinv.system.progress import Callback, part, running
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.provenance import recorded
from scoreinv.tasks.requests import Inputs, Request
from scoreinv.tasks.table import BY_NAME, Task

_COMMON = {"image", "samples", "std", "nfe", "method"}
"""Fields of outcomes that `in_form` combines in their own way."""


def once(
    task: Task,
    inputs: Inputs,
    request: Request,
    models: Models,
    *,
    timed: bool = False,
) -> Any:
    """Run a task on a photograph; return its outcome, with its record unless the task makes a mask.

    Args:
        timed: record the time.

    Raises InputError if the inputs do not fit the request, and the errors of the task.
    """
    request.check(inputs)
    return recorded(task, task.load()(inputs, request, models), inputs, request, models, timed=timed)


def for_each(
    name: str,
    inputs: Sequence[Inputs],
    request: Request,
    models: Models,
    form: Form,
    callback: Callback | None,
    *,
    progress: bool,
    together: Callable[[Sequence[Inputs], Any, Models], list[Any]] | None = None,
) -> Any:
    """Run a task on the pictures of a call from Python; return their outcomes as one, in the caller's form.

    Args:
        name: of the task.
        together: runs it on all pictures; None: one after the other.
    """
    task = BY_NAME[name]
    for one in inputs:
        request.check(one)
    with running(task.name, callback, progress=progress):
        if together is None:
            made = []
            for number, one in enumerate(inputs):
                with part(number, len(inputs)):
                    made.append(once(task, one, request, models))
        else:
            pairs = zip(together(inputs, request, models), inputs, strict=True)
            made = [recorded(task, each, one, request, models) for each, one in pairs]
        hashed = [replace(each.provenance, result=pixel_hash(each.image)) for each in made]
        return in_form([replace(each, provenance=record) for each, record in zip(made, hashed, strict=True)], form)


def in_form(outcomes: Sequence[Outcome[Any]], form: Form) -> Any:
    """Return the outcomes of all pictures as one, in the caller's form."""
    added = [each.name for each in fields(outcomes[0]) if each.name not in _COMMON]
    return replace(
        max(outcomes, key=lambda outcome: outcome.nfe),
        image=form.pictures([outcome.image for outcome in outcomes]),
        samples=[form.pictures(same) for same in zip(*(outcome.samples for outcome in outcomes), strict=True)],
        std=None if outcomes[0].std is None else form.maps([outcome.std for outcome in outcomes]),
        **{name: form.values([getattr(outcome, name) for outcome in outcomes]) for name in added},
    )
