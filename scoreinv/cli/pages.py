"""Help pages: what a photographer needs, on one screen; `--help-all` explains the other options too.

Typer's own pages show types of Python and ranges of numbers, and take two screens. Here an option is shown by its
names, the placeholder of its value and its words; options of the panel `ADVANCED` are only named, unless all are asked
for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from inspect import cleandoc
from textwrap import indent
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

ADVANCED = "For scripts and researchers"
"""The panel of options that photographers need not know."""

HELP_ALL = "--help-all"
"""The option that explains all options."""

MAIN = "Options"
COMMON = "Common options"
"""The panel of options that every command has."""

_NAMES, _WORDS, _BORDER = "bold cyan", "", "dim"


class CommandPage(typer.core.TyperCommand):
    """A command with such a page."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments and required options by their placeholders, then what may be left out."""
        arguments = [param.metavar or "" for param in self.params if param.param_type_name == "argument"]
        required = [
            f"{max(param.opts, key=len)} {param.metavar}"
            for param in self.params
            if param.param_type_name == "option" and param.required
        ]
        return [*arguments, *required, "[OPTIONS]"]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page of `--help` at once, as typer does: what click gets is empty."""
        typer.echo(self.page(ctx, full=False))

    def page(self, ctx: Any, *, full: bool) -> str:
        """The page; full: with the words of the advanced options."""
        panels: defaultdict[str, list[Any]] = defaultdict(list, {MAIN: []})
        for param in self.get_params(ctx):
            panel = COMMON if "--help" in param.opts else getattr(param, "rich_help_panel", None)
            if not getattr(param, "hidden", False):
                panels[panel or MAIN].append(param)
        advanced = panels.pop(ADVANCED, [])
        shown = [_panel(title, [_row(param) for param in params]) for title, params in panels.items() if params]
        if advanced and full:
            shown.append(_panel(ADVANCED, [_row(param) for param in advanced]))
        elif advanced:
            names = "  ".join(max(param.opts, key=len) for param in advanced)
            shown.append(_panel(f"{ADVANCED}: {HELP_ALL} explains these", [(names,)]))
        return _rendered(self.get_usage(ctx), self.help, shown)


class GroupPage(typer.core.TyperGroup):
    """A group of commands with such a page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page of `--help`."""
        typer.echo(self.page(ctx))

    def page(self, ctx: Any) -> str:
        """The page."""
        panels: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panels[getattr(command, "rich_help_panel", None) or "Commands"].append(
                    (name, _first(command.help or ""))
                )
        shown = [_panel(title, rows) for title, rows in panels.items()]
        shown.append(_panel("Options", [_row(param) for param in self.get_params(ctx)]))
        return _rendered(self.get_usage(ctx), self.help, shown)


def show_all(ctx: typer.Context, value: bool) -> None:
    """What `--help-all` does."""
    if value:
        typer.echo(ctx.command.page(ctx, full=True))  # type: ignore[attr-defined]  # it is a CommandPage
        raise typer.Exit


def _first(words: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(cleandoc(words).partition("\n\n")[0].split())


def _row(param: Any) -> tuple[str, str]:
    """An option's names with its placeholder, and its words with the default, where they do not tell it themselves."""
    words = param.help or ""
    default = param.default
    told = default is None or isinstance(default, bool) or "default" in words or param.show_default is not True
    if param.param_type_name == "argument":
        return param.metavar, words
    # Every flag has a --no-; it is what is asked for where the flag is on by itself.
    others = [name for name in param.secondary_opts if param.default is True or not name.startswith("--no-")]
    both = [*sorted(param.opts, key=len), *others]
    placeholder = "" if param.is_flag or param.metavar is None else f" {param.metavar}"
    return f"{', '.join(both)}{placeholder}", words if told else f"{words} (default: {default})"


def _panel(title: str, rows: Sequence[tuple[str, ...]]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for cells in rows:
        table.add_row(*(Text(cell, style) for cell, style in zip(cells, (_NAMES, _WORDS), strict=False)))
    return Panel(table, title=title, title_align="left", border_style=_BORDER)


def _rendered(usage: str, words: str | None, panels: list[RenderableType]) -> str:
    """The page as text, in colours where stdout is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(Text(usage, "bold"))
        about, _, examples = cleandoc(words or "").partition("\n\n")
        console.print(Text(" ".join(about.split())))
        if examples:
            console.print(Text(f"\n{indent(cleandoc(examples), '  ')}\n"))
        console.print(*panels, sep="")
    return captured.get().rstrip("\n")
