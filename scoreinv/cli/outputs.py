"""What may be written and where: outputs are checked before anything is computed. Their folders come with the first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from scoreinv import files
from scoreinv.system.errors import ExistsError, InputError

STREAM = "-"  # stands for stdin and stdout


def refuse_existing(outputs: Iterable[str], *, overwrite: bool, option: str = "-o") -> None:
    """Raise InputError when a result would replace a file without `--overwrite`, or something that is no file.

    option: by which the results are named.
    """
    for output in outputs:
        if output == STREAM or not os.path.lexists(output):
            continue
        if not Path(output).is_file():
            raise InputError(f"{output}: is no file that could be replaced; {option} names another")
        if not overwrite:
            raise ExistsError(f"{output}: exists already: choose another name by {option}, or allow to overwrite it")


def refuse_inputs(option: str, outputs: Iterable[str], inputs: Mapping[str, str | None]) -> None:
    """Raise InputError where what is written would replace something that is read.

    Args:
        option: by which the outputs are named.
        inputs: what is read, by what it is; None and what is not there are no file.
    """
    for output in outputs:
        for what, path in inputs.items():
            same = False
            with suppress(OSError, ValueError):  # one of them is not there
                same = path is not None and Path(path).samefile(output)
            if same:
                raise InputError(f"{option} {output}: is {what}: name another file")


def check_stdout() -> None:
    """Raise InputError when nobody could receive a picture on stdout: the process was started without one."""
    if sys.__stdout__ is None:
        raise InputError("-o -: stdout is closed: name a file")


def check_file(path: str, option: str | None = None) -> None:
    """Raise InputError, naming the option that gave it, unless `path` is a file."""
    if path != STREAM and not Path(path).is_file():
        given = path if option is None else f"{option} {path}"
        raise InputError(f"{given}: no such file" if not Path(path).exists() else f"{given}: not a file")


def check_quality(paths: list[str], quality: int, choose: str) -> None:
    """Raise InputError where a quality is given and no result has a format with one; choose: by which option to."""
    if all(files.FORMATS.get(Path(path).suffix.lower(), "PNG") in ("PNG", "TIFF") for path in paths):
        raise InputError(
            f"--quality applies only to jpg, webp, heic and avif, not to {paths[0]}: choose one by {choose}"
        )


def check_folder(folder: Path) -> None:
    """Raise InputError unless a folder, or where it is not there that of the first above, can be written to."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder that results could go into: name another")
    try:
        TemporaryFile(dir=folder).close()  # by trying, as permissions do not say everything
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); -o names another place") from error
