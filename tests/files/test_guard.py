"""Decoders at work: whatever they raise is one error, and they say nothing."""

import ctypes
import io
import logging
import threading
import warnings

import pytest
import tifffile
from PIL import BmpImagePlugin, Image, TiffImagePlugin
from support.picture_files import LONG, PIXELS, RATIONAL, SHORT, broken_deflate, plain, rare, refused, saved

from scoreinv.files import guard
from scoreinv.files.read import read_picture
from scoreinv.system.errors import InputError


@pytest.mark.parametrize("error", [RecursionError, StopIteration, MemoryError, OSError])
def test_whatever_a_decoder_raises_is_one_error(monkeypatch, error):
    def fail(*_):
        raise error("first line\nsecond line")

    bmp = saved(Image.fromarray(PIXELS), "BMP")
    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "_open", fail)
    refused(bmp, "not enough memory" if error is MemoryError else "BMP file")
    monkeypatch.setattr(tifffile.TiffPage, "asarray", fail)
    refused(rare())
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", fail)
    refused(plain())


def test_ctrl_c_is_no_damage(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_picture(plain())


DAMAGED = {
    "deflate": broken_deflate(),
    "tags": plain(change={270: (LONG, *range(50)), 282: (RATIONAL, 1, 0), 34675: (SHORT, 1, 2, 3)}),
    "samples": plain(change={277: (SHORT, 300), 258: (SHORT, 8)}, data=bytes(300 * 30)),  # Pillow logs
    "entries": rare()[:-30],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_nothing_is_said_but_the_error(name, capfd, recwarn):
    logging.getLogger().handlers, handlers = [], logging.getLogger().handlers  # then Python shows warnings on stderr
    try:
        read_picture(DAMAGED[name], 0)
    except InputError:
        assert name != "tags"
    finally:
        logging.getLogger().handlers = handlers
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_warnings_return_after_the_last_thread(capfd):
    filters = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with guard.guarded("a", "b"):
            inside.set()
            leave.wait(60)

    def speak() -> bool:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(DAMAGED["deflate"]))
        with pytest.raises(OSError, match="decoder error"):
            image.load()
        return "ZIPDecode" in capfd.readouterr().err

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(60)
    with guard.guarded("a", "b"):
        assert len(warnings.filters) == len(filters) + 1
    assert not logging.getLogger("tifffile").filter(logging.makeLogRecord({"name": "tifffile"}))
    assert not speak()
    leave.set()
    thread.join()
    assert warnings.filters == filters
    assert logging.getLogger("tifffile").filter(logging.makeLogRecord({"name": "tifffile"}))
    speaks = ctypes.CDLL(Image.core.__file__)  # Pillow's own libtiff may not be reached
    assert speak() or not hasattr(speaks, "TIFFSetErrorHandler")
