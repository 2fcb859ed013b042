"""Connections that ask for nothing keep nobody out: each has a while for its next request, and each host a share.

They are those of uvicorn's h11, which limits the size of headers, and closes a connection that is silent after an
answer. But it waits without end for the first request, for headers that come byte by byte, for the rest of a body, and
for what is still sent after a refusal: somebody without a token could hold all places by that.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_AT_ONCE = 64
"""Connections."""
MOST_OF_A_HOST = MOST_AT_ONCE // 2
"""Connections from one address; a browser keeps six for a page."""
PATIENCE = 10.0
"""Seconds that a connection may be open without a request being answered on it."""
SILENCE = 60.0
"""Seconds without a byte of a body that is still to come: who sends it may be gone, and would hold a place for ever."""


class TimedConnection(H11Protocol):
    """A connection of uvicorn's that is closed where nothing is asked for long."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self._of_this_host() > MOST_OF_A_HOST:
            transport.close()
        else:
            self._time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop()
        self._time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _time(self) -> None:
        """Let the time run while no request is answered, or one is still coming; anew with all that comes of it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
            if self.cycle.more_body and not self.transport.is_closing():
                self._limit = self.loop.call_later(SILENCE, self.transport.close)
        elif self._limit is None and not self.transport.is_closing():
            self._limit = self.loop.call_later(PATIENCE, self.transport.close)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    @property
    def _host(self) -> str | None:
        return self.client[0] if self.client else None

    def _of_this_host(self) -> int:
        """Open connections from this one's address, with itself."""
        return sum(isinstance(each, TimedConnection) and each._host == self._host for each in self.connections)
