"""The table of tasks: a new task is one entry and one function."""

import os
import subprocess
import sys
from pathlib import Path

import scoreinv

PACKAGE = Path(scoreinv.__file__).parent

FUNCTION = """
from dataclasses import dataclass
from typing import Annotated

from scoreinv.system.options import Number, Setting
from scoreinv.tasks.requests import Request


@dataclass(frozen=True)
class InvertRequest(Request):
    strength: Annotated[float, Setting("Weight of the negative.", Number(0.0, 1.0))] = 1.0


def invert_picture(inputs, request, models):
    from scoreinv.tasks.outcome import Outcome

    pixels = inputs.picture.pixels
    image = inputs.picture.with_pixels((pixels + request.strength * (255.0 - 2 * pixels)).round().astype("uint8"))
    return Outcome(image, [image], None, 0, "exact")
"""
ENTRY = """    Task("invert", InvertRequest, "scoreinv.tasks.invert:invert_picture", "_inverted", "Invert photos."),
)
"""
USE = """
import sys
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image
from scoreinv.cli.gimp import plugin
from scoreinv.cli.main import main
from scoreinv.models.loading import Models
from scoreinv.tasks.invert import InvertRequest
from scoreinv.tasks.rows import OnRows
from scoreinv.web.access import Access
from scoreinv.web.app import make_app
from scoreinv.web.jobs import JobQueue
from scoreinv.web.objects import Objects

pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
Image.fromarray(pixels).save("photo.png")


def command(*words):
    sys.argv = ["scoreinv", *words]
    return main()


assert command("invert", "photo.png", "--strength", "1") == 0
assert np.array_equal(Image.open("photo_inverted.png"), 255 - pixels)
assert command("rerun", "photo_inverted.png") == 0
assert command("invert", "photo.png", "--strength", "2") == 2
rows = OnRows("invert", InvertRequest(), Models())({"image": pixels[None]})
assert np.array_equal(rows["result"], 255 - pixels[None])
app = make_app(Models(), Access.to(None, 8421), JobQueue(lambda: None), Objects(lambda _: None))
browser = TestClient(app, "http://127.0.0.1:8421")
headers = {"content-type": "application/octet-stream", "origin": "http://127.0.0.1:8421"}
key = browser.post("/api/photos?look=0", content=Path("photo.png").read_bytes(), headers=headers).json()["key"]
assert "'invert': {'menu': 'Invert', 'about': 'Invert photos.', 'options': [], " in plugin()
for path in (f"/api/photos/{key}", "/api/batches/x"):
    answer = browser.post(f"{path}/invert?strength=2", headers=headers)
    assert answer.json() == {"error": "Strength must be from 0 to 1, not 2.0."}
"""


def test_a_new_task_is_one_entry_and_one_function(tmp_path: Path) -> None:
    """It appears in the command line, the page, GIMP, tables and `rerun`."""
    (tmp_path / "scoreinv" / "tasks").mkdir(parents=True)
    for folder in (PACKAGE, PACKAGE / "tasks"):
        for path in folder.iterdir():
            link = tmp_path / path.relative_to(PACKAGE.parent)
            if not link.exists():
                link.symlink_to(path)
    table = tmp_path / "scoreinv" / "tasks" / "table.py"
    text = table.read_text()
    table.unlink()
    text = text.replace(')\n"""All tasks', f'{ENTRY}"""All tasks', 1)
    table.write_text(text.replace("\nMODEL =", "\nfrom scoreinv.tasks.invert import InvertRequest\n\nMODEL =", 1))
    (table.parent / "invert.py").write_text(FUNCTION)
    run = [sys.executable, "-c", USE]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
