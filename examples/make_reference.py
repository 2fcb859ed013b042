"""Pages of the reference, made from the code: commands, notes, settings, API. A hook of `mkdocs.yml`."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from importlib import import_module
from typing import Any, get_type_hints

import typer
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from scoreinv.cli.app import _app as command_line
from scoreinv.system.options import Setting
from scoreinv.tasks.notes import NOTES
from scoreinv.tasks.table import TASKS

MODULES = {
    **{"functions": "scoreinv", "training": "scoreinv.training", "errors": "scoreinv.system.errors"},
    **{name: f"scoreinv.{name}" for name in ("sdes", "preconditioning", "prior", "samplers", "guidance", "operators")},
    **{name: f"scoreinv.{name}" for name in ("conditional", "windows", "models", "likelihood")},
}
"""Modules of the API, by the names of their pages."""


def commands() -> str:
    """Return the commands with all options, as Typer describes them."""
    root = command_line([])
    text = get_docs_for_click(obj=root, ctx=typer.Context(root), name="scoreinv", title="Commands")
    return re.sub("^scoreinv .*$", r"    \g<0>", text, flags=re.MULTILINE)  # the examples are code


def codes() -> str:
    """Return a table of the codes of notes, with their values and sentences."""
    lines = [f"| `{code}` | {kind.values} | {kind.sentence} |" for code, kind in NOTES.items()]
    return "\n".join(["# Notes\n", "| code | values | sentence |", "|---|---|---|", *lines])


def settings() -> str:
    """Return a table for each request of a task: its fields, as Python and records of runs name them."""
    lines = [
        "# Settings",
        "The options of tasks, as Python and the records of runs name them. Noise levels are in [0, 1].",
    ]
    for task in TASKS:
        lines += [f"\n## {task.name}: {task.request.__name__}\n", "| field | default | meaning |", "|---|---|---|"]
        hints = get_type_hints(task.request, include_extras=True)
        for field in fields(task.request):
            for setting in getattr(hints[field.name], "__metadata__", ()):
                if isinstance(setting, Setting):
                    lines.append(f"| `{field.name}` | `{field.default!r}` | {setting.words} |")
    return "\n".join(lines)


def api(name: str) -> str:
    """Return a page with the public classes and functions of a module, which mkdocstrings fills in."""
    module = import_module(name)
    names = getattr(module, "__all__", None) or [
        each for each, value in vars(module).items() if getattr(value, "__module__", None) == name and each[0] != "_"
    ]
    shown = [each for each in names if inspect.isclass(found := getattr(module, each)) or inspect.isfunction(found)]
    return "\n\n".join([f"# {name}", *(f"::: {name}.{each}" for each in shown)])


def on_files(files: Files, config: Any) -> None:
    """Add the pages to the site."""
    pages = {"commands": commands(), "notes": codes(), "settings": settings()}
    for name, text in (pages | {page: api(module) for page, module in MODULES.items()}).items():
        files.append(File.generated(config, f"examples/reference/{name}.md", content=text))
