"""Codec of configurations: frozen dataclasses to JSON and back, with every entry checked against its type hint.

It reads our model files, training configurations, diffusers' folders and the reference's JSON. The classes check ranges
in `__post_init__`, so a decoded configuration is valid.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.system.options import Range
from scoreinv.system.text import shown

_MAX_CHARACTERS = 4_000_000  # of a configuration
_INTEGER_BOUND = 2**63  # torch counts sizes in 64 bits

_hints = cache(partial(get_type_hints, include_extras=True))

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Built = TypeVar("Built", bound="DataclassInstance")


def encode(config: DataclassInstance) -> dict[str, Any]:
    """Encode a configuration for JSON; `decode` is its inverse.

    Annotations of a field determine its encoding:

    - a table from names to classes: the encoded object gets the `name` of its class, unless that is None. An object of
      a class that is not in the table is encoded as `table["custom"].of(object)`;
    - a function: `decode` calls it on the JSON value;
    - a `Range` has no effect: `system.options.check_settings` checks it.

    Raises CheckpointError for an object of a class without a name.
    """
    hints = _hints(type(config))
    return {field.name: _encoded(getattr(config, field.name), hints[field.name]) for field in fields(config)}


def decode(cls: type[Built], data: Any, name: str = "") -> Built:
    """Build a frozen dataclass from a JSON object; lists become tuples, and integers become floats if the hint says so.

    Values in the data may already be dataclasses. For files of released versions, the metadata `was` of a field holds
    its former name, entries in the class's `removed_fields` are ignored, and its `of_released` converts the others.

    Args:
        name: name of the entry, for messages.

    Raises CheckpointError naming a missing, unknown or ill-typed entry, and InputError from the class.
    """
    if not isinstance(data, dict):
        raise CheckpointError(unsupported(name or "the configuration", data, "a JSON object"))
    prefix = f"{name}." if name else ""
    hints, known = _hints(cls), {field.name: field for field in fields(cls)}
    renamed = {field.metadata["was"]: field.name for field in fields(cls) if "was" in field.metadata}
    removed = getattr(cls, "removed_fields", ())
    data = getattr(cls, "of_released", dict)(data)
    data = {renamed.get(entry, entry): value for entry, value in data.items() if entry not in removed}
    unknown = [entry for entry in data if entry not in known]
    if unknown:
        raise CheckpointError(f"{cls.__name__} has no entry {cut(prefix + unknown[0])}")
    required = [entry for entry, field in known.items() if field.default is field.default_factory is MISSING]
    missing = [entry for entry in required if entry not in data]
    if missing:
        raise CheckpointError(f"{name or 'the configuration'} lacks {missing[0]!r}")
    return cls(**{entry: _decoded(hints[entry], value, prefix + entry) for entry, value in data.items()})


def decode_foreign(cls: type[Built], data: Any, name: str = "") -> Built:
    """Decode the class's entries and ignore others, for JSON written by another program."""
    if isinstance(data, dict):
        known = {field.name for field in fields(cls)}
        data = {entry: value for entry, value in data.items() if entry in known}
    return decode(cls, data, name)


def decode_entries(cls: type, names: Mapping[str, str], data: dict[str, Any], section: str) -> dict[str, Any]:
    """Decode entries of another program's JSON as fields of a class of ours.

    Args:
        names: our name of each entry; all are required.
        section: name of the JSON object, for messages.
    """
    if missing := [entry for entry in names if entry not in data]:
        raise CheckpointError(f"{section} lacks {missing[0]!r}")
    hints = _hints(cls)
    return {ours: _decoded(hints[ours], data[entry], f"{section}.{entry}") for entry, ours in names.items()}


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Turn an InputError about a file's content into a CheckpointError that names the file."""
    try:
        yield
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises CheckpointError naming the file."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: not a file")
        with path.open("rb") as file:
            text = file.read(_MAX_CHARACTERS + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    with in_file(path):
        return parse_json(text)


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object of at most 4 MB; raises CheckpointError."""
    if len(text) > _MAX_CHARACTERS:
        raise CheckpointError(f"not a configuration: longer than {_MAX_CHARACTERS // 10**6} MB")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"not a JSON configuration: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError("not a configuration, which is a JSON object")
    return content


def unsupported(entry: str, value: Any, words: str) -> str:
    """Return the message for an unsupported value; `words` describe valid ones."""
    return f"{cut(entry)} = {shown(value)} is not supported: this entry must be {words}"


def cut(name: str) -> str:
    """Shorten a long name."""
    return name if len(name) <= 60 else f"{name[:60]}..."


def _encoded(value: Any, hint: Any = None) -> Any:
    if get_origin(hint) is Annotated and isinstance(table := hint.__metadata__[0], Mapping):
        if type(value) not in table.values() and "custom" in table:
            value = table["custom"].of(value)
        for name, cls in table.items():
            if type(value) is cls:
                return ({} if name is None else {"name": name}) | encode(value)
        known = ", ".join(name for name in table if name is not None)
        raise CheckpointError(f"{type(value).__name__} cannot be stored in model files, only {known}")
    if is_dataclass(value) and not isinstance(value, type):
        return encode(value)
    return [_encoded(item) for item in value] if isinstance(value, tuple) else value


def _decoded(hint: Any, value: Any, name: str) -> Any:
    """Convert a JSON value to the type of a hint; raise CheckpointError naming the entry if it does not match."""
    origin, choices = get_origin(hint), get_args(hint)
    if is_dataclass(value):  # already built
        return value
    if origin is Annotated:
        annotation = hint.__metadata__[0]
        if isinstance(annotation, Range):
            return _decoded(choices[0], value, name)
        return _decoded_named(annotation, value, name) if isinstance(annotation, Mapping) else annotation(value)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in choices:
            return None
        others = [choice for choice in choices if choice is not types.NoneType]
        if len(others) == 1:
            return _decoded(others[0], value, name)
        for choice in others:
            with suppress(CheckpointError):
                return _decoded(choice, value, name)
    if hint is types.NoneType and value is None:
        return None
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(hint, value, name)
    if origin is tuple and isinstance(value, list | tuple):
        if choices[-1] is Ellipsis:
            return tuple(_decoded(choices[0], item, name) for item in value)
        if len(value) == len(choices):
            return tuple(_decoded(choice, item, name) for choice, item in zip(choices, value, strict=True))
    if origin is Literal and any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    if hint in (int, float) and type(value) is int and -_INTEGER_BOUND <= value < _INTEGER_BOUND:
        return hint(value)
    if hint is float and isinstance(value, float) and math.isfinite(value):
        return value
    if hint in (bool, str) and type(value) is hint:
        return value
    raise CheckpointError(unsupported(name, value, _words(hint)))


def _decoded_named(classes: Mapping[str | None, type], value: Any, name: str) -> Any:
    """Decode a JSON object as the class that its entry `name` selects."""
    if not isinstance(value, dict):
        raise CheckpointError(unsupported(name, value, "a JSON object"))
    kind = value.get("name")
    if kind is None and None not in classes:
        raise CheckpointError(f"{name} lacks 'name'")
    if not isinstance(kind, str | None) or kind not in classes:
        raise CheckpointError(f"{name} has the unknown name {shown(kind)}: this file needs another version")
    return decode(classes[kind], {entry: part for entry, part in value.items() if entry != "name"}, name)


def _words(hint: Any) -> str:
    """Describe a type hint in words."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, choices)) if len(choices) > 1 else repr(choices[0])
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, choices))
    if origin is tuple:
        return "a list" if choices[-1] is Ellipsis else f"a list of {len(choices)}"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}
    return names.get(hint, "null" if hint is types.NoneType else "a JSON object")
