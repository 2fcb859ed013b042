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


class Gallery:
    """Where `count` pictures go: one file for all, or one each in a folder, whose names do not depend on how many.

    Args:
        target: the file, `-` or the folder.
        columns: of a single file; None: it is about square.

    Attributes:
        outputs: the files.

    Raises:
        InputError: they could not be written, or a quality is asked for of a format without.
    """

    def __init__(
        self, target: str, count: int, quality: int | None, common: Common, *, columns: int | None = None
    ) -> None:
        if target == STREAM:
            if common.json:
                raise InputError("-o - and --json both want stdout: name a file")
            check_stdout()
        named = Path(target).suffix != "" and not target.endswith("/") and not Path(target).is_dir()
        self.is_file = target == STREAM or named
        self.quality, self.overwrite, self.columns = quality, common.overwrite, columns
        self.count = count
        if self.is_file:
            check_suffix(target)
        names = [f"{i:06d}.png" for i in range(1, count + 1)]
        self.outputs = [target] if self.is_file else [str(Path(target) / name) for name in names]
        check_writable(self.outputs[0], create=not self.is_file)
        check_quality(self.outputs, quality, "-o")
        refuse_existing(self.outputs, overwrite=common.overwrite)
        others: set[str] = set()
        with suppress(OSError):
            others = set() if self.is_file else {path.name for path in Path(target).iterdir()} - set(names)
        if others := set(filter(_NUMBERED.fullmatch, others)):
            warn(f"{target}: holds {len(others)} pictures more, as of an earlier run: {min(others)} to {max(others)}")

    @contextmanager
    def folder(self) -> Iterator[None]:
        """The folder of the files is there; it is removed if none is written. InputError where none can be."""
        from scoreinv.imaging.write import check_output

        folders = [] if self.outputs == [STREAM] else [Path(self.outputs[0]).parent]
        with output_folders(folders):
            check_output(self.outputs[0], overwrite=self.overwrite)  # all have one folder
            yield

    def check(self, size: tuple[int, int], caption: str = "") -> None:
        """Raise InputError where all pictures of a size (height, width) cannot be at hand at once, or be written."""
        import numpy as np

        from scoreinv.imaging.picture import MAX_MEGAPIXELS
        from scoreinv.imaging.sheet import captioned, sheet_size
        from scoreinv.imaging.write import check_size
        from scoreinv.machine import shortage

        pixels = self.count * size[0] * size[1]
        if self.is_file:
            if pixels > MAX_MEGAPIXELS * 10**6:
                raise InputError(
                    f"-n {self.count}: one picture of all would have {pixels / 1e6:.0f} megapixels, and the limit is "
                    f"{MAX_MEGAPIXELS}: name a folder by -o FOLDER/"
                )
            height, width = sheet_size(self.count, size, self.columns)
            if caption:
                more, width = captioned(np.zeros((1, width), np.uint8), caption).shape  # of one row, for its width
                height += more - 1
            check_size(self.outputs[0], (height, width))
        if lacking := shortage(pixels * _PIXEL_BYTES):
            wanted = f"{size[1]}x{size[0]}"
            raise InputError(f"-n {self.count}: drawing so many pictures of {wanted} {lacking}: ask for fewer")

    def write(self, images: np.ndarray, first: int = 0, *, scale: int = 1, caption: str = "") -> None:
        """Write pictures NxHxWxC in [0, 1], of which `first` is the number of the first.

        Args:
            scale: each pixel becomes a square of so many on a side.
            caption: a line under the pictures of a single file.
        """
        from scoreinv.imaging.picture import Picture
        from scoreinv.imaging.sheet import captioned, contact_sheet
        from scoreinv.imaging.write import write_picture

        levels = (images * 255).round().astype("uint8").repeat(scale, axis=1).repeat(scale, axis=2)
        if self.is_file:
            sheet = contact_sheet(levels, self.columns)
            sheets = [captioned(sheet, caption) if caption else sheet]
        else:
            sheets = [contact_sheet(picture[None]) for picture in levels]
        for path, sheet in zip(self.outputs[first : first + len(sheets)], sheets, strict=True):
            write_picture(path, Picture(sheet), overwrite=self.overwrite, quality=self.quality)
