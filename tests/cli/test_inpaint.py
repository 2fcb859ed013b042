"""`scoreinv inpaint` as a user runs it."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from support.shell import hole_array, image, photo_array, start_process

from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture


def test_a_phone_photograph_without_the_package(scoreinv, photo, mask, tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    write_picture(tmp_path / "a.heic", Picture(photo_array()))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    remedy = "HEIC files need another package: pip install 'scoreinv[heif]'\n"
    for words in (("a.heic",), ("photo.png", "-o", "b.heic", "--model", "missing.safetensors")):
        outcome = scoreinv("inpaint", *words, "--mask", mask)
        assert (outcome.code, outcome.err.endswith(remedy), outcome.err.count("\n")) == (2, True, 1), outcome.err


@pytest.mark.slow
def test_stdin_and_stdout(photo, mask):
    process = start_process("inpaint", "-", "--mask", mask, "--method", "biharmonic")
    out, err = process.communicate(photo.read_bytes())
    assert process.returncode == 0, err
    after = np.asarray(Image.open(io.BytesIO(out)))
    hole = hole_array()
    assert (after[~hole] == photo_array()[~hole]).all()


@pytest.mark.parametrize("method", ["conditioned", pytest.param("telea", marks=pytest.mark.opencv)])
def test_a_jpeg_has_the_colours_beside_a_scratch_redrawn_but_for_exact(scoreinv, conditional, tmp_path, method):
    pixels = np.full((64, 64, 3), (150, 130, 100), np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[30:33, 8:50] = True
    pixels[hole] = (30, 40, 220)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=80)
    Image.fromarray(hole).save(tmp_path / "mask.png")
    words = ["inpaint", "photo.jpg", "--mask", "mask.png", "-o", "out.png", "--overwrite"]
    words += ["--method", method] + (["--model", conditional] if method == "conditioned" else [])
    before = np.asarray(image(tmp_path / "photo.jpg"))
    told = scoreinv(*words)
    after = np.asarray(image(tmp_path / "out.png"))
    assert (told.code, told.err.count("photo.jpg: the JPEG smeared")) == (0, 1), told.err
    assert (after[:21] == before[:21]).all()
    assert (after[42:] == before[42:]).all()
    beside = np.s_[28:30, 12:46]
    truth = np.array([150, 130, 100])
    assert np.abs(after[beside] - truth).mean() < 0.5 * np.abs(before[beside] - truth).mean()
    exact = scoreinv(*words, "--exact")
    assert (exact.code, "smeared" in exact.err) == (0, False), exact.err
    assert (np.asarray(image(tmp_path / "out.png"))[~hole] == before[~hole]).all()
