"""The commands of `scoreinv`, imported when they are asked for, and their defaults from `scoreinv.toml`.

Click reads the defaults: options of all commands stand at the head of the file, those of a command in its table, by
their names without the dashes. The file of the working folder goes before that of the user's folder of settings; what
is typed, or given by an environment variable (`SCOREINV_COMMAND_OPTION`, for all commands `SCOREINV_OPTION`), before
both.

    device = "cpu"

    [inpaint]
    samples = 4
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from scoreinv.cli import photo_loop
from scoreinv.cli.command import HELP_ALL, VersionOption, command
from scoreinv.cli.options import PREFIX, Common
from scoreinv.cli.photo_loop import Run
from scoreinv.system.errors import InputError

TOML = "scoreinv.toml"
PICTURES, MODELS = "Pictures", "Models"
COMMANDS = {
    **dict.fromkeys(("restore", "inpaint", "select", "damage", "colorize"), PICTURES),
    **dict.fromkeys(("denoise", "upscale", "deblur", "serve", "gimp"), PICTURES),
    **dict.fromkeys(("sample", "interpolate", "train", "likelihood", "evaluate", "convert", "models"), MODELS),
}
"""The commands in the order of the help, with their panels. Each is a module here, with a function of its name."""
GROUPS = {"models": ("list", "show"), "gimp": ("install",)}
"""Those that are commands of commands: their modules have an `app`."""
_COMMANDS = [[name, part] for name, parts in GROUPS.items() for part in parts]
_COMMANDS += [[name] for name in COMMANDS if name not in GROUPS]
"""The words of each command."""
HELP = {"help_option_names": ["-h", "--help"]}


def _root(version: VersionOption = False) -> None:
    """Restore pictures by score-based generative models: fill holes, add colour, sample, train.

    \b
    scoreinv inpaint photo.png --mask mask.png
    scoreinv colorize gray.jpg
    """


def _app(arguments: list[str]) -> Any:
    """The command line; of its commands that which is asked for, or where none is all."""
    app = typer.Typer(callback=_root, no_args_is_help=True, rich_markup_mode="rich", context_settings=HELP)
    for name in arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS:
        module, panel = import_module(f"scoreinv.cli.{name}"), COMMANDS[name]
        if name in GROUPS:
            app.add_typer(module.app, name=name, rich_help_panel=panel)
        else:
            whole = command(getattr(module, name), examples=module.EXAMPLES, unused=getattr(module, "UNUSED", ()))
            app.command(name, add_help_option=False, rich_help_panel=panel)(whole)
    return typer.main.get_command(app)


def run(arguments: list[str], do: Callable[[Run[Any]], None] = photo_loop.run) -> int:
    """Run a command line; returns the exit status, and lets errors of the command and of its options pass.

    do: what is done with the run over photographs that a command asks for.
    """
    group = _app(arguments)
    if f"_{PREFIX}_COMPLETE" in os.environ:
        group.main([], prog_name="scoreinv")  # tells the shell, and exits
    settings: dict[str, Any] = {}
    if not {"--help", "-h", HELP_ALL, "--version"} & set(arguments):  # they answer beside a wrong file, too
        settings = {"default_map": _defaults(group, arguments), "auto_envvar_prefix": PREFIX}
    try:
        # Not by `main` of the command, which reports interruptions in its own way.
        with group.make_context("scoreinv", list(arguments), obj=do, **settings) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _defaults(group: Any, arguments: list[str]) -> dict[str, Any]:
    """What Click takes as defaults, by command and parameter; InputError for a file that is wrong."""
    import tomllib

    defaults: dict[str, Any] = {}
    everywhere = {field.name for field in fields(Common)}
    for path in (Path(typer.get_app_dir("scoreinv")) / TOML, Path(TOML)):
        try:
            if not path.is_file():
                continue
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except PermissionError:  # a folder that is closed to this user, as a service's home may be
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is no TOML ({error}): mend it, or move it away") from error
        for words, key, value in sorted(_entries(path, found), key=lambda entry: len(entry[0])):  # the closest last
            name, asked = f"{key}_" if keyword.iskeyword(key) else key.replace("-", "_"), " ".join(words)
            if not words and name not in everywhere:
                raise InputError(
                    f"{path}: {key} is no option of all commands: put it under a command, such as [inpaint]"
                )
            if words and arguments[: len(words)] == words and name not in _parameters(group, arguments):
                raise InputError(f"{path}: {key} is no option of {asked}: see scoreinv {asked} --help-all")
            for command_words in (each for each in _COMMANDS if each[: len(words)] == words):
                table = defaults
                for word in command_words:
                    table = table.setdefault(word, {})
                table[name] = value
    return defaults


def _entries(path: Path, table: dict[str, Any], words: Sequence[str] = ()) -> Iterator[tuple[list[str], str, str]]:
    """The entries of a file: the words of the command (none: of all), the name of its option, the value as typed."""
    for key, value in table.items():
        within = [*words, key]
        if isinstance(value, dict):
            if not any(each[: len(within)] == within for each in _COMMANDS):
                raise InputError(f"{path}: [{'.'.join(within)}] is no command: see scoreinv --help")
            yield from _entries(path, value, within)
        elif isinstance(value, bool | int | float | str):
            yield [*words], key, str(value)
        else:
            raise InputError(f"{path}: {key}: give one text, number, true or false")


def _parameters(group: Any, arguments: list[str]) -> set[str]:
    """The names of the parameters of the command that is asked for; of a group without one those of all of its own."""
    found = group.commands[arguments[0]]
    if arguments[0] not in GROUPS:
        commands = [found]
    elif arguments[1:2] and arguments[1] in found.commands:
        commands = [found.commands[arguments[1]]]
    else:
        commands = list(found.commands.values())
    return {parameter.name for each in commands for parameter in each.params if not parameter.is_eager}
