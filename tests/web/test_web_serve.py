"""`scoreinv serve` as a process: its link, its limits, its end."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.client import OPAQUE, boxed, hole, pixels, png
from support.process import started
from support.processes import wait_for
from support.small_model import save_small

from scoreinv.cli.main import main
from scoreinv.cli.serve import _end_with_stdin
from scoreinv.web.access import TOKEN_HEADER

SOON = 120.0
"""Seconds: far more than anything takes here."""
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture
def served(model: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with started(tmp_path, "--model", model, "--color-model", model) as (process, link):
        yield process, urlsplit(link).netloc


def ask(
    place: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and body of an answer."""
    connection = http.client.HTTPConnection(place, timeout=SOON)
    connection.request(method, path, body, headers or OPAQUE | {"origin": f"http://{place}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def begun(place: str, photo: str, mask: bytes) -> str:
    """The key of a job that fills a photograph."""
    layer = json.loads(ask(place, "POST", f"/api/photos/{photo}/layers", mask)[1])["key"]
    return json.loads(ask(place, "POST", f"/api/photos/{photo}/fill?mask={layer}")[1])["job"]


def until(place: str, job: str, state: str) -> None:
    """Until a job is in a state."""
    end, pause = time.monotonic() + SOON, 0.02
    while (now := json.loads(ask(place, "GET", f"/api/jobs/{job}")[1])["state"]) != state:
        assert now in ("waiting", "running"), now
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause)
        pause = min(2 * pause, 0.3)


@pytest.mark.slow
def test_a_photograph_is_filled_and_nothing_is_written(served, tmp_path):
    """Nor where a signal ends it while a job is done: soon, for the job does not keep it.

    But for where it is, which only this user may read and write.
    """
    process, place = served
    told = tmp_path / "runtime" / "scoreinv-serve.json"
    assert json.loads(told.read_text()) == {"link": f"http://{place}/", "process": process.pid}
    assert os.name != "posix" or stat.S_IMODE(told.stat().st_mode) == 0o600
    assert place.startswith("127.0.0.1:")
    photo = json.loads(ask(place, "POST", "/api/photos?name=a.png", png(pixels()))[1])
    until(place, begun(place, photo["key"], boxed(hole())), "done")
    ended_by(process, place, "SIGTERM", 143)
    assert [list((tmp_path / name).iterdir()) for name in ("temporary", "here", "runtime")] == [[], [], []]


@posix
@pytest.mark.slow
def test_ctrl_c_ends_it_while_a_job_is_done(served):
    ended_by(*served, "SIGINT", 130)


def begin_upload(place: str, kind: str = "image/png") -> socket.socket:
    """Send the beginning of a photograph's upload, in chunks."""
    host, _, port = place.partition(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /api/photos HTTP/1.1\r\nhost: {place}\r\norigin: http://{place}\r\ncontent-type: {kind}\r\n"
    connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".encode())
    return connection


@posix
@pytest.mark.slow
def test_it_ends_with_its_terminal_and_leaves_no_file(served, tmp_path):
    process, place = served
    with begin_upload(place):
        assert ask(place, "GET", "/api/limits")[0] == 200
        process.send_signal(signal.SIGHUP)
        assert process.wait(SOON) == 129
    assert process.communicate()[1].strip() == "scoreinv: ended with its terminal"
    assert not list((tmp_path / "runtime").iterdir())


@pytest.mark.slow
def test_tied_it_ends_when_stdin_does_and_asks_for_the_token():
    words = [sys.executable, "-m", "scoreinv", "serve", "--tied", "--json", "--port", "0"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    link = urlsplit(json.loads(process.stdout.readline())["link"])
    assert ask(link.netloc, "GET", "/api/limits")[0] == 403
    token = {TOKEN_HEADER: link.query.removeprefix("token=")}
    assert ask(link.netloc, "GET", "/api/limits", headers=token)[0] == 200
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(SOON) == (143 if os.name == "posix" else signal.SIGTERM)
    process.stdout.close()


def ended_by(process: subprocess.Popen[str], place: str, name: str, status: int) -> None:
    """A large photograph is being worked on when the signal comes."""
    photo = json.loads(ask(place, "POST", "/api/photos", png(pixels(3, height=600, width=800)))[1])
    large = hole(600, 800)
    large[50:550, 50:750] = True
    until(place, begun(place, photo["key"], boxed(large)), "running")
    process.send_signal(getattr(signal, name))
    assert process.wait(SOON) == status
    _, said = process.communicate()
    assert said.strip() == f"scoreinv: {'interrupted' if name == 'SIGINT' else 'terminated'}"


@pytest.mark.slow
def test_it_answers_before_torch_is_loaded_and_at_the_loopback_alone(tmp_path):
    with started(tmp_path) as (process, link):
        place = urlsplit(link).netloc
        assert ask(place, "GET", "/")[0] == 200
        maps = Path(f"/proc/{process.pid}/maps")
        assert not maps.exists() or "libtorch" not in maps.read_text()
        try:
            own = socket.gethostbyname(socket.gethostname())
        except OSError:
            return  # this machine has no other address that it knows of
        if not own.startswith("127."):
            with socket.socket() as probe:
                probe.settimeout(5)
                assert probe.connect_ex((own, int(place.rpartition(":")[2]))) != 0


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["scoreinv", "serve", *words])
    capsys.readouterr()
    return main(), *capsys.readouterr()


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_without_the_extra(monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    status, out, err = run(monkeypatch, capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'scoreinv[web]'" in err


def test_dry_run_says_what_would_be_served(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "--dry-run", "--port", "0")
    assert status == 0
    assert re.fullmatch(r"would serve http://127\.0\.0\.1:\d+/\n", out)
    out = run(monkeypatch, capsys, "--dry-run", "--json", "--host", "localhost", "--port", "0")[1]
    assert "/?token=" in json.loads(out)["link"]


@pytest.mark.parametrize(
    ("screen", "words", "opens"),
    [
        ({"DISPLAY": ":0"}, (), True),
        ({"DISPLAY": ":0"}, ("--no-open",), False),
        ({"DISPLAY": ":0"}, ("--json",), False),  # a program reads it
        ({"DISPLAY": ":0", "SSH_CONNECTION": "there"}, (), False),
        ({}, (), False),
    ],
)
def test_the_page_is_opened_where_there_is_a_browser(monkeypatch, capsys, tmp_path, screen, words, opens):
    asked: list[str] = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in screen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", asked.append)
    monkeypatch.setattr("scoreinv.web.app.serve", lambda *_: wait_for(lambda: asked) if opens else time.sleep(0.1))
    assert run(monkeypatch, capsys, "--port", "0", *words)[0] == 0
    assert [link.startswith("http://127.0.0.1:") for link in asked] == [True] * opens


@posix
def test_the_plug_in_is_told_of_the_server_until_it_ends(monkeypatch, capsys, tmp_path):
    place, told = tmp_path / "runtime" / "scoreinv-serve.json", []
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place.parent))

    def serve(*_):
        told.append((json.loads(place.read_text()), stat.S_IMODE(place.stat().st_mode)) if place.exists() else None)
        if told[-1] and len(told) > 1:
            place.write_text("another server's")

    monkeypatch.setattr("scoreinv.web.app.serve", serve)
    link = json.loads(run(monkeypatch, capsys, "--port", "0", "--json")[1])["link"]
    assert told == [({"link": link, "process": os.getpid()}, 0o600)]
    assert not place.exists()
    run(monkeypatch, capsys, "--port", "0", "--json", "--host", "127.0.0.1")  # for others, by the link alone
    assert told[1] is None
    run(monkeypatch, capsys, "--port", "0", "--json")
    assert place.read_text() == "another server's"


def test_a_server_that_is_tied_ends_at_the_end_of_its_input(monkeypatch):
    rest, ended = [b"", b"\n", b"a line"], []
    monkeypatch.setattr("os.read", lambda number, most: rest.pop())
    monkeypatch.setattr("os.kill", lambda process, number: ended.append((process, number, len(rest))))
    _end_with_stdin()
    assert ended == [(os.getpid(), signal.SIGTERM, 0)]


def test_a_port_that_is_taken(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, err = run(monkeypatch, capsys, "--port", str(port))
    assert status == 2
    assert err.startswith(f"scoreinv: error: --port {port} is not available on 127.0.0.1")
    assert "choose another" in err


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])  # of documentation, and no name
def test_a_host_that_is_elsewhere(monkeypatch, capsys, host):
    status, _, err = run(monkeypatch, capsys, "--host", host)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"scoreinv: error: --host {host} is not an address of this machine (")


@pytest.mark.parametrize("option", ["--model", "--color-model"])
def test_a_model_that_is_not_there(monkeypatch, capsys, option):
    status, _, err = run(monkeypatch, capsys, option, "no_such_model")
    assert (status, "no_such_model" in err) == (2, True)
