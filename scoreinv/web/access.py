"""Address of the page, and access control: the browser of this machine, or anyone with the token of the link.

It prevents three attacks. A foreign page in the same browser can send requests by links and forms, and by a domain
that it points to this machine (DNS rebinding). Therefore the Host header must be an address or a name of this machine,
and a request that changes anything must come from the page itself (`Origin`). Other machines can reach an address that
is not the loopback's: they need the token of the link, which becomes a cookie on the first visit. If the page ever
shows injected content, the content security policy blocks requests to other hosts.
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

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""Wildcard addresses, and a reserved address of the same family (RFC 5737, 3849)."""

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
    """Return a socket that listens on a host and port (0: any free one); raise SettingError if it cannot."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingError("host", f"{host} is not an address of this machine ({reason})") from error
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # `::` includes all IPv4 addresses
    try:
        return socket.create_server(address, family=family, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingError("host", f"{host} is not an address of this machine ({reason})") from error
        raise SettingError("port", f"{port} is not available on {host} ({reason}): choose another") from error


@dataclass(frozen=True)
class Access:
    """Address of the page, and the token that requests need.

    Attributes:
        host: address or name of the socket.
        port: port of the socket.
        token: secret that each request must contain; None on the loopback.
    """

    host: str
    port: int
    token: str | None

    @classmethod
    def to(cls, host: str | None, port: int) -> Access:
        """Return access to the loopback without a token if host is None; else to the host, with a token."""
        return cls(LOOPBACK, port, None) if host is None else cls(host, port, secrets.token_urlsafe(24))

    @property
    def link(self) -> str:
        """The link that a user opens."""
        host = _network_address(_WILDCARDS[self.host]) if self.host in _WILDCARDS else self.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        return url if self.token is None else f"{url}?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie; all ports of a host share their cookies."""
        return f"scoreinv-{self.port}"

    def is_own_host(self, host: str) -> bool:
        """Return whether a Host header is an address, or a name of this machine.

        A foreign page has a domain instead. Without a token only addresses of the loopback are accepted; with one all
        are, since a machine may have addresses that it does not know.
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

    def accepts(self, token: str) -> bool:
        """Return whether this is the token, in a time that does not depend on the matching characters."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())


def _network_address(remote: str) -> str:
    """Return this machine's address on the route to a remote address, for links; without a route its host name."""
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))  # chooses the local address; a datagram socket sends nothing yet
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


class Guard:
    """Wraps the application: refuses forbidden requests, and adds the security headers to each response."""

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
        """Return the response to a forbidden request; None if the request is allowed."""
        headers, access = Headers(scope=scope), self._access
        host = headers.get("host", "")
        if not access.is_own_host(host):
            return _refused(
                421, "This host name does not belong to this machine: open the link that `scoreinv serve` prints."
            )
        if scope["method"] not in ("GET", "HEAD") and not _is_own(headers, host):
            return _refused(403, "Only the page itself may send this request.")
        if access.token is None:
            return None
        token = cookie_parser(headers.get("cookie", "")).get(access.cookie) or headers.get(TOKEN_HEADER, "")
        if access.accepts(token):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and scope["method"] == "GET" and access.accepts(query.get("token", [""])[0]):
            # Remove the token from the address bar and the history. Lax: the link works from an e-mail.
            answer = RedirectResponse("/", 303)
            answer.set_cookie(access.cookie, query["token"][0], httponly=True, samesite="lax")
            return answer
        return _refused(403, "The token is missing: open the whole link that `scoreinv serve` prints.")


def _is_own(headers: Headers, host: str) -> bool:
    """Return whether a request comes from the page of this host."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:
        return False
    return origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower()


def _refused(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
