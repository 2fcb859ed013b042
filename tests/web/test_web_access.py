"""Who may ask: names, origins, tokens."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from support.client import OPAQUE, ORIGIN, PORT, client, opened, pixels, png

from scoreinv.web.access import TOKEN_HEADER, Access


@pytest.fixture
def browser():
    with client() as opened:
        yield opened


@pytest.mark.parametrize("host", ["127.0.0.1", f"127.0.0.1:{PORT}", "localhost:9000", "[::1]:8421", "127.9.9.9"])
def test_the_machines_own_names(browser, host):
    assert browser.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "[",
        "192.168.0.7",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/photos/x"])
def test_other_names_are_refused(browser, host, path):
    """As a page sends them whose name was made to point to this machine."""
    answer = browser.get(path, headers={"host": host})
    assert (answer.status_code, list(answer.json())) == (421, ["error"])


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://evil.example", "http://localhost:8421", "http://127.0.0.1:9000", "["]
)
def test_writes_come_from_the_page_and_reads_from_anywhere(browser, origin):
    photo = opened(browser, png(pixels()))
    headers = {name: value for name, value in OPAQUE.items() if name != "origin"}
    headers |= {} if origin is None else {"origin": origin}
    answers = [
        browser.post("/api/photos", content=png(pixels()), headers=headers),
        browser.delete("/api/jobs/x", headers=headers),
        browser.options("/api/photos", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert browser.get(f"/api/photos/{photo['key']}", headers=headers).status_code == 200


def test_elsewhere_the_links_token_is_needed():
    access = Access.to("0.0.0.0", PORT)
    assert access.token is not None
    assert len(access.token) >= 32
    assert access.token in access.link
    assert access.token != Access.to("0.0.0.0", PORT).token
    assert Access.to(None, PORT).link == f"{ORIGIN}/"
    assert Access.to("::1", PORT).link.startswith(f"http://[::1]:{PORT}/?token=")


class Probe:
    """A socket as the link asks one for this machine's address; `way` is that address, None where there is no way."""

    way: str | None = "192.168.0.7"

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM  # any other would send something when it connects
        self.family = family

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, _: tuple[str, int]) -> None:
        if self.way is None or (":" in self.way) != (self.family == socket.AF_INET6):
            raise OSError("no route")

    def getsockname(self) -> tuple[str | None, int]:
        return self.way, 5


@pytest.mark.parametrize(
    ("host", "way", "place"),
    [
        ("0.0.0.0", "192.168.0.7", "192.168.0.7"),
        ("::", "fd00::7", "[fd00::7]"),
        ("0.0.0.0", None, socket.gethostname()),
        ("192.168.0.8", "192.168.0.7", "192.168.0.8"),
    ],
)
def test_the_link_names_an_address_that_a_phone_can_open(monkeypatch, host, way, place):
    monkeypatch.setattr("socket.socket", Probe)
    monkeypatch.setattr(Probe, "way", way)
    access = Access.to(host, PORT)
    link = urlsplit(access.link)
    assert link.netloc == f"{place}:{PORT}"
    assert access.is_own_host(link.netloc)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch):
    """A browser elsewhere in the network, and the token."""
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "the-token")
    with client("0.0.0.0") as opened:
        yield opened


@pytest.mark.parametrize(
    "path", ["/", "/static/main.js", "/api/photos/x", "/?token=", "/?token=wrong", "/?token=%C3%BC"]
)
def test_without_the_token(guarded, path):
    answer = guarded.get(path)
    assert (answer.status_code, "token" in answer.json()["error"]) == (403, True)
    assert "set-cookie" not in answer.headers


def test_the_link_makes_a_cookie(guarded):
    answer = guarded.get("/?token=the-token", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"scoreinv-{PORT}=the-token;")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert guarded.get("/").status_code == 200
    assert opened(guarded, png(pixels()))["width"] == 40
    refused = guarded.post("/api/photos", content=png(pixels()), headers=OPAQUE | {"origin": "http://evil.example"})
    assert refused.status_code == 403


def test_a_script_sends_the_token_in_a_header(guarded):
    assert guarded.get("/", headers={TOKEN_HEADER: "the-token"}).status_code == 200
    for wrong in ("the-toke", "the-token2", "", "ü".encode()):
        assert guarded.get("/", headers={TOKEN_HEADER: wrong}).status_code == 403


def test_hosts_with_a_token(guarded):
    """Addresses and this machine's names: with other names a page elsewhere could be meant."""
    headers = {TOKEN_HEADER: "the-token"}
    assert guarded.get("/", headers=headers | {"host": "192.168.0.7:8421"}).status_code == 200
    assert guarded.get("/", headers=headers | {"host": "evil.example"}).status_code == 421
