"""The bundled and published models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from scoreinv.cli.options import Common
from scoreinv.models.catalogue import describe, describe_all
from scoreinv.system.text import printable

UNUSED = ("seed", "overwrite", "dry_run", "quiet", "device", "precision", "threads")
_SHOW_ONLY = ("sha256", "notes", "config")
"""Keys that `list` leaves out."""
_COLUMNS = ("name", "kind", "task", "SDE", "pixels", "weights", "MB", "licence", "FID")


def list_models(common: Common) -> None:
    """List the bundled models, and the paper's with their reported figures.

    \b
    scoreinv models list
    """
    models = describe_all()
    if common.json:
        _print_json([{key: value for key, value in model.items() if key not in _SHOW_ONLY} for model in models])
        return
    rows = [_COLUMNS]
    for model in models:
        fid = model["figures"].get("fid", model["figures"].get("fid_ode"))
        size, weights = str(model["image_size"] or ""), f"{model['parameters'] / 1e6:.1f} M"
        kinds = model["name"], model["kind"], model["task"], model["sde"] or ""
        rows.append(
            (*kinds, size, weights, str(int(model["megabytes"] + 0.5)), model["licence"], f"{fid:.2f}" if fid else "")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(printable(line.rstrip()) + "\n")


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Bundled or published name, model file or folder, or hf:NAME.")
    ],
    common: Common,
) -> None:
    """Show a model's kind, source, recommended sampler and configuration.

    \b
    scoreinv models show photo
    """
    record = describe(name)
    if common.json:
        _print_json([record])
        return
    for key, value in record.items():
        if value is not None:
            sys.stdout.writelines(f"{line}\n" for line in _lines(key, value))


def _lines(name: str, value: Any, indent: str = "") -> Iterator[str]:
    """Yield `name: value`; for a dictionary its name and its indented entries, unless it is empty."""
    if isinstance(value, dict):
        if value:
            yield printable(f"{indent}{name}:")
        for key, part in value.items():
            yield from _lines(key, part, f"{indent}  ")
    else:
        yield printable(f"{indent}{name}: {value if isinstance(value, str) else json.dumps(value)}")


def _print_json(models: list[dict[str, Any]]) -> None:
    text = json.dumps({"models": models})
    # Notes may hold NaN or infinity, which JSON lacks: they become words.
    sys.stdout.write(json.dumps(json.loads(text, parse_constant=str), allow_nan=False) + "\n")


PARTS = {"list": list_models, "show": show}
