"""Pictures made by a command, in one file or one by one in a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreinv import files, imaging
from scoreinv.cli.options import Common
from scoreinv.cli.render import warn
from scoreinv.models.loading import ModelSource
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM, remove_leftovers
from scoreinv.system.limits import limits
from scoreinv.system.memory import shortage

if TYPE_CHECKING:
    import numpy as np

_PIXEL_BYTES = 3 * (4 + 4 + 4 + 1)
"""Memory per RGB pixel: as float32 in its picture, in the array of all pictures and in grey levels, and as uint8."""


class Gallery:
    """The files of `count` pictures: one sheet of all, or a folder with a numbered file for each.

    Args:
        target: path of the sheet (`-`: stdout) or the folder.
        columns: number of columns of the sheet; None: the sheet is about square.

    Attributes:
        outputs: paths of the files.

    Raises:
        InputError: a file cannot be written, or has no quality.
    """

    def __init__(
        self, target: str, count: int, quality: int | None, common: Common, *, columns: int | None = None
    ) -> None:
        if target == STREAM and common.json:
            raise InputError("-o - and --json both need stdout: name a file with -o")
        named = Path(target).suffix != "" and not target.endswith("/") and not Path(target).is_dir()
        self.is_file = target == STREAM or named
        self.quality, self.overwrite = quality, common.overwrite
        self.columns = columns if self.is_file else 1
        self.count = count
        names = [f"{i:06d}.png" for i in range(1, count + 1)]
        self.outputs = [target] if self.is_file else [str(Path(target) / name) for name in names]
        for output in self.outputs:
            files.check_output(output, overwrite=common.overwrite, makes_folder=not self.is_file)
        if quality is not None:
            files.check_quality(self.outputs, "-o")
        found = set() if self.is_file else {path.name for path in Path(target).glob(6 * "[0-9]" + ".png")}
        if others := found.difference(names):
            warn(f"{target}: has {len(others)} more pictures of an earlier run: {min(others)} to {max(others)}")

    def check(self, size: tuple[int, int]) -> None:
        """Raise InputError if the pictures, of (height, width), do not fit in memory or in their file."""
        pixels = self.count * size[0] * size[1]
        if self.is_file:
            if pixels > limits().megapixels * 10**6:
                raise InputError(
                    f"-n {self.count}: one file of all would have {pixels / 1e6:.0f} megapixels, and the limit is "
                    f"{limits().megapixels}: name a folder with -o FOLDER/"
                )
            files.format_of(self.outputs[0], imaging.sheet_size(self.count, size, self.columns))
        if lacking := shortage(pixels * _PIXEL_BYTES):
            raise InputError(f"-n {self.count}: so many pictures of {size[1]}x{size[0]} {lacking}: ask for fewer")

    def write(self, images: np.ndarray, first: int = 0) -> None:
        """Write pictures NxHxWxC in [0, 1], numbered from `first`."""
        folder = Path(self.outputs[0]).parent
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        levels = (images * 255).round().astype("uint8")
        sheets = [imaging.contact_sheet(part, self.columns) for part in ([levels] if self.is_file else levels[:, None])]
        for path, sheet in zip(self.outputs[first : first + len(sheets)], sheets, strict=True):
            files.write_picture(path, imaging.Picture(sheet), overwrite=self.overwrite, quality=self.quality)

    def record(self, started: float, nfe: int) -> dict[str, Any]:
        """Return the entries about the files for a JSON line.

        Args:
            started: start of the work by `time.monotonic`.
            nfe: network evaluations per picture.
        """
        seconds = round(time.monotonic() - started, 3)
        return {"output": self.outputs[0], "outputs": self.outputs, "seconds": seconds, "nfe": nfe}


def warn_of_completing(source: ModelSource, result: str) -> None:
    """Warn if the model was trained to complete pictures, and so draws no new ones well.

    Args:
        result: a clause about the expected result, for the warning.
    """
    from scoreinv.conditional.colour import trained_task

    if trained_task(source.load()) is not None:
        warn(f"{source.name}: was trained to complete pictures; {result}")
