"""The task `select`: what is pointed at in a photograph, as a mask of the object that clicks or a box mean.

A picture is looked at once, and then each prompt is answered by a small decoder (`models.segment_anything`). A single
click may mean a part, more of it, or the whole: three masks answer it, and the one is taken that the decoder trusts
most, unless it is much smaller or larger than what people point at. A box needs no such choice. Each further click
goes to the decoder with the mask so far, as it was trained.

Of the decoder's mask stays what is connected to a click or is a good part of it; small holes are filled. Its cells are
a 256th of the longer side, so it is raised to full size along the edges of the photograph (`imaging.edges`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from scoreinv.analysis.edges import EdgesOfPicture
from scoreinv.analysis.leftovers import take_in_leftovers
from scoreinv.analysis.shadows import propose_shadow
from scoreinv.imaging.picture import Picture, picture_of_hole, scaled
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import Models
from scoreinv.models.segment_anything import (
    CELL,
    CORNER,
    INSIDE,
    NO_POINT,
    OTHER_CORNER,
    OUTSIDE,
    SIDE,
    SegmentAnything,
)
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.options import Whole, check
from scoreinv.system.text import shown
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.inputs import Inputs
from scoreinv.tasks.notes import info
from scoreinv.tasks.outcome import ImageLike, SelectOutcome
from scoreinv.tasks.requests import SelectRequest

Size = Literal["small", "middle", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
"""What a single click may mean, from a part to the whole."""
Point = tuple[float, float]
"""Across and down, in pixels from the upper left corner of the picture, turned upright."""

_SMALL, _LARGE = 0.01, 0.3
"""Shares of the picture between which most of what is pointed at lies."""
_UNUSUAL = 0.4
"""Of the expected IoU, what a mask loses that is ten times smaller, or larger by a quarter of the picture."""
_WHOLE = 0.03
"""And what each gains over the next smaller one. Random clicks on sixteen objects then give an IoU of .75 on average,
the decoder's trust alone .65, and the best of the three .82."""
_PLAIN, _OBEYED, _LIKE = 0.2, 0.1, 0.3
"""Added to the expected IoU after several clicks: for the mask that is made for them, for one that keeps to all of
them, and times its IoU with the mask before. The mask made for them alone falls to pieces at times, which the decoder
then sees: by two clicks the sixteen objects have an IoU of .84 on average so, by that mask alone .74."""
_PART = 0.01
"""Of the largest part of a mask, the area below which another part is a speck, and a hole in it a gap."""
_BEYOND = 0.03
"""Of its sides, how far what is selected may go beyond a box, which is drawn by hand."""
_ALIKE = 0.9
"""IoU of two masks that are one to the eye."""
_KEPT = 32
"""Answers that are kept of a picture, of a megabyte each: a click that is taken back costs nothing."""


@dataclass(frozen=True)
class Prompt:
    """What is pointed at in a picture.

    Attributes:
        clicks: across, down, and whether it is on the object (else beside it), in the order in which they came.
            Without a box the first is on it.
        box: across, down, width and height of a box around the object.
    """

    clicks: tuple[tuple[float, float, bool], ...] = ()
    box: tuple[float, float, float, float] | None = None

    @classmethod
    def of(cls, at: Any = (), not_at: Any = (), box: Any = None) -> Prompt:
        """The prompt of points, or single ones, on the object and beside it; raises SettingError for anything else."""
        clicks = [(*point, True) for point in _points("at", at)] + [
            (*point, False) for point in _points("not_at", not_at)
        ]
        if box is not None:
            box = _numbers("box", box, 4)
            if box[2] <= 0 or box[3] <= 0:
                raise SettingError("box", f"must have a width and a height, not {shown(box)}")
        return cls(tuple(clicks), box)

    def check(self, size: tuple[int, int]) -> None:
        """Raise InputError where it does not point at something in a picture of (height, width)."""
        height, width = size
        if self.box is None and not (self.clicks and self.clicks[0][2]):
            raise SettingError("at", "is missing: say where the object is, or give a box around it")
        for x, y, inside in self.clicks:
            if not (0 <= x < width and 0 <= y < height):
                raise SettingError("at" if inside else "not_at", f"{_place(x, y)} {_outside(size)}")
        if self.box is not None:
            x, y, wide, high = self.box
            if not (x < width and y < height and x + wide > 0 and y + high > 0):
                raise SettingError("box", f"{_place(*self.box)} {_outside(size)}")


@dataclass(frozen=True)
class Selected:
    """An answer to a prompt.

    Attributes:
        mask: HxW bool, true where the object is.
        size: of a single click, which of the three it is.
        iou: what the network takes the mask's IoU with the object for.
    """

    mask: np.ndarray
    size: Size | None
    iou: float


def select(
    image: ImageLike,
    at: Sequence[Any] = (),
    not_at: Sequence[Any] = (),
    box: Sequence[float] | None = None,
    *,
    size: Size | None = None,
    grow: int | None = None,
    shadow: bool = False,
) -> ImageLike:
    """Select an object of a photograph by pointing at it, as a mask for `inpaint`.

        mask = scoreinv.select(image, at=(320, 200))
        mask = scoreinv.select(image, box=(250, 120, 180, 260), not_at=[(300, 370)])
        result = scoreinv.inpaint(image, mask, prior="photo")

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (1x)CxHxW of uint8, uint16 or floats in [0, 1].
        at: a point (across, down) on the object, in pixels of the picture turned upright, or several.
        not_at: points beside it, which take away what was selected too much.
        box: (across, down, width, height) around the object: the surest way.
        size: of what a click may mean: `small`, `middle` or `large`; None for what is likeliest.
        grow: pixels by which what is found is enlarged, since what is left of an object would be continued into its
            hole; None for `usual_grow`. What still seems to be left is taken in too; with 0 it is the object alone.
        shadow: include its cast shadow, if the picture shows a clear one.

    Returns:
        The object: an array HxW of bool; for a PIL image one of mode L, 255 where it is; for a tensor one of 0 and 1,
        1xHxW or 1x1xHxW.

    Raises:
        InputError: a wrong picture or setting, nothing pointed at, or a point outside of the picture.
        ScoreinvError: nothing was found there, or onnxruntime is not installed.
    """
    if grow is not None:
        check("grow", grow, Whole())
    check("shadow", shadow, bool)
    if size is not None:
        check("size", size, SIZES)
    prompt = Prompt.of(at, not_at, box)
    pictures, form = pictures_from_api(image)
    if len(pictures) > 1:
        raise InputError(f"{len(pictures)} pictures: points are of one, so give them one by one")
    (picture,) = pictures
    prompt.check(picture.size)
    found = Selection(picture).select(prompt, size).mask
    mask = with_rim(picture, found, grow)
    if shadow and (seen := propose_shadow(picture, found)) is not None:
        mask |= seen
    return form.holes([mask])


def select_picture(
    inputs: Inputs, request: SelectRequest, models: Models, callback: Callback | None = None
) -> SelectOutcome[Picture]:
    """Select an object of a photograph; the image of the outcome is its mask."""
    picture = inputs.picture
    prompt = Prompt.of(request.at, request.not_at, request.box)
    found = Selection(picture, SegmentAnything(models.machine.threads)).select(prompt, request.size)
    mask = with_rim(picture, found.mask, request.grow)
    shadow = propose_shadow(picture, found.mask) if request.shadow else None
    if shadow is not None:
        mask |= shadow
    notes = [info("object_selected", share=float(mask.mean()), size=found.size or "", shadow=shadow is not None)]
    if request.shadow and shadow is None:
        notes.append(info("shadow_none"))
    image = picture_of_hole(mask)
    return SelectOutcome(image, [image], None, 1, "segmentation", mask, found.size, notes=notes)


def usual_grow(size: tuple[int, int]) -> int:
    """The pixels by which to enlarge a selection in a picture of (height, width): a cell of the mask, and one.

    Of the rims of sixteen objects that a box and a click select, 5 % are left then (median), and with 2 pixels 13 %.
    """
    return 1 + round(CELL * max(size) / SIDE)


def with_rim(picture: Picture, mask: np.ndarray, grow: int | None = None) -> np.ndarray:
    """A selection (HxW bool) as it is to be filled: `grow` pixels larger, with what is seen of the object beside it.

    With 0 it is the object alone, and what is beside it is not looked at.
    """
    grow = usual_grow(picture.size) if grow is None else grow
    return take_in_leftovers(picture, dilate(mask, grow)) if grow else mask


class Selection:
    """A picture that has been looked at, in which each prompt costs no more than the decoder.

        selection = Selection(picture)  # about a second: the image embedding
        prompt = Prompt(((320, 200, True),))
        first = selection.select(prompt)  # about a tenth
        other = selection.select(prompt, selection.next_size(prompt, first.size))

    Args:
        network: which pictures may share; None for a fresh one.
    """

    def __init__(self, picture: Picture, network: SegmentAnything | None = None) -> None:
        self.picture = picture
        self.network = SegmentAnything() if network is None else network
        self.scale = SIDE / max(picture.size)
        """From pixels of the picture to those of the square that the encoder sees."""
        seen = scaled(picture.size, self.scale)
        rgb = picture.resized_rgb(*seen)
        self.embedding = self.network.embedding(rgb)
        self._seen = seen[0] / CELL, seen[1] / CELL
        self._low = max(1, round(self._seen[0])), max(1, round(self._seen[1]))
        self._edges = EdgesOfPicture(picture, Picture(rgb).resized_rgb(*self._low))  # large pictures take long twice
        self._masks: dict[tuple[Prompt, Size | None], tuple[np.ndarray, np.ndarray]] = {}

    def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
        """The object that a prompt means.

        Args:
            size: of what its first click may mean; None for what is likeliest.

        Raises:
            InputError: it points at nothing, or outside of the picture.
            ScoreinvError: nothing is found there.
        """
        prompt.check(self.picture.size)
        logits, iou, taken = self._answer(prompt, size)
        mask = self._edges.raised(self._cleaned(expit(logits), prompt))
        if not mask.any():
            raise ScoreinvError("nothing is found there: point at the middle of an object, or give a box around it")
        return Selected(mask, taken, iou)

    def next_size(self, prompt: Prompt, size: Size | None) -> Size | None:
        """The size that another click on the same place means: the next larger one that looks different, or around."""
        if size is None:
            return None
        now = self._answer(prompt, size)[0] > 0
        for step in range(1, len(SIZES)):
            other = SIZES[(SIZES.index(size) + step) % len(SIZES)]
            found = self._answer(prompt, other)[0] > 0
            if _iou(found, now) < _ALIKE:
                return other
        return size

    def _answer(self, prompt: Prompt, size: Size | None) -> tuple[np.ndarray, float, Size | None]:
        """Log odds of a mask, hxw, what its IoU is taken for, and which of the sizes of its first click it is."""
        is_first = len(prompt.clicks) <= (prompt.box is None)
        key = prompt, None if is_first else size
        if key not in self._masks:
            before = None if is_first else self._previous(prompt, size)
            self._masks = dict(list(self._masks.items())[-_KEPT:])
            points, labels = self._points(prompt)
            self._masks[key] = self.network.masks(self.embedding, points, labels, before)
        logits, iou = self._masks[key]
        number, taken = 0, None
        if not is_first:
            kept = [self._keeps(mask, prompt) for mask in logits]
            alike = [_iou(mask > 0, self._previous(prompt, size) > 0) for mask in logits]
            gain = _OBEYED * np.array(kept) + _LIKE * np.array(alike)
            gain[0] += _PLAIN
            number = int(np.argmax(iou + gain))
        elif prompt.box is None or size is not None:
            by_area = sorted(range(1, len(logits)), key=lambda mask: int((logits[mask] > 0).sum()))
            number = self._likeliest(logits, iou) if size is None else by_area[SIZES.index(size)]
            taken = SIZES[by_area.index(number)]
        return logits[number], float(iou[number]), taken

    def _keeps(self, mask: np.ndarray, prompt: Prompt) -> bool:
        """Whether a mask has all points in it that are on the object, and no others."""
        cells = [(int(self.scale * y / CELL), int(self.scale * x / CELL), inside) for x, y, inside in prompt.clicks]
        return all((mask[row, column] > 0) == inside for row, column, inside in cells)

    def _previous(self, prompt: Prompt, size: Size | None) -> np.ndarray:
        return self._answer(replace(prompt, clicks=prompt.clicks[:-1]), size)[0]

    def _points(self, prompt: Prompt) -> tuple[np.ndarray, list[int]]:
        """The points of a prompt in the square, Nx2, and what each is."""
        points = [(x + 0.5, y + 0.5) for x, y, _ in prompt.clicks]
        labels = [INSIDE if inside else OUTSIDE for _, _, inside in prompt.clicks]
        if prompt.box is None:
            return self.scale * np.array([*points, (0, 0)]), [*labels, NO_POINT]
        left, top, right, bottom = self._corners(prompt.box)
        return self.scale * np.array([*points, (left, top), (right, bottom)]), [*labels, CORNER, OTHER_CORNER]

    def _corners(self, box: tuple[float, float, float, float], beyond: float = 0) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a box within the picture, each moved outwards by a share of its sides."""
        x, y, wide, high = box
        left, top = max(0.0, x - beyond * wide), max(0.0, y - beyond * high)
        right, bottom = x + (1 + beyond) * wide, y + (1 + beyond) * high
        return left, top, min(right, self.picture.width), min(bottom, self.picture.height)

    def _likeliest(self, logits: np.ndarray, iou: np.ndarray) -> int:
        """The number of the mask that a single click means: trusted, and of a usual size."""
        rows, columns = (math.ceil(side) for side in self._seen)
        share = (logits[:, :rows, :columns] > 0).mean(axis=(1, 2)).clip(1e-6)
        unusual = np.log10(_SMALL / share).clip(0) + 4 * (share - _LARGE).clip(0)
        return 1 + int(np.argmax((iou - _UNUSUAL * unusual)[1:] + _WHOLE * np.argsort(np.argsort(share[1:]))))

    def _cleaned(self, square: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Probabilities of the picture at low resolution, of those of the square: without specks and gaps."""
        height, width = self._low
        view = (0, 0, self._seen[1], self._seen[0])
        found = np.array(Image.fromarray(square).resize((width, height), Image.Resampling.BILINEAR, box=view))
        cell = self.picture.height / height, self.picture.width / width
        if prompt.box is not None:
            left, top, right, bottom = self._corners(prompt.box, _BEYOND)
            rows, columns = (np.arange(side) + 0.5 for side in (height, width))
            inside = ((rows * cell[0] > top) & (rows * cell[0] < bottom))[:, None]
            found[~(inside & (columns * cell[1] > left) & (columns * cell[1] < right))] = 0
        labels, count = ndimage.label(found > 0.5, np.ones((3, 3)))
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        if not count:
            return found
        kept = {labels[int(y / cell[0]), int(x / cell[1])] for x, y, inside in prompt.clicks if inside} - {0}
        if prompt.box is not None or not kept:
            kept |= set(1 + np.flatnonzero(areas >= (_PART if prompt.box is not None else 1) * areas.max()))
        whole = np.isin(labels, list(kept))
        found[~ndimage.binary_dilation(whole, iterations=2) | ((labels > 0) & ~whole)] = 0
        gaps, count = ndimage.label(~whole)
        sizes = np.bincount(gaps.ravel(), minlength=count + 1)
        rim = np.unique(np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]]))
        small = (sizes < _PART * whole.sum()) & ~np.isin(np.arange(count + 1), rim)
        small[0] = False
        found[ndimage.binary_dilation(small[gaps], iterations=2, mask=whole | small[gaps])] = 1
        return found


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _points(name: str, given: Any) -> list[Point]:
    """Points, or a single one, as pairs of numbers."""
    values = [] if given is None else [*given] if isinstance(given, Iterable) else [given]
    if len(values) == 2 and all(isinstance(value, Real) for value in values):
        values = [values]
    return [_numbers(name, value, 2) for value in values]


def _numbers(name: str, given: Any, count: int) -> Any:
    values = tuple(given) if isinstance(given, Iterable) else ()
    if len(values) != count or not all(isinstance(value, Real) and math.isfinite(value) for value in values):
        raise SettingError(name, f"must be {count} numbers, not {shown(given)}")
    return tuple(float(value) for value in values)


def _place(*numbers: float) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _outside(size: tuple[int, int]) -> str:
    return f"is outside of the picture, which is {size[1]}x{size[0]} (width x height, turned upright)"
