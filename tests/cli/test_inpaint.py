"""`scoreinv inpaint` as a user runs it."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from support.shell import hole_array, photo_array, start_process

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
