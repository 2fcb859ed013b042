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

import difflib
import keyword
import os
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from scoreinv.cli.command import HELP_ALL, Page, VersionOption, command
from scoreinv.cli.options import PREFIX, Common
from scoreinv.cli.report import warn
from scoreinv.errors import InputError

TOML = "scoreinv.toml"
PICTURES, MODELS = "Pictures", "Models"
COMMANDS = {
    **dict.fromkeys(("restore", "inpaint", "colorize", "damage", "denoise", "upscale", "deblur", "serve"), PICTURES),
    **dict.fromkeys(("sample", "interpolate", "train", "likelihood", "evaluate", "convert", "models"), MODELS),
}
"""The commands in the order of the help, with their panels. Each is a module here, with a function of its name."""
GROUPS = {"models": ("list", "show")}
"""Those that are commands of commands: their modules have an `app`."""
_COMMON = [field.name for field in fields(Common)]


def _built(name: str) -> Any:
    """Click's command of a name."""
    module = import_module(f"scoreinv.cli.{name}")
    if name in GROUPS:
        return typer.main.get_group(module.app)
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=HELP)
    whole = command(getattr(module, name), examples=module.EXAMPLES, unused=getattr(module, "UNUSED", ()))
    app.command(name, cls=Page)(whole)
    return typer.main.get_command(app)


class Commands(typer.core.TyperGroup):
    """All commands, of which those are imported that are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None where there is none such."""
        if cmd_name not in COMMANDS:
            return None
        found = _built(cmd_name)
        found.name, found.rich_help_panel = cmd_name, COMMANDS[cmd_name]
        return found


HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(name="scoreinv", cls=Commands, no_args_is_help=True, rich_markup_mode="rich", context_settings=HELP)


@app.callback()
def _root(version: VersionOption = False) -> None:
    """Restore pictures by score-based generative models: fill holes, add colour, sample, train.

    \b
    scoreinv inpaint photo.png --mask mask.png
    scoreinv colorize gray.jpg
    """


def run(arguments: list[str]) -> int:
    """Run a command line; returns the exit status, and lets errors of the command and of its options pass."""
    group = typer.main.get_command(app)
    if f"_{PREFIX}_COMPLETE" in os.environ:
        group.main([], prog_name="scoreinv")  # tells the shell, and exits
    settings: dict[str, Any] = {}
    if not {"--help", "-h", HELP_ALL, "--version"} & set(arguments):  # they answer beside a wrong file, too
        _warn_of_unknown_variables(arguments)
        settings = {"default_map": _defaults(arguments), "auto_envvar_prefix": PREFIX}
    try:
        # Not by `main` of the command, which reports interruptions in its own way.
        with group.make_context("scoreinv", list(arguments), **settings) as context:
            group.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _parameters(arguments: list[str]) -> set[str]:
    """The names of the parameters of the command that is asked for."""
    found = _built(arguments[0])
    if arguments[0] in GROUPS and len(arguments) > 1:
        found = found.commands.get(arguments[1], found)
    return {parameter.name for parameter in found.params if not parameter.is_eager}


def _defaults(arguments: list[str]) -> dict[str, Any]:
    """What Click takes as defaults, by command and parameter; InputError for a file that is wrong."""
    defaults: dict[str, Any] = {name: {} for name in COMMANDS}
    for path in (Path(typer.get_app_dir("scoreinv")) / TOML, Path(TOML)):
        for words, key, value in _entries(path):
            name = f"{key}_" if keyword.iskeyword(key) else key.replace("-", "_")
            if list(words) == arguments[: len(words)] and words and name not in _parameters(arguments):
                raise InputError(
                    f"{path}: {key} is no option of {' '.join(words)}: see scoreinv {' '.join(words)} --help-all"
                )
            for table in _tables(defaults, words):
                table[name] = value
    return defaults


def _tables(defaults: dict[str, Any], words: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The defaults of a command, or of all."""
    for name in words[:1] or COMMANDS:
        parts = words[1:] or GROUPS.get(name, ())
        yield from [defaults[name].setdefault(part, {}) for part in parts] or [defaults[name]]


def _entries(path: Path) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The words of a command (none for all), the name of its option, and the value of each entry of a file."""
    import tomllib

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except PermissionError:  # a folder that is closed to this user, as a service's home may be
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML ({error}): mend it, or move it away") from error
    for key, value in found.items():
        if not isinstance(value, dict):
            if key.replace("-", "_") not in _COMMON:
                raise InputError(
                    f"{path}: {key} is no option of all commands: put it under a command, such as [inpaint]"
                )
            yield (), key, _text(path, key, value)
        elif key not in COMMANDS:
            raise InputError(f"{path}: [{key}] is no command: see scoreinv --help")
        else:
            for name, inner in value.items():
                if not isinstance(inner, dict):
                    yield (key,), name, _text(path, name, inner)
                elif name not in GROUPS.get(key, ()):
                    raise InputError(f"{path}: [{key}.{name}] is no command: see scoreinv --help")
                else:
                    yield from (((key, name), option, _text(path, option, given)) for option, given in inner.items())


def _text(path: Path, key: str, value: Any) -> str:
    """A value as if it were typed; InputError for one that no option takes."""
    if not isinstance(value, bool | int | float | str):
        raise InputError(f"{path}: {key}: give one text, number, true or false")
    return str(value)


def _warn_of_unknown_variables(arguments: list[str]) -> None:
    """Warn of variables that are named as those that give options, and are none: with the nearest one."""
    given = {name for name in os.environ if name.startswith(f"{PREFIX}_")}
    if not given or not arguments or arguments[0] not in COMMANDS:
        return
    own = "_".join([PREFIX, *arguments[: 2 if arguments[0] in GROUPS else 1]]).upper()
    known = {f"{PREFIX}_{name.upper()}" for name in _COMMON}
    known |= {f"{own}_{name.upper().rstrip('_')}" for name in _parameters(arguments)}
    others = tuple(f"{PREFIX}_{name.upper()}_" for name in COMMANDS if name != arguments[0])
    for name in sorted(given - known):
        if not name.startswith(others):
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            warn(f"{name}: sets no option{f'; did you mean {nearest[0]}?' if nearest else ''}")
