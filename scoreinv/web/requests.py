"""Requests of the tasks from the query of a route, for one photograph and for many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter, Signature
from types import NoneType
from typing import Any, get_args, get_type_hints

from scoreinv.operators.kernels import BlurKind, PointSpread
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import Request
from scoreinv.tasks.table import Task

_BY_SEED = ("samples", "estimate")
"""Settings that the page does not set: a job makes one result, and results of later seeds are samples."""
_BLUR: dict[str, tuple[Any, Any]] = {"blur": (BlurKind | None, None), "size": (float, 2.0), "angle": (float, 0.0)}
"""The kernel's settings on the page, where it is never a file."""


def request_reader(task: Task) -> Callable[..., Any]:
    """Return a function that FastAPI calls with the query of a route; it returns the request.

    The query has the settings of the request by their names on the command line, and the seed.
    """
    hints = get_type_hints(task.request, include_extras=True)
    settings: dict[str, tuple[str, Setting]] = {}
    query: dict[str, tuple[Any, Any]] = {}
    for each in fields(task.request):  # type: ignore[arg-type]
        kind, *more = get_args(hints[each.name]) or (None,)
        if each.name == "kernel":
            query |= _BLUR
        elif each.name == "seed":
            query["seed"] = int, 0
        elif more and isinstance(more[0], Setting) and each.name not in _BY_SEED and kind is not NoneType:
            name = each.name if more[0].option is None or more[0].choices else more[0].option
            settings[name], query[name] = (each.name, more[0]), (kind, each.default)

    async def read(**given: Any) -> Request:  # FastAPI runs others in the few threads that encode photographs
        values = {field: _value(given[name], setting) for name, (field, setting) in settings.items()}
        if "blur" in query:
            blur = given["blur"]
            values["kernel"] = None if blur is None else PointSpread(blur, given["size"], given["angle"])
        if "seed" in query:
            values["seed"] = given["seed"]
            if given["seed"]:
                values["estimate"] = "sample"
        return task.request(**values)

    read.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for name, (kind, default) in query.items()
        ]
    )
    return read


def _value(value: Any, setting: Setting) -> Any:
    return value if setting.read is None or setting.choices else setting.read(value)
