"""Selection of objects. The encoder runs once for each photograph, when it is opened; each click then runs a decoder.

One thread does both, since a photograph's encoding is not safe for several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scoreinv.system.errors import InputError
from scoreinv.system.progress import reported_to
from scoreinv.web.photo import Photo

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.models.segment_anything import SegmentAnything
    from scoreinv.tasks.select import Prompt, Selected, Selection, Size

_MOST_ENCODED = 2  # photographs; each encoding takes some tens of megabytes


class Objects:
    """The encoded photographs, of which the latest are kept, and the selections in them.

    Attributes:
        encoder: encodes a picture for selections; None: the bundled network.
    """

    def __init__(self, encoder: Callable[[Picture], Any] | None = None) -> None:
        self.encoder = encoder
        # Weak, so that a forgotten photograph leaves nothing here.
        self._selections: WeakKeyDictionary[Photo, Future[Selection]] = WeakKeyDictionary()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scoreinv-objects")
        self._closed = threading.Event()

    @property
    def missing_extra(self) -> str | None:
        """How to install the packages for selection; None if they are installed."""
        if self.encoder is not None or find_spec("onnxruntime") is not None:
            return None
        return "To select objects, install ONNX Runtime: pip install 'scoreinv[select]'"

    def encode(self, photo: Photo) -> Future[Selection]:
        """Encode a photograph in the background, once, and again after a failure.

        Raises InputError if the extra is not installed.
        """
        if (remedy := self.missing_extra) is not None:
            raise InputError(remedy)
        selection = self._selections.pop(photo, None)
        if selection is None or (selection.done() and selection.exception() is not None):  # memory may be free by now
            selection = self._thread.submit(self.encoder or _encode, photo.picture)
        self._selections[photo] = selection  # the latest is last
        for old in list(self._selections)[:-_MOST_ENCODED]:
            self._selections.pop(old).cancel()
        return selection

    async def select(self, photo: Photo, prompt: Prompt, size: Size | None, *, another: bool = False) -> Selected:
        """Return the object of a prompt.

        Args:
            size: the size of the object, since a click may mean a part or the whole; None: the likeliest.
            another: whether to return the object of the next size instead.
        """
        selection = self.encode(photo)

        def goes_on(_: float) -> bool:
            return not self._closed.is_set()

        def run() -> Selected:
            # Photographs that were opened meanwhile may have cancelled it.
            encoded = (self.encoder or _encode)(photo.picture) if selection.cancelled() else selection.result()
            with reported_to(goes_on):
                return encoded.select(prompt, encoded.next_size(prompt, size) if another else size)

        return await asyncio.wrap_future(self._thread.submit(run))

    def close(self) -> None:
        """Cancel pending encodings and selections, and end the running selection at its next click."""
        self._closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _encode(picture: Picture) -> Selection:
    from scoreinv.tasks.select import Selection

    return Selection(picture, _network())


@cache
def _network() -> SegmentAnything:
    from scoreinv.models.segment_anything import SegmentAnything

    return SegmentAnything()
