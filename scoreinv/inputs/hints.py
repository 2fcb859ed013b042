"""Known colours of a picture to be coloured: hints painted by the user, and colours of the picture itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from scoreinv.analysis.kind import coloured_at, is_partly_coloured, kind_by_colours
from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture, to_samples
from scoreinv.imaging.resizing import resized, scaled
from scoreinv.operators.luma import luma
from scoreinv.system.errors import InputError
from scoreinv.windows.boxes import Box, crop

_log = logging.getLogger(__name__)
_REFERENCE_SIDE = 512  # shorter side of a stored reference; the model uses a smaller size


@dataclass(frozen=True)
class KnownColours:
    """Chroma known at some pixels.

    Attributes:
        rgb: HxWx3 float32 in [0, 1], valid where known; only the chroma is used.
        known: HxW bool.
    """

    rgb: np.ndarray
    known: np.ndarray

    def check_size(self, size: tuple[int, int], name: str) -> None:
        """Raise InputError, naming `name`, unless the hints have the (height, width) of the photo."""
        height, width = self.known.shape
        if (height, width) != size:
            raise InputError(f"{name} are {width}x{height}, but the photo is {size[1]}x{size[0]}: resize them")

    def part(self, box: Box) -> KnownColours:
        """Return the hints within a box."""
        return KnownColours(crop(self.rgb, box), crop(self.known, box))

    def small(self, height: int, width: int, weights: str) -> tuple[np.ndarray, np.ndarray]:
        """Reduce the hints to a size: return the chroma, height x width x 3, and the mask of its known pixels.

        A pixel is known if a quarter of its area is known. So that thin strokes remain, it is also known if its known
        area is the largest in its 3x3 neighbourhood.

        Args:
            weights: name of the luma weights, see `operators.luma`.
        """
        from scipy import ndimage  # slow to import, and only hints need it

        share = resized(self.known.astype(np.float32), (height, width), Image.Resampling.BOX)
        chroma = np.where(self.known[..., None], self.rgb - luma(self.rgb, weights)[..., None], np.float32(0))
        sums = resized(chroma, (height, width), Image.Resampling.BOX)
        peak = (share > 1e-6) & (share >= ndimage.maximum_filter(share, 3))
        return sums / np.maximum(share, 1e-6)[..., None], peak | (share >= 0.25)


def read_hints(path: str, size: tuple[int, int]) -> KnownColours:
    """Read hints from a picture of the photo's size, transparent except for strokes of colour.

    Raises InputError if it has another size or no alpha channel, or if nothing (or everything) is opaque.
    """
    name = f"{path}: the hints"
    hints = hints_from_picture(read_picture(path), name)
    hints.check_size(size, name)
    return hints


def hints_from_picture(picture: Picture, name: str = "the hints") -> KnownColours:
    """Return hints from a picture with alpha: the colours of pixels that are more than half opaque."""
    if not picture.has_alpha:
        raise InputError(f"{name} need an alpha channel: strokes of colour on a transparent layer (RGBA)")
    known = picture.pixels[..., -1] > picture.peak / 2
    if not known.any() or known.all():
        what = "nothing" if not known.any() else "everything"
        raise InputError(f"{name}: {what} is opaque; paint strokes of colour on a transparent layer")
    return KnownColours(picture.rgb(), known)


def present_colours(picture: Picture) -> KnownColours | None:
    """Return all colours of a photo, or those of the coloured parts of a mostly grey one; None if it has none."""
    known = coloured_at(picture)
    if known.any() and not is_partly_coloured(picture):
        known[:] = True
    return KnownColours(picture.rgb(), known) if known.any() else None


def read_references(paths: Iterable[str]) -> list[Picture]:
    """Read reference photos, see `references_of`."""
    return references_of((path, read_picture(path)) for path in paths)


def references_of(pictures: Iterable[tuple[str, Picture]]) -> list[Picture]:
    """Return reference photos as 8-bit RGB, with the shorter side reduced to at most `_REFERENCE_SIDE` pixels.

    Photos that are grey, or prints of one tint, are left out with a warning.

    Args:
        pictures: the photos, each after its name.

    Raises InputError if there are photos, and none has colours.
    """
    reduced = [(name, _reference(picture)) for name, picture in pictures]
    coloured = [picture for _, picture in reduced if kind_by_colours(picture) == "coloured"]
    if pale := [name for name, picture in reduced if picture not in coloured]:
        if not coloured:
            raise InputError(f"{pale[0]}: has no colours to copy")
        _log.warning("reference photos without colours are left out: %s", ", ".join(pale))
    return coloured


def _reference(picture: Picture) -> Picture:
    scale = min(1.0, _REFERENCE_SIDE / min(picture.size))
    return Picture(to_samples(picture.resized_rgb(*scaled(picture.size, scale)), np.dtype(np.uint8)))
