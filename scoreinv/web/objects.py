"""Objects that are pointed at on the page: a photograph is looked at once, when it is opened; then a click is quick.

One thread does both, one after the other: what was looked at is not made for several at once.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from scoreinv.imaging.regions import extent
from scoreinv.system.errors import InputError
from scoreinv.web.album import Photo

if TYPE_CHECKING:
    from scoreinv.models.segment_anything import SegmentAnything
    from scoreinv.tasks.select import Prompt, Selected, Selection, Size

_KEPT = 2  # photographs that are held as they were looked at, each some tens of megabytes


def lacking() -> str | None:
    """What has to be installed before objects can be selected; None for nothing."""
    if find_spec("onnxruntime") is not None:
        return None
    return "To select objects, install what looks at them: pip install 'scoreinv[select]'"


class Objects:
    """Selections in the photographs that were looked at last."""

    def __init__(self) -> None:
        self._looks: OrderedDict[str, Future[Selection]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scoreinv-objects")

    def look(self, photo: Photo) -> Future[Selection]:
        """Look at a photograph in the background, unless it was looked at already; InputError where nothing can."""
        if (words := lacking()) is not None:
            raise InputError(words)
        look = self._looks.pop(photo.key, None) or self._thread.submit(_looked, photo)
        self._looks[photo.key] = look  # the last
        while len(self._looks) > _KEPT:
            self._looks.popitem(last=False)[1].cancel()
        return look

    def select(self, photo: Photo, prompt: Prompt, size: Size | None, *, another: bool = False) -> Selected:
        """The object of a prompt, as one of the sizes that its first click may mean, or as the next of them."""
        look = self.look(photo)

        def work() -> Selected:
            seen = look.result()
            return seen.select(prompt, seen.next_size(prompt, size) if another else size)

        found: Selected = self._thread.submit(work).result()
        return found

    def close(self) -> None:
        """Look at nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _looked(photo: Photo) -> Selection:
    from scoreinv.tasks.select import Selection

    return Selection(photo.picture, _network())


@cache
def _network() -> SegmentAnything:
    from scoreinv.models.segment_anything import SegmentAnything

    return SegmentAnything()


def cut_out(mask: np.ndarray | None) -> dict[str, Any]:
    """A mask, HxW bool, as the page takes it: its box, and a bit for each pixel there, row by row, in base64."""
    if mask is None or not mask.any():
        return {"box": None, "bits": ""}
    rows, columns = extent(mask)
    bits = np.packbits(mask[rows, columns])
    return {
        "box": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
        "bits": base64.b64encode(bits.tobytes()).decode(),
    }
