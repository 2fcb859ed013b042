"""The kind of a picture: command, page and Python agree on it, and keep photographs in colour unchanged."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client import client, done, opened, png, quick_models, quick_prior, read
from PIL import Image, ImageDraw
from small_model import save_small

import scoreinv
from scoreinv.cli.main import main
from scoreinv.operators.luma import luma
from scoreinv.training.data.pictures import BUILTIN

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
PHOTOS = sorted([*BUILTIN.glob("*.jpg"), *EXAMPLES.glob("*.jpg")])
FAST = {"wp25-northern-buttercups-flowers", "grub2-Windbuchencom"}
"""Nearly of one hue: `colorize` once took the first two for prints."""


@pytest.fixture
def browser():
    """The page with the bundled detector, as the command has it."""
    with client(models=replace(quick_models(), damage="damage")) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture
def command(monkeypatch, tmp_path, model):
    """Runs a command on a picture; returns the result's pixels."""

    def run(name: str, path: Path, *options: str | Path) -> np.ndarray:
        result = tmp_path / "result.png"
        words = [name, path, "-o", result, "--overwrite", "--quiet", *options]
        monkeypatch.setattr(sys, "argv", ["scoreinv", *map(str, words)])
        assert main() == 0
        return np.asarray(Image.open(result))

    return run


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem not in FAST)) for path in PHOTOS],
    ids=lambda path: path.stem,
)
def test_photographs_in_colours_stay_unchanged(browser, command, model, path):
    """`test_healthy_photographs` tests the detection of damage; some have noise."""
    photo = np.asarray(Image.open(path))
    assert (command("colorize", path, "--keep-color", "--model", model) == photo).all()
    assert (command("restore", path, "--no-inpaint", "--no-denoise") == photo).all()
    coloured = scoreinv.colorize(photo, prior=quick_prior(), keep_color=True, samples=2)
    assert (coloured.kind, coloured.nfe, coloured.std.max()) == ("coloured", 0, 0)
    assert (coloured.image == photo).all()
    end = done(
        browser, f"/api/photos/{opened(browser, path.read_bytes())['key']}/restore", inpaint=False, denoise=False
    )
    assert end["photo"] is None
    assert "kind_color" in [note["code"] for note in end["notes"]]


def worn_print() -> np.ndarray:
    """A scratched sepia print whose dirt strays from its tones as much as the colours of red rock do."""
    gray = luma(np.asarray(Image.open(EXAMPLES / "tulips.jpg").resize((384, 288))) / 255)
    y, x = np.mgrid[:288, :384]
    dirt = 0.009 * (np.sin(x / 8) * np.sin(y / 8))[..., None] * np.array([1.0, 0.0, -1.0])
    brown = 0.9 * gray[..., None] * (1.0, 0.85, 0.65) + dirt
    print_ = Image.fromarray(np.rint(255 * brown.clip(0, 1)).astype(np.uint8))
    draw = ImageDraw.Draw(print_)
    for line in ((30, 20, 200, 260), (90, 10, 60, 280), (350, 30, 180, 270), (20, 200, 370, 150)):
        draw.line(line, fill=(250, 245, 235), width=2)
    return np.asarray(print_)


@pytest.mark.slow
def test_a_print_comes_back_the_same_whoever_found_its_damage(browser, command, tmp_path):
    photo = worn_print()
    path = tmp_path / "old.png"
    Image.fromarray(photo).save(path)
    few: dict[str, Any] = {"denoise": False, "colorize": False, "tone": 0.0}
    alone = scoreinv.restore(photo, **few, filler=quick_prior())
    assert (alone.kind, [step.name for step in alone.steps if step.changed]) == ("tinted", ["tint", "inpaint"])
    mask = command("damage", path)
    given = scoreinv.restore(photo, mask=mask, **few, filler=quick_prior())
    key = opened(browser, png(photo))["key"]
    found = browser.get(
        f"/api/photos/{done(browser, f'/api/photos/{key}/damage')['photo']['key']}/file?kind=PNG"
    ).content
    end = done(browser, f"/api/photos/{key}/restore", found, **few)
    page = read(browser.get(f"/api/photos/{end['photo']['key']}/file?kind=PNG").content)
    known = ~alone.damage & (mask == 0) & (read(found) == 0)
    assert known.mean() > 0.9
    for image in (given.image, page):
        assert abs(image.astype(int) - alone.image)[known].max() <= 1
    corner = np.zeros(photo.shape[:2], bool)
    corner[:9, :9] = True
    assert scoreinv.restore(photo, mask=corner, **few, filler=quick_prior()).kind == "tinted"
    assert scoreinv.colorize(photo, prior=quick_prior(), steps=2, whiten=True).kind == "tinted"
