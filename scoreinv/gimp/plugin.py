#!/usr/bin/env python3
"""Filters > Scoreinv of GIMP 3: Fill the selection, Restore, Colorize, Denoise.

GIMP runs this file by its own Python; `scoreinv gimp install` puts it where GIMP looks, with the command that it calls.
The layer with its results, the selection and the strokes go to the page's server: that which this user runs already,
its models loaded, or one that is started here and ends with this process. What comes back is a new layer on top,
transparent where nothing is selected; the layer that was worked on stays as it is. GIMP's Cancel kills this process:
its own server ends then, since its stdin does, and another stops the work twenty seconds after the last `left`.
"""

from __future__ import annotations

import contextlib
import json
import os
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
from gi.repository import Gegl, Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402 - their versions are said before

COMMAND = ["scoreinv"]  # `scoreinv gimp install` writes here what it was run as
TOLD = Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache") / "scoreinv-serve.json"  # by `scoreinv serve`
_EIGHT_BITS = (Gimp.Precision.U8_LINEAR, Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U8_PERCEPTUAL)


class Failed(Exception):  # noqa: N818
    """Why nothing came of it, in a sentence for a person."""


FILTERS = {
    "fill": ("Fill the selection", "Draws anew what is selected, after what is around it.", ("seed",)),
    "restore": ("Restore", "Takes away damage, tint, fading and noise where they are.", ("colorize", "seed")),
    "colorize": ("Colorize", "Colours a grey photograph.", ("strokes", "seed")),
    "denoise": ("Denoise", "Takes away noise.", ("noise",)),
}
"""Label, what it does and the names of its options, see `_add_options`, by the server's name of the work, which that of
the procedure ends by."""


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
        label, about, options = FILTERS[name.rpartition("-")[2]]
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label(label)
        procedure.add_menu_path("<Image>/Filters/Scoreinv")
        procedure.set_documentation(about, f"{about} The result is a new layer.", name)
        procedure.set_attribution("The scoreinv maintainers", "The scoreinv maintainers", "2026")
        _add_options(procedure, options)
        return procedure


def _add_options(procedure: Gimp.ImageProcedure, names: tuple[str, ...]) -> None:
    kept = GObject.ParamFlags.READWRITE
    if "strokes" in names:
        procedure.add_layer_argument("strokes", "S_trokes", "A layer with strokes of your colours", True, kept)
    if "colorize" in names:
        procedure.add_boolean_argument("colorize", "Colo_urs", "Colours what is grey", True, kept)
    if "noise" in names:
        words = "Standard deviation in grey levels of 255; 0: it is estimated"
        procedure.add_double_argument("noise", "_Noise", words, 0, 255, 0, kept)
    if "seed" in names:
        procedure.add_int_argument("seed", "See_d", "Another seed gives another result", 0, 2**31 - 1, 0, kept)


def run(
    procedure: Gimp.ImageProcedure, mode: Gimp.RunMode, image: Gimp.Image, drawables: list[Any], config: Any, _: object
) -> Gimp.ValueArray:
    """What GIMP calls: ask for the options, do the work, and put the result above the layer."""
    work = procedure.get_name().rpartition("-")[2]
    label, _, options = FILTERS[work]
    Gegl.init(None)
    try:
        if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer):
            raise Failed("Choose one layer: not its mask, a channel or several.")
        layer = image.get_layer_by_tattoo(_origin(drawables[0])) or drawables[0]
        _selected(work, layer)
        if mode == Gimp.RunMode.INTERACTIVE:
            GimpUi.init(procedure.get_name())
            dialog = GimpUi.ProcedureDialog.new(procedure, config, label)
            dialog.fill(None)
            if not dialog.run():
                return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
            dialog.destroy()
        _work(work, layer, {name: config.get_property(name) for name in options})
    except Failed as error:
        told = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), str(error), 0)
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, told)
    Gimp.displays_flush()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def _selected(work: str, layer: Gimp.Layer) -> Gegl.Buffer | None:
    """What is selected in the image of a layer, None where nothing is; Failed where nothing is to be filled."""
    image = layer.get_image()
    selected = None if Gimp.Selection.is_empty(image) else image.get_selection().get_buffer().dup()
    if work == "fill" and (selected is None or not layer.mask_intersect()[0]):
        raise Failed("Select on this layer what is to be filled.")
    return selected


def _work(work: str, layer: Gimp.Layer, options: dict[str, Any]) -> None:
    """Do the work on a layer as it is seen below its results, and insert another on top of them."""
    selected = _selected(work, layer)
    Gimp.progress_init("Scoreinv: starting")
    place = Gegl.Rectangle.new(*layer.get_offsets()[1:], layer.get_width(), layer.get_height())
    opaque = Gimp.ImageType.RGB_IMAGE if layer.is_rgb() else Gimp.ImageType.GRAY_IMAGE
    kind = opaque if work == "fill" else layer.type()  # what was erased is filled too
    with _server() as ask:
        photo = ask("POST", "/api/photos", _png(layer, place, kind, _results(layer)), look=False)["key"]
        query = {name: value for name, value in options.items() if name != "strokes" and (name, value) != ("noise", 0)}
        if work == "fill" and selected is not None:
            levels = selected.get(place, 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
            levels = levels.translate(bytes([0] + 255 * [255]))  # however little: soft edges fade into the layer
            mask = b"P5 %d %d 255\n" % (place.width, place.height) + levels
            query["mask"] = ask("POST", f"/api/photos/{photo}/layers", mask)["key"]
        if (strokes := options.get("strokes")) is not None:
            query["strokes"] = ask("POST", f"/api/photos/{photo}/layers", _png(strokes, place, strokes.type()))["key"]
        told = _followed(ask, ask("POST", f"/api/photos/{photo}/{work}", **query)["job"])
        if told["photo"] is not None:
            content = ask("GET", f"/api/photos/{told['photo']['key']}/file", kind="PNG")
            _insert(content, layer, place, selected, FILTERS[work][0])
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


def _origin(layer: Gimp.Layer) -> int:
    """The number of the layer that a result is of; of any other its own."""
    note = layer.get_parasite("scoreinv")
    return int(bytes(note.get_data())) if note else layer.get_tattoo()


def _results(layer: Gimp.Layer) -> list[Gimp.Layer]:
    """What was made of a layer and is above it, from the top on."""
    image, parent = layer.get_image(), layer.get_parent()
    above = (parent.get_children() if parent else image.get_layers())[: image.get_item_position(layer)]
    return [each for each in above if _origin(each) == layer.get_tattoo()]


def _copy(source: Gegl.Buffer, x: int, y: int, target: Gimp.Drawable) -> None:
    """Copy what a buffer has from (x, y) on into a drawable, and nothing where the buffer has ended."""
    buffer, width, height = target.get_buffer(), target.get_width(), target.get_height()
    whole = Gegl.Rectangle.new(0, 0, width, height)
    source.copy(Gegl.Rectangle.new(x, y, width, height), Gegl.AbyssPolicy.NONE, buffer, whole)
    buffer.flush()
    target.update(0, 0, width, height)


def _png(layer: Gimp.Layer, place: Gegl.Rectangle, kind: Gimp.ImageType, above: Sequence[Gimp.Layer] = ()) -> bytes:
    """What a layer and those above it have in a place, as a PNG of 8 or 16 bits in the colour space of its image."""
    image = layer.get_image()
    depth = Gimp.Precision.U8_NON_LINEAR if image.get_precision() in _EIGHT_BITS else Gimp.Precision.U16_NON_LINEAR
    alone = Gimp.Image.new_with_precision(place.width, place.height, image.get_base_type(), depth)
    alone.set_color_profile(image.get_effective_color_profile())
    copy = Gimp.Layer.new(alone, "", place.width, place.height, kind, 100, Gimp.LayerMode.NORMAL)
    alone.insert_layer(copy, None, 0)
    _, x, y = layer.get_offsets()
    _copy(layer.get_buffer(), place.x - x, place.y - y, copy)
    for each in reversed(above):
        alone.insert_layer(copy := Gimp.Layer.new_from_drawable(each, alone), None, 0)
        copy.set_offsets(each.get_offsets()[1] - place.x, each.get_offsets()[2] - place.y)
    with TemporaryDirectory() as folder:
        path = Path(folder, "layer.png")
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, alone, Gio.File.new_for_path(str(path)), None)
        alone.delete()
        return path.read_bytes()


def _insert(content: bytes, below: Gimp.Layer, place: Gegl.Rectangle, selected: Gegl.Buffer | None, name: str) -> None:
    """Put a result above its layer and others of it, as opaque as it is selected; one step of undo takes it away."""
    if not below.is_valid():
        raise Failed("The layer is gone meanwhile.")
    with TemporaryDirectory() as folder:
        path = Path(folder, "result.png")
        path.write_bytes(content)
        result = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(path)))
    image = below.get_image()
    image.undo_group_start()
    try:
        if result.get_base_type() == Gimp.ImageBaseType.RGB and image.get_base_type() == Gimp.ImageBaseType.GRAY:
            image.convert_rgb()
        layer = Gimp.Layer.new_from_drawable(result.get_layers()[0], image)
        layer.set_name(name)
        layer.set_offsets(place.x, place.y)
        layer.attach_parasite(Gimp.Parasite.new("scoreinv", Gimp.PARASITE_PERSISTENT, b"%d" % below.get_tattoo()))
        image.insert_layer(layer, below.get_parent(), image.get_item_position([*_results(below), below][0]))
        if selected is not None:
            layer.add_alpha()
            mask = layer.create_mask(Gimp.AddMaskType.WHITE)
            layer.add_mask(mask)
            _copy(selected, place.x, place.y, mask)
            layer.remove_mask(Gimp.MaskApplyMode.APPLY)
        image.set_selected_layers([below])  # so that the next filter works on the photograph, too
    finally:
        image.undo_group_end()
        result.delete()


@contextlib.contextmanager
def _server() -> Iterator[Callable[..., Any]]:
    """What asks this user's server that runs already, or else one of its own, which ends with this."""
    if link := _served():
        yield partial(_ask, link)
        return
    remedy = f"{COMMAND[0]} runs no scoreinv any more: install it, and type `scoreinv gimp install --overwrite`."
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
            told: dict[str, str] = {}
            with contextlib.suppress(TypeError, ValueError):
                told = dict(json.loads(child.stdout.readline() if child.stdout else "{}"))
            if "link" not in told:
                raise Failed(told.get("error", remedy))
            yield partial(_ask, told["link"])
        finally:
            child.kill()


def _served() -> str | None:
    """The link of this user's `scoreinv serve`, None where none runs."""
    try:
        told = json.loads(TOLD.read_bytes())
        if os.name == "posix":
            os.kill(told["process"], 0)  # where it was killed, its port may be another user's by now
        return told["link"] if "bytes" in _ask(told["link"], "GET", "/api/limits", seconds=5) else None
    except (Failed, LookupError, OSError, TypeError, ValueError):
        return None


def _ask(link: str, method: str, path: str, content: bytes = b"", *, seconds: float = 600, **query: Any) -> Any:
    """What the server answers: JSON, or the bytes of a file; Failed with its sentence where it refuses."""
    place, token = urlsplit(link).netloc, urlsplit(link).query.removeprefix("token=")
    headers = {"Origin": f"http://{place}", "Content-Type": "application/octet-stream", "X-Scoreinv-Token": token}
    try:
        with contextlib.closing(HTTPConnection(place, timeout=seconds)) as connection:
            connection.request(method, f"{path}?{urlencode(query)}", content, headers)
            answer = connection.getresponse()
            body = answer.read()
    except (OSError, HTTPException) as error:
        raise Failed("The server of scoreinv ended before the work did: is there memory for it?") from error
    try:
        told: Any = json.loads(body) if body and answer.getheader("content-type") == "application/json" else body
        if answer.status < 400:
            return told
        raise Failed(told["error"])
    except (LookupError, TypeError, ValueError) as error:
        raise Failed(f"What answers at {place} is no server of scoreinv.") from error


if __name__ == "__main__":
    Gimp.main(Scoreinv.__gtype__, sys.argv)
