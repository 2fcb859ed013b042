"""The one validator of configurations: JSON, read within bounds, to frozen dataclasses, checked by their type hints.

Our model files, training configurations, diffusers' folders and the reference's JSON all come through here; a class
that has ranges checks them itself when it is made (`__post_init__`). What comes out can be built.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scoreinv.errors import CheckpointError, InputError

_MOST = 4_000_000
_DEPTH = 32
_INTEGERS = 2**63
"""What tensors' sizes and steps are counted in."""

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Built = TypeVar("Built", bound="DataclassInstance")


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Put the file's name before the text of an input error that its content causes; it becomes a CheckpointError."""
    try:
        yield
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, as configurations are written; raises CheckpointError naming the file."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: not a file")
        with path.open("rb") as file:
            text = file.read(_MOST + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    with in_file(path):
        return parse_json(text)


def parse_json(text: str | bytes) -> dict[str, Any]:
    """The object that a text in JSON describes, at most 4 MB long and 32 deep; raises CheckpointError."""
    if len(text) > _MOST:
        raise CheckpointError(f"not a configuration: longer than {_MOST // 10**6} MB")
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise CheckpointError("not a configuration: nested too deeply") from error
    except ValueError as error:
        raise CheckpointError(f"not a JSON configuration: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError("not a configuration, which is a JSON object")
    level: list[Any] = [content]
    for _ in range(_DEPTH):
        level = [child for item in level for child in _children(item)]
    if level:
        raise CheckpointError("not a configuration: nested too deeply")
    return content


def build_dataclass(cls: type[Built], data: Any, name: str = "") -> Built:
    """A frozen dataclass from a JSON object: lists become tuples, whole numbers floats where those are meant.

    name: of the entry, for messages. Values may also be dataclasses that were built already.

    Raises CheckpointError naming the entry that is missing, unknown or of another kind; InputError from the class.
    """
    if not isinstance(data, dict):
        raise CheckpointError(unsupported(name or "the configuration", data, "a JSON object"))
    prefix = f"{name}." if name else ""
    hints, known = _hints(cls), {field.name: field for field in fields(cls)}
    unknown = [entry for entry in data if entry not in known]
    if unknown:
        raise CheckpointError(f"{cls.__name__} has no entry {cut(prefix + unknown[0])}")
    missing = [entry for entry, field in known.items() if entry not in data and _required(field)]
    if missing:
        raise CheckpointError(f"{name or 'the configuration'} lacks {missing[0]!r}")
    values = {entry: checked(hints[entry], value, prefix + entry) for entry, value in data.items()}
    built = cls(**values)  # its own checks say best what it asks of its numbers
    for entry, value in values.items():
        if not _finite(value):
            raise CheckpointError(unsupported(prefix + entry, value, _words(hints[entry])))
    return built


def build_foreign(cls: type[Built], data: Any, name: str = "") -> Built:
    """`build_dataclass` of the entries that the class knows; a program of others writes more of them."""
    if isinstance(data, dict):
        known = {field.name for field in fields(cls)}
        data = {entry: value for entry, value in data.items() if entry in known}
    return build_dataclass(cls, data, name)


def checked(hint: Any, value: Any, name: str) -> Any:
    """A JSON value as the type of a hint; raises CheckpointError naming the entry when it is of another kind."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _checked_union(hint, value, name)
    if hint is types.NoneType and value is None:
        return None
    if is_dataclass(value):  # built already; JSON has none
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return build_dataclass(hint, value, name)
    if origin is tuple and isinstance(value, list | tuple):
        if choices[-1] is Ellipsis:
            return tuple(checked(choices[0], item, name) for item in value)
        if len(value) == len(choices):
            return tuple(checked(choice, item, name) for choice, item in zip(choices, value, strict=True))
    if origin is Literal and any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    if hint in (int, float) and type(value) is int and -_INTEGERS <= value < _INTEGERS:
        return hint(value)
    if hint is float and isinstance(value, float):
        return value
    if hint in (bool, str) and type(value) is hint:
        return value
    raise CheckpointError(unsupported(name, value, _words(hint)))


def _checked_union(hint: Any, value: Any, name: str) -> Any:
    choices = get_args(hint)
    if value is None and types.NoneType in choices:
        return None
    others = [choice for choice in choices if choice is not types.NoneType]
    if len(others) == 1:
        return checked(others[0], value, name)
    for choice in others:
        try:
            return checked(choice, value, name)
        except CheckpointError:
            continue
    raise CheckpointError(unsupported(name, value, _words(hint)))


def _words(hint: Any) -> str:
    """What a hint asks for, for a person."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, choices)) if len(choices) > 1 else repr(choices[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_words(choice) for choice in choices)
    if origin is tuple:
        return "a list" if choices[-1] is Ellipsis else f"a list of {len(choices)}"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}
    return names.get(hint, "null" if hint is types.NoneType else "a JSON object")


def unsupported(entry: str, value: Any, words: str) -> str:
    """That an entry's value is not supported, and what (in words) it must be."""
    return f"{cut(entry)} = {shortened(value)} is not supported: this entry must be {words}"


_values = Repr()
_values.maxstring = _values.maxother = 60
_values.maxlevel = 2


def shortened(value: Any) -> str:
    """A value as Python writes it, so long as that is short."""
    return _values.repr(value)


def cut(name: str) -> str:
    """A name as it stands, so long as that is short."""
    return name if len(name) <= 60 else f"{name[:60]}..."


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
