"""The plug-in in GIMP itself, which runs it as it does for a person, but for the window."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from support.processes import cpu_seconds, wait_for

from scoreinv.cli.gimp import plugin
from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.picture import Picture

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
import os
import re
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
    # In one piece: others write there meanwhile.
    os.write(1, f"TOLD {json.dumps(values)}\\n".encode())
'''
"""What the scripts below begin with."""


@dataclass(frozen=True)
class Gimp:
    """A GIMP with the plug-in, whose settings are its own."""

    folder: Path

    @property
    def plugin(self) -> Path:
        return self.folder / "plug-ins" / "scoreinv" / "scoreinv.py"

    @property
    def environment(self) -> dict[str, str]:
        """In which nobody else serves."""
        own = dict.fromkeys(("GIMP3_DIRECTORY", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"), str(self.folder))
        return os.environ | own | {"OMP_NUM_THREADS": "1"}

    def start(self, script: str, here: Path) -> subprocess.Popen[str]:
        (here / "script.py").write_text(BEFORE + script)
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
            env=self.environment | {"PATH": path},
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
    assert "error for procedure 'gimp-" not in said, said  # which is a window for a person
    assert "Failed to convert" not in said, said  # metadata
    # Others write there too, and not always whole lines.
    return [json.JSONDecoder().raw_decode(part)[0] for part in said.split("TOLD ")[1:]]


@pytest.fixture(scope="module")
def gimp(tmp_path_factory: pytest.TempPathFactory) -> Gimp:
    found = Gimp(tmp_path_factory.mktemp("gimp"))
    found.plugin.parent.mkdir(parents=True)
    found.plugin.write_text(plugin())
    found.plugin.chmod(0o755)
    return found


def calling(plug_in: str, *command: str) -> str:
    """The plug-in, which calls another command."""
    return plug_in.replace(f"COMMAND = {[sys.executable, '-m', 'scoreinv']!r}", f"COMMAND = {list(command)!r}")


@pytest.fixture
def served(gimp: Gimp) -> Iterator[None]:
    """A server that runs already; the plug-in could not start another."""
    words = [sys.executable, "-m", "scoreinv", "serve", "--no-open", "--json", "--threads", "1", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=gimp.environment)
    whole = gimp.plugin.read_text()
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["link"]
        gimp.plugin.write_text(calling(whole, "/no/such/python"))
        yield
    finally:
        gimp.plugin.write_text(whole)
        process.kill()
        process.communicate()


def photo(path: Path, *, bits: int = 8, grey: bool = False, noise: float = 0.0, side: int = 96) -> np.ndarray:
    """A piece of a bundled photograph with a scratch, as a file; of 16 bits with the last ones used."""
    rng = np.random.default_rng(0)
    pixels = read_picture(PHOTO).pixels[200 : 200 + side, 0:side].astype(float)
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
        faint = (layer[..., -1] > 0) & (layer[..., -1] < np.iinfo(layer.dtype).max / 2)
        assert (layer[faint, :channels] != known[faint]).any(axis=-1).mean() > 0.5  # filled, as the rest of the ellipse
        assert (layer[inside, -1] == np.iinfo(layer.dtype).max).all()
    assert not list(gimp.folder.rglob("*.part")) + list(gimp.folder.glob("tmp*"))
    for bits in (8, 16):
        whole, erased = (pixels(tmp_path / f"{bits}{kind}.png.layer.png") for kind in ("", "erased"))
        assert np.array_equal(whole[inside], erased[inside])


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
    plug_in = wait_for(lambda: found(lambda words, _: str(gimp.plugin) in words and "-run" in words))
    child = wait_for(lambda: found(lambda words, parent: "--tied" in words and parent == plug_in))
    wait_for(lambda: cpu_seconds(child) > 4)  # it is at work
    os.kill(plug_in, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    (report,) = heard(process)
    assert report["said"][0] != "success"
    assert len(report["names"]) == 1


def found(wanted: Callable[[list[str], int], bool]) -> int | None:
    """A process by its words and its parent."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if wanted(words, int((entry / "stat").read_text().rpartition(")")[2].split()[1])):
                return int(entry.name)
    return None


SMALL = LARGE.replace("large", "small")


def test_scoreinv_is_gone(gimp, tmp_path):
    """One sentence says what to do, also where something else answers in its place, at a port that it had."""
    photo(tmp_path / "small.png")
    whole = gimp.plugin.read_text()
    other = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    link = f"http://127.0.0.1:{other.server_port}/"
    (gimp.folder / "scoreinv-serve.json").write_text(json.dumps({"link": link, "process": os.getpid()}))
    commands = (
        ["/no/such/python", "-m", "scoreinv"],
        [sys.executable, "-m", "scoreinv_that_is_not_there"],
        ["/bin/echo", "no JSON"],
    )
    for command in commands:
        gimp.plugin.write_text(calling(whole, *command))
        try:
            (report,) = gimp.run(SMALL, tmp_path)
        finally:
            gimp.plugin.write_text(whole)
        status, words = report["said"]
        assert status == "execution-error"
        assert words.endswith(".")
        assert ". " not in words
        assert "scoreinv gimp install" in words
    other.shutdown()
    (gimp.folder / "scoreinv-serve.json").unlink()
    assert Other.asked == ["/api/limits"] * len(commands)  # and nothing was sent


class Other(BaseHTTPRequestHandler):
    """Another program, which answers as FastAPI does where it knows no such path."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path.rstrip("?"))
        content = b'{"detail": "Not Found"}'
        self.send_response(404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
