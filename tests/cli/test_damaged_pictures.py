"""Damaged pictures, pipes and devices at the command line: one line of stderr, exit status 2, nothing made."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLACE = 38
TAGS = {256: 5, 257: 6, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: 30}


def tiff(following: int = 0, **change: int) -> bytes:
    """A grey TIFF of 5x6 pixels in 152 bytes; `change` has tags as tag_N."""
    tags = TAGS | {int(name.removeprefix("tag_")): value for name, value in change.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", PLACE) + bytes(range(30)) + directory


DAMAGED = {
    "circle": tiff(following=PLACE),
    "tile": tiff(tag_322=0, tag_323=0),
    "huge": tiff(tag_256=2**31, tag_257=2**31),
    "strip": tiff(tag_273=10**9),
    "cut": tiff()[:-30],
}


@pytest.mark.parametrize("options", [(), ("--frame", "0")])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_tiffs(scoreinv, tmp_path, data, options):
    (tmp_path / "a.tif").write_bytes(data)
    Image.fromarray(np.eye(6, 5, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    for command in (("inpaint", "a.tif", "--mask", "mask.png"), ("colorize", "a.tif")):
        outcome = scoreinv(*command, *options)
        assert outcome.code == 2
        assert outcome.err.startswith("scoreinv: error: a.tif: ")
        assert outcome.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "mask.png"]


def test_the_tiff_itself_is_fine(scoreinv, tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff())
    assert scoreinv("colorize", "a.tif").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipes_and_devices(scoreinv, photo, mask, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for source in ("pipe.png", "/dev/zero"):
        outcome = scoreinv("colorize", source, "-o", "out.png")
        assert outcome.code == 2
        assert "use -" in outcome.err
    outcome = scoreinv("inpaint", photo, "--mask", mask, "-o", "pipe.png", "--overwrite")
    assert outcome.code == 2
    assert "is no file that could be replaced" in outcome.err
    assert Path("pipe.png").is_fifo()
    assert not Path("out.png").exists()
