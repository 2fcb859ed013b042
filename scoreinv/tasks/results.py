"""What tasks report while they work, and what they return, in the form of the pictures that they are given.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from PIL import Image

from scoreinv.inputs.arrays import Form
from scoreinv.system.errors import Cancelled
from scoreinv.system.options import check, check_callback, says_stop
from scoreinv.system.reporting import reporting
from scoreinv.system.terminal import progress_bar
from scoreinv.system.text import one_line
from scoreinv.system.threads import yield_to_load
from scoreinv.tasks.settings import FillMethod, RestorationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from scoreinv.samplers import Progress

TaskCallback = Callable[[float], bool | None]
"""Called with the share of the work that is done, in [0, 1], at every window; it stops the work by returning False."""


def tell(callback: TaskCallback | None, fraction: float) -> None:
    """Report that a fraction of the work is done; raise Cancelled if the callback returns False."""
    if callback is not None and says_stop(callback(fraction)):
        raise Cancelled("stopped")


@contextmanager
def at_work(title: str, callback: TaskCallback | None, *, progress: bool) -> Iterator[TaskCallback]:
    """Run a call from Python until the block ends: on as many threads as pay, and with a bar if it is asked for.

    Yields:
        What the work calls in place of the callback. What is done outside of a sampler calls it by `report`.

    Raises SettingError if progress is no flag, or the callback no function.
    """
    check("progress", progress, bool)
    check_callback(callback)
    done = 0.0
    with yield_to_load(), progress_bar(title, quiet=not progress) as show:

        def call_back(fraction: float) -> bool | None:
            nonlocal done
            done = fraction
            show(fraction)
            return None if callback is None else callback(fraction)

        with reporting(lambda _: tell(call_back, done)):
            yield call_back


def for_sampler(callback: TaskCallback | None) -> Callable[[Progress], bool | None] | None:
    """The callback of a task as a sampler takes it."""
    return None if callback is None else lambda progress: callback(progress.fraction)


def parts(callback: TaskCallback | None, sizes: Iterable[float]) -> list[TaskCallback]:
    """A callback for each part of the work, by their sizes in any unit, which reports the progress of the whole."""
    sizes = list(sizes)
    *begins, total = accumulate(sizes, initial=0.0)

    def report(begin: float, size: float, fraction: float) -> bool | None:
        return None if callback is None else callback(min(1.0, (begin + fraction * size) / total))

    return [partial(report, begin, size) for begin, size in zip(begins, sizes, strict=True)]


PictureKind = TypeVar("PictureKind")
Given = TypeVar("Given", np.ndarray, Image.Image, "Tensor")
"""The form in which a picture is given, which is that of the result."""
Images = TypeVar("Images")


@dataclass(frozen=True, repr=False)
class Drawn(Generic[Images]):
    """New pictures.

    Attributes:
        images: the pictures in order: NxHxWxC float32 in [0, 1], or a list in the caller's form.
        nfe: evaluations of the network for each picture, on average.
    """

    images: Images
    nfe: int

    def __repr__(self) -> str:
        return one_line(self)


AnyMethod = FillMethod | RestorationMethod | Literal["exact", "segmentation"]
"""How a picture was made; `exact` where there was only noise to remove, `segmentation` for a mask of damage."""


@dataclass(frozen=True, repr=False)
class Restored(Generic[PictureKind]):
    """A restored picture, as a `Picture` or in the form in which it was given (array, PIL image, tensor).

    Attributes:
        image: the first sample, or the mean of all.
        samples: all samples.
        std: HxW, of a tensor (B)x1xHxW, standard deviation of the samples at each pixel, root mean square over the
            channels, in [0, 1] units (of colorization at the working scale, interpolated, and at its temperature);
            None for one sample. How far it goes with the error was measured (`tests/benchmarks/README.md`).
        nfe: evaluations of the network at each place for one sample; of a batch, those of the picture with most.
        method: how it was made; of a batch, that picture.
    """

    image: PictureKind
    samples: list[PictureKind]
    std: Any
    nfe: int
    method: AnyMethod

    def __repr__(self) -> str:
        return one_line(self)


Result = TypeVar("Result", bound=Restored[Any])


def restore_each(
    pictures: Sized, form: Form, restore: Callable[[int, TaskCallback], Result], callback: TaskCallback | None
) -> Result:
    """`as_given` of the results of pictures (or of observations of them) that are done one after the other.

    Args:
        restore: called with the number of each picture in turn, and a callback for its progress.
    """
    told = parts(callback, [1] * len(pictures))
    return as_given([restore(number, part) for number, part in enumerate(told)], form)


def as_given(results: Sequence[Result], form: Form) -> Result:
    """The results of all pictures as one, in the caller's form. What a task adds is kept: of a batch, a list.

    Method and evaluations are those of the picture that took most of these: another may have needed no network.
    """
    added = [field.name for field in fields(results[0]) if field.name not in _COMMON]
    return replace(
        max(results, key=lambda result: result.nfe),
        image=form.pictures([result.image for result in results]),
        samples=[form.pictures(same) for same in zip(*(result.samples for result in results), strict=True)],
        std=None if results[0].std is None else form.maps([result.std for result in results]),
        **{name: form.values([getattr(result, name) for result in results]) for name in added},
    )


_COMMON = {field.name for field in fields(Restored)}
