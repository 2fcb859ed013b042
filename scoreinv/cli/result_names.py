"""What the file of a result is called, and which files are results by their names.

Beside the photo `STEM_inpainted.png`, or what `-o` names; of a folder in `FOLDER_inpainted/`.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

from scoreinv import imaging
from scoreinv.cli.options import Output
from scoreinv.cli.outputs import STREAM, check_stdout
from scoreinv.errors import InputError


def of_single(source: str, output: Output, ending: str) -> str:
    """Where the result of a single photo goes."""
    target = output.output
    stem = "stdin" if source == STREAM else Path(source).stem
    if target is None and source != STREAM:
        return str(Path(source).with_name(f"{stem}{ending}"))
    if target is not None and (target.endswith(("/", os.sep)) or (target != STREAM and Path(target).is_dir())):
        return str(Path(target) / f"{stem}{ending}")
    if output.format is not None:
        raise InputError(
            f"--format {output.format}: {target or STREAM} has a format already, on stdout png: give one of them"
        )
    if target in (None, STREAM):
        check_stdout()
        if target is None and sys.stdout.isatty():
            raise InputError("the result of - goes to stdout, which is a terminal: name a file by -o, or redirect it")
        return STREAM
    if Path(str(target)).suffix.lower() not in imaging.FORMATS:
        raise InputError(f"{target}: end the output's name in {', '.join(imaging.FORMATS)}, or in / for a folder")
    return str(target)


def ending_of(source: str, suffix: str, kind: str | None) -> str:
    """What takes the place of a photo's suffix in its result's name; see `plan`."""
    return f"{suffix}.{kind or ('tif' if Path(source).suffix.lower() in ('.tif', '.tiff') else 'png')}"


def of_batch(sources: list[tuple[str, str, Path]], output: str | None, suffix: str, kind: str | None) -> list[str]:
    """Where the result of each picture goes.

    Where stems would give two pictures one result, results are named by whole file names.

    Args:
        sources: each picture's name, what was given (itself, or a folder that holds it), and its folder in that.
    """
    names = []
    for source, given, inside in sources:
        beside = given == source and output is None
        folder = Path(source).parent if beside else results_folder(given, output, suffix) / inside
        names.append(str(folder / f"{Path(source).stem}{ending_of(source, suffix, kind)}"))
    counts, first = Counter(names), dict[str, str]()
    for number, (source, _, _) in enumerate(sources):
        if counts[names[number]] > 1:
            whole = f"{Path(source).name}{ending_of(source, suffix, kind)}"
            names[number] = str(Path(names[number]).with_name(whole))
        if (other := first.get(names[number])) is not None:
            raise InputError(f"{other} and {source} would both be written to {names[number]}: do them apart, with -o")
        first[names[number]] = source
    return names


def results_folder(given: str, output: str | None, suffix: str) -> Path:
    """The folder of a batch's results: that of `-o`, or one beside the folder that was given."""
    if output is not None:
        if output == STREAM or Path(output).is_file() or Path(output).suffix.lower() in imaging.FORMATS:
            raise InputError(f"-o {output}: with several inputs the output is a folder")
        return Path(output)
    base = Path(given)
    base = base.resolve() if base.name in ("", "..") else base
    return base.with_name(f"{base.name}{suffix}")


def are_results(sources: list[str], output: Output, suffix: str) -> set[str]:
    """The pictures that are results of other pictures here: of single ones beside them, or where all results go.

    They are known by their names: a run that was killed may not have noted the last one.
    """
    places = {(Path(source).parent, name) for source in sources for name in (Path(source).name, Path(source).stem)}
    names = {name for _, name in places}
    target = None if output.output is None else Path(output.output).resolve()
    found = set()
    for source in sources:
        of, _, number = Path(source).stem.rpartition(suffix)
        if of and re.fullmatch(r"(\.\d+)?", number):
            parent = Path(source).parent
            where = [parent.resolve(), *(parent.resolve().parents if output.recursive else ())]
            if (parent, of) in places or (target in where and of in names):
                found.add(source)
    return found
