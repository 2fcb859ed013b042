"""Zip files of pictures from strangers: the table and what each entry declares are judged before any of it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from scoreinv.errors import InputError
from scoreinv.imaging.read import PREFIX_BYTES, check_kind

ENTRY_BYTES = 256_000_000
"""What an entry may unfold to: more than any picture file that is trained on. It is read into memory as a whole."""

_ENCRYPTED = 1
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # other methods take memory that the table does not declare


def open_archive(path: Path) -> zipfile.ZipFile:
    """A zip file; raises InputError when it is none, or a damaged one."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # of a damaged table every kind of error comes through
        raise InputError(f"{path}: neither a folder nor a readable zip file") from error
    if sum(entry.compress_size for entry in archive.infolist()) > path.stat().st_size:
        archive.close()
        raise InputError(f"{path}: its members overlap: the zip file is damaged, or made to take all space")
    return archive


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of a picture's entry.

    Raises InputError when it is damaged, encrypted, packed by a rare method, larger than a picture, or not a picture.
    """
    name = entry.filename
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"{name}: is encrypted")
    if entry.compress_type not in _BOUNDED:
        raise InputError(f"{name}: compressed by a rare method, whose memory has no bound: use plain zip")
    if entry.file_size > ENTRY_BYTES:
        raise InputError(f"{name}: unfolds to {entry.file_size / 1e6:.0f} MB, too large for a picture")
    try:
        with archive.open(entry) as stream:
            prefix = stream.read(PREFIX_BYTES)
        check_kind(prefix, name)
        return archive.read(entry)  # no more than it declares
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: damaged in the zip file") from error
