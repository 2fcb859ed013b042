#!/usr/bin/env python3
"""GIMP 3 plug-in, Filters > Scoreinv: the tasks of the page on a layer.

GIMP runs this file with its own Python. `scoreinv gimp install` copies it to GIMP's folder of plug-ins and sets
`COMMAND`. The plug-in sends the layer with its results, the selection and the strokes to the server of the page: the
one that the user runs, with its models loaded, or a new one that ends with this process. Results are new layers on
top, transparent outside the selection; the original layer is unchanged. An object or damage becomes the selection, and
an enlarged picture a new image. GIMP's Cancel kills this process. Its own server then ends with its stdin, and any
other server stops the job twenty seconds after the last `left`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode, urlsplit

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gegl, Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402 - the versions must be set first

COMMAND = ["scoreinv"]  # `scoreinv gimp install` sets this, and TASKS
TASKS: dict[str, dict[str, Any]] = {}
"""Each task by its name on the server, which ends the name of its procedure: its `menu` label, what it is `about`, its
`controls` (see `controls_of`), and its `options` beside them: strokes, shadow, results, seed. A control may be left to
the server by a value below its range."""
SERVER_FILE = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache") / "scoreinv-serve.json"
"""Written by `scoreinv serve`: the link and process of a running server."""
MOST_RESULTS = 8
_EIGHT_BITS = (Gimp.Precision.U8_LINEAR, Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U8_PERCEPTUAL)


_LEVELS = [bytes(255 * (byte >> bit & 1) for bit in range(7, -1, -1)) for byte in range(256)]
"""Levels of the pixels of a mask for each byte of packed bits."""
_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Head of the chunk of a PNG with its XMP."""
_GIMP_DATE = re.compile(rb'(Date="\d{4}):(\d\d):(\d\d)T')
"""A date as GIMP 3.0 writes it to XMP; it warns when it reads such a date."""


class PluginError(Exception):
    """A failure, as a sentence for the user."""


class Scoreinv(Gimp.PlugIn):
    """The plug-in's interface to GIMP."""

    def do_query_procedures(self) -> list[str]:
        """Return the names of the procedures."""
        return [f"plug-in-scoreinv-{task}" for task in TASKS]

    def do_set_i18n(self, _: str) -> bool:
        """Return False: there are no translations."""
        return False

    def do_create_procedure(self, name: str) -> Gimp.ImageProcedure:
        """Return the procedure of a name."""
        task = name.rpartition("-")[2]
        used: set[str] = set()
        for each in list(TASKS)[: list(TASKS).index(task)]:
            _with_letter(TASKS[each]["menu"], used)
        about = TASKS[task]["about"]
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label(_with_letter(TASKS[task]["menu"], used))
        procedure.add_menu_path("<Image>/Filters/Scoreinv")
        procedure.set_documentation(about, f"{about} The result is a new layer.", name)
        procedure.set_attribution("The scoreinv maintainers", "The scoreinv maintainers", "2026")
        _add_options(procedure, task)
        return procedure


def _with_letter(label: str, used: set[str]) -> str:
    """Return a label with the first letter that is free marked as its key, and add this letter to the used ones."""
    at = next((i for i, letter in enumerate(label.lower()) if letter.isalpha() and letter not in used), len(label))
    used.update(label[at : at + 1].lower())
    return f"{label[:at]}_{label[at:]}" if label[at:] else label


def _add_options(procedure: Gimp.ImageProcedure, task: str) -> None:
    flags = GObject.ParamFlags.READWRITE
    labelled = partial(_with_letter, used=set("cdhlor"))  # the letters of the dialog's buttons

    def add_whole(name: str, label: str, words: str, *limits: int) -> None:
        procedure.add_int_argument(name, labelled(label), words, *limits, flags)

    own = TASKS[task]["options"]
    if "strokes" in own:
        procedure.add_layer_argument("strokes", labelled("Strokes"), "Layer with strokes of colour", True, flags)
    if "shadow" in own:
        words = "Include its cast shadow, if it is clear"
        procedure.add_boolean_argument("shadow", labelled("Shadow"), words, False, flags)
    for each in TASKS[task]["controls"]:
        name, label, words, value = (each[key] for key in ("name", "label", "words", "value"))
        if each["kind"] == "bool":
            procedure.add_boolean_argument(name, labelled(label), words, value, flags)
            continue
        least, most = each["range"]
        if value is None:
            least = value = least - 1
            words += f" {least:g}: {each['none']}."
        if each["kind"] == "int":
            add_whole(name, label, words, least, most, value)
        else:
            procedure.add_double_argument(name, labelled(label), words, least, most, value, flags)
    if "results" in own:
        add_whole("results", "Results", "Number of results, each a layer; the first is visible", 1, MOST_RESULTS, 1)
        add_whole("seed", "Seed", "Each seed gives a different result", 0, 2**31 - 1, 0)


def run(
    procedure: Gimp.ImageProcedure, mode: Gimp.RunMode, image: Gimp.Image, drawables: list[Any], config: Any, _: object
) -> Gimp.ValueArray:
    """Run a filter: show its dialog, run the task, and insert the result above the layer."""
    task = procedure.get_name().rpartition("-")[2]
    label, names = TASKS[task]["menu"], [*TASKS[task]["options"], *(each["name"] for each in TASKS[task]["controls"])]
    Gegl.init(None)
    try:
        if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer):
            raise PluginError("Select one layer, not a layer mask, a channel or several layers.")
        layer = image.get_layer_by_tattoo(_original(drawables[0])) or drawables[0]
        _selection(task, layer)
        if mode == Gimp.RunMode.INTERACTIVE:
            GimpUi.init(procedure.get_name())
            dialog = GimpUi.ProcedureDialog.new(procedure, config, label)
            dialog.fill(None)
            if not dialog.run():
                return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
            dialog.destroy()
        large = _run_task(task, layer, {name: config.get_property(name) for name in names})
        if large is not None and mode != Gimp.RunMode.NONINTERACTIVE:
            Gimp.Display.new(large)
    except PluginError as error:
        message = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), str(error), 0)
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, message)
    Gimp.displays_flush()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _selection(task: str, layer: Gimp.Layer) -> Gegl.Buffer | None:
    """Return the selection, None if there is none; raise PluginError if the task needs one on the layer."""
    image = layer.get_image()
    selected = None if Gimp.Selection.is_empty(image) else image.get_selection().get_buffer().dup()
    if task in ("fill", "select") and (selected is None or not layer.mask_intersect()[0]):
        what = "an area of this layer to fill" if task == "fill" else "a rectangle around an object of this layer"
        raise PluginError(f"Select {what}.")
    return selected


def _run_task(task: str, layer: Gimp.Layer, options: dict[str, Any]) -> Gimp.Image | None:
    """Run a task on a layer and its earlier results. Insert the new results on top, or select the object or damage.

    Returns the enlarged image of `upscale`, else None.
    """
    selected = _selection(task, layer)
    Gimp.progress_init("Scoreinv: starting")
    area = Gegl.Rectangle.new(*layer.get_offsets()[1:], layer.get_width(), layer.get_height())
    opaque = Gimp.ImageType.RGB_IMAGE if layer.is_rgb() else Gimp.ImageType.GRAY_IMAGE
    kind = opaque if task == "fill" else layer.type()  # erased pixels are filled, too
    report: dict[str, Any] = {"another": True, "note": None}
    contents: list[bytes] = []
    with _server() as ask:
        photo = ask("POST", "/api/photos", _png(layer, area, kind, _results(layer)), look=False)["key"]
        if task == "select":
            _select_object(ask, photo, layer, area, **options)
            return None
        least = {each["name"]: each["range"][0] for each in TASKS[task]["controls"] if each["value"] is None}
        left_out = {"results", "strokes"} | {name for name, lower in least.items() if options[name] < lower}
        query = {name: value for name, value in options.items() if name not in left_out}
        if task == "fill" and selected is not None:
            levels = selected.get(area, 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
            query["mask"] = ask("POST", f"/api/photos/{photo}/layers", _boxed(levels, area))["key"]
        if (strokes := options.get("strokes")) is not None:
            content = _png(strokes, area, strokes.type())
            query["strokes"] = ask("POST", f"/api/photos/{photo}/layers", content, of="strokes")["key"]
        while report["another"] and len(contents) < options.get("results", 1):
            report = _await_job(ask, ask("POST", f"/api/photos/{photo}/{task}", **query)["job"])
            if report["photo"] is not None:
                made = f"/api/photos/{report['photo']['key']}"
                if task == "damage":
                    _select(layer, ask("GET", f"{made}/bits"), area)
                else:
                    contents.append(ask("GET", f"{made}/file", kind="PNG"))
            query["seed"] = query.get("seed", 0) + 1
    if report["note"]:
        Gimp.message(report["note"])
    if task == "upscale":
        return _loaded(contents[0])
    if task != "damage":
        _insert(contents, layer, area, selected, TASKS[task]["menu"])
    return None


def _select_object(
    ask: Callable[..., Any], photo: str, layer: Gimp.Layer, area: Gegl.Rectangle, *, shadow: bool
) -> None:
    """Replace the selection with the object in its bounding box, optionally with the object's shadow."""
    _, left, top, width, height = layer.mask_intersect()
    prompt = {"box": f"{left},{top},{width},{height}"}
    found = [ask("POST", f"/api/photos/{photo}/select", fragments=True, **prompt)["hole"]]
    if shadow:
        found.append(ask("POST", f"/api/photos/{photo}/shadow", **prompt))
    operation = Gimp.ChannelOps.REPLACE
    for part in (part for part in found if part["box"]):
        _select(layer, part, area, operation)
        operation = Gimp.ChannelOps.ADD


def _boxed(levels: bytes, area: Gegl.Rectangle) -> bytes:
    """Return levels of a selection as a mask for the server: a box and the bits in it.

    Soft edges are filled, too, since the mask of the result fades them.
    """
    digits = levels.translate(b"0" + 255 * b"1") + b"0" * (-len(levels) % 8)
    bits = int(digits, 2).to_bytes(len(digits) // 8, "big")
    mask = {"box": [0, 0, area.width, area.height], "bits": base64.b64encode(bits).decode()}
    return json.dumps(mask).encode()


def _select(
    layer: Gimp.Layer,
    part: dict[str, Any],
    area: Gegl.Rectangle,
    operation: Gimp.ChannelOps = Gimp.ChannelOps.REPLACE,
) -> None:
    """Select a mask of the server, a box and the bits in it, in a layer's area, as one step of undo."""
    image = layer.get_image()
    place, mask = Gegl.Rectangle.new(*part["box"]), Gegl.Buffer.new("Y u8", *part["box"])
    levels = b"".join(_LEVELS[byte] for byte in base64.b64decode(part["bits"]))
    mask.set(place, "Y u8", levels[: place.width * place.height])
    image.undo_group_start()
    try:
        size = image.get_width(), image.get_height()
        channel = Gimp.Channel.new(image, "Scoreinv", *size, 0, Gegl.Color.new("white"))
        image.insert_channel(channel, None, 0)
        _copy(mask, -area.x, -area.y, channel)
        image.select_item(operation, channel)
        image.remove_channel(channel)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()


def _await_job(ask: Callable[..., Any], job: str) -> dict[str, Any]:
    """Show the progress of a job until it ends; return its last report."""
    while (report := ask("GET", f"/api/jobs/{job}"))["state"] in ("waiting", "running"):
        waiting = report["state"] == "waiting" and report["ahead"] > 0
        Gimp.progress_set_text("Scoreinv: waiting for another picture" if waiting else "Scoreinv: working")
        ask("POST", f"/api/jobs/{job}/left")  # this process may be killed before the next poll
        Gimp.progress_update(report["done"])
        time.sleep(0.1)
    if report["state"] != "done":
        raise PluginError(report.get("error") or report.get("note") or "The scoreinv server was stopped.")
    return dict(report)


def _original(layer: Gimp.Layer) -> int:
    """Return the tattoo of the layer that a result was made from; that of the layer itself if it is no result."""
    note = layer.get_parasite("scoreinv")
    return int(bytes(note.get_data())) if note else layer.get_tattoo()


def _results(layer: Gimp.Layer) -> list[Gimp.Layer]:
    """Return the results of a layer above it, the topmost first."""
    image, parent = layer.get_image(), layer.get_parent()
    above = (parent.get_children() if parent else image.get_layers())[: image.get_item_position(layer)]
    return [each for each in above if _original(each) == layer.get_tattoo()]


def _copy(source: Gegl.Buffer, x: int, y: int, target: Gimp.Drawable) -> None:
    """Copy the part of a buffer that begins at (x, y) to a drawable; pixels beyond the buffer become transparent."""
    buffer, width, height = target.get_buffer(), target.get_width(), target.get_height()
    whole = Gegl.Rectangle.new(0, 0, width, height)
    source.copy(Gegl.Rectangle.new(x, y, width, height), Gegl.AbyssPolicy.NONE, buffer, whole)
    buffer.flush()
    target.update(0, 0, width, height)


def _png(layer: Gimp.Layer, area: Gegl.Rectangle, kind: Gimp.ImageType, above: Sequence[Gimp.Layer] = ()) -> bytes:
    """Return an area of a layer and those above it as a PNG of 8 or 16 bits, in the colour space of the image."""
    image = layer.get_image()
    depth = Gimp.Precision.U8_NON_LINEAR if image.get_precision() in _EIGHT_BITS else Gimp.Precision.U16_NON_LINEAR
    alone = Gimp.Image.new_with_precision(area.width, area.height, image.get_base_type(), depth)
    alone.set_color_profile(image.get_effective_color_profile())
    copy = Gimp.Layer.new(alone, "", area.width, area.height, kind, 100, Gimp.LayerMode.NORMAL)
    alone.insert_layer(copy, None, 0)
    _, x, y = layer.get_offsets()
    _copy(layer.get_buffer(), area.x - x, area.y - y, copy)
    for each in reversed(above):
        alone.insert_layer(copy := Gimp.Layer.new_from_drawable(each, alone), None, 0)
        copy.set_offsets(each.get_offsets()[1] - area.x, each.get_offsets()[2] - area.y)
    with TemporaryDirectory() as folder:
        path = Path(folder, "layer.png")
        if metadata := image.get_metadata():
            alone.set_metadata(metadata)  # the server adds to the records of earlier runs
        export = Gimp.get_pdb().lookup_procedure("file-png-export")
        config = export.create_config()
        values = {"image": alone, "file": Gio.File.new_for_path(str(path)), "include-xmp": True}
        for name, value in {"run-mode": Gimp.RunMode.NONINTERACTIVE, **values}.items():
            config.set_property(name, value)
        export.run(config)
        alone.delete()
        return path.read_bytes()


def _insert(
    contents: list[bytes], below: Gimp.Layer, area: Gegl.Rectangle, selected: Gegl.Buffer | None, name: str
) -> None:
    """Insert results above their layer and earlier results, masked by the selection, as one step of undo.

    The first is on top, and the others are hidden.
    """
    if not below.is_valid():
        raise PluginError("The layer was deleted meanwhile.")
    image = below.get_image()
    image.undo_group_start()
    try:
        for number, content in reversed(list(enumerate(contents, start=1))):
            with _opened(content) as result:
                if (
                    result.get_base_type() == Gimp.ImageBaseType.RGB
                    and image.get_base_type() == Gimp.ImageBaseType.GRAY
                ):
                    image.convert_rgb()
                layer = Gimp.Layer.new_from_drawable(result.get_layers()[0], image)
            layer.set_name(name if len(contents) == 1 else f"{name} {number}")
            layer.set_offsets(area.x, area.y)
            layer.set_visible(number == 1)
            layer.attach_parasite(Gimp.Parasite.new("scoreinv", Gimp.PARASITE_PERSISTENT, b"%d" % below.get_tattoo()))
            image.insert_layer(layer, below.get_parent(), image.get_item_position([*_results(below), below][0]))
            if selected is not None:
                layer.add_alpha()
                mask = layer.create_mask(Gimp.AddMaskType.WHITE)
                layer.add_mask(mask)
                _copy(selected, area.x, area.y, mask)
                layer.remove_mask(Gimp.MaskApplyMode.APPLY)
            if metadata := _with_xmp(image.get_metadata(), content):
                image.set_metadata(metadata)
        image.set_selected_layers([below])  # the next filter also runs on the photograph
    finally:
        image.undo_group_end()


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[Gimp.Image]:
    """Yield the image of a PNG, and delete it."""
    image = _loaded(content)
    try:
        yield image
    finally:
        image.delete()


def _loaded(content: bytes) -> Gimp.Image:
    with TemporaryDirectory() as folder:
        path = Path(folder, "result.png")
        path.write_bytes(content)
        return Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(path)))


def _with_xmp(metadata: Gimp.Metadata | None, content: bytes) -> Gimp.Metadata | None:
    """Return the metadata of an image with the XMP of a PNG, which has the records of all runs; None if it has none."""
    start = content.find(_XMP)
    if start < 0:
        return None
    length = int.from_bytes(content[start - 8 : start - 4], "big")  # of the chunk
    metadata = metadata or Gimp.Metadata.new()
    metadata.set_from_xmp(_GIMP_DATE.sub(rb"\1-\2-\3T", content[start + len(_XMP) : start + length]))
    return metadata


@contextlib.contextmanager
def _server() -> Iterator[Callable[..., Any]]:
    """Yield a function that sends requests to the user's running server, or to a new one that ends with the block."""
    if link := _running_server():
        yield partial(_ask, link)
        return
    remedy = f"{COMMAND[0]} cannot run scoreinv: install it, and run `scoreinv gimp install --overwrite`."
    try:
        child = subprocess.Popen(
            [*COMMAND, "serve", "--tied", "--json", "--port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONHOME"},  # of GIMP's Python
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise PluginError(remedy) from error
    with child:
        try:
            record: dict[str, str] = {}
            with contextlib.suppress(TypeError, ValueError):
                record = dict(json.loads(child.stdout.readline() if child.stdout else "{}"))
            if "link" not in record:
                raise PluginError(record.get("error", remedy))
            yield partial(_ask, record["link"])
        finally:
            child.kill()


def _running_server() -> str | None:
    """Return the link of the user's `scoreinv serve`; None if none is running."""
    try:
        server = json.loads(SERVER_FILE.read_bytes())
        if os.name == "posix":
            os.kill(server["process"], 0)  # if it was killed, another user may have its port
        return server["link"] if "bytes" in _ask(server["link"], "GET", "/api/limits", seconds=5) else None
    except (PluginError, LookupError, OSError, TypeError, ValueError):
        return None


def _ask(link: str, method: str, path: str, content: bytes = b"", *, seconds: float = 600, **query: Any) -> Any:
    """Send a request; return JSON or the bytes of a file. Raise PluginError with the message of a refusal."""
    address, token = urlsplit(link).netloc, urlsplit(link).query.removeprefix("token=")
    headers = {"Origin": f"http://{address}", "Content-Type": "application/octet-stream", "X-Scoreinv-Token": token}
    try:
        with contextlib.closing(HTTPConnection(address, timeout=seconds)) as connection:
            connection.request(method, f"{path}?{urlencode(query)}", content, headers)
            answer = connection.getresponse()
            body = answer.read()
    except (OSError, HTTPException) as error:
        raise PluginError("The scoreinv server stopped during the task. There may be too little memory.") from error
    try:
        reply: Any = json.loads(body) if body and answer.getheader("content-type") == "application/json" else body
        if answer.status < 400:
            return reply
        raise PluginError(reply["error"])
    except (LookupError, TypeError, ValueError) as error:
        raise PluginError(f"The server at {address} is not scoreinv.") from error


if __name__ == "__main__":
    Gimp.main(Scoreinv.__gtype__, sys.argv)
