"""The commands of `scoreinv`, imported on use, and their defaults in `scoreinv.toml`.

The top of the file sets options that all commands have. A table sets the options of the command of its name. Options
are named without leading dashes:

    device = "cpu"

    [inpaint]
    samples = 4

`scoreinv.toml` in the working folder overrides the one in the user's configuration folder. Environment variables
override both: `SCOREINV_COMMAND_OPTION`, or for all commands `SCOREINV_OPTION`. Typed options override everything.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from scoreinv.cli.command import HELP_ALL, Help, Version, command
from scoreinv.cli.options import PREFIX, Common
from scoreinv.cli.photos import command_of, unused_by
from scoreinv.system.errors import InputError
from scoreinv.tasks.table import BY_NAME

_log = logging.getLogger(__name__)
TOML = "scoreinv.toml"
PHOTOGRAPHS, MODELS = "Photographs", "Models"
COMMANDS = {
    **dict.fromkeys((*BY_NAME, "compare", "rerun", "serve", "gimp"), PHOTOGRAPHS),
    **dict.fromkeys(("models", "sample", "interpolate", "likelihood", "train", "evaluate", "convert"), MODELS),
}
"""The panel of each command, in the order of the help. A command is a task, or a module of this package with a function
of its name."""
GROUPS = {"models": ("list", "show"), "gimp": ("install",)}
"""The subcommands of commands. The module of such a command has a table of their functions, `PARTS`."""
_APP: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": "rich",
    "context_settings": {"help_option_names": []},
}


def _root(version: Version = False, help: Help = False) -> None:
    """Remove objects and damage, add colour, and reduce noise and blur in photographs.

    \b
    scoreinv inpaint photo.png --mask mask.png
    scoreinv colorize gray.jpg
    """


def _app(arguments: list[str]) -> Any:
    """Return the command line with the requested command, or with all commands if none is requested."""
    app = typer.Typer(callback=_root, **_APP)
    for name in arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS:
        panel = COMMANDS[name]
        if name in BY_NAME:
            task = BY_NAME[name]
            whole = command(command_of(task), name, unused_by(task))
            app.command(name, add_help_option=False, rich_help_panel=panel)(whole)
            continue
        module = import_module(f"scoreinv.cli.{name}")
        unused = getattr(module, "UNUSED", ())
        if name in GROUPS:
            group = typer.Typer(callback=_group(module.__doc__), **_APP)
            for part, function in module.PARTS.items():
                group.command(part, add_help_option=False)(command(function, f"{name} {part}", unused))
            app.add_typer(group, name=name, rich_help_panel=panel)
        else:
            whole = command(getattr(module, name), name, unused)
            app.command(name, add_help_option=False, rich_help_panel=panel)(whole)
    root = typer.main.get_command(app)
    for parameter in root.params:  # those of shell completion are Typer's own
        vars(parameter).update(metavar=" ")
    return root


def _group(about: str | None) -> Any:
    def group(help: Help = False) -> None: ...

    group.__doc__ = about
    return group


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status. Errors of the command and its options are raised."""
    group = _app(arguments)
    if f"_{PREFIX}_COMPLETE" in os.environ:
        group.main([], prog_name="scoreinv")  # answers the shell, and exits
    settings: dict[str, Any] = {}
    if not {"--help", "-h", HELP_ALL, "--version"} & set(arguments):  # these options work with an invalid file
        settings = {"default_map": _defaults(group, arguments)}
    try:
        # Not by the command's `main`, which reports interruptions in its own way.
        with group.make_context("scoreinv", list(arguments), **settings) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _defaults(group: Any, arguments: list[str]) -> dict[str, Any]:
    """Return the defaults of both `scoreinv.toml` for the requested command, in the form of Click's `default_map`.

    Raises InputError if a file is not valid.
    """
    words = arguments[: 2 if arguments[:1] and arguments[0] in GROUPS else 1]
    command = group
    for word in words:
        command = getattr(command, "commands", {}).get(word)
    if command is None or hasattr(command, "commands"):  # Click reports it, or shows the help
        return {}
    options = [each for each in command.params if not each.is_eager]
    _warn_of_variables(words, {name for each in options for name in each.envvar or ()})
    names = {each.name.replace("_", "-"): each.name for each in options}
    names |= {option.lstrip("-"): each.name for each in options for option in each.opts}
    repeatable = {each.name for each in options if getattr(each, "multiple", False)}
    values: dict[str, Any] = {}
    for path in (Path(typer.get_app_dir("scoreinv")) / TOML, Path(TOML)):
        table = _read(path)
        for depth, subcommands in enumerate((COMMANDS, GROUPS.get(words[0], ()), ())[: len(words) + 1]):
            for key, value in table.items():
                name = names.get(key.replace("_", "-"))
                if problem := _entry_problem(key, value, name, words[:depth], subcommands):
                    raise InputError(f"{path}: {problem}")
                if not isinstance(value, dict):
                    values[str(name)] = [str(value)] if name in repeatable else str(value)
            table = table.get(words[depth], {}) if depth < len(words) else {}
    for word in reversed(words):
        values = {word: values}
    return values


def _warn_of_variables(words: list[str], known: set[str]) -> None:
    """Warn of variables that set no option of a command; those of other commands may be right.

    This is no error, since other programs set variables with the prefix, such as Kubernetes for a service of its name.
    """
    every = [[name, part] if part else [name] for name in COMMANDS for part in GROUPS.get(name, ("",))]
    others = tuple(f"{PREFIX}_{'_'.join(each).upper()}_" for each in every if each != words)
    mine = {name for name in os.environ if name.startswith(f"{PREFIX}_") and not name.startswith(others)}
    if unknown := ", ".join(sorted(mine - known)):
        command = " ".join(words)
        _log.warning("%s: not an option of %s: see scoreinv %s --help-all", unknown, command, command)


def _entry_problem(key: str, value: Any, name: str | None, words: list[str], subcommands: Collection[str]) -> str:
    """Return what is wrong with an entry of a file of defaults; empty if it is valid.

    Args:
        name: the parameter that the key names; None: the command has no such option.
        words: the command of the entry's table; empty at the top of the file.
        subcommands: names of the tables that may be in this one.
    """
    words_text = " ".join(words)
    if isinstance(value, dict):
        return "" if key in subcommands else f"[{'.'.join([*words, key])}] is not a command: see scoreinv --help"
    if not isinstance(value, bool | int | float | str):
        return f"{key}: give one text, number, true or false"
    if not words and name not in {field.name for field in fields(Common)}:
        return f"{key} is not an option of all commands: put it in a table, such as [inpaint]"
    if name is None:
        return f"{key} is not an option of {words_text}: see scoreinv {words_text} --help-all"
    return ""


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a file of defaults; empty if the file does not exist or cannot be accessed."""
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return {}  # a service may have no access to its home folder
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML ({error}): correct it, or move it away") from error
