"""The task `restore`: damage, tint, tones, noise and colours of old photographs in one go.

Each step takes what the one before has left, in this order:

1. *damage* is found, or given as a mask;
2. a plain *border* is found, and edges that are torn away, and cut off where that is asked for;
3. the *tint* of a print of one tint is taken out, which the colours of stains and tears do not count for;
4. faded tones are brought back (*tone*), so that all after it sees tones as it was trained on;
5. the damage is filled (*inpaint*), before dust is taken for noise, and in grey where the print was tinted;
6. noise is removed (*denoise*) where it is more than grain;
7. colours are drawn (*colorize*) for what is grey then, but for paper that surely lies around it.

A step that finds nothing to do leaves the picture itself, so a healthy photograph in colours comes back bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scoreinv.analysis.borders import within_border, within_paper
from scoreinv.analysis.effective_resolution import enlarged_fills, oversampling, reduced
from scoreinv.analysis.kind import Found, found_in, is_print, seen, untinted
from scoreinv.analysis.noise import white_noise
from scoreinv.imaging.picture import Picture, picture_of_hole
from scoreinv.imaging.regions import touched_blocks
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.hints import KnownColours
from scoreinv.inputs.masks import as_holes, dilate, percent
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.photo_models import PhotoModels
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import SettingError
from scoreinv.system.options import FOUND_GROW, GRAY_LEVELS, USUAL_SENSITIVITY, check_callback
from scoreinv.tasks.colorize import colorize_picture, hints_for, knows_gray
from scoreinv.tasks.common import Model, RunningSpread, model_of
from scoreinv.tasks.denoise import check_noise, denoise_picture
from scoreinv.tasks.find_damage import Detector, Odds, detector_of
from scoreinv.tasks.inpaint import inpaint_picture
from scoreinv.tasks.picture_noise import ddof_of_pairs, noise_weights_of
from scoreinv.tasks.results import (
    AnyMethod,
    Given,
    PictureKind,
    Restored,
    TaskCallback,
    at_work,
    parts,
    restore_each,
    tell,
)
from scoreinv.tasks.settings import (
    COLOUR_SATURATION,
    SURE_SENSITIVITY,
    ColourSettings,
    DenoiseSettings,
    Estimate,
    FillSettings,
    OldPhotoSettings,
    StepName,
)
from scoreinv.tasks.tone import tone_picture
from scoreinv.windows.boxes import Box, crop

LEAST_REMOVED = 5 / GRAY_LEVELS
"""Noise that is taken for film grain below, and left: see `imaging.noise.white_noise`."""

_MOST_FOUND = 0.5
"""Share of a picture above which what was found is no damage: a drawing, a page of text, what it never saw."""

_SURELY = 0.005
"""Share of a photograph in colours that is surely damaged, from which on it is an old one: of healthy ones 0.003."""

_EVIDENCE = 16.0
"""How far damage of less than `_WORN` must stand out from the rest of a picture (`Odds.evidence`), as it does in most
scans with a few marks: else it is a wire, the veins of a leaf, specks on water."""

_SCRATCHED = 0.0025
"""Share of a picture that was found surely damaged, with its rims, from which on it may be a worn print of one tint:
see `imaging.tint.is_print`. What is marked by hand tells nothing: a mask may be of anything."""

_WORN = 0.01
"""Share of a picture that is damaged, with its rims, from which on it is a print, grained and worn."""

_SHARES: dict[StepName, float] = {
    "damage": 4,
    "border": 0,
    "tint": 0,
    "tone": 0.2,
    "inpaint": 10,
    "denoise": 5,
    "colorize": 1,
}
"""Time that the steps take, in parts: of a scan of two megapixels, two hundredths of which are damaged."""


@dataclass(frozen=True)
class Step:
    """What a step has found and done.

    Attributes:
        words: what there is to say of it, on one line, without capital letter and full stop.
        changed: whether the picture is another one after it.
    """

    name: StepName
    words: str
    changed: bool


Told = Callable[[Step, Picture | None], None]
"""Called after each step: with the mask after `damage`, and the first sample after a step that changed the picture."""


@dataclass(frozen=True, repr=False)
class RestoredPhoto(Restored[PictureKind]):
    """An old photograph restored.

    Attributes:
        found: what the picture was, but for its damage; `tinted` has tones of one colour each, as sepia has.
        damage: HxW bool, what was taken for damage, or given as a mask; None where that was left out.
        noise_std: standard deviation of the noise, in [0, 1] units, estimated or given; None where that was left out.
        steps: a list of `Step`: what each found and did, in order.

    Of a batch of pictures each of these is a list.
    """

    found: Found | list[Found]
    damage: Any
    noise_std: Any
    steps: Any


def restore(
    image: Given,
    *,
    mask: Any = None,
    hints: Any = None,
    inpaint: bool = True,
    tone: float | None = None,
    denoise: bool = True,
    colorize: bool = True,
    keep_tint: bool = False,
    crop_border: bool = False,
    sensitivity: float | None = None,
    grow: int = FOUND_GROW,
    noise_std: float | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    detector: Detector = "damage",
    filler: Model = "photo",
    denoiser: Model = "denoiser",
    colorizer: Model = "scene",
    callback: TaskCallback | None = None,
    progress: bool = False,
) -> RestoredPhoto[Given]:
    """Restore an old photograph: fill its damage, bring back its tones, remove tint and noise, and colour it.

        result = scoreinv.restore(image)
        for step in result.steps:
            print(step.name, step.words)

    A photograph in colours keeps them.

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        mask: the damage, as `inpaint` takes it; None: it is found.
        hints: colours that are wanted, as `colorize` takes them.
        inpaint, denoise, colorize: whether to fill damage, remove noise, draw colours.
        tone: how far the tones of a picture that has faded are brought back, from 0 to 1: contrast, black and white
            points, and casts; None: 1 where it surely has faded.
        keep_tint: leave a print of one tint (sepia) in it, and without colours.
        crop_border: cut off a plain border and edges that are torn away: the result is smaller, and so is `damage`.
        sensitivity: of what finds damage, see `find_damage`; None: 0.5, but 0.05 in a photograph in colours, and
            nothing where little is marked that does not stand out from the rest of the picture.
        grow: pixels by which what is found is enlarged, as soft edges need.
        noise_std: standard deviation of the noise in [0, 1] units, which is then removed, from the least that the model
            knows on; None: it is estimated, and removed from 5 grey levels of 255 on.
        samples: how often fill and colours are drawn.
        seed: the same one gives the same fill and colours.
        estimate: of colours, `mean` or `sample`, see `colorize`; None: the mean for one sample.
        detector, filler, denoiser, colorizer: the models, or their names or files, which are then loaded for this
            picture. Those of steps that are left out are not.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Raises:
        InputError: a wrong picture, mask or setting, or settings that do not go together.
        CheckpointError: there is no such model.
        Cancelled: the callback stopped the work.
        ScoreinvError: a model gave values that are not finite.
    """
    settings = OldPhotoSettings(
        inpaint=inpaint,
        tone=tone,
        denoise=denoise,
        colorize=colorize,
        keep_tint=keep_tint,
        crop_border=crop_border,
        sensitivity=sensitivity,
        grow=grow,
        samples=samples,
        seed=seed,
        estimate=estimate,
        noise_std=noise_std,
    )
    settings.check_given(masked=mask is not None, hinted=hints is not None)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    if crop_border and len(pictures) > 1:
        raise SettingError("crop_border", "makes pictures of sizes of their own: give those of a batch one by one")
    holes: list[Any] = [None] * len(pictures)
    if mask is not None:
        holes = list(as_holes(mask, [picture.size for picture in pictures]))
    strokes = hints_for(hints, len(pictures))
    models = PhotoModels(
        _loaded(detector_of, detector, inpaint and mask is None),
        _loaded(model_of, filler, inpaint),
        _loaded(model_of, denoiser, denoise),
        _loaded(model_of, colorizer, colorize),
    )

    def restored(number: int, share: TaskCallback) -> RestoredPhoto[Any]:
        return restore_picture(pictures[number], models, settings, holes[number], strokes[number], share)

    with at_work("restoring", callback, progress=progress) as told:
        return restore_each(pictures, form, restored, told)


def _loaded(load: Callable[[object], Any], model: object, needed: bool) -> Callable[[], Any]:
    """What gives a model, which is loaded at once if it is needed: what is wrong with it is told before the work."""
    loaded = load(model) if needed else None
    return lambda: loaded


def restore_picture(
    picture: Picture,
    models: PhotoModels,
    settings: OldPhotoSettings,
    hole: np.ndarray | None = None,
    hints: KnownColours | None = None,
    callback: TaskCallback | None = None,
    told: Told | None = None,
) -> RestoredPhoto[Picture]:
    """`restore` for one `Picture`.

    Args:
        models: those of steps that the settings leave out are not called.
        hole: HxW bool, its damage; None: it is to be found.
        hints: colours that are wanted.
    """
    if hints is not None:
        hints.check_size(picture.size, "the hints")
    if settings.noise_std is not None:
        check_noise(picture, settings.noise_std, models.denoiser())
    work = _Restoration([picture], settings, dict(zip(_SHARES, parts(callback, _SHARES.values()), strict=True)), told)
    if settings.inpaint:
        work.find_damage(models.detector, hole)
    inside = work.find_border()
    if hints is not None and inside is not None:
        hints = hints.part(inside)
    whole = work.remove_tint()
    if settings.tone != 0:
        work.bring_back_tones(whole)
    if settings.inpaint:
        work.fill(models.filler)
    if settings.denoise:
        work.remove_noise(models.denoiser)
    if settings.colorize:
        work.add_colours(models.colorizer, hints)
    tell(callback, 1.0)
    samples, std = work.samples(), None
    if len(samples) > 1:
        running = RunningSpread()
        for sample in samples:
            running.add(sample.rgb())
        std = running.std()
        if any(step.name == "colorize" and step.changed for step in work.steps):
            # Colours come in pairs; what damage is filled with, which they differ by most there, does not.
            pairs = running.std(ddof_of_pairs(len(samples)))
            std = pairs if work.damage is None else np.where(work.damage, std, pairs)
    return RestoredPhoto(
        samples[0], samples, std, work.nfe, work.method, work.found, work.damage, work.noise_std, work.steps
    )


@dataclass
class _Restoration:
    """What has become of a picture so far.

    Attributes:
        pictures: one, or all samples once something was drawn.
        callbacks: tell of the progress of each step.
        worn: whether so much damage was found that it may be a worn print.
    """

    pictures: list[Picture]
    settings: OldPhotoSettings
    callbacks: dict[StepName, TaskCallback]
    told: Told | None
    found: Found = "grey"
    damage: np.ndarray | None = None
    worn: bool = False
    noise_std: float | None = None
    steps: list[Step] = field(default_factory=list)
    nfe: int = 0
    method: AnyMethod = "exact"

    def find_damage(self, load: Callable[[], DamageDetector], hole: np.ndarray | None) -> None:
        """Take the hole that is given for the damage, or what is found."""
        if hole is not None:
            words = f"marked in {percent(hole)} of the picture"
        else:
            (picture,), sensitivity = self.pictures, self.settings.sensitivity
            odds = Odds.seen(picture, load(), self.callbacks["damage"])
            hole = odds.marked(USUAL_SENSITIVITY if sensitivity is None else sensitivity, 0)
            factor = oversampling(picture, hole)  # its rims are as soft
            if _what_is(picture) == "coloured":
                sure = odds.marked(SURE_SENSITIVITY, 0)
                self.worn = bool(dilate(sure, FOUND_GROW * factor).mean() > _SCRATCHED)
                tinted = self.worn and _what_is(picture, worn=True) == "tinted"
                if sensitivity is None and not tinted and sure.mean() < _SURELY:
                    hole = sure
            left = None
            if sensitivity is None and 0 < hole.mean() < _WORN and odds.evidence(SURE_SENSITIVITY) < _EVIDENCE:
                left = f"{percent(hole)} of the picture may be some, too unsure to fill unless a sensitivity is given"
            elif hole.mean() > _MOST_FOUND:
                left = f"{percent(hole)} of the picture look like it, too much to be true: nothing is filled"
            if left:
                hole, self.worn = np.zeros_like(hole), False
            hole = dilate(hole, self.settings.grow * factor)
            words = left or (f"found in {percent(hole)} of the picture" if hole.any() else "none was found")
            if corners := int(hole[[0, 0, -1, -1], [0, -1, 0, -1]].sum()):
                words += f", {corners} of its corners among it"
        self.damage = hole
        self._tell("damage", words, mask=picture_of_hole(hole) if hole.any() else None)

    def find_border(self) -> Box | None:
        """Find a border, and cut it off where that is asked for; gives what is left then."""
        (picture,) = self.pictures
        inside = within_border(picture, self.damage)
        if inside is None:
            return None
        size = "{1}x{0} pixels".format(*inside[2:])
        if not self.settings.crop_border:
            self._tell("border", f"left around {size}")
            return None
        self.damage = None if self.damage is None else crop(self.damage, inside)
        self._tell("border", f"cut off, {size} are left", [picture.part(inside)])
        return inside

    def remove_tint(self) -> Picture:
        """Find out what the picture is, and make it grey where it is of one tint; gives what is `seen` of it then."""
        (picture,) = self.pictures
        whole = seen(picture, self.damage)
        self.found = _what_is(whole, worn=self.worn)
        if self.found != "tinted":
            self._tell("tint", "none, it is grey" if self.found == "grey" else "none, it is in colours")
        elif self.settings.keep_tint:
            self._tell("tint", "the tint of the print is kept")
        else:
            self._tell("tint", "the tint of the print is removed", [untinted(picture, tones=whole)])
            return untinted(whole)
        return whole

    def bring_back_tones(self, whole: Picture) -> None:
        """Undo fading, as far as the settings say; a print that keeps its tint keeps its tones.

        whole: what is seen of the picture without its damage.
        """
        if self.found == "tinted" and self.settings.keep_tint:
            return
        (picture,) = self.pictures
        worn = self.damage is not None and bool(self.damage.mean() > _WORN)
        toned = tone_picture(picture, share=self.settings.tone, tones=whole, worn=worn)
        tell(self.callbacks["tone"], 1.0)
        self._tell("tone", toned.words, [toned.image] if toned.changed else None)

    def fill(self, load: Callable[[], ScorePrior]) -> None:
        """Fill the damage."""
        if self.damage is None or not self.damage.any():
            return
        count, prior = self.settings.samples, load()
        settings = FillSettings(samples=count, seed=self.settings.seed, smooth=count == 1)
        (picture,), hole, told = self.pictures, self.damage, self.callbacks["inpaint"]
        if (factor := oversampling(picture, hole)) > 1:
            small = inpaint_picture(reduced(picture, factor), touched_blocks(hole, factor), prior, settings, told)
            each = (enlarged_fills(sample, picture, hole, factor) for sample in small.samples)
            filled = replace(small, samples=[picture.with_fills(fills) for fills in each])
        else:
            filled = inpaint_picture(picture, hole, prior, settings, told)
        self.nfe, self.method = filled.nfe, filled.method
        self._tell("inpaint", "the damage is filled", filled.samples)

    def remove_noise(self, load: Callable[[], ScorePrior]) -> None:
        """Remove the noise that is given, or found and more than grain."""
        given = self.settings.noise_std
        self.noise_std = white_noise(self.pictures[0]) if given is None else given
        level = f"noise of {'about ' if given is None else ''}{self.noise_std * GRAY_LEVELS:.2g} grey levels"
        if given is None and self.noise_std < LEAST_REMOVED:
            words = f"{level} is left: film has so much" if self.noise_std else "no noise was found"
            self._tell("denoise", words)
            return
        clean = []
        told = parts(self.callbacks["denoise"], [1] * len(self.pictures))
        for picture, part in zip(self.pictures, told, strict=True):
            denoised = denoise_picture(picture, self.noise_std, load(), DenoiseSettings(), part)
            clean.append(denoised.image)
        self.nfe += denoised.nfe
        self._tell("denoise", f"{level} is removed", clean)

    def add_colours(self, load: Callable[[], ScorePrior], hints: KnownColours | None) -> None:
        """Draw colours for a picture that is grey."""
        if self.found == "coloured":
            self._tell("colorize", "its own colours are kept")
        elif self.found == "tinted" and self.settings.keep_tint:
            self._tell("colorize", "none are drawn, as the tint is kept")
        else:
            settings, samples, prior = ColourSettings(seed=self.settings.seed), self.samples(), load()
            if self.settings.mean and knows_gray(prior, settings):
                # What a sample has beyond the mean is patches of red around hands, and at the borders of prints.
                strength = COLOUR_SATURATION if hints is None else None
                settings = replace(settings, estimate="mean", saturation=strength)
            # Paper has no colours but those that are given, and tells nothing of the picture's.
            inside = within_paper(samples[0]) if hints is None else None
            shown = samples if inside is None else [sample.part(inside) for sample in samples]
            own = noise_weights_of(shown[0])  # one for all: pairs of opposite noise stay pairs
            told, coloured = parts(self.callbacks["colorize"], [1] * len(samples)), []
            for number, (sample, part) in enumerate(zip(shown, told, strict=True)):
                drawn = colorize_picture(sample, prior, settings, hints, part, first=number, noise_weights=own)
                coloured.append(drawn.image if inside is None else samples[number].around(drawn.image, inside))
            self.nfe, self.method = self.nfe + drawn.nfe, drawn.method
            self._tell("colorize", "colours are drawn", coloured)

    def samples(self) -> list[Picture]:
        """As many as are asked for, alike where nothing was drawn."""
        count = self.settings.samples
        return self.pictures if len(self.pictures) == count else self.pictures * count

    def _tell(
        self, name: StepName, words: str, pictures: list[Picture] | None = None, *, mask: Picture | None = None
    ) -> None:
        """A step is done: pictures are what it made of those before, None where it left them."""
        self.steps.append(Step(name, words, pictures is not None))
        self.pictures = pictures or self.pictures
        if self.told is not None:
            self.told(self.steps[-1], mask if pictures is None else pictures[0])


def _what_is(picture: Picture, *, worn: bool = False) -> Found:
    """What a picture is; of one tint are prints alone, worn or not, and a photograph of the sea is in colours."""
    small = seen(picture)
    found = found_in(small)
    return "coloured" if found == "tinted" and not is_print(small, worn=worn) else found
