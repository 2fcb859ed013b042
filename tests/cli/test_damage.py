"""`scoreinv damage`, and `inpaint --mask auto`, with a model that marks what is white."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoreinv.inputs.masks import dilate
from scoreinv.system.options import FOUND_GROW

pytestmark = pytest.mark.usefixtures("white_detector")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A photo with a white scratch of 2 x 30 pixels."""
    return save(tmp_path / "old.png")


def save(path: Path, *, damaged: bool = True) -> Path:
    pixels = np.full((40, 50, 3), 90, np.uint8)
    pixels[:, 25:] = 140
    if damaged:
        pixels[10:12, 5:35] = 255
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def grown(path: Path) -> np.ndarray:
    """The scratch of a photo with what is filled around it, HxW bool."""
    return dilate(read(path)[..., 0] == 255, FOUND_GROW)


def test_a_mask_is_written_beside_the_photo(scoreinv, old, tmp_path):
    outcome = scoreinv("damage", "old.png")
    assert outcome.code == 0
    assert "old.png: 9.6 % of it is damaged" in outcome.err
    mask = read(tmp_path / "old_damage.png")
    assert mask.shape == (40, 50)
    np.testing.assert_array_equal(mask, np.where(grown(old), 255, 0))
    assert scoreinv("damage", "old.png", "--grow", 0, "-o", "exact.png").code == 0
    np.testing.assert_array_equal(read(tmp_path / "exact.png"), np.where(read(old)[..., 0] == 255, 255, 0))


def test_the_masks_of_a_folder_are_those_of_its_photos(scoreinv, tmp_path):
    save(tmp_path / "scans" / "a.png")
    save(tmp_path / "scans" / "within" / "b.png")
    assert scoreinv("damage", "scans", "--recursive").code == 0
    assert sorted(path.name for path in (tmp_path / "scans_damage").rglob("*.png")) == ["a_damage.png", "b_damage.png"]
    words = ("inpaint", "scans", "--mask", "scans_damage", "--recursive", "--method", "biharmonic")
    assert scoreinv(*words).code == 0
    assert read(tmp_path / "scans_inpainted" / "within" / "b_inpainted.png").max() < 200
    again = scoreinv("damage", "scans", "--recursive")
    assert "2 skipped because they exist" in again.err


def test_mask_auto_without_a_model_grown_and_as_json(scoreinv, old, tmp_path):
    words = ("inpaint", old, "--mask", "auto", "--grow", 1, "--method", "biharmonic", "--json")
    outcome = scoreinv(*words)
    record = json.loads(outcome.out)
    assert record["damaged"] == pytest.approx((4 * 32 - 4) / 2000)  # 2 x 30 pixels, and those around but the corners
    np.testing.assert_allclose(read(tmp_path / "old_inpainted.png")[10:12, 5:20], 90, atol=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inpaint", "old.png", "--mask", "auto", "--mask-threshold", "0.2"), "need a mask file"),
        (("inpaint", "old.png", "--mask", "auto", "--sensitivity", "1"), "all of it is detected as damage"),
        (("damage", "old.png", "--sensitivity", "nan"), "--sensitivity"),
    ],
)
def test_refusals_of_damage(scoreinv, old, words, said):
    outcome = scoreinv(*words)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


@pytest.mark.parametrize("words", [("inpaint", "--method", "biharmonic"), ("restore", "--no-denoise", "--no-colorize")])
def test_of_a_photo_whose_mask_marks_nothing_nothing_is_filled(scoreinv, tmp_path, words):
    save(tmp_path / "scans" / "new.png", damaged=False)
    save(tmp_path / "scans" / "old.png")
    assert scoreinv("damage", "scans").code == 0
    command, *options = words
    outcome = scoreinv(command, "scans", "--mask", "scans_damage", "-o", "out/", *options)
    assert outcome.code == 0, outcome.err
    assert "scans/new.png: the mask has no damage" in outcome.err
    (result,) = (tmp_path / "out").glob("new_*.png")
    np.testing.assert_array_equal(read(result), read(tmp_path / "scans" / "new.png"))
    for name, value in (("black.png", 0), ("new_damage.png", 1)):  # a mask of one's own, by its name or by a mark
        Image.new("L", (50, 40), value).save(tmp_path / name)
        own = scoreinv(command, "scans/new.png", "--mask", name, "-o", "own.png", *options)
        assert (own.code, "has no hole" in own.err) == (2, True)
