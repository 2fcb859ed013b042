"""The kind of a worn print: command, page and Python agree on it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from client import client, done, opened, png, quick_models, quick_prior, read
from PIL import Image, ImageDraw

import scoreinv
from scoreinv.cli.main import main
from scoreinv.operators.colour_space import luma

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


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
def test_a_print_comes_back_the_same_whoever_found_its_damage(monkeypatch, tmp_path):
    photo, few = worn_print(), {"denoise": False, "colorize": False, "tone": 0.0}
    Image.fromarray(photo).save(tmp_path / "old.png")
    alone = scoreinv.restore(photo, **few, filler=quick_prior())
    assert (alone.kind, [step.name for step in alone.steps if step.changed]) == ("tinted", ["tint", "inpaint"])
    words = ["damage", tmp_path / "old.png", "-o", tmp_path / "mask.png", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["scoreinv", *map(str, words)])
    assert main() == 0
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    given = scoreinv.restore(photo, mask=mask, **few, filler=quick_prior())
    with client(models=replace(quick_models(), damage="damage")) as browser:
        path = f"/api/photos/{opened(browser, png(photo))['key']}"
        marked = done(browser, f"{path}/damage")["photo"]["key"]
        found = browser.get(f"/api/photos/{marked}/file?kind=PNG").content
        end = done(browser, f"{path}/restore", found, **few)
        page = read(browser.get(f"/api/photos/{end['photo']['key']}/file?kind=PNG").content)
    known = ~alone.damage & (mask == 0) & (read(found) == 0)
    assert known.mean() > 0.9
    for image in (given.image, page):
        assert abs(image.astype(int) - alone.image)[known].max() <= 1
    corner = np.zeros(photo.shape[:2], bool)
    corner[:9, :9] = True
    assert scoreinv.restore(photo, mask=corner, **few, filler=quick_prior()).kind == "tinted"
    assert scoreinv.colorize(photo, prior=quick_prior(), steps=2, whiten=True).kind == "tinted"
