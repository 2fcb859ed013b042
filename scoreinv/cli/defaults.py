"""Defaults of options from `scoreinv.toml`, in the working folder or in the user's folder of settings.

Environment variables are click's: this module only tells which of them no option has.

Options of all commands stand at its head, those of a command in its table, by their names without the dashes:

    device = "cpu"

    [inpaint]
    samples = 4

What is given on the command line or by an environment variable goes before it, and the file of the working folder
before the user's. Click takes the values as defaults, and checks them as what is typed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from scoreinv.cli.command import PREFIX, common_options
from scoreinv.cli.streams import warn
from scoreinv.errors import InputError

NAME = "scoreinv.toml"


def read_defaults(whole: Callable[[], typer.core.TyperGroup]) -> dict[str, Any]:
    """The defaults, by command and parameter; InputError for a file that is no TOML or has a key that is no option.

    whole: makes the command with all of its commands, which takes its time; called where there is such a file.
    """
    defaults: dict[str, Any] = {}
    for path in (Path(typer.get_app_dir("scoreinv")) / NAME, Path(NAME)):
        if _is_there(path):
            for words, parameter, value in _entries(path, whole()):
                table = defaults
                for word in words:
                    table = table.setdefault(word, {})
                table[parameter] = value
    return defaults


def warn_of_unknown_variables(asked: typer.core.TyperGroup, whole: Callable[[], typer.core.TyperGroup]) -> None:
    """Warn of variables that are named as defaults are, and are none: with the nearest one.

    Arguments:
        asked: the command with the commands that are asked for.
        whole: makes the one with all commands, which takes its time; called where `asked` does not know a variable.
    """
    given = {name for name in os.environ if name.startswith(PREFIX)} - set(_variables(asked))
    if not given:
        return
    known = {name.removeprefix(PREFIX) for name in _variables(whole())}
    for name in sorted({name.removeprefix(PREFIX) for name in given} - known):
        nearest = difflib.get_close_matches(name, known, n=1)
        warn(f"{PREFIX}{name}: sets no option{f'; did you mean {PREFIX}{nearest[0]}?' if nearest else ''}")


def _variables(group: Any) -> Iterator[str]:
    """The environment variables of the options of all commands."""
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _variables(command)
        else:
            yield from (variable for param in command.params for variable in param.envvar or ())


def _is_there(path: Path) -> bool:
    """Whether it is a file; a folder that is closed to this user, as a service's home may be, holds none for them."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def _entries(path: Path, group: typer.core.TyperGroup) -> Iterator[tuple[list[str], str, str | bool]]:
    """The words of a command, the name of its parameter, and the value of each key; those of all commands first."""
    tables = _read(path)
    commands = dict(_commands(group, []))
    values = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    for key, value in values.items():
        if f"--{key}" not in common_options():
            raise InputError(f"{path}: {key} is no option of all commands: put it under a command, such as [inpaint]")
        for words, options in commands.items():
            yield words.split(), options[f"--{key}"].name, _value(path, key, value, options[f"--{key}"])
    for words, table in _tables(tables, []):
        if words not in commands:
            raise InputError(f"{path}: [{words.replace(' ', '.')}] is no command: see scoreinv --help")
        for key, value in table.items():
            if f"--{key}" not in commands[words]:
                raise InputError(f"{path}: {key} is no option of {words}: see scoreinv {words} --help-all")
            option = commands[words][f"--{key}"]
            yield words.split(), option.name, _value(path, key, value, option)


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML ({error}): mend it, or move it away") from error


def _commands(group: Any, words: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The words of each command, and click's parameter of each of its long options."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, [*words, name])
        else:
            options = [param for param in command.params if param.param_type_name == "option" and not param.is_eager]
            yield " ".join([*words, name]), {max(param.opts, key=len): param for param in options}


def _tables(tables: dict[str, Any], words: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables of commands, also those within others, with their own keys."""
    for name, table in tables.items():
        if isinstance(table, dict):
            own = {key: value for key, value in table.items() if not isinstance(value, dict)}
            if own or len(own) == len(table):
                yield " ".join([*words, name]), own
            yield from _tables(table, [*words, name])


def _value(path: Path, key: str, value: Any, option: Any) -> str | bool:
    """A value as if it were typed; InputError for one that no option takes, or not this one."""
    if not isinstance(value, bool | int | float | str):
        raise InputError(f"{path}: {key}: give one text, number, true or false")
    if isinstance(value, bool) and not option.is_flag:
        raise InputError(f"{path}: {key}: takes a value; true and false are for what is switched on or off")
    return value if isinstance(value, bool) else str(value)
