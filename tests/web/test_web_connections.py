"""Connections on which nothing is asked for: how long they are open, and how many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn

from scoreinv.web import connections
from scoreinv.web.connections import MOST_OF_A_HOST, TimedConnection

ASK = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
SOON = 60.0
"""Seconds: far more than anything takes here."""


async def app(scope, receive, send) -> None:
    """Answers at once and reads no body, as for who has no token.

    `/slow` takes five times the patience, and `/read` reads.
    """
    if scope["path"] == "/slow":
        await asyncio.sleep(5 * connections.PATIENCE)
    while scope["path"] == "/read" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """The port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=TimedConnection, ws="none", lifespan="off", log_config=None)
    config.timeout_keep_alive = 10 * SOON  # what closes connections here is not uvicorn's own limit
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await running


def with_server(work: Callable[[int], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with served() as port:
            await asyncio.wait_for(work(port), SOON)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nx: ", b"a"),  # headers that never end
        (ASK, b""),
        (ASK, b"G"),
        (b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\n", b"a"),  # a body that nobody reads
    ],
)
def test_who_asks_for_nothing_is_sent_away(monkeypatch, first, then):
    monkeypatch.setattr(connections, "PATIENCE", 0.3)

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        over = asyncio.create_task(reader.read())
        while not over.done():
            writer.write(then)
            await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):  # what came after the end
            assert (b"ok" in over.result()) == (ASK in first or b"POST" in first)
        writer.close()

    with_server(work)


def test_who_waits_for_an_answer_gets_it(monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.2)

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in (b"/", b"/slow", b"/"):
            writer.write(ASK.replace(b"/ ", path + b" ", 1))
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    with_server(work)


def test_a_body_may_be_slow_but_not_silent(monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    monkeypatch.setattr(connections, "SILENCE", 1.0)
    head = b"POST /read HTTP/1.1\r\nhost: here\r\ncontent-length: 6\r\n\r\n"

    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        for _ in range(6):  # longer than the silence in all
            await asyncio.sleep(0.25)
            writer.write(b"a")
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(head + b"aaa")
        assert await reader.read() == b""
        writer.close()

    with_server(work)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this machine")
def test_one_host_leaves_places_for_others():
    async def work(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_OF_A_HOST)]
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\nok")
        held[0][1].write(ASK)
        await held[0][0].readuntil(b"\r\n\r\nok")
        for _, each in (*held, (reader, writer)):
            each.close()

    with_server(work)
