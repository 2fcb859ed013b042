"""Pictures that a command made, in one file or one by one in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scoreinv.cli.options import Common
from scoreinv.cli.plan import (
    STREAM,
    check_quality,
    check_stdout,
    check_suffix,
    check_writable,
    output_folders,
    refuse_existing,
)
from scoreinv.cli.report import warn
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_NUMBERED = re.compile(r"\d{6}\.png")
_PIXEL_BYTES = 3 * (4 + 4 + 4 + 1)
"""Memory of a pixel that is drawn: alone, among all, scaled to levels, and rounded."""


def gallery_outputs(target: str, count: int, quality: int | None, common: Common) -> list[str]:
    """The files to write: one for all pictures, or one each in a folder, whose names do not depend on how many.

    Raises InputError when they could not be written, or a quality is asked for of a format without.
    """
    if target == STREAM and common.json:
        raise InputError("-o - and --json both want stdout: name a file")
    if target == STREAM:
        check_stdout()
    is_file = target == STREAM or (Path(target).suffix != "" and not target.endswith("/") and not Path(target).is_dir())
    if is_file:
        outputs = [target]
        check_suffix(target)
    else:
        outputs = [str(Path(target) / f"{i:06d}.png") for i in range(1, count + 1)]
    check_writable(outputs[0], create=not is_file)
    check_quality(outputs, quality, "-o")
    refuse_existing(outputs, overwrite=common.overwrite)
    if not is_file and (others := _numbered(Path(target)) - {Path(output).name for output in outputs}):
        warn(f"{target}: holds {len(others)} pictures more, as of an earlier run: {min(others)} to {max(others)}")
    return outputs


def _numbered(folder: Path) -> set[str]:
    """The files of a folder that have names as such pictures do."""
    with suppress(OSError):
        return {path.name for path in folder.iterdir() if _NUMBERED.fullmatch(path.name)}
    return set()


@contextmanager
def gallery_folder(outputs: list[str], common: Common) -> Iterator[None]:
    """The folder of such files is there; it is removed if none is written. Raises InputError where none can be."""
    from scoreinv.imaging.write import check_output

    folders = [] if outputs == [STREAM] else [Path(outputs[0]).parent]
    with output_folders(folders):
        check_output(outputs[0], overwrite=common.overwrite)  # all have one folder
        yield


def check_gallery(
    outputs: list[str], count: int, size: tuple[int, int], *, columns: int | None = None, caption: str = ""
) -> None:
    """Raise InputError where so many pictures of a size (height, width) cannot be at hand at once, or be written.

    columns, caption: of a single file, as `write_gallery` has them.
    """
    from scoreinv.imaging.picture import MAX_MEGAPIXELS
    from scoreinv.imaging.sheet import sheet_size
    from scoreinv.imaging.write import check_size
    from scoreinv.machine import shortage

    pixels = count * size[0] * size[1]
    if len(outputs) == 1:
        if pixels > MAX_MEGAPIXELS * 10**6:
            raise InputError(
                f"-n {count}: one picture of all would have {pixels / 1e6:.0f} megapixels, and the limit is "
                f"{MAX_MEGAPIXELS}: name a folder by -o FOLDER/"
            )
        check_size(outputs[0], _captioned_size(sheet_size(count, size, columns), caption))
    if lacking := shortage(pixels * _PIXEL_BYTES):
        raise InputError(f"-n {count}: drawing so many pictures of {size[1]}x{size[0]} {lacking}: ask for fewer")


def _captioned_size(size: tuple[int, int], caption: str) -> tuple[int, int]:
    """Height and width of a sheet of a size with a caption under it; empty: without."""
    if not caption:
        return size
    import numpy as np

    from scoreinv.imaging.sheet import captioned

    height, width = captioned(np.zeros((1, size[1]), np.uint8), caption).shape  # of one row, for its width
    return size[0] - 1 + height, width


def write_gallery(
    images: np.ndarray,
    outputs: list[str],
    quality: int | None,
    *,
    columns: int | None = None,
    scale: int = 1,
    caption: str = "",
    overwrite: bool,
) -> None:
    """Write pictures NxHxWxC in [0, 1] to `gallery_outputs`; a single file has `columns`, or is about square (None).

    Arguments:
        scale: each pixel becomes a square of so many on a side.
        caption: a line under the pictures of a single file.
    """
    from scoreinv.imaging.picture import Picture
    from scoreinv.imaging.sheet import captioned, contact_sheet
    from scoreinv.imaging.write import write_picture

    levels = (images * 255).round().astype("uint8").repeat(scale, axis=1).repeat(scale, axis=2)
    if len(outputs) == 1:
        sheet = contact_sheet(levels, columns)
        shown = captioned(sheet, caption) if caption else sheet
        write_picture(outputs[0], Picture(shown), overwrite=overwrite, quality=quality)
        return
    for path, picture in zip(outputs, levels, strict=True):
        write_picture(path, Picture(contact_sheet(picture[None])), overwrite=overwrite, quality=quality)
