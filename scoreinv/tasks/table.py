"""The tasks on photographs, each declared once.

The command line, the page, batches, tables, records, `rerun` and GIMP read this table. To add a task that inverts a
picture, add an entry here and write its function. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Literal

from scoreinv.inputs.mask_options import DAMAGE_SUFFIX
from scoreinv.models.loading import Role
from scoreinv.system.options import Declared, Setting
from scoreinv.tasks.requests import (
    ColorizeRequest,
    DamageRequest,
    DeblurRequest,
    DenoiseRequest,
    Given,
    InpaintRequest,
    Request,
    RestoreRequest,
    SelectRequest,
    UpscaleRequest,
)

MODEL = "Bundled model, or path of a model file (with / or a suffix)."
HINTS = Setting("Colour strokes, on a transparent picture of the photo's size.", metavar="FILE")


@dataclass(frozen=True)
class Task:
    """A task on a photograph.

    Attributes:
        name: of the command, and in records.
        request: the class of its settings.
        run: the function, or `module:function`, which is imported when the task runs. It takes inputs, a request
            and models, and returns an outcome.
        suffix: end of the names of results.
        help: help of the command.
        models: role and help of each option that names a model.
        takes: the inputs beside the photograph, with their options.
        needs_mask: the command must get a mask, or `auto`.
        makes_mask: the result is a mask, which has no record.
        one_photo: the settings belong to one photograph, since they have coordinates in it.
        adds: options for further pictures: a map of the samples' deviation, the picture after each step, the kernel.
        page: its name on the page and in GIMP.
        menu: its label in GIMP's menu. Empty: its name.
        photo: placeholder and help of the photographs on the command line.
    """

    name: str
    request: type[Request]
    run: str | Callable[..., Any]
    suffix: str
    help: str
    models: Mapping[str, tuple[Role, str]] = field(default_factory=dict)
    takes: Mapping[Given, Setting] = field(default_factory=dict)
    needs_mask: bool = False
    makes_mask: bool = False
    one_photo: bool = False
    adds: tuple[Literal["uncertainty", "steps_to", "kernel_out"], ...] = ()
    page: str = ""
    menu: str = ""
    photo: tuple[str, str] = ("PHOTO", "Photos or folders; - is stdin.")

    def load(self) -> Callable[..., Any]:
        """Return the function of the task."""
        if not isinstance(self.run, str):
            return self.run
        module, _, function = self.run.partition(":")
        return getattr(import_module(module), function)  # type: ignore[no-any-return]

    @property
    def route(self) -> str:
        """The task's name on the page and in GIMP."""
        return self.page or self.name

    @property
    def fills(self) -> bool:
        """Whether its mask marks holes to fill, which it can find itself."""
        return "mask" in self.takes and "grow" in self.settings

    @property
    def settings(self) -> set[str]:
        """Names of the request's fields."""
        return {each.name for each in fields(self.request)}  # type: ignore[arg-type]


TASKS = (
    Task(
        "restore",
        RestoreRequest,
        "scoreinv.tasks:restore_picture",
        "_restored",
        """Restore old photos: fill damage, correct fading, remove tint and noise, add colour.

        \b
        scoreinv restore old.jpg   # writes old_restored.png
        scoreinv restore scans/ --no-colorize --steps-to steps/
        """,
        models={
            "damage_model": ("damage", "Model that detects damage."),
            "inpaint_model": ("inpaint", "Model that fills it."),
            "denoise_model": ("denoise", "Model that removes noise."),
            "color_model": ("colorize", "Model that adds colour."),
        },
        takes={
            "mask": Setting("Mask file or folder: white is damage. (default: detected)", metavar="MASK"),
            "hints": HINTS,
        },
        adds=("steps_to",),
    ),
    Task(
        "inpaint",
        InpaintRequest,
        "scoreinv.tasks:inpaint_picture",
        "_inpainted",
        """Remove objects and damage from photos.

        \b
        scoreinv inpaint photo.png --mask mask.png       # writes photo_inpainted.png
        scoreinv inpaint photo.png --mask mask.png --avoid people.png
        scoreinv inpaint scans/ --mask auto --samples 4  # a folder; the damage is detected
        """,
        models={"model": ("inpaint", MODEL)},
        takes={
            "mask": Setting("Mask file or folder: white is removed. auto: detected damage.", metavar="MASK"),
            "avoid": Setting("Mask file or folder: white is not copied into the hole, such as faces.", metavar="MASK"),
        },
        needs_mask=True,
        adds=("uncertainty",),
        page="fill",
        menu="Fill the selection",
    ),
    Task(
        "select",
        SelectRequest,
        "scoreinv.tasks:select_picture",
        "_selection",
        """Select an object of a photo by points or a box, as a mask for inpaint.

        \b
        scoreinv select photo.jpg --box 250,120,180,260          # around an object; writes photo_selection.png
        scoreinv select photo.jpg --at 320,200 --not 300,370     # on it, and beside it
        scoreinv inpaint photo.jpg --mask photo_selection.png    # removes it
        """,
        makes_mask=True,
        one_photo=True,
        menu="Select object",
        photo=("PHOTO", "Photo; - is stdin."),
    ),
    Task(
        "damage",
        DamageRequest,
        "scoreinv.tasks:damage_picture",
        DAMAGE_SUFFIX,
        """Detect scratches, creases, dust, stains and writing in scans, as masks.

        \b
        scoreinv damage old.jpg                    # writes old_damage.png, a mask for inpaint
        scoreinv damage scans/ --sensitivity 0.7   # a folder; finds more damage
        """,
        models={"model": ("damage", MODEL)},
        makes_mask=True,
        menu="Find damage",
    ),
    Task(
        "colorize",
        ColorizeRequest,
        "scoreinv.tasks:colorize_picture",
        "_colorized",
        """Add colour to grey photos; their brightness is kept.

        \b
        scoreinv colorize gray.jpg                     # writes gray_colorized.png
        scoreinv colorize gray.jpg --hints hints.png   # with colour strokes
        scoreinv colorize gray.jpg --like summer.jpg   # with the colours of a similar photo
        """,
        models={"model": ("colorize", MODEL)},
        takes={
            "hints": HINTS,
            "references": Setting(
                "Photo in colour, or a folder of them: similar things take its colours. Repeatable.",
                metavar="PATH",
                option="like",
                repeatable=True,
            ),
        },
        adds=("uncertainty",),
        photo=("GRAY", "Grey photos or folders; - is stdin."),
    ),
    Task(
        "denoise",
        DenoiseRequest,
        "scoreinv.tasks:denoise_picture",
        "_denoised",
        """Remove noise from photos.

        \b
        scoreinv denoise photo.jpg              # writes photo_denoised.png
        scoreinv denoise photo.jpg --noise 12   # noise of a known level
        """,
        models={"model": ("denoise", MODEL)},
        adds=("uncertainty",),
    ),
    Task(
        "upscale",
        UpscaleRequest,
        "scoreinv.tasks:upscale_picture",
        "_upscaled",
        """Enlarge photos 2 to 4 times.

        \b
        scoreinv upscale photo.png                         # twice as large: photo_upscaled.png
        scoreinv upscale photo.png --factor 3 -o large.png
        """,
        models={"model": ("upscale", MODEL), "prior": ("denoise", "Model that draws samples.")},
        menu="Enlarge",
        adds=("uncertainty",),
    ),
    Task(
        "deblur",
        DeblurRequest,
        "scoreinv.tasks:deblur_picture",
        "_deblurred",
        """Remove blur from photos: out of focus, motion, a shaken camera or Gaussian.

        \b
        scoreinv deblur photo.jpg                        # estimates the blur; writes photo_deblurred.png
        scoreinv deblur photo.jpg --kernel motion:15,30  # camera motion
        scoreinv deblur photo.jpg --mask mask.png        # a part that is blurred
        """,
        models={"model": ("denoise", MODEL)},
        takes={"mask": Setting("Mask file or folder: white is deblurred, the rest is kept.", metavar="MASK")},
        adds=("uncertainty", "kernel_out"),
    ),
)
"""All tasks on photographs, in the order of the help."""

BY_NAME = {task.name: task for task in TASKS}


def controls_of(settings: Iterable[Declared]) -> list[dict[str, Any]]:
    """Return the controls of the settings with a label, as JSON for the forms of the page and GIMP.

    A control has the attributes of its `Setting` for forms, the help `words`, and:

    - `name`: the option in the page's routes.
    - `kind`: bool, int, float, or for choices Literal.
    - `value`: the default.
    - `choices`: pairs of a value and its text; None for other controls.
    - `range`: least and greatest value of a number.
    """
    found = []
    for each in settings:
        if (setting := each.setting) is None or not setting.label:
            continue
        control = {name: getattr(setting, name) for name in ("label", "words", "form", "unit", "none", "needs")}
        control |= {"name": each.option, "kind": each.kind.__name__, "value": each.default, "choices": None}
        allowed = setting.range
        if allowed is not None:
            control["range"] = allowed.least, allowed.most
            if setting.form is None:
                numbers = [(number, str(number)) for number in range(int(allowed.least or 0), int(allowed.most) + 1)]
                control["choices"] = [(None, setting.none.capitalize())] * each.is_optional + numbers
        elif setting.form is not None:
            control["range"] = setting.form[:2]
        found.append(control)
    return found
