"""How a function becomes a command: its parameters, and the fields of its groups of options, as Typer takes them."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from scoreinv.cli.options import ADVANCED, PREFIX, Common, common_option, option
from scoreinv.cli.report import show_log
from scoreinv.cli.stores import is_url, run_in_a_store
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting
from scoreinv.system.version import __version__

_log = logging.getLogger(__name__)
HELP_ALL = "--help-all"
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _answer(context: typer.Context, asked: typer.CallbackParam, value: bool) -> None:
    """Print what `--version`, `--help` or `--help-all` asks for, and end the command.

    `--help` shows what photographers need, on a screen.
    """
    if not value:
        return
    if asked.name == "version":
        typer.echo(f"scoreinv {__version__}")
    else:
        options: list[Any] = [each for each in context.command.params if isinstance(each, typer.core.TyperOption)]
        for option in options:
            option.hidden |= option.rich_help_panel == ADVANCED and asked.name != "help_all"
            if option.is_flag:
                option.metavar = " "  # it has no value
            if option.default is not True:
                option.secondary_opts = []  # every flag has a --no-, for what is set in a file
        typer.echo(context.get_help())
    raise typer.Exit


_asking = partial(common_option, callback=_answer, is_eager=True, show_default=False)
VersionOption = Annotated[bool, _asking("--version", help="Show the version and exit.", rich_help_panel=ADVANCED)]
_QUESTIONS = {
    "help_all": Annotated[bool, _asking(HELP_ALL, help="Show all options, and exit.")],
    "version": VersionOption,
    "help": Annotated[bool, _asking("--help", "-h", help="Show this message and exit.")],
}
"""What every command answers in place of its work."""
WHERE = {"ENVIRONMENT": "the environment", "DEFAULT_MAP": "scoreinv.toml"}
"""What gave an option its value, where it was not typed, by Click's name."""


def command(function: Callable[..., Any], *, examples: str = "", unused: Collection[str] = ()) -> Callable[..., None]:
    """The function as Typer takes it: the fields of parameters that are data classes become options of their own.

    What the function returns, a `Run` over photographs, is done by the context's object, see `app.run`.

    A field is an option by the `option` (or argument) or the `options.Setting` that it is annotated with, and a field
    `seed` without either is the common seed.

    Args:
        examples: lines for its help.
        unused: common options that the command takes and has no use for; its help leaves them out.
    """
    signature = inspect.signature(function, eval_str=True)
    annotated = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups: dict[str, Any] = {name: kind for name, kind in annotated.items() if is_dataclass(kind)}
    options = {name: _options(kind, function.__name__, unused) for name, kind in groups.items()}
    parameters = [inspect.Parameter("context", _KEYWORD, annotation=typer.Context)]
    for name, parameter in signature.parameters.items():
        parameters += options.get(name, [parameter.replace(kind=_KEYWORD)])
    for name, annotation in _QUESTIONS.items():
        parameters.append(inspect.Parameter(name, _KEYWORD, default=False, annotation=annotation))

    def run(context: typer.Context, **given: Any) -> None:
        common = Common(**{field.name: given[field.name] for field in fields(Common)})
        show_log(verbose=common.verbose)
        try:
            for parameter in (each for each in context.command.params if each.name in given):
                value, is_option = given[str(parameter.name)], isinstance(parameter, typer.core.TyperOption)
                name = max(parameter.opts, key=len) if is_option else str(parameter.metavar).rstrip(".")
                source = context.get_parameter_source(str(parameter.name))
                if source is not None and source.name in WHERE:
                    _log.info("%s %s, by %s", name, value, WHERE[source.name])
                if value == "" or (isinstance(value, list) and "" in value):
                    raise InputError(f"{name}: is empty (is a variable of the shell unset?)")
                if isinstance(value, float) and math.isnan(value):
                    raise InputError(f"{name} {value}: give a number")
            photos, output = given.get("photos", []), given.get("output")
            if photos and any(map(is_url, [*photos, output or ""])):
                raise typer.Exit(run_in_a_store(photos, output))
            settings: dict[str, Any] = {}
            for name, kind in groups.items():
                own = {option.name: given[option.name] for option in options[name]}
                if "seed" in {field.name for field in fields(kind)} - set(own):
                    own["seed"] = common.seed or 0
                settings[name] = kind(**own)
            asked = function(**{name: given[name] for name in annotated if name not in groups}, **settings)
            if asked is not None:
                context.obj(asked)
        except Exception as error:
            vars(error)["common"] = common  # how it is told
            raise

    run.__name__, run.__module__ = function.__name__, function.__module__
    about = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
    run.__doc__ = f"{about}\n\n\b\n{examples.strip(chr(10))}" if examples else about
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options(kind: type, command: str, unused: Collection[str]) -> list[inspect.Parameter]:
    """The options of a command that the fields of a data class are, as parameters of a function."""
    found: list[inspect.Parameter] = []
    hints = get_type_hints(kind, include_extras=True)
    for field in (each for each in fields(kind) if get_origin(hints[each.name]) is Annotated):
        value, given = get_args(hints[field.name])
        if isinstance(given, Setting):
            ends = {} if given.range is None else {"min": given.range.least, "max": given.range.most}
            bounds: dict[str, Any] = {
                name: end for name, end in ends.items() if end is not None and abs(end) < math.inf
            }
            panel = ADVANCED if given.advanced else None
            shown = option(help=given.words, metavar=given.metavar, rich_help_panel=panel, **bounds)
            if given.read is not None:
                value, shown.callback = str | None, given.read
        else:
            shown = copy(given)
        if value is bool:
            shown.show_default = False
        if kind is Common:
            own = f"{PREFIX}_{command}_{field.name}".upper()  # goes before that of all commands
            shown.envvar = [own, f"{PREFIX}_{field.name.upper()}"]
            shown.hidden = field.name in unused
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        found.append(inspect.Parameter(field.name, _KEYWORD, default=default, annotation=Annotated[value, shown]))
    return found
