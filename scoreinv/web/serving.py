"""The server: a socket of this machine, and uvicorn on it until it is interrupted."""

from __future__ import annotations

import errno
import socket

import uvicorn

from scoreinv.errors import SettingError
from scoreinv.web.app import make_app
from scoreinv.web.guard import MOST_HEADER_BYTES, Access
from scoreinv.web.jobs import Desk
from scoreinv.web.work import Models

_CONNECTIONS = 64
"""At once; what keeps slow and greedy clients away is a proxy in front of it."""
_GRACE = 5
"""Seconds that answers under way have after an interruption."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at a host and port (0: any that is free); SettingError where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _no_address(host, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_address(host, error) from error
        raise SettingError("port", f"{port} cannot be had at {host} ({error.strerror}): name another") from error
    listener.listen()
    return listener


def _no_address(host: str, error: OSError | UnicodeError) -> SettingError:
    reason = error.strerror if isinstance(error, OSError) else error
    return SettingError("host", f"{host} is no address of this machine ({reason})")


def serve(listener: socket.socket, models: Models, access: Access) -> None:
    """Serve the page until a signal comes, which is then raised as elsewhere."""
    desk = Desk(prepare=models.fill)
    config = uvicorn.Config(
        make_app(models, access, desk),
        http="h11",
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        ws="none",
        lifespan="on",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
