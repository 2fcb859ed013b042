"""What restoring pictures returns, for one `Picture` and in the form of the caller's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scoreinv.imaging.arrays import Form
from scoreinv.imaging.picture import Picture
from scoreinv.tasks.common import Share, TaskCallback
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
        method: by which it was drawn.
    """

    image: Any
    samples: list[Any]
    std: Any
    nfe: int
    method: Method


def restore_each(
    pictures: list[Picture],
    form: Form,
    restore: Callable[[int, TaskCallback], Restored],
    callback: TaskCallback | None,
) -> Restored:
    """`restore` of the number of each picture in turn, together in the caller's form."""
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
