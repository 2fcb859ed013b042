"""What restoring pictures returns, for one `Picture` and in the form of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any, Literal

from scoreinv.imaging.arrays import Form
from scoreinv.tasks.progress import Share, TaskCallback
from scoreinv.tasks.restoration_settings import RestorationMethod
from scoreinv.tasks.settings import Method


@dataclass(frozen=True)
class Restored:
    """A restored picture: of the API in the form of the one that was given (array, PIL image, tensor), else `Picture`.

    Attributes:
        image: the first sample, or the mean of all.
        samples: all samples.
        std: HxW, standard deviation of the samples at each pixel, root mean square over the channels, in [0, 1] units
            (of colorization at the working scale, interpolated, and at its temperature); None for one sample.
        nfe: evaluations of the network at each place for one sample.
        method: by which it was drawn; `exact` if there was only noise to remove.
    """

    image: Any
    samples: list[Any]
    std: Any
    nfe: int
    method: Method | RestorationMethod | Literal["exact"]


def restore_each(
    pictures: Sized,
    form: Form,
    restore: Callable[[int, TaskCallback], Restored],
    callback: TaskCallback | None,
) -> Restored:
    """`restore` of the number of each picture (or observation of one) in turn, together in the caller's form."""
    share = Share(callback, len(pictures))
    results = []
    for number in range(len(pictures)):
        share.begin(1)
        results.append(restore(number, share))
    return Restored(
        image=form.pictures([result.image for result in results]),
        samples=[form.pictures(same) for same in zip(*(result.samples for result in results), strict=True)],
        std=None if results[0].std is None else form.maps([result.std for result in results]),
        nfe=results[0].nfe,
        method=results[0].method,
    )
