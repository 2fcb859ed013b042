#!/usr/bin/env python3
"""Filters > Scoreinv of GIMP 3: Fill the selection, Restore, Colorize, Denoise.

GIMP runs this file by its own Python; `scoreinv gimp install` puts it where GIMP looks, with the command that it calls.
The layer, the selection and the strokes of colour go to the page's server: that which `scoreinv serve` runs already,
its models loaded, or one that is started here and ends with this process. What comes back is a new layer, transparent
where nothing is selected; the layer that was worked on stays as it is. GIMP's Cancel kills this process: its own server
ends then, since its stdin does, and one that was there before stops the work twenty seconds after the last `left`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gegl, Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402 - their versions are said before

COMMAND = ["scoreinv"]  # `scoreinv gimp install` writes here what it was run as
PORT = 8421  # of `scoreinv serve`
_EIGHT_BITS = (Gimp.Precision.U8_LINEAR, Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U8_PERCEPTUAL)


class Failed(Exception):  # noqa: N818
    """Why nothing came of it, in a sentence for a person."""


@dataclass(frozen=True)
class Filter:
    """An entry of the menu: its label, what it does, and the names of its options, see `_add_options`."""

    label: str
    about: str
    options: tuple[str, ...]


FILTERS = {
    "fill": Filter("Fill the selection", "Draws anew what is selected, after what is around it.", ("seed",)),
    "restore": Filter("Restore", "Takes away damage, tint, fading and noise where they are.", ("colorize", "seed")),
    "colorize": Filter("Colorize", "Colours a grey photograph.", ("strokes", "seed")),
    "denoise": Filter("Denoise", "Takes away noise.", ("noise",)),
}
"""By the server's names of the work, which those of procedures end by."""


class Scoreinv(Gimp.PlugIn):
    """The plug-in as GIMP asks it."""

    def do_query_procedures(self) -> list[str]:
        """The names of the procedures."""
        return [f"plug-in-scoreinv-{work}" for work in FILTERS]

    def do_set_i18n(self, _: str) -> bool:
        """There are no translations."""
        return False

    def do_create_procedure(self, name: str) -> Gimp.ImageProcedure:
        """The procedure of a name."""
        entry = FILTERS[name.rpartition("-")[2]]
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label(entry.label)
        procedure.add_menu_path("<Image>/Filters/Scoreinv")
        procedure.set_documentation(entry.about, f"{entry.about} The result is a new layer.", name)
        procedure.set_attribution("The scoreinv maintainers", "The scoreinv maintainers", "2026")
        _add_options(procedure, entry.options)
        return procedure


def _add_options(procedure: Gimp.ImageProcedure, names: tuple[str, ...]) -> None:
    kept = GObject.ParamFlags.READWRITE
    if "strokes" in names:
        procedure.add_layer_argument("strokes", "S_trokes", "A layer with strokes of your colours", True, kept)
    if "colorize" in names:
        procedure.add_boolean_argument("colorize", "_Colours", "Colours what is grey", True, kept)
    if "noise" in names:
        words = "Standard deviation in grey levels of 255; 0: it is estimated"
        procedure.add_double_argument("noise", "_Noise", words, 0, 255, 0, kept)
    if "seed" in names:
        procedure.add_int_argument("seed", "See_d", "Another seed gives another result", 0, 2**31 - 1, 0, kept)


def run(
    procedure: Gimp.ImageProcedure,
    mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    _: object,
) -> Gimp.ValueArray:
    """What GIMP calls: ask for the options, do the work, and put the result above the layer."""
    work = procedure.get_name().rpartition("-")[2]
    entry = FILTERS[work]
    if mode == Gimp.RunMode.INTERACTIVE:
        GimpUi.init(procedure.get_name())
        dialog = GimpUi.ProcedureDialog.new(procedure, config, entry.label)
        dialog.fill(None)
        if not dialog.run():
            return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
        dialog.destroy()
    Gegl.init(None)
    try:
        if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer):
            raise Failed("Choose one layer: not its mask, a channel or several.")
        _work(work, image, drawables[0], {name: config.get_property(name) for name in entry.options})
    except Failed as error:
        told = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), str(error), 0)
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, told)
    Gimp.displays_flush()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _work(work: str, image: Gimp.Image, layer: Gimp.Layer, options: dict[str, Any]) -> None:
    """Do the work on a layer, and insert the result above it."""
    selected = None if Gimp.Selection.is_empty(image) else image.get_selection().get_buffer().dup()
    if work == "fill" and (selected is None or not layer.mask_intersect()[0]):
        raise Failed("Select on this layer what is to be filled.")
    Gimp.progress_init("Scoreinv: starting")
    place = _place(layer)
    opaque = Gimp.ImageType.RGB_IMAGE if layer.is_rgb() else Gimp.ImageType.GRAY_IMAGE
    kind = opaque if work == "fill" else layer.type()  # what was erased is filled too
    with _server() as ask:
        photo = ask("POST", "/api/photos", _png(layer, place, kind), look=False)["key"]
        query = {name: value for name, value in options.items() if name != "strokes" and (name, value) != ("noise", 0)}
        if work == "fill":
            query["mask"] = ask("POST", f"/api/photos/{photo}/layers", _mask(selected, place))["key"]
        if (strokes := options.get("strokes")) is not None:
            query["strokes"] = ask("POST", f"/api/photos/{photo}/layers", _png(strokes, place, strokes.type()))["key"]
        told = _followed(ask, ask("POST", f"/api/photos/{photo}/{work}", **query)["job"])
        if told["photo"] is not None:
            content = ask("GET", f"/api/photos/{told['photo']['key']}/file", kind="PNG")
            _insert(content, layer, place, selected, FILTERS[work].label)
    if told["note"]:
        Gimp.message(told["note"])


def _followed(ask: Callable[..., Any], job: str) -> dict[str, Any]:
    """What is told of a job at its end; until then GIMP's progress bar shows how far it is."""
    Gimp.progress_set_text("Scoreinv: working")
    while (told := ask("GET", f"/api/jobs/{job}"))["state"] in ("waiting", "running"):
        ask("POST", f"/api/jobs/{job}/left")  # this process may be killed before its next look
        Gimp.progress_update(told["done"])
        time.sleep(0.1)
    if told["state"] != "done":
        raise Failed(told.get("error") or told.get("note") or "The server of scoreinv was stopped.")
    return dict(told)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _place(layer: Gimp.Layer) -> Gegl.Rectangle:
    """Where a layer lies in its image."""
    _, x, y = layer.get_offsets()
    return Gegl.Rectangle.new(x, y, layer.get_width(), layer.get_height())


def _copy(source: Gegl.Buffer, x: int, y: int, target: Gimp.Drawable) -> None:
    """Copy what a buffer has from (x, y) on into a drawable, and nothing where the buffer has ended."""
    buffer, width, height = target.get_buffer(), target.get_width(), target.get_height()
    whole = Gegl.Rectangle.new(0, 0, width, height)
    source.copy(Gegl.Rectangle.new(x, y, width, height), Gegl.AbyssPolicy.NONE, buffer, whole)
    buffer.flush()
    target.update(0, 0, width, height)


def _png(layer: Gimp.Layer, place: Gegl.Rectangle, kind: Gimp.ImageType) -> bytes:
    """What a layer has in a place, as a PNG of 8 or 16 bits in the colour space of its image."""
    image = layer.get_image()
    depth = Gimp.Precision.U8_NON_LINEAR if image.get_precision() in _EIGHT_BITS else Gimp.Precision.U16_NON_LINEAR
    alone = Gimp.Image.new_with_precision(place.width, place.height, image.get_base_type(), depth)
    alone.set_color_profile(image.get_effective_color_profile())
    copy = Gimp.Layer.new(alone, "", place.width, place.height, kind, 100, Gimp.LayerMode.NORMAL)
    alone.insert_layer(copy, None, 0)
    _, x, y = layer.get_offsets()
    _copy(layer.get_buffer(), place.x - x, place.y - y, copy)
    with _temporary() as file:
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, alone, file, None)
        alone.delete()
        return Path(file.get_path()).read_bytes()


def _mask(selected: Gegl.Buffer, place: Gegl.Rectangle) -> bytes:
    """A mask of what is selected in a place, however little: at a soft edge the result is faded into the layer."""
    levels = selected.get(place, 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
    return b"P5 %d %d 255\n" % (place.width, place.height) + levels.translate(bytes([0] + 255 * [255]))


@contextlib.contextmanager
def _temporary() -> Iterator[Gio.File]:
    """A file that is there for a moment."""
    file = Gimp.temp_file("png")
    try:
        yield file
    finally:
        Path(file.get_path()).unlink(missing_ok=True)


def _insert(content: bytes, below: Gimp.Layer, place: Gegl.Rectangle, selected: Gegl.Buffer | None, name: str) -> None:
    """Put a result above its layer, as opaque as its pixels are selected; one step of undo takes it away."""
    if not below.is_valid():
        raise Failed("The layer is gone meanwhile.")
    with _temporary() as file:
        Path(file.get_path()).write_bytes(content)
        result = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, file)
    image = below.get_image()
    image.undo_group_start()
    if result.get_base_type() == Gimp.ImageBaseType.RGB and image.get_base_type() == Gimp.ImageBaseType.GRAY:
        image.convert_rgb()
    layer = Gimp.Layer.new_from_drawable(result.get_layers()[0], image)
    layer.set_name(name)
    layer.set_offsets(place.x, place.y)
    image.insert_layer(layer, below.get_parent(), image.get_item_position(below))
    if selected is not None:
        layer.add_alpha()
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
        _copy(selected, place.x, place.y, mask)
        layer.remove_mask(Gimp.MaskApplyMode.APPLY)
    image.set_selected_layers([below])  # so that the next filter works on the photograph, too
    image.undo_group_end()
    result.delete()


# --- the server -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server() -> Iterator[Callable[..., Any]]:
    """What asks the server that runs already, or else one of its own, which ends with this."""
    if _is_served():
        yield partial(_ask, PORT)
        return
    remedy = (
        f"{COMMAND[0]} does not run scoreinv any more: install it, and then type `scoreinv gimp install --overwrite`."
    )
    try:
        child = subprocess.Popen(
            [*COMMAND, "serve", "--tied", "--json", "--port", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONHOME"},  # of GIMP's own Python
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise Failed(remedy) from error
    with child:
        try:
            record = json.loads((child.stdout and child.stdout.readline()) or "{}")
            if "link" not in record:
                raise Failed(record.get("error", remedy))
            yield partial(_ask, urlsplit(record["link"]).port)
        finally:
            child.kill()


def _is_served() -> bool:
    """Whether `scoreinv serve` runs, and lets this machine in without a token."""
    try:
        return "bytes" in _ask(PORT, "GET", "/api/limits", seconds=5)
    except (Failed, TypeError, ValueError):
        return False


def _ask(port: int, method: str, path: str, content: bytes = b"", *, seconds: float = 600, **query: Any) -> Any:
    """What the server answers: JSON, or the bytes of a file; Failed with its sentence where it refuses."""
    place = f"127.0.0.1:{port}"
    headers = {"Origin": f"http://{place}", "Content-Type": "application/octet-stream"}
    try:
        with contextlib.closing(HTTPConnection(place, timeout=seconds)) as connection:
            connection.request(method, f"{path}?{urlencode(query)}", content, headers)
            answer = connection.getresponse()
            body = answer.read()
    except (OSError, HTTPException) as error:
        raise Failed("The server of scoreinv ended before the work did: is there memory for it?") from error
    told: Any = json.loads(body) if body and answer.getheader("content-type") == "application/json" else body
    if answer.status >= 400:
        raise Failed(told["error"])
    return told


if __name__ == "__main__":
    Gimp.main(Scoreinv.__gtype__, sys.argv)
