"""Zip files of training pictures are judged before they are read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from scoreinv.errors import InputError
from scoreinv.training import archives
from scoreinv.training.archives import open_archive, read_entry
from scoreinv.training.config import DataConfig
from scoreinv.training.pictures import load_pictures


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 12), (10, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, entries: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_an_entry_that_unfolds_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(archives, "ENTRY_BYTES", 1000)
    path = tmp_path / "p.zip"
    write(path, {"bomb.png": png() + bytes(5000), "good.png": png()})
    read: list[str] = []
    original = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda self, entry: read.append(entry.filename) or original(self, entry)
    )
    assert load_pictures(DataConfig(source=str(path)), 8, 3).names == ("good.png",)
    assert read == ["good.png"]
    assert "bomb.png" in caplog.text


def test_damaged_and_encrypted_entries(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    content = write(path, {"a.png": png()})
    path.write_bytes(content[:45] + bytes(20) + content[65:])
    with open_archive(path) as archive, pytest.raises(InputError, match=r"a\.png: damaged"):
        read_entry(archive, archive.getinfo("a.png"))
    path.write_bytes(content)
    with open_archive(path) as archive:
        archive.getinfo("a.png").flag_bits |= 1
        with pytest.raises(InputError, match=r"a\.png: is encrypted"):
            read_entry(archive, archive.getinfo("a.png"))


def test_a_table_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    content = bytearray(write(path, {"a.png": png()}))
    content[content.index(b"PK\x01\x02") + 6] = 101  # needs version 10.1 of the format
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"p\.zip: neither a folder nor a readable zip file"):
        load_pictures(DataConfig(source=str(path)), 8, 3)
