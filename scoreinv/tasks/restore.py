"""The task `restore`: damage, tint, tones, noise and colours of old photographs.

The steps, each on the result of the one before:

1. *damage* is detected, or given as a mask;
2. a plain *border* and torn edges are found, and cut off if requested;
3. the *tint* of a tinted print is removed; it is measured without stains and tears;
4. faded tones are corrected (*tone*), because later models were trained with correct ones;
5. damage is filled (*inpaint*): before denoising, for which dust would be noise, and after the removal of the tint;
6. noise and grain are removed (*denoise*), or a share of them;
7. colours are drawn (*colorize*) if the picture is grey by then, except on the paper around it;
8. the result is enlarged (*enlarge*) if requested.

A step that finds nothing to do returns the picture itself, so a healthy photograph in colour comes back bit-identical.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from scoreinv.analysis.borders import within_border
from scoreinv.analysis.effective_resolution import enlarged_fills, oversampling, reduced
from scoreinv.analysis.kind import Kind, analysis_picture, untinted
from scoreinv.imaging.picture import Picture, colour_planes, picture_of_hole, to_samples
from scoreinv.imaging.resizing import touched_blocks
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.hints import KnownColours
from scoreinv.inputs.masks import as_holes, dilate
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.models.loading import Models
from scoreinv.system.errors import SettingError
from scoreinv.system.options import FOUND_GROW, GRAY_LEVELS, USUAL_SENSITIVITY
from scoreinv.system.progress import Callback, Part, part, parts
from scoreinv.tasks.colorize import draw_colors, hints_for
from scoreinv.tasks.common import Gathered, Model, given_model, models_of
from scoreinv.tasks.damage import MOST_FOUND, DamageOdds, Detector, found_note, kind_of, refuse_all
from scoreinv.tasks.denoise import FAINT, denoising_time, remove_noise
from scoreinv.tasks.holes import mask_notes
from scoreinv.tasks.inpaint import PreparedFill
from scoreinv.tasks.noise import LEAST, Noise, given_or_estimated, std_of, white_level
from scoreinv.tasks.noise_streams import ddof_of_pairs, noise_weights_of
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import AnyMethod, ImageLike, RestoreOutcome, Step
from scoreinv.tasks.requests import (
    OLD_GRAIN,
    SURE_SENSITIVITY,
    ColorizeRequest,
    DenoiseRequest,
    Estimate,
    InpaintRequest,
    Inputs,
    RestoreRequest,
    StepName,
    UpscaleRequest,
)
from scoreinv.tasks.tone import tone_picture
from scoreinv.tasks.upscale import upscale_picture
from scoreinv.windows.boxes import Box, crop

_SURELY = 0.005
"""Share of surely damaged pixels from which a photograph in colour is an old one; healthy ones have up to 0.003."""

_EVIDENCE = 16.0
"""Minimum `DamageOdds.evidence` of damage that covers less than `_WORN`. Most scans with a few marks exceed it; wires,
the veins of a leaf, or specks on water do not."""

_WORN = 0.01
"""Share of damaged pixels, with rims, from which a picture is a worn, grainy print."""

_DURATIONS: dict[StepName, float] = {"damage": 4, "tone": 0.2, "inpaint": 10, "denoise": 5, "colorize": 1}
"""Relative durations of the steps for a scan of two megapixels with 2 % damage."""
_ENLARGING = 10.0
"""Relative duration of the step `enlarge`."""


def restore(
    image: ImageLike,
    *,
    mask: Any = None,
    hints: Any = None,
    inpaint: bool = True,
    tone: float | None = None,
    denoise: bool = True,
    colorize: bool = True,
    recolor: bool = False,
    saturation: float | None = None,
    keep_tint: bool = False,
    crop_border: bool = False,
    enlarge: int | None = None,
    sensitivity: float | None = None,
    grow: int = FOUND_GROW,
    noise_std: float | None = None,
    keep_grain: float = OLD_GRAIN,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    keep_steps: bool = False,
    detector: Detector | None = None,
    filler: Model | None = None,
    denoiser: Model | None = None,
    colorizer: Model | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> RestoreOutcome[ImageLike]:
    """Restore an old photograph: fill its damage, correct its tones, remove tint and noise, and colour it.

        result = scoreinv.restore(image)
        for step in result.steps:
            print(step.name, step.note.code, step.note.values)

    A photograph in colours keeps them, unless `recolor`.

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        mask: the damage, in the form of the mask of `inpaint`; None: detected.
        hints: colours, in the form of the hints of `colorize`.
        inpaint, denoise, colorize: fill damage, remove noise, draw colours.
        tone: treat the picture as faded; strength of the correction, 0 to 1. None: 1 if it is surely faded.
        recolor: replace the colours of a photograph in colour.
        saturation: of added colours, see `colorize`.
        keep_tint: keep the tint of a tinted print (sepia), without colours.
        crop_border: cut off a plain border and torn edges: the result is smaller, and so is `damage`.
        enlarge: 2, 3 or 4: enlarge the result, see `upscale`. `damage` keeps the size of the photograph.
        sensitivity: of damage detection, see `find_damage`. None: 0.5, or 0.05 for photographs in colours unless much
            of them is surely damaged; little damage that does not stand out is left.
        grow: pixels by which detected damage is enlarged, for soft edges.
        noise_std: standard deviation of white noise in [0, 1]; None: noise of any kind is estimated, and removed from
            2.5 grey levels of 255 on.
        keep_grain: share of the noise to keep, 0 to 1.
        samples: number of fills and colourings.
        seed: the same seed gives the same fills and colours.
        estimate: of colours, `mean` or `sample`, see `colorize`; `mean` of several samples is their average.
        keep_steps: keep the picture after each step in `steps`.
        detector, filler, denoiser, colorizer: the models, their names or files; None: the bundled ones.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture, mask or setting, or settings that do not fit together.
        CheckpointError: there is no such model.
        Cancelled: the callback stopped the work.
        ScoreinvError: a model returned values that are not finite.
    """
    request = RestoreRequest(
        inpaint=inpaint,
        tone=tone,
        denoise=denoise,
        colorize=colorize,
        recolor=recolor,
        saturation=saturation,
        keep_tint=keep_tint,
        crop_border=crop_border,
        enlarge=enlarge,
        sensitivity=sensitivity,
        grow=grow,
        samples=samples,
        seed=seed,
        estimate=estimate,
        noise_std=noise_std,
        keep_grain=keep_grain,
        keep_steps=keep_steps,
    )
    pictures, form = pictures_from_api(image)
    if crop_border and len(pictures) > 1:
        raise SettingError("crop_border", "gives pictures of different sizes: restore those of a batch one by one")
    holes: list[Any] = [None] * len(pictures)
    if mask is not None:
        holes = list(as_holes(mask, [picture.size for picture in pictures]))
    each_hints = hints_for(hints, len(pictures))
    inputs = [Inputs(picture, hole, hints=one) for picture, hole, one in zip(pictures, holes, each_hints, strict=True)]
    request.check_given(inputs[0].given)
    models = models_of(
        inpaint=filler if inpaint else None,
        denoise=denoiser if denoise or enlarge is not None else None,
        colorize=colorizer if colorize else None,
    )
    if detector is not None:
        finds = inpaint and mask is None
        loaded = given_model(detector, load_damage_detector, DamageDetector) if finds else detector
        models = replace(models, damage=loaded)

    outcome = for_each("restore", inputs, request, models, form, callback, progress=progress)
    single = replace(form, dims=3)  # steps are kept per picture, not as a batch

    def in_form(steps: list[Step[Picture]]) -> list[Step[Any]]:
        return [replace(step, image=step.image and single.pictures([step.image])) for step in steps]

    pictures_steps = outcome.steps if form.dims == 4 else [outcome.steps]
    return replace(outcome, steps=form.values([in_form(steps) for steps in pictures_steps]))


def restore_picture(inputs: Inputs, request: RestoreRequest, models: Models) -> RestoreOutcome[Picture]:
    """Restore a photograph; see `restore`.

    Models of steps that are off are not loaded, except the detector, by which a photograph in colour is classified.
    """
    picture, hole, hints = inputs.picture, inputs.hole, inputs.hints
    if request.noise_std is not None:
        denoising_time(models.denoiser(), white_level(request.noise_std, gray=picture.is_gray()))  # checks the range
    durations = _DURATIONS if request.enlarge is None else {**_DURATIONS, "enlarge": _ENLARGING}
    work = _Restoration([picture], request, models, dict(zip(durations, parts(durations.values()), strict=True)))
    if hole is not None:
        work.notes += mask_notes(hole)
    find_odds = cache(lambda: DamageOdds.of(picture, models.detector()))  # once, if at all
    with work.parts["damage"]:
        work.kind = kind_of(picture, models, find_odds)
        if request.inpaint and hole is None:
            work.detect_damage(find_odds())
    if request.inpaint and hole is not None:
        work.take_damage(hole)
    inside = work.find_border()
    if inside is not None:
        with Part(0, 0):
            work.kind = kind_of(work.pictures[0], models)
        hints = None if hints is None else hints.part(inside)
    undamaged = work.remove_tint()
    if request.tone != 0:
        work.correct_tones(undamaged)
    if request.inpaint:
        work.fill()
    if request.denoise:
        work.remove_noise()
    if request.colorize:
        work.add_colors(hints)
    if request.enlarge is not None:
        work.enlarge(request.enlarge)
    if hints is not None and not any(step.name == "colorize" and step.changed for step in work.steps):
        work.notes.append(warning("hints_unused"))
    return work.outcome()


@dataclass
class _Restoration:
    """The state of a restoration. The methods are its steps, called in the order of `tasks.restore`.

    Attributes:
        pictures: the picture; after a step that draws samples, all samples.
        parts: the part of the work of each step.
        kind: kind of the photograph, without its damage.
        damage: HxW bool, detected or given; None if that step is off.
        inside: box inside a border that was cut off.
        noise_std: standard deviation of the noise, in [0, 1]; None before or without that step.
        steps: finished steps.
        notes: notes about the inputs.
    """

    pictures: list[Picture]
    request: RestoreRequest
    models: Models
    parts: dict[StepName, Part]
    kind: Kind = "grey"
    damage: np.ndarray | None = None
    inside: Box | None = None
    noise_std: float | None = None
    steps: list[Step[Picture]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    nfe: int = 0
    method: AnyMethod = "exact"

    def take_damage(self, hole: np.ndarray) -> None:
        """Use the user's mask, HxW bool, as the damage."""
        self.damage = hole
        self._finish_step("damage", info("damage_given", share=float(hole.mean())), mask=hole)

    def detect_damage(self, odds: DamageOdds) -> None:
        """Detect damage. Ignore little damage that does not stand out, and an implausibly large share of damage."""
        (picture,), sensitivity = self.pictures, self.request.sensitivity
        hole = odds.marked(USUAL_SENSITIVITY if sensitivity is None else sensitivity, 0)
        self.notes += odds.face_notes(sensitivity or 0)
        factor = oversampling(picture, hole)  # soft edges are wider by this factor
        if sensitivity is None and self.kind == "coloured":
            sure = odds.marked(SURE_SENSITIVITY, 0)
            hole = sure if sure.mean() < _SURELY else hole
        note, share = None, float(hole.mean())
        if sensitivity is None and 0 < share < _WORN and odds.evidence(SURE_SENSITIVITY) < _EVIDENCE:
            note = info("damage_uncertain", share=share)
        elif share > MOST_FOUND:
            note = info("damage_implausible", share=share)
        if note is not None:
            hole = np.zeros_like(hole)
        self.damage = dilate(hole, self.request.grow * factor)
        refuse_all(self.damage)
        if note is None and self.damage.any():
            note = found_note(self.damage)
        self._finish_step("damage", note or info("damage_none"), mask=self.damage)

    def find_border(self) -> Box | None:
        """Find a border; return the box inside it if it is cut off."""
        (picture,) = self.pictures
        inside = within_border(picture, self.damage)
        if inside is None:
            return None
        size = {"width": inside[3], "height": inside[2]}
        if not self.request.crop_border:
            self._finish_step("border", info("border_kept", **size))
            return None
        self.damage = None if self.damage is None else crop(self.damage, inside)
        self._finish_step("border", info("border_cropped", **size), [picture.part(inside)])
        self.inside = inside
        return inside

    def remove_tint(self) -> Picture:
        """Make a tinted print grey; return the result reduced and without damage (`analysis_picture`)."""
        (picture,) = self.pictures
        undamaged = analysis_picture(picture, self.damage)
        if self.kind != "tinted":
            self._finish_step("tint", info("kind_gray" if self.kind == "grey" else "kind_color"))
        elif self.request.keep_tint:
            self._finish_step("tint", info("tint_kept"))
        else:
            self._finish_step("tint", info("tint_removed"), [untinted(picture, tones=undamaged)])
            return untinted(undamaged)
        return undamaged

    def correct_tones(self, undamaged: Picture) -> None:
        """Correct faded tones; a print that keeps its tint keeps its tones.

        Args:
            undamaged: the result of `remove_tint`.
        """
        if self.kind == "tinted" and self.request.keep_tint:
            return
        (picture,) = self.pictures
        worn = self.damage is not None and bool(self.damage.mean() > _WORN)
        with self.parts["tone"]:
            toned, note = tone_picture(picture, strength=self.request.tone, tones=undamaged, worn=worn)
        self._finish_step("tone", note, None if toned is picture else [toned])

    def fill(self) -> None:
        """Fill the damage."""
        if self.damage is None or not self.damage.any():
            return
        count = self.request.samples
        request = InpaintRequest(samples=count, seed=self.request.seed)
        (picture,), hole = self.pictures, self.damage
        factor = oversampling(picture, hole)
        inputs = Inputs(picture, hole)
        if factor > 1:
            inputs = Inputs(reduced(picture, factor), touched_blocks(hole, factor))
        with self.parts["inpaint"]:
            filled = PreparedFill(inputs, request, self.models, notes=[]).draw(request)
        samples = filled.samples
        if factor > 1:
            samples = [picture.with_fills(enlarged_fills(small, picture, hole, factor)) for small in samples]
        self.nfe, self.method = filled.nfe, filled.method
        self.notes += filled.notes
        self._finish_step("inpaint", info("filled"), samples)

    def remove_noise(self) -> None:
        """Remove noise that is given, or estimated as at least `LEAST`."""
        given = self.request.noise_std
        noise = given_or_estimated(given, self.pictures[0], self.models)
        self.noise_std = std_of(noise)
        level = self.noise_std * GRAY_LEVELS
        if given is None and self.noise_std < LEAST:
            self._finish_step("denoise", info("noise_none", level=level))
            return
        clean, prior = [], self.models.denoiser(exact=self.noise_std < FAINT)
        request = DenoiseRequest(keep_grain=self.request.keep_grain)
        for number, picture in enumerate(self.pictures):
            with self.parts["denoise"], part(number, len(self.pictures)):
                denoised = remove_noise(picture, noise, prior, request)
            clean.append(denoised.image)
        self.nfe += denoised.nfe
        kind = noise.words if isinstance(noise, Noise) else "noise"
        self._finish_step("denoise", info("noise_removed", level=level, kind=kind), clean)

    def add_colors(self, hints: KnownColours | None) -> None:
        """Draw colours for a grey picture."""
        if self.kind == "coloured" and not self.request.recolor:
            self._finish_step("colorize", info("colors_kept"))
            return
        if self.kind == "tinted" and self.request.keep_tint:
            self._finish_step("colorize", info("colors_not_drawn"))
            return
        samples, prior = self.samples(), self.models.colorizer()
        estimate: Estimate | None = self.request.estimate if len(samples) == 1 else "sample"
        request = ColorizeRequest(seed=self.request.seed, estimate=estimate, saturation=self.request.saturation)
        # Paper around the picture gets colours only from hints. Without hints it is cut off: it is no evidence.
        inside = within_border(samples[0], certain=True) if hints is None else None
        grays = samples if inside is None else [sample.part(inside) for sample in samples]
        weights = noise_weights_of(grays[0])  # the same for all samples, so that pairs have opposite noise
        colored = []
        for number, sample in enumerate(grays):
            with self.parts["colorize"], part(number, len(grays)):
                (drawn,) = draw_colors([sample], ["grey"], prior, request, [hints], first=number, noise_weights=weights)
            colored.append(drawn.image if inside is None else samples[number].with_coloured_part(drawn.image, inside))
        self.nfe, self.method = self.nfe + drawn.nfe, drawn.method
        self._finish_step("colorize", info("colors_replaced" if self.kind == "coloured" else "colors_drawn"), colored)

    def enlarge(self, factor: int) -> None:
        """Enlarge the restored pictures, with the noise that the request keeps."""
        keeps = not self.request.denoise or self.request.keep_grain > 0
        request, enlarged = UpscaleRequest(factor=factor, noise_std=0.0 if keeps else None), []
        for number, picture in enumerate(self.pictures):
            with self.parts["enlarge"], part(number, len(self.pictures)):
                outcome = upscale_picture(Inputs(picture), request, self.models)
            enlarged.append(outcome.image)
        self.nfe += outcome.nfe
        self._finish_step("enlarge", info("enlarged", factor=factor), enlarged)

    def samples(self) -> list[Picture]:
        """Return the requested number of samples; they are equal if nothing was drawn."""
        count = self.request.samples
        return self.pictures if len(self.pictures) == count else self.pictures * count

    def outcome(self) -> RestoreOutcome[Picture]:
        """Return the restored photograph with its samples' standard deviation."""
        samples = self.samples()

        def averaged(rgb: np.ndarray) -> Picture:
            image = samples[0].with_pixels(samples[0].pixels.copy())
            planes = colour_planes(image.pixels)
            planes[:] = to_samples(rgb[..., : planes.shape[2]], planes.dtype)
            return image

        gathered = Gathered(averaged, len(samples))
        for sample in samples:
            gathered.add(sample.rgb() if len(samples) > 1 else sample.pixels, sample)
        drawn = gathered.outcome(self.request.estimate, self.nfe, self.method)
        std = drawn.std
        if std is not None and any(step.name == "colorize" and step.changed for step in self.steps):
            # Colours come in antithetic pairs. Fills do not, and in the damage they differ more than colours.
            pairs = gathered.std(ddof_of_pairs(len(samples)))
            std = pairs if self.damage is None else np.where(self._enlarged_damage(), std, pairs)
        own = {"std": std, "notes": [*self.notes, *(step.note for step in self.steps)], "box": self.inside}
        own["generated"] = self.damage if any(step.name == "inpaint" for step in self.steps) else None
        return RestoreOutcome(
            **vars(drawn) | own,
            kind=self.kind,
            damage=self.damage,
            noise_std=self.noise_std,
            steps=self.steps,
            wanted=self.request.steps,
        )

    def _enlarged_damage(self) -> np.ndarray:
        """Return the damage at the size of the result."""
        assert self.damage is not None
        factor = self.request.enlarge or 1
        return self.damage.repeat(factor, 0).repeat(factor, 1)

    def _finish_step(
        self, name: StepName, note: Note, pictures: list[Picture] | None = None, *, mask: np.ndarray | None = None
    ) -> None:
        """Record a step.

        Args:
            pictures: results of the step; None if it changed nothing.
            mask: HxW bool, the damage after the step `damage`.
        """
        image = None
        if self.request.keep_steps:
            image = pictures[0] if pictures else None
            image = picture_of_hole(mask) if mask is not None and mask.any() else image
        self.steps.append(Step(name, note, pictures is not None, image))
        self.pictures = pictures or self.pictures
