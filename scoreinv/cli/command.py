"""Turn a function into a command: its parameters and the fields of its data classes become Typer options.

A field or parameter is an option if it is annotated with a `Setting`. A field without a `Setting` gets the value of the
common option of the same name, such as `seed` or `overwrite`.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer

from scoreinv.cli.options import PREFIX, Common
from scoreinv.cli.render import describe, show_log
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import Declared, Range, Setting, check, declared, problem_of
from scoreinv.system.version import __version__

_log = logging.getLogger(__name__)
HELP_ALL = "--help-all"
ADVANCED, COMMON = "For scripts and researchers", "Common options"
_PANELS = {"output": "Output", "quality": "Output", "common": COMMON, "options": "Run"}
"""Panels of the help by parameter. Only `--help-all` shows the panel `ADVANCED`."""
_LARGEST = 10_000
"""Maximum upper end of a range that the help prints."""
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_COMMON = {field.name for field in fields(Common)}
SOURCES = {"ENVIRONMENT": "the environment", "DEFAULT_MAP": "scoreinv.toml"}
"""Words for the source of an option that was not typed, by Click's name."""


def _show_and_exit(context: typer.Context, option: typer.CallbackParam, value: bool) -> None:
    """Print the version or a help page, and exit. `--help` leaves out the options for scripts and researchers."""
    if not value:
        return
    if option.name == "version":
        typer.echo(f"scoreinv {__version__}")
    else:
        for parameter in context.command.params:
            if isinstance(parameter, typer.core.TyperOption):
                parameter.hidden |= parameter.rich_help_panel == ADVANCED and option.name != "help_all"
                if parameter.is_flag:
                    parameter.metavar = " "
                    if parameter.default is not True:
                        parameter.secondary_opts = []  # each flag has a --no-NAME, for flags set in a file
            else:
                vars(parameter)["display_type_rich"] = lambda **_: None  # else `<list[str]>`
        typer.echo(context.get_help())
    raise typer.Exit


_flag = partial(typer.Option, callback=_show_and_exit, is_eager=True, show_default=False, show_envvar=False)
Version = Annotated[bool, _flag("--version", help="Show the version and exit.")]
Help = Annotated[bool, _flag("--help", "-h", help="Show this message and exit.")]
_EAGER_OPTIONS = {
    "help_all": Annotated[bool, _flag(HELP_ALL, help="Show all options and exit.", rich_help_panel=COMMON)],
    "version": Annotated[bool, _flag("--version", help="Show the version and exit.", rich_help_panel=ADVANCED)],
    "help": Annotated[bool, _flag("--help", "-h", help="Show this message and exit.", rich_help_panel=COMMON)],
}
"""Options of every command that replace its work."""


def command(function: Callable[..., None], words: str, unused: Collection[str] = ()) -> Callable[..., None]:
    """Return a function with the signature and annotations that Typer needs.

    Args:
        function: the command; its parameters are options, or data classes whose fields are options.
        words: name of the command, such as `models list`.
        unused: names of common options that the command accepts but ignores; the help omits them.
    """
    signature = inspect.signature(function, eval_str=True)
    groups = {name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)}
    parameters: list[inspect.Parameter] = []
    settings: dict[str, Setting] = {}

    def add(each: Declared, group: str, hint: Any = None) -> None:
        setting, default = each.setting, each.default
        if setting is not None:
            settings[each.name] = setting
            own = setting.option if setting.choices else each.name  # the field has another meaning
            variables = [f"{PREFIX}_{words}_{own}", *([f"{PREFIX}_{each.name}"] if group == "common" else [])]
            envvar = [variable.replace(" ", "_").rstrip("_").upper() for variable in variables]
            default = setting.choices[0] if setting.choices else None if setting.repeatable else default
            hint = _option(each, setting, _PANELS.get(group), envvar=envvar, hidden=each.name in unused)
        parameters.append(inspect.Parameter(each.name, _KEYWORD, default=default, annotation=hint))

    for name, parameter in signature.parameters.items():
        if name in groups:
            for each in (each for each in declared(groups[name]) if each.annotation is not None):
                add(each if each.default is not MISSING else each._replace(default=inspect.Parameter.empty), name)
        else:
            add(Declared.of(name, parameter.annotation, parameter.default), name, parameter.annotation)
    parameters.sort(key=lambda each: each.name in settings and settings[each.name].advanced)
    own = {"context": typer.Context, **{each.name: each.annotation for each in parameters}, **_EAGER_OPTIONS}
    parameters.insert(0, inspect.Parameter("context", _KEYWORD))
    parameters += [inspect.Parameter(name, _KEYWORD, default=False) for name in _EAGER_OPTIONS]

    def run(context: typer.Context, **given: Any) -> None:
        common = Common(**{field.name: given[field.name] for field in fields(Common)})
        show_log(verbose=common.verbose, debug=common.debug)
        try:
            _check_given(context, given, settings)
            made = {name: _made(kind, given, settings) for name, kind in groups.items()}
            function(**{name: given[name] for name in signature.parameters if name not in groups}, **made)
        except Exception as error:
            vars(error)["common"] = common  # for `main`, which prints the error
            if isinstance(error, SettingError):
                vars(error)["option"] = _label(context, error.setting)
                if (source := source_of(context, error.setting)) is not None:
                    raise _with_source(error, source) from error
            raise

    run.__name__, run.__module__, run.__doc__ = function.__name__, function.__module__, function.__doc__
    # Typer reads the annotations, and from the signature the defaults.
    run.__signature__ = inspect.Signature([each.replace(annotation=own[each.name]) for each in parameters])  # type: ignore[attr-defined]
    run.__annotations__ = own
    return run


def source_of(context: typer.Context, name: str) -> str | None:
    """Return the words for the file or variable that set an option; None if it was typed or has its default."""
    source = context.get_parameter_source(name)
    where = SOURCES.get("" if source is None else source.name)
    if where != SOURCES["ENVIRONMENT"]:
        return where
    envvar: Any = next(each for each in context.command.params if each.name == name).envvar
    return next((each for each in envvar if os.environ.get(each)), where)


def _label(context: typer.Context, name: str) -> str:
    """Return the option or argument of a setting's name."""
    parameter = next((each for each in context.command.params if each.name == name), None)
    if parameter is None:
        return f"--{name.replace('_', '-')}"
    is_option = isinstance(parameter, typer.core.TyperOption)
    return max(parameter.opts, key=len) if is_option else str(parameter.metavar).rstrip(".")


def _with_source(error: SettingError, source: str) -> InputError:
    renamed = InputError(f"{source}: {describe(error)}")
    vars(renamed).update(vars(error))
    return renamed


def _check_given(context: typer.Context, given: dict[str, Any], settings: dict[str, Setting]) -> None:
    """Raise InputError for an empty value, SettingError for one out of range; log values of files and variables."""
    for parameter in (each for each in context.command.params if each.name in given):
        name, value = str(parameter.name), given[str(parameter.name)]
        label = _label(context, name)
        source = context.get_parameter_source(name)
        if source is not None and source.name in SOURCES:
            _log.info("%s %s, from %s", label, value, SOURCES[source.name])
        if value == "" or (isinstance(value, list) and "" in value):
            raise InputError(f"{label}: is empty (is a variable of the shell unset?)")
        setting = settings.get(name)
        if setting is not None and setting.range is not None and value is not None:
            check(name, value, setting.range)


def _made(kind: Any, given: dict[str, Any], settings: dict[str, Setting]) -> Any:
    """Return an instance of a data class with the values of the options."""
    values: dict[str, Any] = {}
    for each in declared(kind):
        if each.annotation is not None:
            read = settings[each.name].read
            values[each.name] = given[each.name] if read is None else read(given[each.name])
        elif each.name in _COMMON:
            values[each.name] = given[each.name]
    if kind is not Common and "seed" in values:
        values["seed"] = values["seed"] or 0
    return kind(**values)


def _option(each: Declared, setting: Setting, panel: str | None, **more: Any) -> Any:
    """Return Typer's annotation for a setting.

    The range is only the placeholder in the help, such as `0-1`; `_check_given` checks it.
    """
    plain, kind, metavar = each.kind, each.type, setting.metavar
    if setting.choices:
        plain = kind = Literal[setting.choices]
    elif setting.repeatable:
        plain = kind = list[str] | None
    elif setting.read is not None:
        plain, kind = str, str | None
    if plain is bool:
        metavar = " "
    elif plain in (int, float) and setting.range is not None:
        metavar, number, allowed = metavar or _range(plain, setting.range), plain, setting.range

        def parse(text: Any) -> Any:  # the words of Click and Pydantic name no range
            try:
                return number(text)
            except ValueError:
                raise typer.BadParameter(problem_of(text, allowed)) from None

        more["parser"] = parse
    shown = typer.Option(
        *(name if name.startswith("-") else f"--{name}" for name in (setting.option or "").split()),
        help=setting.words,
        metavar=metavar,
        rich_help_panel=ADVANCED if setting.advanced else panel,
        show_envvar=False,
        show_default=plain is not bool,
        **more,
    )
    return Annotated[kind, shown]


def _range(kind: type, allowed: Range) -> str:
    if allowed.least is None or not allowed.most <= _LARGEST or math.isinf(allowed.least):
        return "N" if kind is int else "NUMBER"
    return f"{allowed.least:g}-{allowed.most:g}"
