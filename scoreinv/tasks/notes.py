"""Notes of tasks about a picture: codes with values, and what people read and can do about each.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from scoreinv.system.options import USUAL_SENSITIVITY
from scoreinv.system.text import percent


class NoteKind(NamedTuple):
    """What a code of notes means.

    Attributes:
        sentence: what was found or done, without its subject, which is the picture.
        values: the names of the note's values, and their meaning if it is not obvious.
        option: what to do about it on the command line.
        page: sentences about what to do on the page.
        button: label of the page's button that does the step of a restoration anyway.
        sets: the settings of `restore` for that, by their names on the page.
    """

    sentence: str
    values: str = ""
    option: str = ""
    page: str = ""
    button: str = ""
    sets: Mapping[str, float | bool] = {}


NOTES = {
    "file_converted": NoteKind("{change}", "change: the change of mode or the choice of a frame"),
    "noise_estimated": NoteKind(
        "it has {kind} of level {level:.2g}",
        "level: standard deviation in grey levels; kind: the noise in words",
        option="--noise sets it",
    ),
    "noise_low": NoteKind(
        "its noise, of level {level:.2g}, is faint; the photograph is unchanged",
        "level",
        option="--noise removes it",
        page="Enter a higher level to smooth it.",
    ),
    "samples_equal": NoteKind("its samples are equal, since nothing was drawn"),
    "model_other_task": NoteKind(
        "the model was trained to {task}: expect poor results", "task: of the model, fill or colour"
    ),
    # masks and fills
    "object_selected": NoteKind(
        "{share} of it is selected{with_shadow}{chosen_size}",
        "share; size: of the object at a single point, else empty; shadow: whether it is included",
        option="{size_option}",
    ),
    "fragments_selected": NoteKind(
        "gaps and tips that resemble the object were added, {share} of it", "share", option="--no-fragments"
    ),
    "shadow_none": NoteKind("it shows no clear shadow of the object; the mask has none"),
    "mask_mostly_hole": NoteKind(
        "{share} of it is in the mask; white is filled, black is kept", "share", option="--invert-mask"
    ),
    "fill_large": NoteKind(
        "{share} of the picture is in the mask: a fill of this size is seldom convincing, and takes about {time}",
        "share; seconds: its estimated time",
    ),
    "mask_empty": NoteKind("the mask has no damage; nothing was filled"),
    "damage_found": NoteKind(
        "{share} of it is damaged",
        "share; corners: how many corners are damaged; sensitivity, but not in restore",
        option="--sensitivity",
    ),
    "faces_spared": NoteKind(
        "in {count} faces damage was looked for with the default sensitivity, to spare eyes and wrinkles",
        "count",
        option="--mask for more",
        page="Paint over what is left.",
    ),
    "damage_none": NoteKind(
        "no damage was found",
        "sensitivity, but not in restore",
        option="a higher --sensitivity finds more",
        page="A higher sensitivity finds more.",
    ),
    "damage_given": NoteKind("the mask has {share} of it", "share"),
    "damage_uncertain": NoteKind(
        "{share} of it may be damage and was left",
        "share",
        option="--sensitivity 0.5 fills it",
        page="Move the sensitivity slider to fill it.",
        button="Fill it anyway",
        sets={"sensitivity": USUAL_SENSITIVITY},
    ),
    "damage_implausible": NoteKind(
        "{share} of it looks damaged, which is implausible; it was left", "share", option="--sensitivity, or --mask"
    ),
    "object_left": NoteKind(
        "a rim of the object is visible beside the mask",
        "grow: pixels by which to grow the mask",
        option="without --exact the mask is grown by {grow} pixels",
        page="Go back to the mask and extend it by about {grow} pixels.",
    ),
    "mask_grown": NoteKind(
        "a rim of the object was visible beside the mask, which was grown there",
        "pixels: greatest width of the rim",
        option="inpaint --exact",
    ),
    "fragments_left": NoteKind(
        "small parts of the object seem to be left outside the mask, at {places}",
        "count; places: up to five points x,y",
        option="add them to the mask",
        page="Go back and add them to the mask.",
    ),
    "jpeg_rim_redrawn": NoteKind(
        "the JPEG smeared the object beyond the mask; pixels beside it were redrawn",
        "pixels: width of the redrawn rim",
        option="inpaint --exact",
    ),
    "avoid_unused": NoteKind("the holes are too small to be filled by copying, so the mask to avoid has no effect"),
    "filled": NoteKind("the damage was filled"),
    # kind and colour
    "kind_gray": NoteKind("it is grey and has no tint"),
    "kind_color": NoteKind("it is in colour", option="--recolor replaces its colours"),
    "colors_replaced": NoteKind("it was in colour; its colours were replaced"),
    "tint_removed": NoteKind(
        "its tint was removed",
        "whiten: whether the lightest tone became white; in restore it always does, without this value",
    ),
    "tint_kept": NoteKind("its tint was kept"),
    "gray_weights_unknown": NoteKind(
        "the model was not trained for {given} grey weights: the method pc was used",
        "given, known: names of grey weights",
    ),
    "hints_unused": NoteKind("the colour hints had no effect: no colours were added"),
    "colors_kept": NoteKind("its colours were kept", button="Replace the colours", sets={"recolor": True}),
    "colors_not_drawn": NoteKind("no colours were added, since the tint is kept"),
    "colors_drawn": NoteKind("colours were added"),
    # steps of a restoration
    "border_kept": NoteKind(
        "its border was kept; {width}x{height} pixels are inside it",
        "width, height",
        option="--crop-border cuts it off",
    ),
    "border_cropped": NoteKind("its border was cut off; {width}x{height} pixels are left", "width, height"),
    "tone_too_small": NoteKind(
        "it is too small to tell whether it is faded",
        option="--tone 1 if it is",
        button="Correct fading anyway",
        sets={"tone": 1.0},
    ),
    "tone_not_faded": NoteKind(
        "its tones were kept: it is not surely faded",
        option="--tone 1 if it is",
        button="Correct fading anyway",
        sets={"tone": 1.0},
    ),
    "tone_corrected": NoteKind(
        "its fading was corrected{changes}",
        "contrast: its relative change; cast: hue of the removed colour cast, or empty",
        option="--tone 0 keeps its tones",
    ),
    "noise_none": NoteKind(
        "its noise, of level {level:.2g}, is faint and was left",
        "level",
        option="--noise removes it",
        button="Remove a little noise anyway",
        sets={"noise": 5},
    ),
    "noise_removed": NoteKind(
        "{kind} of level {level:.2g} was reduced",
        "level, kind as in noise_estimated",
        option="--keep-grain 0 removes all of it",
    ),
    "enlarged": NoteKind("the result was enlarged {factor} times", "factor"),
    # blur
    "blur_found": NoteKind("its blur was estimated: {blur}", "kernel, kind, size, angle", option="--kernel {kernel}"),
    "shake_found": NoteKind(
        "the camera shook: its path was estimated", "size: side of its kernel in pixels", option="--kernel"
    ),
    "light_found": NoteKind("its values are light, without a tone curve", option="--no-light if not"),
    "looks_sharp": NoteKind(
        "it is likelier without the given blur: the result may be worse than the photo", option="--kernel"
    ),
    "kernel_misfit": NoteKind(
        "its blur does not look like the given kernel; {blur} fits better",
        "better: the likelier kernel, mirrored, or turned by half a turn",
        option="--kernel {better}",
    ),
    "blur_unexplained": NoteKind(
        "the result, blurred again, is not the photo: the kernel is wrong, or only parts are blurred by it, and the "
        "result may be worse than the photo",
        "level: standard deviation of the difference in grey levels",
        option="--kernel, or --mask",
    ),
    "noise_grew": NoteKind(
        "the result has more noise, of level {level:.2g}, and hardly more detail: it may be worse than the photo",
        "level",
        option="a higher --noise",
        page="Enter a higher noise level.",
    ),
}
"""All notes, by their codes."""

_SIZES = {"small": "smallest", "middle": "middle one", "large": "largest"}
BLURS = {"disk": "out of focus", "motion": "motion", "gaussian": "softness"}
"""Words for the kinds of blur."""


@dataclass(frozen=True)
class Note:
    """A finding or event of a task.

    Attributes:
        code: the kind of note, in `NOTES`.
        level: `warning` if the result may differ from the user's expectation.
        values: figures and names, see `NoteKind.values`.
    """

    code: str
    level: Literal["info", "warning"] = "info"
    values: dict[str, str | float | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.code in NOTES, self.code

    def row(self) -> dict[str, Any]:
        """Return the note as JSON lines and manifests have it."""
        return {"code": self.code, "severity": self.level, **self.values}


def info(code: str, **values: str | float | int | bool) -> Note:
    """Return a note for information."""
    return Note(code, "info", values)


def warning(code: str, **values: str | float | int | bool) -> Note:
    """Return a note that warns."""
    return Note(code, "warning", values)


def command_line_text(row: Mapping[str, Any]) -> str:
    """Return what the command line prints about a picture for the row of a note, after the picture's name."""
    kind, words = NOTES[row["code"]], _words(row)
    text, option = kind.sentence.format_map(words), kind.option.format_map(words).strip()
    return f"{text} ({option})" if option else text


def page_text(row: Mapping[str, Any]) -> str:
    """Return the sentences of the page for the row of a note."""
    kind, words = NOTES[row["code"]], _words(row)
    text = kind.sentence.format_map(words)
    return f"{text[:1].upper()}{text[1:]}. {kind.page.format_map(words)}".rstrip()


def _words(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a note as sentences show them."""
    words = dict(row)
    if "share" in row:
        words["share"] = percent(row["share"])
    match row["code"]:
        case "model_other_task":
            words["task"] = {"fill": "fill holes", "colour": "add colour"}[row["task"]]
        case "object_selected":
            words["with_shadow"] = ", with its shadow" if row["shadow"] else ""
            words["chosen_size"] = f": the {_SIZES[row['size']]} of three possible objects" if row["size"] else ""
            words["size_option"] = "--size" if row["size"] else ""
        case "fill_large":
            seconds = row["seconds"]
            words["time"] = f"{max(1, seconds):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        case "tone_corrected":
            contrast = f", contrast {row['contrast']:+.0%}" if row["contrast"] else ""
            words["changes"] = contrast + (f", {row['cast']} cast removed" if row["cast"] else "")
        case "blur_found":
            words["blur"] = _blur(row["kernel"])
        case "kernel_misfit":
            image = {"mirrored": "its mirror image", "turned": "the same kernel, turned by half a turn,"}
            own = row["better"] in image
            words |= {"blur": image[row["better"]], "better": ""} if own else {"blur": _blur(row["better"])}
    return words


def _blur(kernel: str) -> str:
    """Return a kernel, such as `motion:15,30`, in words."""
    kind, _, numbers = kernel.partition(":")
    size, _, angle = numbers.partition(",")
    return f"{BLURS[kind]}, {size} pixels" + (f", {angle}°" if angle else "")
