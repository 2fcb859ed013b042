"""Pictures that a command made, in one file or one by one in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scoreinv.cli.common import Settings
from scoreinv.cli.outputs import STREAM, check_outputs, check_quality, check_writable, make_folder
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def gallery_outputs(target: str, count: int, quality: int | None, settings: Settings) -> list[str]:
    """The files to write: one of all, or as many pictures in a folder, which is made.

    Raises InputError, with nothing done, when they could not be written, or a quality is asked for of a format without.
    """
    if target == STREAM and settings.json:
        raise InputError("-o - and --json both want stdout: name a file")
    is_file = target == STREAM or (Path(target).suffix != "" and not target.endswith("/") and not Path(target).is_dir())
    if is_file:
        outputs = [target]
    else:
        outputs = [str(Path(target) / f"{i:0{len(str(count))}d}.png") for i in range(1, count + 1)]
        check_writable(outputs[0], create=True)
    check_quality(outputs, quality)
    if not is_file:
        make_folder(Path(target))
    check_outputs(outputs, overwrite=settings.overwrite)
    return outputs


def write_gallery(
    images: np.ndarray, outputs: list[str], quality: int | None, *, columns: int | None = None, overwrite: bool
) -> None:
    """Write pictures NxHxWxC in [0, 1] to `gallery_outputs`; `columns` of the one file, None for about square."""
    from scoreinv.imaging.files import write_picture
    from scoreinv.imaging.picture import Picture
    from scoreinv.imaging.sheet import contact_sheet

    levels = (images * 255).round().astype("uint8")
    if len(outputs) == 1 and (len(levels) > 1 or outputs[0] == STREAM):
        write_picture(outputs[0], Picture(contact_sheet(levels, columns)), overwrite=overwrite, quality=quality)
        return
    for path, picture in zip(outputs, levels, strict=True):
        write_picture(path, Picture(contact_sheet(picture[None])), overwrite=overwrite, quality=quality)
