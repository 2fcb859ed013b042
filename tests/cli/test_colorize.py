"""`scoreinv colorize` as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image
from support.shell import codes, photo_array

from scoreinv.files.read import read_picture
from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.operators.luma import luma


@pytest.mark.parametrize(("weights", "dtype"), [("rec601", np.uint8), ("average", np.uint16)])
def test_colorize_keeps_the_luma_to_the_grey_level(scoreinv, tmp_path, weights, dtype):
    gray = photo_array(50, 70, channels=1, dtype=dtype)
    write_picture(tmp_path / "gray.png", Picture(gray))
    outcome = scoreinv("colorize", "gray.png", "--gray-weights", weights, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["output"] == "gray_colorized.png"
    after = read_picture(tmp_path / "gray_colorized.png").pixels
    assert after.dtype == dtype
    assert after.shape == (50, 70, 3)
    assert (np.rint(luma(after.astype(np.float64), weights)) == gray).all()
    assert (after.max(-1) != after.min(-1)).any()


def test_hints_by_a_file(scoreinv, conditional, tmp_path):
    Image.fromarray(photo_array(channels=1)).save(tmp_path / "grey.png")
    layer = np.zeros((24, 40, 4), np.uint8)
    layer[5:9, 5:20] = (150, 120, 110, 255)
    Image.fromarray(layer).save(tmp_path / "hints.png")
    words = ["colorize", "grey.png", "--model", conditional]
    assert scoreinv(*words, "--hints", "hints.png", "--saturation", "0.8", "--keep-color").code == 0
    result = read_picture(tmp_path / "grey_colorized.png").pixels.astype(int)
    assert (np.ptp(result[5:9, 5:20], axis=-1) > 20).all()


def test_wrong_references_are_refused(scoreinv, conditional, tmp_path):
    Image.fromarray(photo_array(channels=1)).save("grey.png")
    Image.fromarray(photo_array()).save("colours.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "colours.png").read_bytes()[:60])
    for words, said in (
        (("--like", "grey.png"), "grey.png: has no colours"),
        (("--like", "colours.png", "--like", "torn.png"), "torn.png"),
        (("--like", "absent.png"), "--like absent.png: no such file"),
        (("--like", "-"), "stdin is for the photo"),
        (("--like", "colours.png", "--model", conditional), "scene"),
    ):
        refused = scoreinv("colorize", "grey.png", *words)
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"grey.png", "colours.png", "torn.png"}


def test_a_sepia_print_is_said_to_be_one(scoreinv, conditional, tmp_path):
    gray = photo_array(channels=1) / 255
    sepia = np.array([0.15, 0.08, 0.03]) + gray[..., None] * np.array([0.8, 0.8, 0.7])
    Image.fromarray(np.rint(255 * sepia).astype(np.uint8)).save(tmp_path / "sepia.png")
    assert "tint_removed" in codes(scoreinv("colorize", "sepia.png", "--model", conditional, "--json"))
    results = {}
    for tint in ("luma", "white"):
        outcome = scoreinv("colorize", "sepia.png", "--model", conditional, "--tint", tint, "-o", f"{tint}.png")
        assert outcome.code == 0
        results[tint] = read_picture(tmp_path / f"{tint}.png").pixels
    assert results["white"].max() > results["luma"].max()
