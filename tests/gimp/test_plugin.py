"""The plug-in in GIMP itself, which runs it as it does for a person, but for the window."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scoreinv.cli.gimp import plugin
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.imaging.write import picture_bytes

GIMP = shutil.which("gimp-console-3.0")
PHOTO = Path(__file__).parents[2] / "examples" / "damaged" / "astronaut.png"
SOON = 300.0
"""Seconds: far more than anything takes here."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(GIMP is None or not Path("/proc").exists(), reason="there is no GIMP 3"),
    pytest.mark.skipif(not PHOTO.exists(), reason="the package is installed without its examples"),
]

BEFORE = '''
import json
from gi.repository import Gio

def opened(path):
    return Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))

def saved(image, path):
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)

def run(work, layer, **options):
    """Run a filter on a layer; returns what GIMP says of it."""
    procedure = Gimp.get_pdb().lookup_procedure(f"plug-in-scoreinv-{work}")
    config = procedure.create_config()
    for name, value in {"run-mode": Gimp.RunMode.NONINTERACTIVE, "image": layer.get_image(), **options}.items():
        config.set_property(name, value)
    config.set_core_object_array("drawables", [layer])
    result = procedure.run(config)
    error = Gimp.get_pdb().get_last_error()
    return [result.index(0).value_nick, "" if result.index(0) == Gimp.PDBStatusType.SUCCESS else error]

def told(**values):
    print("TOLD", json.dumps(values), flush=True)
'''
"""What the scripts below begin with."""


@dataclass(frozen=True)
class Gimp:
    """A GIMP with the plug-in, whose settings are its own."""

    folder: Path
    port: int

    @property
    def plugin(self) -> Path:
        return self.folder / "plug-ins" / "scoreinv" / "scoreinv.py"

    def start(self, script: str, here: Path) -> subprocess.Popen[str]:
        (here / "script.py").write_text(BEFORE + script)
        own = {"GIMP3_DIRECTORY": str(self.folder), "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        words = [
            str(GIMP),
            "-idf",
            "--quit",
            "--batch-interpreter=python-fu-eval",
            "-b",
            'exec(open("script.py").read())',
        ]
        # Its plug-ins in Python need the system's, and scoreinv that which runs here.
        path = os.pathsep.join(["/usr/bin", os.environ["PATH"]])
        return subprocess.Popen(
            words,
            cwd=here,
            env=os.environ | own | {"PATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, here: Path) -> list[dict]:
        """What a script tells."""
        return heard(self.start(script, here))


def heard(process: subprocess.Popen[str]) -> list[dict]:
    said, _ = process.communicate(timeout=SOON)
    assert "batch command executed successfully" in said, said
    return [json.loads(line.removeprefix("TOLD ")) for line in said.splitlines() if line.startswith("TOLD ")]


@pytest.fixture(scope="module")
def gimp(tmp_path_factory: pytest.TempPathFactory) -> Gimp:
    """Its server's port is one that nobody else listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        found = Gimp(tmp_path_factory.mktemp("gimp"), free.getsockname()[1])
    found.plugin.parent.mkdir(parents=True)
    found.plugin.write_text(plugin().replace("PORT = 8421", f"PORT = {found.port}"))
    found.plugin.chmod(0o755)
    return found


@pytest.fixture
def served(gimp: Gimp) -> Iterator[None]:
    """A server that runs already."""
    words = ["serve", "--no-open", "--json", "--threads", "1", "--port", str(gimp.port)]
    process = subprocess.Popen([sys.executable, "-m", "scoreinv", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["link"]
        yield
    finally:
        process.kill()
        process.communicate()


def photo(path: Path, *, bits: int = 8, grey: bool = False, noise: float = 0.0) -> np.ndarray:
    """A piece of a bundled photograph with a scratch, as a file; of 16 bits with the last ones used."""
    rng = np.random.default_rng(0)
    pixels = read_picture(PHOTO).pixels[200:296, 0:96].astype(float)
    if grey:
        pixels = pixels[..., 1]
    if bits == 16:
        pixels = pixels * 256 + rng.integers(0, 256, pixels.shape)
    pixels = (pixels + noise * rng.normal(size=pixels.shape)).clip(0, 2**bits - 1)
    pixels = pixels.round().astype(f"uint{bits}")
    path.write_bytes(picture_bytes(Picture(pixels), path.name))
    return pixels


def pixels(path: Path) -> np.ndarray:
    return read_picture(path).pixels


FILL = """
for path in {paths}:
    image = opened(path)
    layer = image.get_layers()[0]
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 20, 30, 40, 20)
    if path.endswith("erased.png"):
        layer.add_alpha()
        layer.edit_clear()
    said = run("fill", layer)
    told(said=said, names=[each.get_name() for each in image.get_layers()],
         chosen=[each.get_name() for each in image.get_selected_layers()], was=layer.get_name())
    saved(image, path + ".seen.png")
    image.remove_layer(layer)
    saved(image, path + ".layer.png")
    image.delete()
"""


def test_a_selection_is_filled_and_all_else_is_kept_to_the_bit(gimp, served, tmp_path):
    """Of 8 and 16 bits, grey, in colours and erased there: a new layer, transparent where nothing is selected."""
    before = {}
    for bits in (8, 16):
        for kind in ("", "grey", "erased"):
            path = tmp_path / f"{bits}{kind}.png"
            before[path] = photo(path, bits=bits, grey=kind == "grey")
    reports = gimp.run(FILL.format(paths=[str(path) for path in before]), tmp_path)
    rows, columns = np.mgrid[0:96, 0:96] + 0.5
    away = ((columns - 40) / 20) ** 2 + ((rows - 40) / 10) ** 2
    outside, inside = away > 1.2, away < 0.8  # an ellipse is antialiased
    for (path, known), report in zip(before.items(), reports, strict=True):
        assert report["said"] == ["success", ""]
        assert report["names"] == ["Fill the selection", report["was"]]
        assert report["chosen"] == [report["was"]]
        seen, layer = pixels(Path(f"{path}.seen.png")), pixels(Path(f"{path}.layer.png"))
        assert seen.dtype == layer.dtype == known.dtype
        known = known.reshape(96, 96, -1)
        channels = known.shape[-1]
        seen = seen.reshape(96, 96, -1)[..., :channels]
        assert np.array_equal(seen[outside], known[outside])
        assert (seen[inside] != known[inside]).any(axis=-1).mean() > 0.5
        assert layer.shape == (96, 96, channels + 1)
        assert not layer[outside, -1].any()
        assert (layer[inside, -1] == np.iinfo(layer.dtype).max).all()
    assert not list(gimp.folder.rglob("*.part")) + list(gimp.folder.rglob("gimp-temp*"))
    for bits in (8, 16):
        whole, erased = (pixels(tmp_path / f"{bits}{kind}.png.layer.png") for kind in ("", "erased"))
        assert np.array_equal(whole[inside], erased[inside])


OTHERS = """
strokes = opened("strokes.png").get_layers()[0]
image = opened("grey.png")
layer = image.get_layers()[0]
layer.set_offsets(3, 5)
strokes.set_offsets(3, 5)
told(said=run("colorize", layer, strokes=strokes), names=[each.get_name() for each in image.get_layers()],
     rgb=image.get_base_type() == Gimp.ImageBaseType.RGB, at=list(image.get_layers()[0].get_offsets())[1:])
image.remove_layer(layer)
image.resize_to_layers()
saved(image, "coloured.png")
image = opened("noisy.png")
told(said=run("denoise", image.get_layers()[0], noise=25.0), names=[each.get_name() for each in image.get_layers()])
saved(image, "clean.png")
image = opened("scratched.png")
told(said=run("restore", image.get_layers()[0], colorize=False))
told(said=run("denoise", image.get_layers()[0]), names=[each.get_name() for each in image.get_layers()])
told(said=run("fill", image.get_layers()[0]))
"""


def test_colours_noise_and_damage(gimp, served, tmp_path):
    """Without a selection all of the layer; a grey picture is in colours then, and strokes say which."""
    grey = photo(tmp_path / "grey.png", grey=True)
    truth = photo(tmp_path / "scratched.png")
    noisy = photo(tmp_path / "noisy.png", noise=25)
    strokes = np.zeros((96, 96, 4), np.uint8)
    strokes[20:30, 20:80] = 30, 200, 30, 255
    (tmp_path / "strokes.png").write_bytes(picture_bytes(Picture(strokes), "strokes.png"))
    coloured, clean, restored, twice, unselected = gimp.run(OTHERS, tmp_path)
    assert [report["said"] for report in (coloured, clean, restored, twice)] == [["success", ""]] * 4
    assert (coloured["names"][0], coloured["rgb"], coloured["at"]) == ("Colorize", True, [3, 5])
    found = pixels(tmp_path / "coloured.png")[..., :3].astype(float)
    luma = found @ [0.299, 0.587, 0.114]
    assert np.abs(luma - grey).mean() < 1
    red, green, blue = found[20:30, 20:80].reshape(-1, 3).mean(0)
    assert green > max(red, blue) + 20
    assert clean["names"][0] == "Denoise"
    error = np.square(pixels(tmp_path / "clean.png")[..., :3] - truth.astype(float)).mean()
    assert error < 0.5 * np.square(noisy - truth.astype(float)).mean()
    assert unselected["said"] == ["execution-error", "Select on this layer what is to be filled."]


LARGE = """
image = opened("large.png")
layer = image.get_layers()[0]
told(said=run("denoise", layer, noise=25.0), names=[each.get_name() for each in image.get_layers()])
"""


def test_cancel_ends_what_it_began(gimp, tmp_path):
    """GIMP's Cancel kills the plug-in, which cannot do anything then; nobody serves here, so that it began a server."""
    large = np.random.default_rng(0).integers(0, 256, (2400, 2400, 3)).astype(np.uint8)
    (tmp_path / "large.png").write_bytes(picture_bytes(Picture(large), "large.png"))
    process = gimp.start(LARGE, tmp_path)
    plug_in = until(lambda: found(lambda words, _: str(gimp.plugin) in words and "-run" in words))
    child = until(lambda: found(lambda words, parent: "--tied" in words and parent == plug_in))
    until(lambda: seconds(child) > 4)  # it is at work
    os.kill(plug_in, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{child}").exists())
    (report,) = heard(process)
    assert report["said"][0] != "success"
    assert len(report["names"]) == 1


def until(what: Callable[[], int | bool | None]) -> int:
    end = time.monotonic() + SOON
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def found(wanted: Callable[[list[str], int], bool]) -> int | None:
    """A process by its words and its parent."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if wanted(words, int((entry / "stat").read_text().rpartition(")")[2].split()[1])):
                return int(entry.name)
    return None


def seconds(process: int) -> float:
    """Of the processor that a process has had."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


SMALL = LARGE.replace("large", "small")


def test_scoreinv_is_gone(gimp, tmp_path):
    """One sentence says what to do."""
    photo(tmp_path / "small.png")
    whole = gimp.plugin.read_text()
    for command in (["/no/such/python", "-m", "scoreinv"], [sys.executable, "-m", "scoreinv_that_is_not_there"]):
        gimp.plugin.write_text(
            whole.replace(f"COMMAND = {[sys.executable, '-m', 'scoreinv']!r}", f"COMMAND = {command}")
        )
        try:
            (report,) = gimp.run(SMALL, tmp_path)
        finally:
            gimp.plugin.write_text(whole)
        status, words = report["said"]
        assert (status, words.count(".")) == ("execution-error", 1)
        assert "scoreinv gimp install" in words
