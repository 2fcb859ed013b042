"""The task `damage`: scratches, creases, dust, hairs, stains, torn corners and writing of scanned photographs.

The detector was trained on scratches of 1 to 8 pixels, but those of a large scan may be wider. Therefore the picture is
evaluated at several working sizes: with its longer side reduced to `WORKING_SIDE` pixels, to half of that, and so on.
The odds are then upsampled. Evaluation in windows with a margin bounds the memory. A window with possible damage is
evaluated again as its mirror image, because damage that appears in one orientation only is seldom real.

Damage is marked by two thresholds (hysteresis: Canny 1986): pixels above the lower one are marked if they are connected
to pixels above the higher one. Eyes and mouths of faces are excluded (`analysis.faces`), and in a face a sensitivity
above the default marks no more than the default does: wrinkles, lashes and glints look like damage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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

from scoreinv.analysis.effective_resolution import oversampling
from scoreinv.analysis.faces import faces, facial_features
from scoreinv.analysis.kind import Kind, kind_by_colours
from scoreinv.imaging.picture import STRIP_ROWS, Picture, picture_of_hole
from scoreinv.imaging.resizing import scaled
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import dilate
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.loading import Models
from scoreinv.networks.detector import STRIDE
from scoreinv.operators.luma import luma
from scoreinv.system.errors import InputError
from scoreinv.system.options import FOUND_GROW, USUAL_SENSITIVITY
from scoreinv.system.progress import Callback, part, parts, report, running
from scoreinv.tasks.common import finite, given_model, to_tensor
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.outcome import DamageOutcome, ImageLike
from scoreinv.tasks.requests import SURE_SENSITIVITY, DamageRequest, InpaintRequest, Inputs
from scoreinv.windows.boxes import Box, crop

Detector = DamageDetector | str | Path
"""A loaded model, or its name or file."""

MOST_FOUND = 0.5
"""Share of damage above which the detection is implausible, as in a drawing or a page of text."""
_SCRATCHED = 0.0025
"""Fraction of clearly damaged pixels, with rims, above which a picture may be a worn print. Ten colour photographs that
only this separates from prints have 0, three worn prints at least 0.0054."""
WORKING_SIDE = 1536
"""Longer side of the largest working size, in pixels."""
_LEAST_SIDE = 384
"""Minimum longer side of the smallest working size in pixels, unless the picture is smaller."""
_SURER = 7.0
"""Divisor of the odds at working sizes other than the largest: there, antlers and spokes look like hairs."""

_CORE, _MARGIN = 512, 48
"""Side of a window without its margin, and the margin, in pixels."""
_CLEAN = -2.0
"""Maximum log odds of a window that counts as clean, and is not evaluated again as its mirror image."""

_BESIDE = 16.0
"""Factor of the odds of pixels connected to sure damage, because scratches and stains continue."""
_EIGHT = np.ones((3, 3), bool)
_SOUND = -9.0
"""Minimum log odds in the mean probability of `DamageOdds.evidence`; lower ones carry no information."""


def find_damage(
    image: ImageLike,
    *,
    sensitivity: float = USUAL_SENSITIVITY,
    grow: int = FOUND_GROW,
    model: Detector = "damage",
    callback: Callback | None = None,
    progress: bool = False,
) -> ImageLike:
    """Find the damage of a scanned photograph, as a mask for `inpaint`.

        mask = scoreinv.find_damage(image)
        if mask.any():  # for a PIL image: mask.getbbox()
            result = scoreinv.inpaint(image, mask)

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        sensitivity: from 0 (nothing) to 1 (everything). Pixels with a probability of damage above 1 - sensitivity are
            marked, and connected ones with at least a sixteenth of these odds.
        grow: pixels by which the mask is enlarged, for soft edges.
        model: the model, its name or its file.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Returns:
        The mask: an array HxW of bool; a PIL image of mode L, 255 for damage; a tensor of 0 and 1, 1xHxW or Bx1xHxW.
        It is empty for a photograph without damage.

    Raises:
        InputError: a wrong picture or setting.
        CheckpointError: there is no such model.
        Cancelled: the callback stopped the work.
    """
    request = DamageRequest(sensitivity=sensitivity, grow=grow)
    pictures, form = pictures_from_api(image)
    models = Models(damage=given_model(model, load_damage_detector, DamageDetector))
    found = []
    with running("looking for damage", callback, progress=progress):
        for number, picture in enumerate(pictures):
            with part(number, len(pictures)):
                found.append(damage_picture(Inputs(picture), request, models).damage)
    return form.holes(found)


def damage_picture(inputs: Inputs, request: DamageRequest, models: Models) -> DamageOutcome[Picture]:
    """Find the damage of a photograph; the image of the outcome is its mask."""
    return DamageOdds.of(inputs.picture, models.detector()).outcome(request)


def found_note(hole: np.ndarray, **values: float) -> Note:
    """Return the note about damage that was found, HxW bool, with other values; `corners`: how many are damaged."""
    corners = int(hole[[0, 0, -1, -1], [0, -1, 0, -1]].sum())
    return info("damage_found", share=float(hole.mean()), corners=corners, **values)


def refuse_all(hole: np.ndarray) -> None:
    """Raise InputError if the damage, HxW bool, is the whole photograph."""
    if hole.all():
        raise InputError("all of it is detected as damage: lower the sensitivity, or grow the damage less")


def detect(picture: Picture, request: InpaintRequest, models: Models) -> tuple[np.ndarray, list[Note]]:
    """Return the damage to inpaint in a photograph, HxW bool, and the note about it.

    Raises InputError if all of the photograph is damage.
    """
    sensitivity = USUAL_SENSITIVITY if request.sensitivity is None else request.sensitivity
    odds = DamageOdds.of(picture, models.detector())
    hole = odds.marked(sensitivity, request.grow)
    refuse_all(hole)
    return hole, odds.notes(hole, sensitivity)


@dataclass(frozen=True, eq=False)
class DamageOdds:
    """The odds of damage in a picture, from which masks of any sensitivity are made.

    Attributes:
        size: (height, width) of the picture.
        gray: its luma at the largest working size, HxW in [0, 1].
        logits: log odds of damage at each working size, the smallest first.
    """

    size: tuple[int, int]
    gray: np.ndarray
    logits: list[np.ndarray]

    @classmethod
    def of(cls, picture: Picture, detector: DamageDetector) -> DamageOdds:
        """Evaluate the detector on a picture."""
        sizes = working_sizes(picture.size)[::-1]
        logits = []
        for size, share in zip(sizes, parts(map(math.prod, sizes)), strict=True):
            rgb = picture.rgb() if size == picture.size else picture.resized_rgb(*size)
            with share:
                logits.append(damage_logits(rgb, detector))
            if size != sizes[-1]:
                logits[-1] -= math.log(_SURER)
        return cls(picture.size, luma(rgb), logits)

    @cached_property
    def faces(self) -> list[Box]:
        """Boxes of faces in the picture."""
        return faces(self.gray)

    def marked(self, sensitivity: float, grow: int = FOUND_GROW) -> np.ndarray:
        """Return the damage, HxW bool, enlarged by `grow` pixels."""
        return dilate(_enlarged(self._score(sensitivity), self.size) > 1 - sensitivity, grow)

    def outcome(self, request: DamageRequest) -> DamageOutcome[Picture]:
        """Return the mask of the damage that the request finds."""
        hole = self.marked(request.sensitivity, request.grow)
        mask, notes = picture_of_hole(hole), self.notes(hole, request.sensitivity)
        return DamageOutcome(mask, [mask], None, 1, "segmentation", hole, notes=notes)

    def notes(self, hole: np.ndarray, sensitivity: float) -> list[Note]:
        """Return the notes about damage that was detected with a sensitivity, HxW bool."""
        values = {"sensitivity": sensitivity}
        found = found_note(hole, **values) if hole.any() else warning("damage_none", **values)
        return [found, *self.face_notes(sensitivity)]

    def face_notes(self, sensitivity: float) -> list[Note]:
        """Return the note that a high sensitivity was not used in faces, or none."""
        return [info("faces_spared", count=len(self.faces))] if sensitivity > USUAL_SENSITIVITY and self.faces else []

    def evidence(self, sensitivity: float) -> float:
        """Return how far sure damage stands out: -inf if there is none, about 17 for a clear scratch.

        For the connected marks that are sure at `sensitivity`, it is

            (mean peak log odds, weighted by area) + log(largest area in pixels) - log(mean probability elsewhere).

        The last term is large in pictures of a fence, twigs or the veins of a leaf, which resemble damage everywhere.
        """
        size, *_ = working_sizes(self.size)
        logits = np.max([_enlarged(each, size) for each in self.logits], axis=0)
        labels, count = ndimage.label(self._score(USUAL_SENSITIVITY) > 1 - USUAL_SENSITIVITY, _EIGHT)
        peaks = ndimage.maximum(logits, labels, range(1, count + 1)) if count else np.zeros(0)
        sure = expit(peaks) > 1 - sensitivity
        if not sure.any():
            return -math.inf
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:][sure]
        elsewhere = np.average(expit(np.maximum(logits, _SOUND)), weights=np.where(labels, 1e-9, 1))
        return float(np.average(peaks[sure], weights=areas) + np.log(areas.max()) - np.log(elsewhere))

    def _score(self, sensitivity: float) -> np.ndarray:
        """Return a score at the largest working size, which exceeds 1 - sensitivity at the pixels to mark.

        It is the probability of damage with odds times `_BESIDE`, and 0 for likely damage that is not connected to sure
        damage, and for facial features.
        """
        size, *_ = working_sizes(self.size)
        score = np.zeros(size, np.float32)
        for logits in self.logits:
            sure = expit(logits) > 1 - sensitivity
            raised = expit(logits + math.log(_BESIDE))
            likely = raised > 1 - sensitivity
            raised[likely & ~ndimage.binary_propagation(sure, _EIGHT, mask=likely)] = 0  # not connected to sure damage
            np.maximum(score, _enlarged(raised, size), out=score)
        if (found := score > 1 - sensitivity).any():
            score[facial_features(found, self.gray, self.faces)] = 0
        if sensitivity > USUAL_SENSITIVITY and found.any() and self.faces:
            usual = self._score(USUAL_SENSITIVITY) > 1 - USUAL_SENSITIVITY
            for box in self.faces:
                crop(score, box)[~crop(usual, box)] = 0
        return score


def kind_of(picture: Picture, models: Models, odds: Callable[[], DamageOdds] | None = None) -> Kind:
    """Classify a picture by its colours without its damage.

    Grain and dirt of a worn print deviate from its tint as much as objects in a photograph of one hue. Damage
    distinguishes the two. Only detected damage counts, since a user's mask may mark anything.

    Args:
        odds: returns the odds of damage; called only if the colours do not suffice. None: the detector is evaluated.
    """
    kind = kind_by_colours(picture)
    if kind != "coloured":
        return kind
    damage = DamageOdds.of(picture, models.detector()) if odds is None else odds()
    hole = damage.marked(USUAL_SENSITIVITY, 0)
    if not 0 < hole.mean() <= MOST_FOUND:
        return kind
    grow = FOUND_GROW * oversampling(picture, hole)
    worn = dilate(damage.marked(SURE_SENSITIVITY, 0), grow).mean() > _SCRATCHED
    return kind_by_colours(picture, dilate(hole, grow), worn=bool(worn))


def working_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the working sizes (height, width) of a picture, from the largest, each half the one before."""
    sizes = [scaled(size, min(1.0, WORKING_SIDE / max(size)))]
    while max(sizes[-1]) >= 2 * _LEAST_SIDE:
        sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
    return sizes


@torch.no_grad()
def damage_logits(rgb: np.ndarray, detector: DamageDetector) -> np.ndarray:
    """Return the log odds of damage, HxW float32, of colours HxWx3 in [0, 1], window by window."""
    height, width = rgb.shape[:2]
    found = np.empty((height, width), np.float32)
    corners = list(product(range(0, height, _CORE), range(0, width, _CORE)))
    for number, (top, left) in enumerate(corners, 1):
        first_row, first_column = max(0, top - _MARGIN), max(0, left - _MARGIN)
        window = rgb[first_row : top + _CORE + _MARGIN, first_column : left + _CORE + _MARGIN]
        logits = finite(_logits(to_tensor([window], detector.device), detector))[0, 0]
        kept = logits[top - first_row :, left - first_column :][:_CORE, :_CORE]
        found[top : top + _CORE, left : left + _CORE] = kept.cpu().numpy()
        report(number / len(corners))
    return found


def _logits(window: Tensor, detector: DamageDetector) -> Tensor:
    """Return the logits of a window of any size, averaged with those of its mirror image unless it is clean.

    The last row and column are repeated up to the network's stride.
    """
    height, width = window.shape[-2:]
    padded = F.pad(window, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    logits = detector.logits(padded)
    if logits.max() > _CLEAN:
        logits = (logits + detector.logits(padded.flip(-1)).flip(-1)) / 2
    return logits[..., :height, :width]


def _enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge values HxW bilinearly, in bands, so that Pillow's copies stay small."""
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
