"""The commands of `scoreinv`, imported on use, and their defaults in `scoreinv.toml`.

Options of all commands stand at the head of the file, those of one command in its table, named without dashes. A file
in the working folder overrides that in the user's configuration folder. Environment variables
(`SCOREINV_COMMAND_OPTION`, for all commands `SCOREINV_OPTION`) override both, and typed options override everything.

    device = "cpu"

    [inpaint]
    samples = 4
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from scoreinv.cli.command import HELP_ALL, Help, Version, command
from scoreinv.cli.options import PREFIX, Common
from scoreinv.system.errors import InputError

TOML = "scoreinv.toml"
PHOTOGRAPHS, MODELS = "Photographs", "Models"
COMMANDS = {
    **dict.fromkeys(("restore", "inpaint", "select", "damage", "colorize"), PHOTOGRAPHS),
    **dict.fromkeys(("denoise", "upscale", "deblur", "serve", "gimp"), PHOTOGRAPHS),
    **dict.fromkeys(("models", "sample", "interpolate", "likelihood", "train", "evaluate", "convert"), MODELS),
}
"""Commands in the order of the help, with their panels. Each is a module here, with a function of its name."""
GROUPS = {"models": ("list", "show"), "gimp": ("install",)}
"""Commands with subcommands: their modules have a table of them, `PARTS`."""
_COMMANDS = [[name, part] for name, parts in GROUPS.items() for part in parts]
_COMMANDS += [[name] for name in COMMANDS if name not in GROUPS]
"""The words of each command."""
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
    """Return the command line with the requested command, or with all if none is."""
    app = typer.Typer(callback=_root, **_APP)
    for name in arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS:
        module, panel = import_module(f"scoreinv.cli.{name}"), COMMANDS[name]
        if name in GROUPS:
            group = typer.Typer(callback=_group(module.__doc__), **_APP)
            for part, function in module.PARTS.items():
                group.command(part, add_help_option=False)(
                    command(function, examples=module.EXAMPLES[part], unused=module.UNUSED)
                )
            app.add_typer(group, name=name, rich_help_panel=panel)
        else:
            whole = command(getattr(module, name), examples=module.EXAMPLES, unused=getattr(module, "UNUSED", ()))
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
    if not {"--help", "-h", HELP_ALL, "--version"} & set(arguments):  # they work with a wrong file, too
        settings = {"default_map": _defaults(group, arguments), "auto_envvar_prefix": PREFIX}
    try:
        # Not by the command's `main`, which reports interruptions in its own way.
        with group.make_context("scoreinv", list(arguments), **settings) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _defaults(group: Any, arguments: list[str]) -> dict[str, Any]:
    """Return the defaults of the files by command and parameter; raise InputError for a wrong file."""
    import tomllib

    defaults: dict[str, Any] = {}
    common = {field.name for field in fields(Common)}
    for path in (Path(typer.get_app_dir("scoreinv")) / TOML, Path(TOML)):
        try:
            if not path.is_file():
                continue
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except PermissionError:  # a folder closed to this user, such as a service's home
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is not TOML ({error}): correct it, or move it away") from error
        for words, key, value in sorted(_entries(path, found), key=lambda entry: len(entry[0])):  # the closest last
            name, asked = f"{key}_" if keyword.iskeyword(key) else key.replace("-", "_"), " ".join(words)
            if not words and name not in common:
                raise InputError(
                    f"{path}: {key} is not an option of all commands: put it in a table, such as [inpaint]"
                )
            if words and arguments[: len(words)] == words and name not in _parameters(group, arguments):
                raise InputError(f"{path}: {key} is not an option of {asked}: see scoreinv {asked} --help-all")
            for command_words in (each for each in _COMMANDS if each[: len(words)] == words):
                table = defaults
                for word in command_words:
                    table = table.setdefault(word, {})
                table[name] = value
    return defaults


def _entries(path: Path, table: dict[str, Any], words: Sequence[str] = ()) -> Iterator[tuple[list[str], str, str]]:
    """Yield the entries of a file: the command's words (none: all commands), the option's name, the value as typed."""
    for key, value in table.items():
        within = [*words, key]
        if isinstance(value, dict):
            if not any(each[: len(within)] == within for each in _COMMANDS):
                raise InputError(f"{path}: [{'.'.join(within)}] is not a command: see scoreinv --help")
            yield from _entries(path, value, within)
        elif isinstance(value, bool | int | float | str):
            yield [*words], key, str(value)
        else:
            raise InputError(f"{path}: {key}: give one text, number, true or false")


def _parameters(group: Any, arguments: list[str]) -> set[str]:
    """Return the option names of the requested command; of a group without a subcommand, those of all its commands."""
    found = group.commands[arguments[0]]
    if arguments[0] not in GROUPS:
        commands = [found]
    elif arguments[1:2] and arguments[1] in found.commands:
        commands = [found.commands[arguments[1]]]
    else:
        commands = list(found.commands.values())
    return {parameter.name for each in commands for parameter in each.params if not parameter.is_eager}
