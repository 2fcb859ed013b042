"""The task `find_damage`: scratches, creases, dust, hairs, stains, torn corners and writing of scanned photographs.

Scratches are 1 to 8 pixels wide in the scans that the model was trained on, and those of a large scan may be wider. It
is looked at with its longer side reduced to `WORKING_SIDE` pixels, to half of that, and so on, and what is found at any
of these sizes is brought back to its own. The network sees windows, each with a margin that is not kept, so that memory
is bounded whatever the picture's size. Where it sees any, it sees the window mirrored too: what it takes for damage in
one and not in the other is seldom any.

A mark is surely damage somewhere, and goes on from there to what is less sure: two thresholds (hysteresis: Canny 1986).
Eyes and mouths of faces are left out (`imaging.faces`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from scipy.special import expit
from torch import Tensor

from scoreinv.analysis.faces import faces, facial_features
from scoreinv.imaging.picture import STRIP_ROWS, Picture, scaled
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import dilate
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.networks.detector import STRIDE
from scoreinv.operators.colour_space import luma
from scoreinv.system.errors import SettingError
from scoreinv.system.options import FOUND_GROW, SENSITIVITY, USUAL_SENSITIVITY, Whole, check, check_callback
from scoreinv.system.text import shown
from scoreinv.tasks.common import finite, to_tensor
from scoreinv.tasks.results import Given, TaskCallback, at_work, parts, tell
from scoreinv.windows.boxes import Box

Detector = DamageDetector | str | Path
"""A model at hand, or the name or file of one."""

WORKING_SIDE = 1536
"""Longer side, in pixels, of the picture that the network sees at most."""
_LEAST_SIDE = 384
"""And at least, where the picture has as many."""
_SURER = 7.0
"""How many times the odds of damage must be where a scan is seen smaller: antlers and spokes then look like hairs."""

_CORE, _MARGIN = 512, 48
"""Of a window: the side of what is kept of it, and what it sees beyond, in pixels."""
_CLEAN = -2.0
"""Log odds below which everywhere a window shows no damage: mirrored it would need as much more to have any."""

_BESIDE = 16.0
"""How many times the odds of damage are where it goes on from a sure pixel: scratches and stains seldom end there."""
_EIGHT = np.ones((3, 3), bool)
_SOUND = -9.0
"""Log odds of damage that are the least that tell of a picture: below all is sound."""


def find_damage(
    image: Given,
    *,
    sensitivity: float = USUAL_SENSITIVITY,
    grow: int = FOUND_GROW,
    model: Detector = "damage",
    callback: TaskCallback | None = None,
    progress: bool = False,
) -> Given:
    """Find the damage of a scanned photograph, as a mask for `inpaint`.

        mask = scoreinv.find_damage(image)
        if mask.any():  # for a PIL image: mask.getbbox()
            result = scoreinv.inpaint(image, mask, prior="photo")

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        sensitivity: from 0, which marks nothing, to 1, which marks everything: what has a probability of damage above
            1 - sensitivity is marked, with what is connected to it and has at least a sixteenth of these odds.
        grow: pixels by which what is found is enlarged, as its soft edges need to be filled too.
        model: the model, or its name or file, which is then loaded for this picture.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Returns:
        What is damaged: an array HxW of bool; for a PIL image one of mode L, 255 where it is damaged; for a tensor one
        of 0 and 1, 1xHxW or Bx1xHxW. Nothing is marked in a photograph without damage, and `inpaint` then has nothing
        to fill.

    Raises:
        InputError: a wrong picture or setting.
        CheckpointError: there is no such model.
        Cancelled: the callback stopped the work.
    """
    check("sensitivity", sensitivity, SENSITIVITY)
    check("grow", grow, Whole())
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    detector = detector_of(model)
    with at_work("looking for damage", callback, progress=progress) as told:
        found = [
            damage_in_picture(picture, detector, sensitivity, grow, part)
            for picture, part in zip(pictures, parts(told, [1] * len(pictures)), strict=True)
        ]
    return form.holes(found)


def damage_in_picture(
    picture: Picture,
    detector: DamageDetector,
    sensitivity: float = USUAL_SENSITIVITY,
    grow: int = FOUND_GROW,
    callback: TaskCallback | None = None,
) -> np.ndarray:
    """`find_damage` for one `Picture`: HxW bool."""
    return Odds.seen(picture, detector, callback).marked(sensitivity, grow)


@dataclass(frozen=True, eq=False)
class Odds:
    """What the network sees in a picture, by which damage is marked at any sensitivity.

    Attributes:
        size: (height, width) of the picture.
        gray: its luma at the largest working size, HxW in [0, 1].
        logits: the log odds of damage at each working size, the smallest first.
    """

    size: tuple[int, int]
    gray: np.ndarray
    logits: list[np.ndarray]

    @classmethod
    def seen(cls, picture: Picture, detector: DamageDetector, callback: TaskCallback | None = None) -> Odds:
        """Look at a picture."""
        sizes = working_sizes(picture.size)[::-1]
        logits = []
        for size, part in zip(sizes, parts(callback, map(math.prod, sizes)), strict=True):
            rgb = picture.rgb() if size == picture.size else picture.resized_rgb(*size)
            logits.append(damage_logits(rgb, detector, part))
            if size != sizes[-1]:
                logits[-1] -= math.log(_SURER)
        return cls(picture.size, luma(rgb), logits)

    @cached_property
    def faces(self) -> list[Box]:
        """Where the picture shows faces."""
        return faces(self.gray)

    def marked(self, sensitivity: float, grow: int = FOUND_GROW) -> np.ndarray:
        """The damage, HxW bool."""
        return dilate(_enlarged(self._chance(sensitivity), self.size) > 1 - sensitivity, grow)

    def evidence(self, sensitivity: float) -> float:
        """How far surely marked damage stands out: -inf where none is, some 17 for a clear scratch.

        The mean log odds at the peaks of the marks that are sure by `sensitivity`, weighed by their areas, and the log
        of the largest area, in pixels, less the log of the mean probability where nothing is marked: before a fence,
        twigs or the veins of a leaf much of the rest looks a little like damage too.
        """
        size, *_ = working_sizes(self.size)
        logits = np.max([_enlarged(each, size) for each in self.logits], axis=0)
        labels, count = ndimage.label(self._chance(USUAL_SENSITIVITY) > 1 - USUAL_SENSITIVITY, _EIGHT)
        peaks = ndimage.maximum(logits, labels, range(1, count + 1)) if count else np.zeros(0)
        sure = expit(peaks) > 1 - sensitivity
        if not sure.any():
            return -math.inf
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:][sure]
        elsewhere = np.average(expit(np.maximum(logits, _SOUND)), weights=np.where(labels, 1e-9, 1))
        return float(np.average(peaks[sure], weights=areas) + np.log(areas.max()) - np.log(elsewhere))

    def _chance(self, sensitivity: float) -> np.ndarray:
        """The probability of damage at the largest working size, where it goes on from what is sure."""
        size, *_ = working_sizes(self.size)
        probability = np.zeros(size, np.float32)
        for logits in self.logits:
            sure = expit(logits) > 1 - sensitivity
            chance = expit(logits + math.log(_BESIDE))
            likely = chance > 1 - sensitivity
            chance[likely & ~ndimage.binary_propagation(sure, _EIGHT, mask=likely)] = 0  # goes on from nothing sure
            np.maximum(probability, _enlarged(chance, size), out=probability)
        if (found := probability > 1 - sensitivity).any():
            probability[facial_features(found, self.gray, self.faces)] = 0
        return probability


def detector_of(model: object) -> DamageDetector:
    """The model itself, or the one that a name or file stands for; SettingError for anything else.

    Raises CheckpointError where there is none such.
    """
    if isinstance(model, str | Path):
        return load_damage_detector(model)
    if not isinstance(model, DamageDetector):
        raise SettingError(
            "model", f"must be one as scoreinv.load_damage_detector gives it, or its name, not {shown(model)}"
        )
    return model


def working_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes at which a picture of (height, width) is looked at, the largest first, each half of the one before."""
    sizes = [scaled(size, min(1.0, WORKING_SIDE / max(size)))]
    while max(sizes[-1]) >= 2 * _LEAST_SIDE:
        sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
    return sizes


@torch.no_grad()
def damage_logits(rgb: np.ndarray, detector: DamageDetector, callback: TaskCallback | None = None) -> np.ndarray:
    """The log odds of damage, HxW float32, of colours (HxWx3 float in [0, 1]) as large as they are."""
    height, width = rgb.shape[:2]
    found = np.empty((height, width), np.float32)
    corners = list(product(range(0, height, _CORE), range(0, width, _CORE)))
    for number, (top, left) in enumerate(corners, 1):
        first_row, first_column = max(0, top - _MARGIN), max(0, left - _MARGIN)
        window = rgb[first_row : top + _CORE + _MARGIN, first_column : left + _CORE + _MARGIN]
        logits = finite(_looked_at(to_tensor([window], detector.device), detector))[0, 0]
        kept = logits[top - first_row :, left - first_column :][:_CORE, :_CORE]
        found[top : top + _CORE, left : left + _CORE] = kept.cpu().numpy()
        tell(callback, number / len(corners))
    return found


def _looked_at(window: Tensor, detector: DamageDetector) -> Tensor:
    """The logits of a window of any size, the mean of those that it has as it is and, unless it is clean, mirrored.

    Its last row and column are repeated up to what the network takes.
    """
    height, width = window.shape[-2:]
    padded = F.pad(window, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    logits = detector.logits(padded)
    if logits.max() > _CLEAN:
        logits = (logits + detector.logits(padded.flip(-1)).flip(-1)) / 2
    return logits[..., :height, :width]


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values HxW at a larger size, bilinear, in bands: Pillow's own copies stay small."""
    if values.shape == size:
        return values
    height, width = size
    image = Image.fromarray(values)
    out = np.empty(size, np.float32)
    for top in range(0, height, STRIP_ROWS):
        rows = min(STRIP_ROWS, height - top)
        box = (0, top * image.height / height, image.width, (top + rows) * image.height / height)
        out[top : top + rows] = np.asarray(image.resize((width, rows), Image.Resampling.BILINEAR, box=box))
    return out
