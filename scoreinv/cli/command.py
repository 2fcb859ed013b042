"""How a function becomes a command: its parameters, and the fields of its groups of options, as Typer takes them."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Collection, Iterator
from copy import copy
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from scoreinv.cli.options import ADVANCED, PREFIX, Common, advanced, common_option, option
from scoreinv.cli.report import show_log
from scoreinv.errors import InputError
from scoreinv.options import Setting, declared
from scoreinv.version import __version__

_log = logging.getLogger(__name__)
HELP_ALL = "--help-all"


def _show_all(context: typer.Context, value: bool) -> None:
    if value:
        context.meta[HELP_ALL] = True
        typer.echo(context.get_help())
        raise typer.Exit


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"scoreinv {__version__}")
        raise typer.Exit


_HelpAllOption = Annotated[
    bool,
    common_option(HELP_ALL, callback=_show_all, is_eager=True, show_default=False, help="Show all options, and exit."),
]
VersionOption = Annotated[
    bool,
    advanced("--version", callback=_show_version, is_eager=True, show_default=False, help="Show the version and exit."),
]


def command(function: Callable[..., None], *, examples: str = "", unused: Collection[str] = ()) -> Callable[..., None]:
    """The function as Typer takes it: the fields of parameters that are data classes become options of their own.

    A field is an option by the `option` (or argument) or the `options.Setting` that it is annotated with, and a field
    `seed` without either is the common seed.

    Args:
        examples: lines for its help.
        unused: common options that the command takes and has no use for; its help leaves them out.
    """
    signature = inspect.signature(function, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += _options(groups[name], function.__name__, unused)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    parameters += [_keyword("help_all", _HelpAllOption, False), _keyword("version", VersionOption, False)]

    def run(context: typer.Context, **given: Any) -> None:
        told = {
            f"{name_of(parameter)} {given[parameter.name]}": where
            for parameter in context.command.params
            if parameter.name in given and (where := where_from(context, parameter))
        }
        try:
            for parameter in context.command.params:
                _check_value(parameter, given.get(parameter.name))
            grouped = {name: _take(kind, given) for name, kind in reversed(groups.items())}
            plain = {name: given[name] for name in signature.parameters if name not in groups}
            show_log(verbose=grouped["common"].verbose)
            for option, where in told.items():
                _log.info("%s, by %s", option, where)
            function(**plain, **grouped)
        except Exception as error:
            vars(error).update(common=_take(Common, given), told=told)  # how it is told, and what may be the cause
            raise

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__name__, run.__module__ = function.__name__, function.__module__
    about = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
    run.__doc__ = f"{about}\n\n\b\n{examples.strip(chr(10))}" if examples else about
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    return run


def _options(kind: type, command: str, unused: Collection[str]) -> Iterator[inspect.Parameter]:
    """The options of the fields of a data class."""
    settings = declared(kind)
    for field, annotation in _fields(kind):
        plain, given = get_args(_of_setting(*settings[field.name]) if field.name in settings else annotation)
        declaration = copy(given)
        if plain is bool:
            declaration.show_default = False
        if kind is Common:
            own = f"{PREFIX}_{command}_{field.name}".upper()  # goes before that of all commands
            declaration.envvar = [own, f"{PREFIX}_{field.name.upper()}"]
            declaration.hidden = field.name in unused
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield _keyword(field.name, Annotated[plain, declaration], default)


def _fields(kind: type) -> list[tuple[Field[Any], Any]]:
    """The fields of a data class that are options, with their annotations."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in fields(kind) if get_origin(hints[field.name]) is Annotated]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _of_setting(kind: Any, setting: Setting) -> Any:
    """What Typer takes for a field with a setting."""
    ends = {} if setting.range is None else {"min": setting.range.least, "max": setting.range.most}
    bounds: dict[str, Any] = {end: bound for end, bound in ends.items() if bound is not None and math.isfinite(bound)}
    text = str | None if get_origin(kind) in (Union, UnionType) else str
    panel = ADVANCED if setting.advanced else None
    shown = option(help=setting.words, metavar=setting.metavar, rich_help_panel=panel, **bounds)
    return Annotated[kind if setting.read is None else text, shown]


def _take(kind: type, given: dict[str, Any]) -> Any:
    """A group, of the values of its options."""
    own = {field.name: given[field.name] for field, _ in _fields(kind)}
    for name, (_, setting) in declared(kind).items():
        if setting.read is not None and own[name] is not None:
            own[name] = setting.read(own[name])
    if "seed" in {field.name for field in fields(kind)} - set(own):
        own["seed"] = given["seed"] or 0
    return kind(**own)


def _check_value(parameter: Any, value: object) -> None:
    """Raise InputError for an empty text (mostly an unset variable of the shell) and for NaN or an infinite number."""
    name = name_of(parameter)
    if value == "" or (isinstance(value, list) and "" in value):
        raise InputError(f"{name}: is empty (is a variable of the shell unset?)")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} {value}: give a number")


def name_of(parameter: Any) -> str:
    """What the command line calls one of Click's parameters: its longest option, or its placeholder in the help."""
    is_option = parameter.param_type_name == "option"
    return max(parameter.opts, key=len) if is_option else str(parameter.metavar).rstrip(".")


def where_from(context: Any, parameter: Any) -> str | None:
    """What gave a parameter its value, where that was not typed: `the environment` or `scoreinv.toml`."""
    source = context.get_parameter_source(parameter.name)
    return {"ENVIRONMENT": "the environment", "DEFAULT_MAP": "scoreinv.toml"}.get(getattr(source, "name", ""))


class Page(typer.core.TyperCommand):
    """A command whose `--help` is what photographers need, on a screen; `--help-all` shows the other options too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page."""
        for parameter in (each for each in self.params if isinstance(each, typer.core.TyperOption)):
            parameter.hidden |= parameter.rich_help_panel == ADVANCED and HELP_ALL not in ctx.meta
            if parameter.is_flag:
                parameter.metavar = " "  # it has no value
            if parameter.default is not True:
                parameter.secondary_opts = []  # every flag has a --no-, for what is set in a file
        super().format_help(ctx, formatter)
