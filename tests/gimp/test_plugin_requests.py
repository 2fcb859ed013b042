"""What the plug-in asks of the server, without GIMP: its modules are stand-ins."""

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock

import pytest

from scoreinv.cli import gimp as gimp_command
from scoreinv.web.photo import unboxed


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    source = tmp_path / "scoreinv.py"
    source.write_text(gimp_command.plugin())
    gimp = MagicMock()
    gimp.PlugIn, gimp.Layer = object, SimpleNamespace
    names = {name: MagicMock() for name in ("Gegl", "GimpUi", "Gio", "GLib", "GObject")}
    monkeypatch.setitem(sys.modules, "gi", MagicMock())
    monkeypatch.setitem(sys.modules, "gi.repository", SimpleNamespace(Gimp=gimp, **names))
    spec = importlib.util.spec_from_file_location("scoreinv_plugin", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module


def test_bits_become_levels_the_highest_first(plugin: ModuleType) -> None:
    assert plugin._LEVELS[0b10100001] == bytes([255, 0, 255, 0, 0, 0, 0, 255])
    assert len(plugin._LEVELS) == 256


def test_the_records_of_a_png_are_taken_over(plugin: ModuleType) -> None:
    head = b"XML:com.adobe.xmp\0\0\0\0\0"
    content = b"\x89PNG" + (len(head) + 4).to_bytes(4, "big") + b"iTXt" + head + b"<x/>" + b"crc and more"
    metadata = MagicMock()
    assert plugin._with_xmp(metadata, content) is metadata
    metadata.set_from_xmp.assert_called_once_with(b"<x/>")
    assert plugin._with_xmp(metadata, b"\x89PNG without") is None
    assert plugin._with_xmp(None, content) is plugin.Gimp.Metadata.new()


def test_a_job_is_polled_until_its_end(plugin: ModuleType) -> None:
    reports = iter([{"state": "waiting", "ahead": 1, "done": 0}, {"state": "running", "done": 0.5}, {"state": "done"}])
    asked = []

    def ask(method: str, path: str) -> Any:
        asked.append((method, path))
        return next(reports) if method == "GET" else b""

    assert plugin._await_job(ask, "7") == {"state": "done"}
    poll, left = ("GET", "/api/jobs/7"), ("POST", "/api/jobs/7/left")
    assert asked == [poll, left, poll, left, poll]
    assert [call.args for call in plugin.Gimp.progress_update.call_args_list] == [(0,), (0.5,)]
    texts = [call.args[0] for call in plugin.Gimp.progress_set_text.call_args_list]
    assert ["waiting" in text for text in texts] == [True, False]
    for end, said in (
        ({"state": "failed", "error": "In vain.", "note": "x"}, "In vain."),
        ({"state": "cancelled", "note": "Too long."}, "Too long."),
        ({"state": "cancelled"}, "was stopped"),
    ):
        with pytest.raises(plugin.PluginError, match=said):
            plugin._await_job(lambda *_, end=end: end, "7")


class Server(BaseHTTPRequestHandler):
    """Answers by the path; notes what came."""

    came: ClassVar[list[Any]] = []

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.came.append((self.command, self.path, content, self.headers["origin"], self.headers["x-scoreinv-token"]))
        status, kind, body = {
            "/json": (201, "application/json", b'{"key": "a"}'),
            "/file": (200, "image/png", b"[1]"),
            "/empty": (200, "application/json", b""),
            "/refused": (422, "application/json", b'{"error": "In vain."}'),
            "/other": (404, "application/json", b'{"detail": "Not Found"}'),
            "/text": (500, "text/plain", b"error"),
        }[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_requests_have_origin_and_token_and_refusals_are_sentences(plugin: ModuleType, address: str) -> None:
    link = f"http://{address}/?token=secret"
    assert plugin._ask(link, "POST", "/json", b"content", look=False) == {"key": "a"}
    assert Server.came[-1] == ("POST", "/json?look=False", b"content", f"http://{address}", "secret")
    assert plugin._ask(link, "GET", "/file", kind="PNG") == b"[1]"
    assert plugin._ask(link, "POST", "/empty") == b""
    for path, said in (("/refused", "^In vain.$"), ("/other", "is not scoreinv"), ("/text", "is not scoreinv")):
        with pytest.raises(plugin.PluginError, match=said):
            plugin._ask(link, "GET", path)
    with pytest.raises(plugin.PluginError, match="stopped during the task"):
        plugin._ask("http://127.0.0.1:9/", "GET", "/json", seconds=5)


def test_a_running_server_is_one_that_answers(plugin: ModuleType, tmp_path: Path, monkeypatch) -> None:
    plugin.SERVER_FILE = tmp_path / "serve.json"
    assert plugin._running_server() is None
    answers: list[Any] = [{"bytes": 1}, {"detail": 1}, plugin.PluginError("in vain")]

    def ask(link: str, method: str, path: str, *, seconds: float) -> Any:
        assert (link, method, path) == ("http://a/", "GET", "/api/limits")
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(plugin, "_ask", ask)
    plugin.SERVER_FILE.write_text(json.dumps({"link": "http://a/", "process": os.getpid()}))
    assert [plugin._running_server() for _ in range(3)] == ["http://a/", None, None]
    for broken in ('{"link": "http://a/"}', "no JSON", json.dumps({"link": "http://a/", "process": 2**30})):
        plugin.SERVER_FILE.write_text(broken)
        assert plugin._running_server() is None


def asked_by(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, task: str, reports: list[Any], **options: Any) -> Any:
    """Run a task; return its requests but for files, and what is inserted."""
    requests, inserted = [], []
    layer, answers = MagicMock(), iter(reports)
    layer.get_offsets.return_value = (True, 3, 5)

    def ask(method: str, path: str, content: bytes = b"", **query: Any) -> Any:
        if method == "GET":
            return path.encode()
        requests.append((path, content, query))
        return {"key": "layer" if path.endswith("layers") else "photo", "job": "7"}

    @contextmanager
    def server() -> Iterator[Any]:
        yield ask

    selected = MagicMock()
    selected.get.return_value = bytes([0, 1, 200, 255])
    plugin.Gegl.Rectangle.new.return_value = SimpleNamespace(x=3, y=5, width=2, height=2)
    monkeypatch.setattr(plugin, "_server", server)
    monkeypatch.setattr(plugin, "_selection", lambda *_: selected if task == "fill" else None)
    monkeypatch.setattr(plugin, "_results", lambda _: [])
    monkeypatch.setattr(plugin, "_png", lambda *given: b"png")
    monkeypatch.setattr(plugin, "_await_job", lambda *_: next(answers))
    monkeypatch.setattr(plugin, "_insert", lambda contents, *given: inserted.append((contents, given[-1])))
    unset = {each["name"]: -1.0 if each["value"] is None else each["value"] for each in plugin.TASKS[task]["controls"]}
    plugin._run_task(task, layer, unset | options)
    assert requests[0] == ("/api/photos", b"png", {"look": False})
    return requests[1:], inserted


def report(key: str | None, *, another: bool = True) -> dict[str, Any]:
    return {"photo": None if key is None else {"key": key}, "another": another, "note": None}


def test_results_are_drawn_with_following_seeds(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [report("a"), report("b"), report("c")]
    requests, inserted = asked_by(plugin, monkeypatch, "fill", reports, results=2, seed=4)
    path, mask, query = requests[0]
    assert (path, query) == ("/api/photos/photo/layers", {})
    assert unboxed(json.loads(mask), (2, 2)).tolist() == [[False, True], [True, True]]
    fill = "/api/photos/photo/fill"
    assert [(path, query["mask"]) for path, _, query in requests[1:]] == [(fill, "layer")] * 2
    assert [query["seed"] for _, _, query in requests[1:]] == [4, 5]
    assert inserted == [([b"/api/photos/a/file", b"/api/photos/b/file"], "Fill the selection")]


def test_options_without_a_value_are_left_to_the_server(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"noise": 0.0, "saturation": 0.0, "sensitivity": 0.5, "inpaint": False}
    reports = [report("a", another=False)]
    requests, inserted = asked_by(plugin, monkeypatch, "restore", reports, results=3, seed=0, **given)
    sent = given | {"seed": 0, "denoise": True, "keep_grain": 0.3, "colorize": True, "keep_tint": False}
    assert [(path, query) for path, _, query in requests] == [("/api/photos/photo/restore", sent)]
    assert inserted == [([b"/api/photos/a/file"], "Restore")]
    requests, _ = asked_by(plugin, monkeypatch, "colorize", [report("a")], strokes=MagicMock(), results=1, seed=1)
    assert [path.rpartition("/")[2] for path, *_ in requests] == ["layers", "colorize"]
    assert requests[1][2] == {"strokes": "layer", "seed": 1}
    _, inserted = asked_by(plugin, monkeypatch, "denoise", [report(None, another=False)], noise=9.0)
    assert inserted == [([], "Denoise")]


@pytest.mark.parametrize(
    ("result", "image", "converts"),
    [("RGB", "GRAY", True), ("RGB", "RGB", False), ("GRAY", "GRAY", False), ("GRAY", "RGB", False)],
)
def test_only_a_coloured_result_gives_colours_to_a_grey_image(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, result: str, image: str, converts: bool
) -> None:
    kinds, layer, made = plugin.Gimp.ImageBaseType, MagicMock(), MagicMock()
    layer.get_image().get_base_type.return_value = getattr(kinds, image)
    plugin.Gimp.file_load().get_base_type.return_value = getattr(kinds, result)
    monkeypatch.setattr(plugin.Gimp, "Layer", MagicMock(new_from_drawable=lambda *_: made))
    monkeypatch.setattr(plugin, "_results", lambda _: [])
    plugin._insert([b"png"], layer, MagicMock(), None, "Restore")
    assert layer.get_image().convert_rgb.called == converts
    assert layer.get_image().insert_layer.call_args.args[0] is made


@pytest.mark.parametrize(
    ("printed", "said"),
    [('{"error": "In vain."}', "^In vain.$"), ("no JSON", "scoreinv gimp install"), ("{}", "install")],
)
def test_a_server_that_does_not_start_says_why(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, printed: str, said: str
) -> None:
    monkeypatch.setattr(plugin, "_running_server", lambda: None)
    plugin.COMMAND = [sys.executable, "-Sc", f"print({printed!r})"]
    with pytest.raises(plugin.PluginError, match=said), plugin._server():
        pass


def test_results_of_a_layer_are_those_above_it(plugin: ModuleType) -> None:
    def layer(tattoo: int, original: int | None = None) -> MagicMock:
        made = MagicMock()
        made.get_tattoo.return_value = tattoo
        made.get_parasite.return_value = original and MagicMock(get_data=lambda: list(b"%d" % original))
        return made

    own, other, first, second, below = layer(5), layer(6), layer(7, 5), layer(8, 5), layer(9, 5)
    image = MagicMock()
    image.get_layers.return_value = [second, other, first, own, below]
    image.get_item_position.return_value = 3
    own.get_image.return_value, own.get_parent.return_value = image, None
    assert [plugin._original(each) for each in (own, first)] == [5, 5]
    assert plugin._results(own) == [second, first]


def test_the_dialog_has_the_ranges_of_the_requests(plugin: ModuleType) -> None:
    procedure = MagicMock()
    for task in plugin.TASKS:
        plugin._add_options(procedure, task)
    asked = [call.args[:-1] for call in procedure.add_double_argument.call_args_list]
    limits = {(name, *range_) for name, _, _, *range_ in asked}
    assert {("saturation", -1, 10, -1), ("noise", -1, 255, -1), ("keep_grain", 0, 1, 0)} <= limits
    assert {("sensitivity", 0, 1, 0.5), ("sensitivity", -1, 1, -1)} <= limits
    whole = [call.args for call in procedure.add_int_argument.call_args_list]
    assert [(name, *limits) for name, _, _, *limits, _ in whole if name == "factor"] == [("factor", 2, 4, 2)]
    assert {name for name, *_ in whole} == {"factor", "results", "seed"}
    assert ("shadow", "_Shadow") in [call.args[:2] for call in procedure.add_boolean_argument.call_args_list]
