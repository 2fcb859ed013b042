"""The commands of `scoreinv`: the one that is asked for is imported and built, and the others only where all count.

So `--help` answers at once. Its pages are made without typer's parser too, whose types take as long to load as the
rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from importlib import import_module

import typer

from scoreinv.cli.command import VersionOption, command, first_paragraph
from scoreinv.cli.defaults import read_defaults, warn_of_unknown_variables
from scoreinv.cli.pages import HELP_ALL, CommandPage, GroupPage

COMPLETE = "_SCOREINV_COMPLETE"
"""The variable by which a shell asks for completions."""
HELP = ("-h", "--help")
PICTURES, MODELS = "Pictures", "Models"
"""The panels of the commands."""

PANELS = {
    **dict.fromkeys(("restore", "inpaint", "colorize", "damage", "denoise", "upscale", "deblur", "serve"), PICTURES),
    **dict.fromkeys(("sample", "interpolate", "train", "likelihood", "evaluate", "convert", "models"), MODELS),
}
"""The commands in the order of the help. Each is a module here, with a function of its name."""

GROUPS = ("models",)
"""Those that are commands of commands: their modules have an `app`."""


def _root(version: VersionOption = False) -> None:
    pass


def _nothing() -> None:
    pass


def _empty() -> typer.Typer:
    """`scoreinv` without a command."""
    app = typer.Typer(
        name="scoreinv",
        cls=GroupPage,
        help="Restore pictures by score-based generative models: fill holes, add colour, sample, train.\n\n"
        "  scoreinv inpaint photo.png --mask mask.png\n"
        "  scoreinv colorize gray.jpg",
        no_args_is_help=True,
        context_settings={"help_option_names": list(HELP)},
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    return app


@cache
def _command(*names: str) -> GroupPage:
    """`scoreinv` with the commands of these names."""
    app = _empty()
    for name in names:
        module = import_module(f"scoreinv.cli.{name}")
        if name in GROUPS:
            app.add_typer(module.app, name=name, rich_help_panel=PANELS[name])
            continue
        whole = command(getattr(module, name), name, unused=getattr(module, "UNUSED", ()), examples=module.EXAMPLES)
        app.command(name, cls=CommandPage, rich_help_panel=PANELS[name])(whole)
    return _group(app)


def _contents() -> GroupPage:
    """`scoreinv` with the first words of all commands, and nothing that they take."""
    app = _empty()
    for name, panel in PANELS.items():
        module = import_module(f"scoreinv.cli.{name}")
        words = module.app.info.help if name in GROUPS else first_paragraph(getattr(module, name))
        app.command(name, help=words, rich_help_panel=panel)(_nothing)
    return _group(app)


def _group(app: typer.Typer) -> GroupPage:
    group = typer.main.get_command(app)  # with the options of completion, which `get_group` leaves out
    assert isinstance(group, GroupPage)
    return group


def _asked(arguments: list[str]) -> Iterable[str]:
    """The names of the commands that a command line needs: all where it does not begin with one."""
    return arguments[:1] if arguments and arguments[0] in PANELS else PANELS


def _page(arguments: list[str]) -> str | None:
    """The page that the words ask for; None where they ask for none, or the parser has something to say before."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--version" in words or {*HELP, HELP_ALL}.isdisjoint(words):
        return None
    found: GroupPage | CommandPage = _contents() if words[0] in HELP else _command(*_asked(words))
    context = typer.Context(found, info_name="scoreinv", **found.context_settings)
    for word in words:
        if isinstance(found, CommandPage):
            if word in HELP or word == HELP_ALL:
                return found.page(context, full=word == HELP_ALL)
            continue
        if word in HELP:
            return found.page(context)
        inner = found.get_command(context, word)
        if not isinstance(inner, CommandPage | GroupPage):
            return None
        context = typer.Context(inner, parent=context, info_name=word, **inner.context_settings)
        found = inner
    return None


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit status, and lets errors of the command and of its options pass."""
    if COMPLETE in os.environ:
        _command(*PANELS).main([], prog_name="scoreinv")  # tells the shell, and exits
    page = _page(arguments)  # also with a wrong file of defaults
    if page is not None:
        typer.echo(page)
        return 0
    try:
        defaults = {} if "--version" in arguments else read_defaults(lambda: _command(*PANELS))
        whole = _command(*_asked(arguments))
        warn_of_unknown_variables(whole, lambda: _command(*PANELS))
        # Not by `main` of the command, which reports interruptions in its own way.
        with whole.make_context("scoreinv", list(arguments), default_map=defaults) as context:
            whole.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
