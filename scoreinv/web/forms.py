"""The page's forms, and requests from the query of a route, for one photograph and for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any, get_origin

from scoreinv.batch.plan import OutputOptions
from scoreinv.operators.kernels import BlurKind, PointSpread
from scoreinv.system.options import Declared, Setting, declared
from scoreinv.tasks.notes import BLURS
from scoreinv.tasks.requests import KEEP_GRAIN, Request
from scoreinv.tasks.table import TASKS, Task, controls_of

_BY_SEED = ("samples", "estimate")
"""Settings that the page does not set: a job makes one result, and results of later seeds are samples."""


def _slider(
    name: str, words: str, value: float, label: str, form: tuple[float, float, float], unit: str, needs: str = ""
) -> Declared:
    return Declared(name, type(value), False, Setting(words, label=label, form=form, unit=unit, needs=needs), value)


_BLUR = (
    Declared("blur", BlurKind, True, Setting("Cause of the blur.", label="Kind of blur", none="automatic"), None),
    _slider("size", "Standard deviation, radius or length in pixels.", 2.0, "Size", (0.5, 15, 0.5), "px", "blur"),
    _slider("angle", "Degrees anticlockwise from the right.", 0.0, "Angle", (0, 175, 5), "°", "blur=motion"),
)
"""The kernel by kind on the page; a file of a kernel is a layer."""
_FORMS = {
    "fill": [
        _slider("grow", "Enlarges the mask, or shrinks it.", 0, "Grow", (-30, 30, 1), "px"),
        _slider("feather", "Width of a soft edge within the mask (yellow).", 0, "Feather", (0, 30, 1), "px"),
    ],
    "deblur": _BLUR,
    "blend": [
        _slider("opacity", "Weight of the result against the photograph.", 1.0, "Opacity", (0.05, 1, 0.05), "%"),
        Declared("keep_grain", float, False, KEEP_GRAIN, 0.0),
        _slider("feather", "Width of a soft edge within the mask.", 0, "Feather", (0, 30, 1), "px"),
    ],
    "download": [each for each in declared(OutputOptions) if each.name == "quality"],
    "straighten": [_slider("angle", "Degrees clockwise.", 0.0, "Straighten", (-15, 15, 0.1), "°")],
}
"""Controls of the page's routes that are no settings of requests."""


def forms() -> dict[str, list[dict[str, Any]]]:
    """Return the controls of each form of the page as JSON; see `controls_of`."""
    found = {name: controls_of(more) for name, more in _FORMS.items()}
    found["deblur"][0]["choices"] = [(None, "Automatic"), *((kind, each.capitalize()) for kind, each in BLURS.items())]
    return found | {task.route: found.get(task.route, []) + controls_of(declared(task.request)) for task in TASKS}


def _in_query(each: Declared) -> Any:
    """Return the type of a setting in a query, where several numbers are one text."""
    return str | None if get_origin(each.kind) is Sequence else each.type


def request_reader(task: Task) -> Callable[..., Any]:
    """Return a function that FastAPI calls with the query of a route; it returns the request.

    The query has the settings of the request by their names on the command line, and the seed.
    """
    fields = [each for each in declared(task.request) if each.setting is not None or each.name == "seed"]
    blur = _BLUR if "kernel" in task.settings else ()
    fields = [each for each in fields if each.name not in (*_BY_SEED, "kernel")]

    async def read(**given: Any) -> Request:  # FastAPI runs others in the few threads that encode photographs
        values: dict[str, Any] = {}
        for each in fields:
            reads = each.setting is not None and each.setting.read is not None and not each.setting.choices
            values[each.name] = each.annotation.read(given[each.option]) if reads else given[each.option]
        if blur:
            kind = given["blur"]
            values["kernel"] = None if kind is None else PointSpread(kind, given["size"], given["angle"])
        if values.get("seed"):
            values["estimate"] = "sample"
        return task.request(**values)

    read.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(each.option, Parameter.KEYWORD_ONLY, annotation=_in_query(each), default=each.default)
            for each in (*fields, *blur)
        ]
    )
    return read
