"""Files of pictures: every sample there and back, whole or not at all, nothing replaced unasked."""

import io
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from support.picture_files import samples

from scoreinv.files.read import read_picture
from scoreinv.files.write import check_output, picture_bytes, write_picture
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import ExistsError, InputError, ScoreinvError


def test_exif_of_a_16_bit_png_begins_with_its_byte_order():
    """PNG's chunk has no prefix, which JPEG's segment has (PNG 3, section 11.3.2.8)."""
    directory = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
    data = picture_bytes(Picture(samples("RGB", np.uint16), metadata=Metadata(exif=b"Exif\0\0" + directory)), "a.png")
    assert b"eXIf" + directory in data


def test_standard_input_and_output_are_png(monkeypatch):
    picture = Picture(samples("RGB", np.uint16))
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    write_picture("-", picture)
    data = out.buffer.getvalue()
    assert data.startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert_array_equal(read_picture("-").pixels, picture.pixels)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match="is closed"):
        write_picture("-", picture)


@pytest.mark.parametrize(
    ("error", "raised"), [(BrokenPipeError(), BrokenPipeError), (OSError(28, "full"), ScoreinvError)]
)
@pytest.mark.parametrize("method", ["write", "flush"])
def test_standard_output_that_fails(monkeypatch, method, error, raised):
    """A reader that has ended is no error of the writing."""

    def fail(*_):
        raise error

    methods = dict.fromkeys(("write", "flush"), lambda *_: None) | {method: fail}
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=SimpleNamespace(**methods)))
    check_output("-")
    with pytest.raises(raised):
        write_picture("-", Picture(samples("L")))


@pytest.mark.parametrize("store", ["memory", "file"])
def test_files_of_a_store_are_replaced_only_when_asked(store, tmp_path):
    """In a folder that does not exist yet."""
    fsspec = pytest.importorskip("fsspec")
    folder = tmp_path.as_posix() if store == "file" else "/store"
    url, first, second = f"{store}://{folder}/new/a.png", Picture(samples("L")), Picture(samples("L")[::-1].copy())
    try:
        write_picture(url, first)
        with pytest.raises(ExistsError):
            write_picture(url, second)
        assert_array_equal(read_picture(url).pixels, first.pixels)
        write_picture(url, second, overwrite=True)
        assert_array_equal(read_picture(url).pixels, second.pixels)
    finally:
        fsspec.filesystem(store).rm(f"{folder}/new", recursive=True)


def unwritable(path: Path, *words: str, picture: Picture | None = None) -> None:
    with pytest.raises(InputError) as caught:
        write_picture(path, picture or Picture(samples("RGB")))
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save = Image.Image.save

    def save_while_another_writes(*args, **options):
        save(*args, **options)
        path.write_bytes(b"precious")

    monkeypatch.setattr(Image.Image, "save", save_while_another_writes)
    unwritable(path, "exists")
    assert path.read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), struct.error("ushort format")])
def test_a_failure_midway_leaves_nothing(tmp_path, monkeypatch, overwrite, error):
    path = tmp_path / "a.png"
    if overwrite:
        path.write_bytes(b"precious")

    def failing(_, stream, *__, **___):
        stream.write(b"half a picture")
        raise error

    monkeypatch.setattr(Image.Image, "save", failing)
    with pytest.raises(ScoreinvError, match=r"a\.png: writing failed \((No space left on device|ushort)") as caught:
        write_picture(path, Picture(samples("L")), overwrite=overwrite)
    assert not isinstance(caught.value, InputError)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([b"precious"] if overwrite else [])


def test_bad_outputs(tmp_path, monkeypatch):
    unwritable(tmp_path / "a.xyz", ".xyz", ".png")
    unwritable(tmp_path / "a", "without suffix")
    unwritable(tmp_path / "no" / "a.png", "no folder")
    (tmp_path / "folder.png").mkdir()
    unwritable(tmp_path / "folder.png", "folder")
    check_output(tmp_path / "fine.PNG")

    def read_only(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(InputError, match=r"is not writable \(Permission denied"):
        check_output(tmp_path / "a.png")
    monkeypatch.setattr(Path, "stat", read_only)
    unwritable(tmp_path / "a.png", "cannot be written (Permission denied)")


@pytest.mark.parametrize("path", ["", "a\0b.png", "\ud800.png"])
def test_wrong_paths_are_refused(path):
    words = "not a valid file name|cannot be written" if path else "is a folder|without suffix"
    for use in (read_picture, check_output, lambda path: write_picture(path, Picture(samples("L")))):
        with pytest.raises(InputError, match=words):
            use(path)


def test_the_limits_of_jpeg_and_webp(tmp_path, caplog):
    unwritable(tmp_path / "a.jpg", "transparency", ".png", picture=Picture(samples("RGBA")))
    opaque = samples("RGBA")
    opaque[..., 3] = 255
    write_picture(tmp_path / "opaque.jpg", Picture(opaque))
    assert read_picture(tmp_path / "opaque.jpg").mode == "RGB"
    for suffix, longest in (("webp", 16383), ("jpg", 65500), ("heic", 16384), ("avif", 16384)):
        unwritable(tmp_path / f"wide.{suffix}", str(longest), picture=Picture(np.zeros((1, longest + 1), np.uint8)))
    unwritable(tmp_path / "a.png", "8 or 16 bits", picture=Picture(np.zeros((2, 2), np.float32)))
    with caplog.at_level(logging.WARNING):
        write_picture(tmp_path / "deep.webp", Picture(samples("RGB", np.uint16)))
    assert "16 are rounded" in caplog.text
    assert_array_equal(read_picture(tmp_path / "deep.webp").pixels, np.rint(samples("RGB", np.uint16) / 257))
    for dpi, kept in (((300.0, 65535.4), (300, 65535)), ((300.0, 70000.0), None)):
        assert read_picture(picture_bytes(Picture(samples("L"), Metadata(dpi=dpi)), "a.jpg")).metadata.dpi == kept


# --- what is no file --------------------------------------------------------------------------------------------------


@pytest.fixture
def special(tmp_path: Path) -> Iterator[list[Path]]:
    """A pipe, a socket and a link to a device, with names of pictures."""
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.png"))
        (tmp_path / "device.png").symlink_to("/dev/null")
        yield [tmp_path / "pipe.png", tmp_path / "socket.png", tmp_path / "device.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipes_and_devices_are_neither_read_nor_replaced(special, tmp_path):
    before = sorted(tmp_path.iterdir())
    for path, kind in zip(special, ("a pipe", "a socket", "a device"), strict=True):
        with pytest.raises(InputError, match=f"{path.name}: is {kind}.*pass -"):
            read_picture(path)
        for overwrite in (False, True):
            with pytest.raises(InputError, match="cannot be replaced"):
                write_picture(path, Picture(samples("L")), overwrite=overwrite)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO(special[0].stat().st_mode)
    assert special[2].is_symlink()
