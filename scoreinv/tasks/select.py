"""The task `select`: segment an object of a photograph by clicks or a box.

The encoder embeds the picture once; a small decoder answers each prompt (`models.segment_anything`). A single click may
mean a part, a larger part or the whole, so the decoder returns three masks. The one with the highest predicted IoU is
chosen, with a penalty for unusual sizes. For a box it is the median of three masks (`Selection._in_box`). Each further
click is decoded with the previous mask, and adds or removes its part of it.

Postprocessing keeps the components that contain a click, or large ones in a box, and fills small gaps. A mask's cell is
1/256 of the longer side, so the mask is upsampled along the edges of the photograph (`analysis.guided_upsampling`).

The mask of a hole that removes the object has a margin: a lower threshold of the probabilities, and a dilation.
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
from scipy.special import expit, logit

from scoreinv.analysis.colour_evidence import bins_of, explained_share
from scoreinv.analysis.fragments import fragments_beside
from scoreinv.analysis.guided_upsampling import upsampled_mask
from scoreinv.analysis.shadows import propose_shadow
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.imaging.regions import extent
from scoreinv.imaging.resizing import resized, scaled
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import LIBRARY, Models
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
from scoreinv.system.options import checked_numbers
from scoreinv.system.progress import report
from scoreinv.tasks.notes import info
from scoreinv.tasks.outcome import ImageLike, SelectOutcome
from scoreinv.tasks.requests import Inputs, SelectRequest

Size = Literal["small", "middle", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
"""Meanings of a single click, from a part to the whole object."""
Point = tuple[float, float]
"""(x, y) in pixels from the upper left corner of the upright picture."""

_SMALL, _LARGE = 0.01, 0.3
"""Usual areas of selected objects, as a fraction of the picture."""
_UNUSUAL = 0.4
"""Penalty on the predicted IoU of masks ten times smaller than usual, or larger by a quarter of the picture."""
_WHOLE = 0.03
"""Bonus for each mask over the next smaller one. Mean IoU of random clicks on sixteen objects: .75 with penalty and
bonus, .65 with the predicted IoU alone, .82 for the best of the three."""
_PLAIN, _OBEYED, _LIKE = 0.2, 0.1, 0.3
"""Bonuses after several clicks: for the first mask, which is for several points; for agreement with all clicks; and per
unit of IoU with the previous mask.
Mean IoU after two clicks on sixteen objects: .84, against .74 with the first mask alone, which may fall apart."""
_PART = 0.01
"""Area of specks and gaps, at most, as a fraction of a mask's largest component or of the mask."""
_BEYOND = 0.03
"""Margin of a hand-drawn box that a selection may use, as a fraction of its sides."""
_AROUND = 0.15
"""Margin of a box within which its masks are compared by colour, as a fraction of its sides."""
_LIKELY, _LIKELY_BY_CLICK = 0.15, 0.3
"""Minimum probabilities in a hole that removes the object; the second for a single click, which means one of three
masks. Holes of sixteen objects by boxes miss 0.6 % of them, with 0.5 1.6 %; 23 % instead of 18 % are beside them."""
_ALIKE = 0.9
"""IoU from which two masks look the same."""
_MISSED = 4.0
"""Added to the logits of pixels that a mask misses, which are then halved: the decoder is too sure of its mistakes.
Chosen with the thresholds of `analysis.fragments`, by `tests/benchmarks/fragments.py`."""
_KEPT = 32
"""Cached masks per picture, 1 MB each; undoing a click then needs no decoding."""
MOST_CLICKS = 32
"""Maximum number of points of a prompt. Each needs a run of the decoder, about 0.1 s."""


@dataclass(frozen=True)
class Prompt:
    """Clicks, a box, or both, that select an object.

    Attributes:
        clicks: (x, y, inside) in order, in pixels, at most `MOST_CLICKS`; `inside` is false beside the object. Without
            a box the first is inside.
        box: (x, y, width, height) around the object, in pixels.
    """

    clicks: tuple[tuple[float, float, bool], ...] = ()
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.clicks) > MOST_CLICKS:
            count = len(self.clicks)
            raise SettingError(
                "at", f"gives, with the points beside the object, {count}: at most {MOST_CLICKS} are possible"
            )

    @classmethod
    def of(cls, at: Any = (), not_at: Any = (), box: Any = None) -> Prompt:
        """Return the prompt of one or several points inside and outside the object, and a box.

        Raises SettingError for malformed points or boxes.
        """
        clicks = [(*point, True) for point in _points("at", at)] + [
            (*point, False) for point in _points("not_at", not_at)
        ]
        if box is not None:
            left, top, wide, high = checked_numbers("box", box, 4)
            box = left, top, wide, high
            if wide <= 0 or high <= 0:
                raise SettingError("box", f"must have a width and a height, not {wide:g} and {high:g}")
        return cls(tuple(clicks), box)

    def check(self, size: tuple[int, int]) -> None:
        """Raise InputError unless the prompt lies in a picture of (height, width) and names an object."""
        height, width = size
        outside = f"is outside the picture, which is {width}x{height} (width x height, upright)"
        if self.box is None and not (self.clicks and self.clicks[0][2]):
            raise SettingError("at", "is missing: say where the object is, or give a box around it")
        for x, y, inside in self.clicks:
            if not (0 <= x < width and 0 <= y < height):
                raise SettingError("at" if inside else "not_at", f"{x:g},{y:g} {outside}")
        if self.box is not None:
            x, y, wide, high = self.box
            if not (x < width and y < height and x + wide > 0 and y + high > 0):
                raise SettingError("box", f"{x:g},{y:g},{wide:g},{high:g} {outside}")


@dataclass(frozen=True)
class Selected:
    """A selected object.

    Attributes:
        mask: HxW bool, true inside the object.
        likely: HxW bool, the mask and the pixels beside it that may belong to the object, such as tips and hair.
        size: chosen meaning of a single click; None for other prompts.
        iou: predicted IoU of the mask.
        fragments: HxW bool, small gaps and tips that the mask misses; they resemble the object.
    """

    mask: np.ndarray
    likely: np.ndarray
    size: Size | None
    iou: float
    fragments: np.ndarray

    def hole(self, grow: int | None = None, fragments: bool = True) -> np.ndarray:
        """Return the mask of a hole, HxW bool, that removes the object.

        Args:
            grow: dilation of the mask in pixels; None: of the likely pixels by `usual_grow`.
            fragments: add the fragments.
        """
        mask = self.likely if grow is None else self.mask
        return dilate(mask | (self.fragments & fragments), usual_grow(mask.shape) if grow is None else grow)


def select(
    image: ImageLike,
    at: Sequence[Any] = (),
    not_at: Sequence[Any] = (),
    box: Sequence[float] | None = None,
    *,
    size: Size | None = None,
    grow: int | None = None,
    shadow: bool = False,
    fragments: bool = True,
) -> ImageLike:
    """Select an object of a photograph by clicks or a box; return a mask for `inpaint`.

        mask = scoreinv.select(image, at=(320, 200))
        mask = scoreinv.select(image, box=(250, 120, 180, 260), not_at=[(300, 370)])
        result = scoreinv.inpaint(image, mask, prior="photo")

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (1x)CxHxW of uint8, uint16 or floats in [0, 1].
        at: one point (x, y) on the object or several, in pixels of the upright picture.
        not_at: points outside the object, which remove surplus parts of the selection; with `at` at most 32.
        box: (x, y, width, height) around the object; the most reliable prompt.
        size: meaning of a single click, `small`, `middle` or `large`; None: the most likely one.
        grow: dilation in pixels; 0: the object alone. None: a safe margin for its removal, since remnants at the border
            of a hole would be continued into it.
        shadow: include the object's cast shadow, if a clear one is visible.
        fragments: include small gaps and tips that resemble the object.

    Returns:
        The mask, in the form of the image: a bool array HxW, a PIL image of mode L with 0 and 255, or a tensor
        (1x)1xHxW of 0 and 1.

    Raises:
        InputError: a wrong picture or setting, no prompt, or a point outside the picture.
        ScoreinvError: no object was found, or onnxruntime is not installed.
    """
    request = SelectRequest(at, not_at, box, size, grow, shadow, fragments)
    pictures, form = pictures_from_api(image)
    if len(pictures) > 1:
        raise InputError(f"{len(pictures)} pictures: select in one at a time, since points belong to one")
    request.result_of(pictures[0])  # raises for points outside, before the picture is embedded
    return form.holes([select_picture(Inputs(pictures[0]), request, Models(machine=LIBRARY)).mask])


def select_picture(inputs: Inputs, request: SelectRequest, models: Models) -> SelectOutcome[Picture]:
    """Select an object of a photograph; the image of the outcome is its mask."""
    picture = inputs.picture
    prompt = Prompt.of(request.at, request.not_at, request.box)
    found = Selection(picture, SegmentAnything(models.machine.threads)).select(prompt, request.size)
    fragments = found.fragments & request.fragments
    mask = found.hole(request.grow, request.fragments)
    shadow = propose_shadow(picture, found.mask) if request.shadow else None
    if shadow is not None:
        mask |= shadow
    notes = [info("object_selected", share=float(mask.mean()), size=found.size or "", shadow=shadow is not None)]
    if fragments.any():
        notes.append(info("fragments_selected", share=float(fragments.sum() / found.mask.sum())))
    if request.shadow and shadow is None:
        notes.append(info("shadow_none"))
    image = picture_of_hole(mask)
    return SelectOutcome(image, [image], None, 1, "segmentation", mask, found.size, fragments, notes=notes)


def usual_grow(size: tuple[int, int]) -> int:
    """Return the default dilation in a picture of (height, width), in pixels: one cell of the mask, and one pixel.

    It leaves 5 % of the rims of sixteen objects uncovered (median); 2 pixels leave 13 %.
    """
    return 1 + round(CELL * max(size) / SIDE)


class Selection:
    """An embedded picture, in which each prompt costs one run of the decoder.

        selection = Selection(picture)  # embeds the picture, about 1 s
        prompt = Prompt(((320, 200, True),))
        first = selection.select(prompt)  # about 0.1 s
        other = selection.select(prompt, selection.next_size(prompt, first.size))

    Args:
        network: the networks, which pictures may share; None: loaded for this picture.
    """

    def __init__(self, picture: Picture, network: SegmentAnything | None = None) -> None:
        self.picture = picture
        self.network = SegmentAnything() if network is None else network
        self.scale = SIDE / max(picture.size)
        """Pixels of the encoder's input per pixel of the picture."""
        input_size = scaled(picture.size, self.scale)
        rgb = picture.resized_rgb(*input_size)
        self.embedding = self.network.embedding(rgb)
        self._extent = input_size[0] / CELL, input_size[1] / CELL
        """Height and width of the picture in the decoder's square masks, in cells; the rest is padding."""
        self._low = max(1, round(self._extent[0])), max(1, round(self._extent[1]))
        """The low resolution of the picture: one pixel per cell."""
        self._colours = Picture(rgb).resized_rgb(*self._low)  # from `rgb`, since reducing a large picture is slow
        self._masks: dict[tuple[Prompt, Size | None], tuple[np.ndarray, np.ndarray]] = {}

    def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
        """Return the selected object.

        Args:
            size: meaning of the first click; None: the most likely one.

        Raises:
            InputError: the prompt is empty, or outside the picture.
            ScoreinvError: no object was found.
        """
        logits, iou, chosen = self._answer(prompt, size)
        low = self._cleaned(expit(logits), prompt)
        mask = upsampled_mask(self.picture, self._colours, low)
        if not mask.any():
            raise ScoreinvError("no object was found: point at the middle of an object, or give a box around it")
        shift = logit(_LIKELY if chosen is None else _LIKELY_BY_CLICK)
        likely = mask | upsampled_mask(self.picture, self._colours, self._cleaned(expit(logits - shift), prompt))
        return Selected(mask, likely, chosen, iou, self._fragments(low > 0.5, logits, prompt) & ~mask)

    def next_size(self, prompt: Prompt, size: Size | None) -> Size | None:
        """Return the next likeliest size with a visibly different mask, starting again after the unlikeliest.

        A repeated click on the same place selects it. Of 192 random clicks on sixteen objects, two find a mask of IoU
        .85 for 59 %, as three do; in order of size, two find it for 54 %.
        """
        if size is None:
            return None
        now = self._answer(prompt, size)[0] > 0
        masks, iou = self._decoded(_first(prompt))
        by_area = _by_area(masks)
        order = [SIZES[by_area.index(number)] for number in self._by_likelihood(masks, iou)]
        for step in range(1, len(order)):
            other = order[(order.index(size) + step) % len(order)]
            found = self._answer(prompt, other)[0] > 0
            if _iou(found, now) < _ALIKE:
                return other
        return size

    def _fragments(self, inside: np.ndarray, logits: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Return small gaps and tips that a mask misses, HxW bool.

        Args:
            inside: the mask at the picture's low resolution, hxw bool.
            logits: of the mask, in the encoder's square input.
        """
        prior = (self._at_low(logits) + _MISSED) / 2
        labels, _ = ndimage.label(fragments_beside(self._colours, inside, inside, prior), np.ones((3, 3)))
        beside = {labels[self._cell(x, y)] for x, y, inside in prompt.clicks if not inside}
        found = self._within(prompt.box) & (labels > 0) & ~np.isin(labels, list(beside))
        # The cells between the mask and its fragments belong to neither.
        around = np.ones((3, 3))
        joined = ndimage.binary_dilation(found, around) & ndimage.binary_closing(found | inside, around)
        return resized(joined.astype(np.float32), self.picture.size, Image.Resampling.BILINEAR) > 0.5

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        """Return the row and column of a point at the picture's low resolution."""
        return int(y * self._low[0] / self.picture.height), int(x * self._low[1] / self.picture.width)

    def _within(self, box: tuple[float, float, float, float] | None, margin: float = _BEYOND) -> np.ndarray:
        """Return the cells at low resolution in a box with a margin, a fraction of its sides; without a box, all."""
        height, width = self._low
        if box is None:
            return np.ones(self._low, bool)
        left, top, right, bottom = self._corners(box, margin)
        rows = (np.arange(height) + 0.5) * (self.picture.height / height)
        columns = (np.arange(width) + 0.5) * (self.picture.width / width)
        return ((rows > top) & (rows < bottom))[:, None] & (columns > left) & (columns < right)

    def _at_low(self, square: np.ndarray) -> np.ndarray:
        """Return values in the encoder's square input at the picture's low resolution."""
        return resized(square, self._low, Image.Resampling.BILINEAR, (0, 0, self._extent[1], self._extent[0]))

    def _answer(self, prompt: Prompt, size: Size | None) -> tuple[np.ndarray, float, Size | None]:
        """Return the logits of the chosen mask (h, w), its predicted IoU, and its size for a single click.

        Raises InputError for a wrong prompt.
        """
        prompt.check(self.picture.size)
        first = _first(prompt)
        masks, iou = self._decoded(first)
        if prompt.box is None or size is not None:
            by_area = _by_area(masks)
            number = self._by_likelihood(masks, iou)[0] if size is None else by_area[SIZES.index(size)]
            found, trust, chosen = masks[number], float(iou[number]), SIZES[by_area.index(number)]
        else:
            (found, trust), chosen = self._in_box(prompt.box, masks, iou), None
        for count in range(len(first.clicks) + 1, len(prompt.clicks) + 1):
            report(count / (len(prompt.clicks) + 1))
            clicked = replace(prompt, clicks=prompt.clicks[:count])
            masks, iou = self._decoded(clicked, size, found)
            agrees = [self._keeps(mask, clicked) for mask in masks]
            overlap = [_iou(mask > 0, found > 0) for mask in masks]
            bonus = _OBEYED * np.array(agrees) + _LIKE * np.array(overlap)
            bonus[0] += _PLAIN
            number = int(np.argmax(iou + bonus))
            found, trust, chosen = self._changed(found, masks[number], clicked.clicks[-1]), float(iou[number]), None
        return found, trust, chosen

    def _changed(self, before: np.ndarray, after: np.ndarray, click: tuple[float, float, bool]) -> np.ndarray:
        """Return the logits `before` with the part of `after` that a click adds or removes.

        It is the connected part, at the click, of the pixels that the masks decide differently. If they agree there, or
        `after` contradicts the click, return `after` whole.
        """
        x, y, inside = click
        labels, _ = ndimage.label((before > 0) != (after > 0), np.ones((3, 3)))
        cell = self._decoder_cell(x, y)
        if not labels[cell] or (after[cell] > 0) != inside:
            return after
        return np.where(labels == labels[cell], after, before)

    def _in_box(
        self, box: tuple[float, float, float, float], masks: np.ndarray, iou: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return the logits of the mask of a box, and its predicted IoU, as medians over three masks.

        The decoder's first mask is for unambiguous prompts, the others for ambiguous ones. The three masks are: the
        first mask of the box; the mask that colours explain best; and, because a hand-drawn box is wider than the
        object, the first mask of that mask's bounding box.
        """
        cleaned = [self._cleaned(expit(mask), Prompt(box=box)) > 0.5 for mask in masks]
        around = self._within(box, _AROUND)
        rows, columns = extent(around)
        bins = bins_of(self._colours[rows, columns])
        best = int(np.argmax([explained_share(bins, mask[rows, columns]) for mask in cleaned]))
        if not cleaned[best].any():
            return masks[0], float(iou[0])
        again, trust = self._decoded(Prompt(box=self._box_around(cleaned[best])))
        return np.median([masks[0], masks[best], again[0]], axis=0), float(np.median([iou[0], iou[best], trust[0]]))

    def _box_around(self, mask: np.ndarray) -> tuple[float, float, float, float]:
        """Return the bounding box in pixels of a mask at low resolution."""
        rows, columns = extent(mask)
        high, wide = (full / low for full, low in zip(self.picture.size, self._low, strict=True))
        left, top = wide * columns.start, high * rows.start
        return left, top, wide * columns.stop - left, high * rows.stop - top

    def _decoded(
        self, prompt: Prompt, size: Size | None = None, previous: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits and the predicted IoUs of a prompt's masks.

        Args:
            size: meaning of the first click, from which the previous mask follows.
            previous: logits of the previous mask.
        """
        key = prompt, size
        if key not in self._masks:
            self._masks = dict(list(self._masks.items())[-_KEPT:])
            points, labels = self._points(prompt)
            self._masks[key] = self.network.masks(self.embedding, points, labels, previous)
        return self._masks[key]

    def _keeps(self, mask: np.ndarray, prompt: Prompt) -> bool:
        """Return whether a mask contains all clicks inside the object and none of the others."""
        return all((mask[self._decoder_cell(x, y)] > 0) == inside for x, y, inside in prompt.clicks)

    def _decoder_cell(self, x: float, y: float) -> tuple[int, int]:
        """Return the row and column of a point in the decoder's masks."""
        return int(self.scale * y / CELL), int(self.scale * x / CELL)

    def _points(self, prompt: Prompt) -> tuple[np.ndarray, list[int]]:
        """Return the prompt's points (N, 2) in the encoder's input, and their labels."""
        points = [(x + 0.5, y + 0.5) for x, y, _ in prompt.clicks]
        labels = [INSIDE if inside else OUTSIDE for _, _, inside in prompt.clicks]
        if prompt.box is None:
            return self.scale * np.array([*points, (0, 0)]), [*labels, NO_POINT]
        left, top, right, bottom = self._corners(prompt.box)
        return self.scale * np.array([*points, (left, top), (right, bottom)]), [*labels, CORNER, OTHER_CORNER]

    def _corners(self, box: tuple[float, float, float, float], beyond: float = 0) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) of a box enlarged by a fraction of its sides, clipped to the picture."""
        x, y, wide, high = box
        left, top = max(0.0, x - beyond * wide), max(0.0, y - beyond * high)
        right, bottom = x + (1 + beyond) * wide, y + (1 + beyond) * high
        return left, top, min(right, self.picture.width), min(bottom, self.picture.height)

    def _by_likelihood(self, logits: np.ndarray, iou: np.ndarray) -> list[int]:
        """Return the indices of the masks of a single click, the likeliest first, by predicted IoU and area."""
        rows, columns = (math.ceil(side) for side in self._extent)
        area = (logits[:, :rows, :columns] > 0).mean(axis=(1, 2)).clip(1e-6)
        unusual = np.log10(_SMALL / area).clip(0) + 4 * (area - _LARGE).clip(0)
        likelihood = (iou - _UNUSUAL * unusual)[1:] + _WHOLE * np.argsort(np.argsort(area[1:]))
        return [1 + int(number) for number in np.argsort(-likelihood, kind="stable")]

    def _cleaned(self, square: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Return the mask's probabilities at the picture's low resolution, without specks and gaps.

        Args:
            square: probabilities in the encoder's square input.
        """
        found = self._at_low(square)
        found[~self._within(prompt.box)] = 0
        labels, count = ndimage.label(found > 0.5, np.ones((3, 3)))
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        if not count:
            return found
        kept = {labels[self._cell(x, y)] for x, y, inside in prompt.clicks if inside} - {0}
        if prompt.box is not None or not kept:
            kept |= set(1 + np.flatnonzero(areas >= (_PART if prompt.box is not None else 1) * areas.max()))
        whole = np.isin(labels, list(kept))
        found[~ndimage.binary_dilation(whole, iterations=2) | ((labels > 0) & ~whole)] = 0
        gaps, count = ndimage.label(~whole)
        sizes = np.bincount(gaps.ravel(), minlength=count + 1)
        rim = np.unique(np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]]))
        small = (sizes < _PART * whole.sum()) & ~np.isin(np.arange(count + 1), rim)
        found[ndimage.binary_dilation(small[gaps], iterations=2, mask=whole | small[gaps])] = 1
        return found


def _first(prompt: Prompt) -> Prompt:
    """Return the box, or the first click; each further click refines its mask."""
    return replace(prompt, clicks=prompt.clicks[: int(prompt.box is None)])


def _by_area(masks: np.ndarray) -> list[int]:
    """Return the indices of the masks of a single click, from the smallest to the largest."""
    return sorted(range(1, len(masks)), key=lambda mask: int((masks[mask] > 0).sum()))


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _points(name: str, given: Any) -> list[Point]:
    """Return one point or several as a list of points."""
    values = [] if given is None else [*given] if isinstance(given, Iterable) else [given]
    if len(values) == 2 and all(isinstance(value, Real) for value in values):
        values = [values]
    return [checked_numbers(name, value, 2) for value in values]
