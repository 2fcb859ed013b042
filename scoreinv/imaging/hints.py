"""Colours that are known at some pixels of a picture to be coloured: hints by hand, or what it has already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.colour_space import luma
from scoreinv.errors import InputError
from scoreinv.imaging.files import read_picture
from scoreinv.imaging.picture import Picture

_COLOURED = 0.06
"""Difference of the channels over a few pixels, as a fraction of the range, above which a photo has colour there."""

_EDGE = 0.1
"""Difference of luma between neighbours, at the size at which colours are drawn, that strokes hardly cross."""
_FADING = 3e-4
"""Of the reach of strokes: without edges it falls to 1/e in 1 / sqrt(this) of those pixels, two sides of a picture."""


@dataclass(frozen=True)
class KnownColours:
    """Chroma known at some pixels.

    Attributes:
        rgb: HxWx3 float32 in [0, 1]; its chroma counts, where known.
        known: HxW bool.
    """

    rgb: np.ndarray
    known: np.ndarray

    def check_size(self, size: tuple[int, int], name: str) -> None:
        """Raise InputError, `name` standing for the hints, unless they have the (height, width) of the photo."""
        height, width = self.known.shape
        if (height, width) != size:
            raise InputError(f"{name} are {width}x{height}, the photo is {size[1]}x{size[0]}: they must match")

    def small(self, height: int, width: int, weights: str) -> tuple[np.ndarray, np.ndarray]:
        """At another size: chroma height x width x 3, and where it is known.

        A small pixel is known when a quarter of it is, or more than of any beside it: so thin strokes count, and wide
        ones do not spread.
        """
        share = _resized(self.known.astype(np.float32), height, width)
        chroma = np.where(self.known[..., None], self.rgb - luma(self.rgb, weights)[..., None], np.float32(0))
        sums = np.stack([_resized(plane, height, width) for plane in np.moveaxis(chroma, -1, 0)], axis=-1)
        peak = (share > 1e-6) & (share >= ndimage.maximum_filter(share, 3))
        return sums / np.maximum(share, 1e-6)[..., None], peak | (share >= 0.25)


def reach(gray: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """How far strokes of colour count at each pixel, HxW from 0 to 1: across smooth ground, and not across edges.

    The steady state of a diffusion with u = 1 on the strokes, as colours spread in Levin, Lischinski and Weiss (2004):

        sum over neighbours j of w_ij (u_i - u_j) + fading u_i = 0,    w_ij = exp(-(difference of luma / edge)^4).

    Args:
        gray: HxW, the luma in [0, 1], at the size at which colours are drawn.
        strokes: HxW bool, not empty.
    """
    from scipy import sparse  # slow to import, and needed where colours are given
    from scipy.sparse.linalg import spsolve

    number = np.arange(gray.size).reshape(gray.shape)
    links = [
        (first.ravel(), second.ravel(), np.exp(-((_across(gray, axis) / _EDGE) ** 4)).ravel())
        for axis, first, second in ((0, number[:-1], number[1:]), (1, number[:, :-1], number[:, 1:]))
    ]
    one, other, weight = (np.concatenate(part) for part in zip(*links, strict=True))
    half = sparse.coo_array((weight, (one, other)), shape=(gray.size, gray.size))
    weights = (half + half.T).tocsr()
    system = (sparse.diags_array(weights.sum(axis=1) + _FADING) - weights).tocsr()
    known = strokes.ravel()
    found = known.astype(np.float64)
    if not known.all():
        open_rows = system[~known]
        found[~known] = spsolve(open_rows[:, ~known].tocsc(), -(open_rows[:, known].sum(axis=1)))
    return found.reshape(gray.shape).clip(0, 1)


def _across(gray: np.ndarray, axis: int) -> np.ndarray:
    """The difference of luma from each pixel to the next; of an edge that lies within a pixel, all of it at each side.

    So two steps in a row count as their sum, unless one of them is less than a third of it.
    """
    steps = np.diff(np.moveaxis(gray, axis, 0), axis=0)
    around = np.pad(steps, ((1, 1), (0, 0)))
    sizes = np.abs(steps)
    for pair in (np.abs(steps + around[:-2]), np.abs(steps + around[2:])):
        sizes = np.maximum(sizes, np.where(3 * np.abs(steps) >= pair, pair, 0))
    return np.moveaxis(sizes, 0, axis)


def read_hints(path: str, size: tuple[int, int]) -> KnownColours:
    """Hints from a picture of the photo's size that is transparent but for strokes of colour.

    Raises InputError when it is of another size, has no alpha channel, or nothing (or everything) is opaque.
    """
    name = f"{path}: the hints"
    hints = hints_from_picture(read_picture(path), name)
    hints.check_size(size, name)
    return hints


def hints_from_picture(picture: Picture, name: str = "the hints") -> KnownColours:
    """Hints from a picture with alpha: its colours where it is more than half opaque."""
    if not picture.has_alpha:
        raise InputError(f"{name} need transparency, with strokes of colour on it (RGBA)")
    known = picture.pixels[..., -1] > picture.peak / 2
    if not known.any() or known.all():
        what = "nothing" if not known.any() else "everything"
        raise InputError(f"{name}: {what} is opaque; paint strokes of colour on a transparent layer")
    return KnownColours(picture.rgb(), known)


def present_colours(picture: Picture) -> KnownColours | None:
    """The colours that a partly coloured photo has; None for a grey one."""
    if picture.is_gray_mode:
        return None
    rgb = picture.rgb()
    known = ndimage.uniform_filter(rgb.max(-1) - rgb.min(-1), 5) > _COLOURED
    return KnownColours(rgb, known) if known.any() else None


def _resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))
