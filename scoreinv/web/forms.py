"""The page's forms, and requests from the query of a route, for one photograph and for many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Annotated, Any

from scoreinv.operators.kernels import LARGEST, SMALLEST, BlurKind, PointSpread
from scoreinv.system.options import MOST_GROW, Number, Setting, Whole, declared
from scoreinv.tasks.requests import KEEP_GRAIN, Request
from scoreinv.tasks.table import TASKS, Task, controls_of

_BY_SEED = ("samples", "estimate")
"""Settings that the page does not set: a job makes one result, and results of later seeds are samples."""
BLURS = {"disk": "out of focus", "motion": "motion", "gaussian": "soft"}
"""Names of the kinds of blur on the page."""


@dataclass(frozen=True)
class _Blur:
    """The kernel on the page, where it is never a file."""

    blur: Annotated[BlurKind | None, Setting("Cause of the blur.", label="Kind of blur", none="estimate")] = None
    size: Annotated[
        float,
        Setting(
            "Standard deviation, radius or length in pixels.",
            Number(SMALLEST, LARGEST),
            needs="blur",
            label="Size",
            form=(0.5, 15, 0.5),
            unit="px",
        ),
    ] = 2.0
    angle: Annotated[
        float,
        Setting(
            "Direction of motion, anticlockwise from the right.",
            needs="blur=motion",
            label="Angle",
            form=(0, 175, 5),
            unit="°",
        ),
    ] = 0.0


@dataclass(frozen=True)
class _Grown:
    grow: Annotated[
        int,
        Setting(
            "Enlarges the mask by this many pixels, for soft edges.",
            Whole(0, MOST_GROW),
            label="Grow",
            form=(0, 30, 1),
            unit="px",
        ),
    ] = 0


@dataclass(frozen=True)
class _Blend:
    """How a result is blended with its photograph."""

    opacity: Annotated[
        float,
        Setting("Weight of the result against the photograph.", label="Opacity", form=(0.05, 1, 0.05), unit="%"),
    ] = 1.0
    keep_grain: Annotated[float, KEEP_GRAIN] = 0.0
    feather: Annotated[
        int, Setting("Width of a soft edge within the mask.", label="Feather", form=(0, 30, 1), unit="px")
    ] = 0


@dataclass(frozen=True)
class _Straight:
    angle: Annotated[float, Setting("Degrees clockwise.", label="Straighten", form=(-15, 15, 0.1), unit="°")] = 0.0


def forms() -> dict[str, list[dict[str, Any]]]:
    """Return the controls of each form of the page as JSON; see `controls_of`."""
    found = {task.route: controls_of(_Grown) * task.needs_mask + controls_of(task.request) for task in TASKS}
    blur, *others = controls_of(_Blur)
    blur["choices"] = [(None, "Estimate"), *((kind, words.capitalize()) for kind, words in BLURS.items())]
    found["deblur"] = [blur, *others, *found["deblur"]]
    return found | {"blend": controls_of(_Blend), "straighten": controls_of(_Straight)}


def request_reader(task: Task) -> Callable[..., Any]:
    """Return a function that FastAPI calls with the query of a route; it returns the request.

    The query has the settings of the request by their names on the command line, and the seed.
    """
    fields = [each for each in declared(task.request) if each.setting is not None or each.name == "seed"]
    blur = declared(_Blur) if "kernel" in task.settings else []
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
            Parameter(each.option, Parameter.KEYWORD_ONLY, annotation=each.type, default=each.default)
            for each in (*fields, *blur)
        ]
    )
    return read
