"""How a function becomes a command: its parameters as options, the options that every command has, and their checks."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from scoreinv.errors import InputError
from scoreinv.options import SEED, Device, Precision, Setting, declared
from scoreinv.version import __version__

COMMON = "Common options"

option = partial(typer.Option, rich_help_panel=COMMON)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"scoreinv {__version__}")
        raise typer.Exit


@dataclass(frozen=True)
class Settings:
    """The options that every command has.

    Attributes:
        given_seed: the random seed; None when it was not given.
        device, precision: as asked for; `runtime.Session` resolves `auto`.
        threads: CPU threads; None for torch's choice.
        quiet: no progress, no notices.
        overwrite: existing outputs may be replaced.
        json: machine-readable lines on stdout.
        debug: tracebacks.
    """

    given_seed: Annotated[
        int | None,
        option("--seed", min=SEED.least, max=SEED.most, help="The same seed gives the same result. (default: 0)"),
    ] = None
    device: Annotated[Device, option("--device", help="Where to compute.")] = "auto"
    precision: Annotated[
        Precision, option("--precision", help="Number format; auto takes bfloat16 where it is faster.")
    ] = "auto"
    threads: Annotated[int | None, option("--threads", min=1, max=1024, help="CPU threads. (default: all)")] = None
    quiet: Annotated[bool, option("--quiet", help="Show neither progress nor notices.")] = False
    overwrite: Annotated[bool, option("--overwrite", help="Replace files that exist.")] = False
    json: Annotated[bool, option("--json", help="Print a JSON object for each input, one a line, on stdout.")] = False
    debug: Annotated[bool, option("--debug", help="Show tracebacks.")] = False

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.given_seed or 0


VersionOption = Annotated[
    bool, option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as typer takes it: the fields of parameters that are data classes become options of their own.

    A field is an option by the `typer.Option` (or argument) or the `options.Setting` that it is annotated with, and a
    field `seed` without either is the common seed. The parameter may name the panel of its options in the help:
    `Annotated[SamplerSettings, "Sampler"]`.
    """
    signature = inspect.signature(function, eval_str=True)
    groups = {name: _Group.of(p.annotation) for name, p in signature.parameters.items() if _Group.fits(p.annotation)}
    version = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=VersionOption)
    # The common ones last, as in the help.
    own = [name for name in signature.parameters if name != "settings"]
    parameters: list[inspect.Parameter] = []
    for name in (*own, "settings"):
        plain = signature.parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += groups[name].parameters() if name in groups else [plain]
    parameters.append(version)

    def run(**options: Any) -> None:
        for parameter in parameters:
            _check_value(parameter, options[parameter.name])
        del options["version"]
        common = groups["settings"].take(options, 0)
        grouped = {name: group.take(options, common.seed) for name, group in groups.items() if name != "settings"}
        function(**options, **grouped, settings=common)

    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # it is what typer reads
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


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
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            found.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            )
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
    shown = typer.Option(
        f"--{name.replace('_', '-')}", help=setting.words, metavar=setting.metavar, rich_help_panel=panel, **bounds
    )
    return Annotated[kind if setting.read is None else text, shown]


def _check_value(parameter: inspect.Parameter, value: object) -> None:
    """Raise InputError for an empty text (mostly an unset variable of the shell) and for NaN or an infinite number."""
    if value == "" or (isinstance(value, list) and "" in value):
        raise InputError(f"{_name(parameter)}: is empty (is a variable of the shell unset?)")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{_name(parameter)} {value}: give a number")


def _name(parameter: inspect.Parameter) -> str:
    """What the command line calls a parameter: its longest option, or its placeholder in the help."""
    (declaration,) = (entry for entry in get_args(parameter.annotation)[1:] if hasattr(entry, "param_decls"))
    # Typer finds the first of the options where its own default would be.
    first = [declaration.default] if isinstance(declaration.default, str) else []
    options = [*first, *(declaration.param_decls or ())]
    return max(options, key=len) if options else declaration.metavar.rstrip(".")
