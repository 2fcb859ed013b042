"""Checks of outputs before anything is computed. Their folders are made with the first result."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryFile

from scoreinv import files
from scoreinv.system.errors import ExistsError, InputError

STREAM = "-"
"""Stands for stdin and stdout."""


def refuse_existing(outputs: Iterable[str], *, overwrite: bool, option: str = "-o") -> None:
    """Raise ExistsError if an output exists and `overwrite` is off, InputError if it is not a file.

    Args:
        option: the option that names the outputs.
    """
    for output in outputs:
        if output == STREAM or not os.path.lexists(output):
            continue
        if not Path(output).is_file():
            raise InputError(f"{output}: is not a file: choose another name with {option}")
        if not overwrite:
            raise ExistsError(f"{output}: exists: choose another name with {option}, or replace it")


def refuse_inputs(option: str, outputs: Iterable[str], inputs: Mapping[str, str]) -> None:
    """Raise InputError if an output would replace an input.

    Args:
        option: the option that names the outputs.
        inputs: the role of each path; missing files are ignored.
    """
    roles = {os.path.realpath(path): role for path, role in inputs.items() if os.path.exists(path)}  # noqa: PTH110
    for output in outputs:
        if role := roles.get(os.path.realpath(output)):
            raise InputError(f"{option} {output}: is {role}: name another file")


def check_stdout() -> None:
    """Raise InputError if the process was started without stdout."""
    if sys.__stdout__ is None:
        raise InputError("-o -: stdout is closed: name a file")


def check_file(path: str, option: str | None = None) -> None:
    """Raise InputError, naming the option that gave it, unless `path` is a file or `-`."""
    if path != STREAM and not Path(path).is_file():
        given = path if option is None else f"{option} {path}"
        raise InputError(f"{given}: no such file" if not Path(path).exists() else f"{given}: not a file")


def check_quality(paths: list[str], quality: int, choose: str) -> None:
    """Raise InputError if no output has a format with a quality; `choose` names the options of the format."""
    if all(files.FORMATS.get(Path(path).suffix.lower(), "PNG") in ("PNG", "TIFF") for path in paths):
        raise InputError(
            f"--quality {quality}: {paths[0]} has no quality; jpg, webp, heic and avif have: choose one with {choose}"
        )


def check_folder(folder: Path) -> None:
    """Raise InputError unless the folder, or its nearest existing parent, is writable."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder: name another")
    try:
        TemporaryFile(dir=folder).close()  # permissions do not tell everything
    except OSError as error:
        raise InputError(f"{folder}: is not writable ({error.strerror}): choose another place with -o") from error
