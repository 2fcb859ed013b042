"""Names of outputs, and their checks before anything is computed.

By default a result is written beside its photo as `STEM_inpainted.png`, and the results of a folder to
`FOLDER_inpainted/`; `-o` names another file or folder. Folders of outputs are created with the first result.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal

from scoreinv import files
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.options import Setting, Whole

STREAM = "-"
"""Stands for stdin and stdout."""

Quality = Annotated[
    int | None,
    Setting("Quality of jpg, webp, heic and avif. (default: 95 for jpg, lossless for webp, else 90)", Whole(1, 100)),
]
Frame = Annotated[int | None, Setting("Frame of a file with several; the first is 0.", Whole(0))]


@dataclass(frozen=True)
class OutputOptions:
    """Options of reading pictures and writing results.

    Attributes:
        output: file or folder of the results; None: beside the input.
        recursive: whether to include subfolders.
        format: file suffix of results that `output` does not name; None: tif for a TIFF, else png.
        quality: quality of lossy formats, 1 to 100; None: the format's default.
        shard: `K/N`, the K-th of N parts of the pictures; None: all.
        workers: number of processes, or `ray`; None: see `workers.choose_workers`.
        frame: index of the frame to read; None: the only one.
        changes: file or folder for masks of changes.
        provenance: whether results have a record of the run.
        record_time: whether records have the time.
        overwrite: whether existing files are replaced.
    """

    output: Annotated[
        str | None,
        Setting(
            "Result (.png, .tif, .webp, .jpg, .heic, .avif) or folder; - is stdout. (default: beside the input)",
            metavar="FILE|FOLDER",
            option="-o --output",
        ),
    ] = None
    recursive: Annotated[bool, Setting("Include subfolders; results keep their places.")] = False
    format: Annotated[
        Literal["png", "tif", "webp", "jpg", "heic", "avif"] | None,
        Setting("Format of results that -o does not name. (default: tif for a TIFF, else png)", advanced=True),
    ] = None
    quality: Quality = None
    shard: Annotated[
        str | None, Setting("Process the K-th of N parts, for N machines.", metavar="K/N", advanced=True)
    ] = None
    workers: Annotated[
        str | None,
        Setting(
            "Processes for a folder, or ray: a Ray cluster at RAY_ADDRESS, else this machine. (default: chosen)",
            metavar="N|ray",
            advanced=True,
        ),
    ] = None
    frame: Frame = None
    changes: Annotated[
        str | None,
        Setting(
            "Also write a mask of the changes, .png or .tif: white generated, grey altered, black bit-identical; for "
            "several photos, a folder.",
            metavar="FILE|FOLDER",
        ),
    ] = None
    provenance: Annotated[bool, Setting("Record in the result's XMP how it was made.")] = True
    record_time: Annotated[bool, Setting("Record the time, too.", advanced=True)] = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.workers == "ray" and find_spec("ray") is None:
            raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")
        if self.record_time and not (self.provenance or self.changes):
            raise InputError("--record-time needs a record: leave out --no-provenance")
        if self.workers not in (None, "ray") and not re.fullmatch("[1-9][0-9]{0,2}", str(self.workers)):
            raise InputError(f"--workers {self.workers}: give a number of processes from 1 to 999, or ray")

    @property
    def names_folder(self) -> bool:
        """Whether `output` ends like a folder; a missing folder is then created."""
        return (self.output or "").endswith(("/", os.sep))


def ending(source: str, suffix: str, options: OutputOptions, kind: str | None) -> str:
    """Return the ending of a result's name after the photo's stem, such as `_inpainted.png`.

    Args:
        kind: the task's default file suffix; None: tif for a TIFF, else png.
    """
    usual = "tif" if Path(source).suffix.lower() in (".tif", ".tiff") else "png"
    return f"{suffix}.{options.format or kind or usual}"


def results_folder(given: str, suffix: str, options: OutputOptions) -> Path:
    """Return the folder of a batch's results: `-o`, or a folder beside the given one."""
    output = options.output
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in files.FORMATS:
            raise InputError(f"-o {output}: several inputs need a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{suffix}")


def single_output(source: str, options: OutputOptions, ending: str) -> str:
    """Return the path of a single photo's result, or `-`; raise InputError if `-o` does not fit."""
    target = options.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (options.names_folder or (target != STREAM and Path(target).is_dir())):
        return str(Path(target) / f"{stem}{ending}")
    if options.format is not None:
        raise InputError(f"--format {options.format}: {target or STREAM} has a format (stdout: png): give one of them")
    if target in (None, STREAM):
        check_stdout()
        if target is None and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file with -o, or redirect it")
        return STREAM
    if Path(str(target)).suffix.lower() not in files.FORMATS:
        raise InputError(f"{target}: end the output's name in {', '.join(files.FORMATS)}, or in / for a folder")
    return str(target)


def numbered(output: str, count: int) -> tuple[str, ...]:
    """Return the output itself, or for several results `NAME.1.png`, `NAME.2.png`, ..."""
    stem, _, suffix = output.rpartition(".")
    return tuple(f"{stem}.{number}.{suffix}" for number in range(1, count + 1)) if count > 1 else (output,)


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
        inputs: the role of each input in the message, such as "a photo", by its path; missing files are ignored.
    """
    roles = {_identity(path): role for path, role in inputs.items() if os.path.exists(path)}  # noqa: PTH110
    for output in outputs:
        if os.path.exists(output) and (role := roles.get(_identity(output))):  # noqa: PTH110
            raise InputError(f"{option} {output}: is {role}: name another file")


def _identity(path: str) -> tuple[int, int]:
    """Return the device and number of a file, which all its links share."""
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def check_stdout() -> None:
    """Raise InputError if the process was started without stdout."""
    if sys.__stdout__ is None:
        raise InputError("-o -: stdout is closed: name a file")


def check_file(path: str, option: str | None = None) -> None:
    """Raise InputError unless `path` is a file or `-`; the message names the option, if any."""
    if path != STREAM and not Path(path).is_file():
        given = path if option is None else f"{option} {path}"
        raise InputError(f"{given}: no such file" if not Path(path).exists() else f"{given}: not a file")


def check_quality(paths: list[str], quality: int, choose: str) -> None:
    """Raise InputError if no output has a format with a quality.

    Args:
        choose: the options that choose the format, in the message's words.
    """
    if all(files.FORMATS.get(Path(path).suffix.lower(), "PNG") in ("PNG", "TIFF") for path in paths):
        raise InputError(
            f"--quality {quality}: {paths[0]} has no quality; jpg, webp, heic and avif have: choose one with {choose}"
        )


def is_lossy(path: str, quality: int | None) -> bool:
    """Return whether the format of an output alters pixels; `-` is PNG."""
    kind = files.FORMATS.get(Path(path).suffix.lower(), "PNG")
    return kind in ("JPEG", "HEIC", "AVIF") or (kind == "WebP" and quality is not None)


def check_folder(folder: Path, option: str = "-o") -> None:
    """Raise InputError unless the folder, or its nearest existing parent, is writable.

    Args:
        option: the option that chooses another place.
    """
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder: name another")
    try:
        TemporaryFile(dir=folder).close()  # permission bits alone do not decide
    except OSError as error:
        raise InputError(f"{folder}: is not writable ({error.strerror}): choose another place with {option}") from error
