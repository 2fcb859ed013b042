"""Zip files of pictures from strangers: what they hold is judged by their table before any of it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from scoreinv.errors import InputError

ENTRY_BYTES = 256_000_000
"""What an entry may unfold to: more than any picture file that is trained on."""

_ENCRYPTED = 1


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip file; raises InputError when it is none, or a damaged one."""
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # of a damaged table every kind of error comes through
        raise InputError(f"{path}: neither a folder nor a readable zip file") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry's content; raises InputError when it is damaged, encrypted, or declares to be larger than a picture."""
    entry = archive.getinfo(name)
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"{name}: is encrypted")
    if entry.file_size > ENTRY_BYTES:
        raise InputError(f"{name}: unfolds to {entry.file_size / 1e6:.0f} MB, of which no picture is")
    try:
        return archive.read(entry)  # no more than it declares
    except Exception as error:
        raise InputError(f"{name}: damaged in the zip file") from error
