"""How a function becomes a command: its parameters as options, the options that every command has, and their checks."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Collection, Iterator
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from scoreinv.cli.pages import ADVANCED, COMMON, HELP_ALL, show_all
from scoreinv.cli.streams import show_log
from scoreinv.errors import InputError
from scoreinv.options import SEED, Device, Precision, Setting, declared
from scoreinv.version import __version__

LONGEST_CHOICE = 24
"""Letters of the choices of an option that are shown as its placeholder; of more its words tell them."""

PREFIX = "SCOREINV_"
"""What the names of environment variables that give options begin with."""

option = partial(typer.Option, rich_help_panel=COMMON)
advanced = partial(typer.Option, rich_help_panel=ADVANCED)
_log = logging.getLogger(__name__)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"scoreinv {__version__}")
        raise typer.Exit


@dataclass(frozen=True)
class Settings:
    """The options that every command has.

    Attributes:
        given_seed: the random seed; None when it was not given.
        overwrite: existing outputs may be replaced.
        dry_run: the inputs are checked, and what would be done is told; nothing is computed or written.
        quiet: no progress, no notices; warnings and errors stay.
        verbose: what is chosen, and why.
        device, precision: as asked for; `runtime.Session` resolves `auto`.
        threads: CPU threads; None for all, or fewer where the model is measured to be faster by them.
        json: machine-readable lines on stdout.
        debug: tracebacks.
    """

    given_seed: Annotated[
        int | None,
        option("--seed", min=SEED.least, max=SEED.most, help="The same seed gives the same result. (default: 0)"),
    ] = None
    overwrite: Annotated[bool, option("--overwrite", help="Replace files that exist.")] = False
    dry_run: Annotated[bool, option("--dry-run", help="Check the inputs and say what would be written.")] = False
    quiet: Annotated[bool, option("--quiet", "-q", help="Show warnings and errors only.")] = False
    verbose: Annotated[bool, option("--verbose", "-v", help="Say what is chosen, and why.")] = False
    device: Annotated[Device, advanced("--device", help="Where to compute.")] = "auto"
    precision: Annotated[
        Precision, advanced("--precision", help="Number format; auto takes bfloat16 where it is faster.")
    ] = "auto"
    threads: Annotated[
        int | None,
        advanced("--threads", min=1, max=1024, help="CPU threads. (default: all, or fewer where that is faster)"),
    ] = None
    json: Annotated[bool, advanced("--json", help="Print a JSON object for each input, one a line, on stdout.")] = False
    debug: Annotated[bool, advanced("--debug", help="Show tracebacks.")] = False

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.given_seed or 0


VersionOption = Annotated[
    bool, advanced("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]
_HelpAllOption = Annotated[
    bool, option(HELP_ALL, callback=show_all, is_eager=True, help="Explain all options, and exit.")
]
_EAGER = {"version": VersionOption, "help_all": _HelpAllOption}


def command(
    function: Callable[..., None], name: str, *, unused: Collection[str] = (), examples: str = ""
) -> Callable[..., None]:
    """The function as typer takes it: the fields of parameters that are data classes become options of their own.

    A field is an option by the `typer.Option` (or argument) or the `options.Setting` that it is annotated with, and a
    field `seed` without either is the common seed. The parameter may name the panel of its options in the help:
    `Annotated[SamplerSettings, "Sampler"]`.

    Each option can be given by an environment variable too, `SCOREINV_COMMAND_OPTION`, and a common one for all
    commands by `SCOREINV_OPTION`.

    Arguments:
        name: of the command.
        unused: common options that the command takes and has no use for; its help leaves them out.
        examples: lines for its help.
    """
    signature = inspect.signature(function, eval_str=True)
    groups = {key: _Group.of(p.annotation) for key, p in signature.parameters.items() if _Group.fits(p.annotation)}
    # The common ones last, as in the help.
    own = [key for key in signature.parameters if key != "settings"]
    parameters: list[inspect.Parameter] = []
    for key in own:
        plain = signature.parameters[key].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += groups[key].parameters() if key in groups else [plain]
    parameters = [_completed(parameter, name) for parameter in parameters]
    common = groups["settings"].parameters()
    parameters += [_completed(parameter, name, common=True, unused=unused) for parameter in common]
    eager = [_option(key, annotation, False) for key, annotation in _EAGER.items()]

    def run(context: typer.Context, **options: Any) -> None:
        for parameter in parameters:
            _check_value(parameter, options[parameter.name])
        for parameter in eager:
            del options[parameter.name]
        settings = groups["settings"].take(options, 0)
        show_log(verbose=settings.verbose)
        defaults = dict(_defaults(context, parameters))
        for option, where in defaults.items():
            _log.info("%s, by %s", option, where)
        try:
            grouped = {key: group.take(options, settings.seed) for key, group in groups.items() if key != "settings"}
            function(**options, **grouped, settings=settings)
        except Exception as error:
            vars(error).update(settings=settings, defaults=defaults)  # how it is told, and what may be the cause
            raise

    shown = [*parameters, *eager]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__name__, run.__module__ = function.__name__, function.__module__
    run.__doc__ = f"{first_paragraph(function)}\n\n{inspect.cleandoc(examples)}"
    run.__signature__ = signature.replace(parameters=[context, *shown])  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {p.name: p.annotation for p in (context, *shown)}
    return run


def variables(name: str, option: str, *, common: bool = False) -> list[str]:
    """The environment variables of an option of a command, the first that is set counting."""
    words = option.lstrip("-").replace("-", "_").upper()
    own = f"{PREFIX}{name.replace(' ', '_').upper()}_{words}"
    return [own, f"{PREFIX}{words}"] if common else [own]


def common_options() -> list[str]:
    """The names of the options that every command has."""
    return [name_of(parameter) for parameter in _Group(Settings, None).parameters()]


def first_paragraph(function: Callable[..., None]) -> str:
    """Of its docstring: what the command does, in a line or two."""
    return inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _completed(
    parameter: inspect.Parameter, name: str, *, common: bool = False, unused: Collection[str] = ()
) -> inspect.Parameter:
    """The same with a placeholder for people, the environment variables that give it, and the --no- of a flag.

    So a flag that is set by a variable or in `scoreinv.toml` can be switched off.
    """
    kind, *entries = get_args(parameter.annotation)
    (declaration,) = (copy(entry) for entry in entries if hasattr(entry, "param_decls"))
    option = name_of(parameter)
    if kind is bool and "/" not in str(declaration.default):
        declaration.default = f"{option}/--no-{option.removeprefix('--')}"
    if option.startswith("-"):
        declaration.envvar = variables(name, option, common=common)
        declaration.show_envvar = False
        declaration.hidden = option.removeprefix("--") in unused
    if declaration.metavar is None:
        declaration.metavar, more = _placeholder(kind)
        declaration.help = f"{declaration.help}{more}"
    return parameter.replace(annotation=Annotated[kind, declaration])


def _placeholder(kind: Any) -> tuple[str | None, str]:
    """What stands for a value of a type in the help, and what is added to the words."""
    members = [member for member in get_args(kind) if member is not NoneType]
    plain = members[0] if get_origin(kind) in (Union, UnionType) else kind
    if get_origin(plain) is Literal:
        choices = get_args(plain)
        short = "|".join(choices)
        return (short, "") if len(short) <= LONGEST_CHOICE else ("NAME", f" One of {', '.join(choices)}.")
    return {int: "N", float: "NUMBER", str: "TEXT"}.get(plain), ""


def _defaults(context: typer.Context, parameters: list[inspect.Parameter]) -> Iterator[tuple[str, str]]:
    """Options with their values that were given otherwise than on the command line, and by what."""
    for parameter in parameters:
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name in ("ENVIRONMENT", "DEFAULT_MAP"):
            where = "scoreinv.toml" if source.name == "DEFAULT_MAP" else "the environment"
            yield f"{name_of(parameter)} {context.params[parameter.name]}", where


@dataclass(frozen=True)
class _Group:
    """A data class whose fields are options, in a panel of the help."""

    kind: type
    panel: str | None

    @staticmethod
    def fits(annotation: Any) -> bool:
        """Whether a parameter is a group: of a data class, with or without a panel."""
        return is_dataclass(get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation)

    @classmethod
    def of(cls, annotation: Any) -> _Group:
        """The group that an annotation stands for."""
        return cls(*get_args(annotation)[:2]) if get_origin(annotation) is Annotated else cls(annotation, None)

    def parameters(self) -> list[inspect.Parameter]:
        """The options of the fields."""
        hints = get_type_hints(self.kind, include_extras=True)
        settings = declared(self.kind)
        found = []
        for field in fields(self.kind):
            if get_origin(hints[field.name]) is not Annotated:
                continue
            kind = hints[field.name]
            if field.name in settings:
                kind = _as_option(field.name, *settings[field.name], self.panel)
            elif self.panel is not None:
                kind = _in_panel(kind, self.panel)
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            found.append(_option(field.name, kind, default))
        return found

    def take(self, options: dict[str, Any], seed: int) -> Any:
        """An instance, of values that are taken out of the options."""
        own = {parameter.name: options.pop(parameter.name) for parameter in self.parameters()}
        for name, (_, setting) in declared(self.kind).items():
            if setting.read is not None and own[name] is not None:
                own[name] = setting.read(own[name])
        if "seed" not in own and any(field.name == "seed" for field in fields(self.kind)):
            own["seed"] = seed
        return self.kind(**own)


def _as_option(name: str, kind: Any, setting: Setting, panel: str | None) -> Any:
    """What typer takes for a field with a setting."""
    ends = {} if setting.range is None else {"min": setting.range.least, "max": setting.range.most}
    bounds: dict[str, Any] = {end: bound for end, bound in ends.items() if bound is not None and math.isfinite(bound)}
    text = Union[str, None] if get_origin(kind) in (Union, UnionType) else str  # noqa: UP007
    panel = ADVANCED if setting.advanced else panel
    shown = typer.Option(
        f"--{name.replace('_', '-')}", help=setting.words, metavar=setting.metavar, rich_help_panel=panel, **bounds
    )
    return Annotated[kind if setting.read is None else text, shown]


def _in_panel(kind: Any, panel: str) -> Any:
    """The same option in another panel."""
    plain, declaration = get_args(kind)
    declaration = copy(declaration)
    declaration.rich_help_panel = panel
    return Annotated[plain, declaration]


def _check_value(parameter: inspect.Parameter, value: object) -> None:
    """Raise InputError for an empty text (mostly an unset variable of the shell) and for NaN or an infinite number."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise InputError(f"{name_of(parameter)}: is empty (is a variable of the shell unset?)")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name_of(parameter)} {value}: give a number")


def name_of(parameter: inspect.Parameter) -> str:
    """What the command line calls a parameter: its longest option, or its placeholder in the help."""
    (declaration,) = (entry for entry in get_args(parameter.annotation)[1:] if hasattr(entry, "param_decls"))
    # Typer finds the first of the options where its own default would be.
    first = [declaration.default] if isinstance(declaration.default, str) else []
    options = [names.partition("/")[0] for names in (*first, *(declaration.param_decls or ()))]
    return max(options, key=len) if options else declaration.metavar.rstrip(".")
