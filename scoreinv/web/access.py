"""Where the page is served, and who may ask: this machine's own browser, or whoever has the link with the token.

Three attacks are meant. A page from elsewhere, open in the same browser, can send requests here, by a link or a form,
and by a name of its own that it lets point to this machine (DNS rebinding). So a request must name a host that is an
address, or a name of this machine; and one that changes something must come from the page itself (`Origin`). Others in
the network can reach an address that is not the loopback's: they need the token of the link, which becomes a cookie
at the first visit. And should the page ever show what it ought not to, the content security policy keeps it from
loading or sending anything elsewhere.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import os
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scoreinv.system.errors import SettingError

LOOPBACK = "127.0.0.1"
TOKEN_HEADER = "x-scoreinv-token"

_ELSEWHERE = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""What stands for all addresses of this machine, and an address of its family that is nobody's (RFC 5737, 3849)."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",  # a browser's cache is on disk
}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at a host and port (0: any that is free); SettingError where it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingError("host", f"{host} is no address of this machine ({reason})") from error
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # `::` stands for all addresses of IPv4, too
    try:
        return socket.create_server(address, family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingError("host", f"{host} is no address of this machine ({reason})") from error
        raise SettingError("port", f"{port} cannot be had at {host} ({reason}): name another") from error


@dataclass(frozen=True)
class Access:
    """Where the page is served.

    Attributes:
        host: the address or name that is listened at.
        port: of it.
        token: what a request has to bring; None on the loopback.
    """

    host: str
    port: int
    token: str | None

    @classmethod
    def to(cls, host: str | None, port: int) -> Access:
        """The loopback without a token where no host is given; else the host with one."""
        return cls(LOOPBACK, port, None) if host is None else cls(host, port, secrets.token_urlsafe(24))

    @property
    def link(self) -> str:
        """What a person opens."""
        host = _outward(_ELSEWHERE[self.host]) if self.host in _ELSEWHERE else self.host
        place = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        return place if self.token is None else f"{place}?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie's name: cookies of one host are shared by all its ports."""
        return f"scoreinv-{self.port}"

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine, by a name of its own or an address.

        A page elsewhere cannot have an address for its name. On the loopback only its addresses are let in; where there
        is a token every one is, since a machine has addresses that it does not know of.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.host.lower(), socket.gethostname().lower()):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.token is not None

    def admits(self, given: str) -> bool:
        """Whether this is the token, compared in a time that does not tell how much of it is right."""
        return self.token is None or hmac.compare_digest(given.encode(), self.token.encode())


def _outward(elsewhere: str) -> str:
    """This machine's address on the way to another, which a phone can open; its name where there is no way."""
    family = socket.AF_INET6 if ":" in elsewhere else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # chooses the address of this end; a datagram socket sends nothing for it
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


class Guard:
    """The application that lets through what may be asked, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered in place of what was asked for; None where it may be asked for."""
        headers, access = Headers(scope=scope), self._access
        host = headers.get("host", "")
        if not access.knows(host):
            return _refused(421, "This name is not one of this machine: open the link that `scoreinv serve` shows.")
        if scope["method"] not in ("GET", "HEAD") and not _is_own(headers, host):
            return _refused(403, "Only the page itself may ask for this.")
        if access.token is None:
            return None
        given = cookie_parser(headers.get("cookie", "")).get(access.cookie) or headers.get(TOKEN_HEADER, "")
        if access.admits(given):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and scope["method"] == "GET" and access.admits(query.get("token", [""])[0]):
            # The token leaves the address, where it would be seen and remembered. Lax: a link in a letter works.
            answer = RedirectResponse("/", 303)
            answer.set_cookie(access.cookie, query["token"][0], httponly=True, samesite="lax")
            return answer
        return _refused(403, "The link needs its token: open the whole link that `scoreinv serve` shows.")


def _is_own(headers: Headers, host: str) -> bool:
    """Whether a request comes from the page that is served under this host."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:
        return False
    return origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower()


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
