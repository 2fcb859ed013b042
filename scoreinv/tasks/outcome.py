"""Outcomes: what a task returns, with its notes and figures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

import numpy as np
from PIL import Image

from scoreinv.system.options import GRAY_LEVELS
from scoreinv.system.text import one_line
from scoreinv.tasks.notes import Note
from scoreinv.tasks.requests import ClassicalMethod, FillMethod, RestorationMethod, StepName

if TYPE_CHECKING:
    from torch import Tensor

    from scoreinv.analysis.kind import Kind
    from scoreinv.imaging.records import Record
    from scoreinv.operators.kernels import PointSpread

ImageLike = TypeVar("ImageLike", np.ndarray, Image.Image, "Tensor")
"""The type of the caller's picture; results have the same type."""
AnyImage = TypeVar("AnyImage")
Images = TypeVar("Images")
AnyMethod = FillMethod | RestorationMethod | Literal["exact", "segmentation", "network"]
"""How a picture was made. Besides methods of requests: `exact` for denoising and unchanged pictures, `segmentation` for
masks, `network` for pictures enlarged by a network alone."""


@dataclass(frozen=True, repr=False)
class Drawn(Generic[Images]):
    """New pictures.

    Attributes:
        images: NxHxWxC float32 in [0, 1], or a list in the caller's form.
        nfe: mean number of network evaluations of a picture.
    """

    images: Images
    nfe: int

    def __repr__(self) -> str:
        return one_line(self)


@dataclass(frozen=True, repr=False)
class Outcome(Generic[AnyImage]):
    """The outcome of a task, as a `Picture` or in the caller's form (array, PIL image, tensor).

    For a batch of pictures, `nfe` and `method` are those of the picture with the most evaluations. Notes and the added
    attributes of subclasses are lists with an entry for each picture.

    Attributes:
        image: the first sample, or the mean of all.
        samples: all samples.
        std: standard deviation of the samples at each pixel, in [0, 1], as root mean square over the channels: HxW, for
            tensors (B)x1xHxW. For colours it is computed at the working scale and interpolated. None for one sample.
            Its relation to the error was measured (`tests/benchmarks/README.md`).
        nfe: network evaluations at each place for one sample.
        method: how the picture was made.
        notes: findings and events of the task.
        generated: HxW bool, pixels that a model or a classical method filled; None: none.
        box: part of the original that the picture shows: top, left, height and width; None: all of it.
        provenance: how the picture was made; None for masks, and for `solve`.
    """

    image: AnyImage
    samples: list[AnyImage]
    std: Any
    nfe: int
    method: AnyMethod
    notes: list[Note] = field(default_factory=list, kw_only=True)
    generated: Any = field(default=None, kw_only=True, repr=False)
    box: Any = field(default=None, kw_only=True, repr=False)
    provenance: Record | list[Record] | None = field(default=None, kw_only=True, repr=False)

    def __repr__(self) -> str:
        return one_line(self)

    def figures(self) -> dict[str, Any]:
        """Return the task's figures of one picture, for JSON lines and manifests."""
        return {}

    def step_pictures(self) -> list[AnyImage | None]:
        """Return the pictures after each step of a restoration, if they were kept; None for unchanged ones."""
        return []

    @property
    def invents(self) -> bool:
        """Whether a generative model added content, filled pixels or colours; for the outcome of one picture."""
        filled = self.generated is not None and bool(self.generated.any())
        return filled and self.method not in get_args(ClassicalMethod)


def _share(hole: Any) -> float:
    return round(float(hole.mean()), 6)


def _gray_levels(noise_std: float) -> float:
    return round(noise_std * GRAY_LEVELS, 2)


@dataclass(frozen=True, repr=False)
class DamageOutcome(Outcome[AnyImage]):
    """Detected damage; the image is its mask, white where it is.

    Attributes:
        damage: HxW bool.
    """

    damage: Any

    def figures(self) -> dict[str, Any]:
        return {"damaged": _share(self.damage)}


@dataclass(frozen=True, repr=False)
class SelectOutcome(Outcome[AnyImage]):
    """A selected object; the image is its mask, white where it is.

    Attributes:
        mask: HxW bool.
        size: for a single point, which of three objects it is.
        fragments: HxW bool, small gaps and tips that were added to the object, without their rim.
    """

    mask: Any
    size: str | None
    fragments: Any

    def figures(self) -> dict[str, Any]:
        return {"model": "select", "selected": _share(self.mask), "size": self.size}


@dataclass(frozen=True, repr=False)
class InpaintOutcome(Outcome[AnyImage]):
    """A picture with its holes filled.

    Attributes:
        damage: HxW bool, the detected damage; None if a mask was given.
    """

    damage: Any = None

    def figures(self) -> dict[str, Any]:
        return {} if self.damage is None else {"damaged": _share(self.damage)}


@dataclass(frozen=True, repr=False)
class ColorizeOutcome(Outcome[AnyImage]):
    """A coloured picture.

    Attributes:
        kind: the kind of the picture before.
    """

    kind: Kind | list[Kind]

    @property
    def invents(self) -> bool:
        return True


@dataclass(frozen=True, repr=False)
class DenoiseOutcome(Outcome[AnyImage]):
    """A picture without its noise.

    Attributes:
        noise_std: standard deviation of the noise, in [0, 1]: estimated or given.
    """

    noise_std: Any

    def figures(self) -> dict[str, Any]:
        return {"noise": _gray_levels(self.noise_std)}


@dataclass(frozen=True, repr=False)
class UpscaleOutcome(DenoiseOutcome[AnyImage]):
    """An enlarged picture.

    Attributes:
        factor: of the enlargement.
    """

    factor: Any

    def figures(self) -> dict[str, Any]:
        return super().figures() | {"factor": self.factor}


@dataclass(frozen=True, repr=False)
class DeblurOutcome(DenoiseOutcome[AnyImage]):
    """A picture without its blur.

    Attributes:
        blur: the estimated blur, for a shake its kernel; None if a kernel was given.
        kernel: name of the kernel, in the form of the command line's option; `file` for an array, `shake` for a shake
            that was found.
        point_spread: (h, w), of sum 1, the kernel that was removed: given, or the mean of the possible ones.
    """

    blur: PointSpread | np.ndarray | list[PointSpread | np.ndarray | None] | None
    kernel: Any
    point_spread: Any = field(repr=False)

    def figures(self) -> dict[str, Any]:
        return super().figures() | {"kernel": self.kernel}


@dataclass(frozen=True)
class Step(Generic[AnyImage]):
    """One step of a restoration.

    Attributes:
        note: what the step found or did.
        changed: whether it changed the picture.
        image: the first sample after the step, or the mask after the step `damage`; None if unchanged or not kept.
    """

    name: StepName
    note: Note
    changed: bool
    image: AnyImage | None = field(default=None, repr=False)


@dataclass(frozen=True, repr=False)
class RestoreOutcome(Outcome[AnyImage]):
    """A restored photograph.

    Attributes:
        kind: the kind of the photograph before, ignoring its damage.
        damage: HxW bool, detected or given; None if that step is off.
        noise_std: standard deviation of the noise, in [0, 1], estimated or given; None if that step is off.
        steps: a list of `Step` in order.
        wanted: the steps that were on.
    """

    kind: Kind | list[Kind]
    damage: Any
    noise_std: Any
    steps: Any
    wanted: Any = field(default=(), repr=False)

    def figures(self) -> dict[str, Any]:
        done = [step.name for step in self.steps if step.changed]
        found: dict[str, Any] = {"found": self.kind, "steps": done}
        if self.damage is not None:
            found["damaged"] = _share(self.damage)
        if self.noise_std is not None:
            found["noise"] = _gray_levels(self.noise_std)
        return found

    def step_pictures(self) -> list[AnyImage | None]:
        by_name = {step.name: step.image for step in self.steps}
        return [by_name.get(name) for name in self.wanted]

    @property
    def invents(self) -> bool:
        return super().invents or any(step.changed and step.name == "colorize" for step in self.steps)
