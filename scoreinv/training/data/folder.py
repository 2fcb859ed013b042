"""Picture files of a training set: found in a folder (recursively) or a zip file, read one at a time."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from scoreinv.files.read import SUFFIXES, decode, is_picture
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig

BUILTIN = Path(__file__).parent / "builtin"
"""The small set of photographs for training without other data."""

_HASHED_BYTES = 2**26
_SAMPLE = re.compile(r"/samples/step-\d+\.png$")  # a sample grid of a training run


@dataclass(frozen=True)
class PictureFile:
    """A picture file in a folder, or an entry of a zip file; `version` changes with its content."""

    name: str
    version: tuple[int, int]
    content: Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]

    def picture(self) -> Picture:
        """Decode the first frame."""
        if isinstance(self.content, Path):
            return decode(self.content, 0).picture
        archive, entry = self.content
        try:
            content = archive.read(entry)
        except Exception as error:  # damaged and encrypted entries raise all kinds of errors
            raise InputError(f"{self.name}: cannot be read from the zip file ({error})") from error
        return decode(content, 0, name=f"{archive.filename}/{self.name}").picture

    def checksum(self) -> int:
        """Return the CRC-32 of the content; for very large files, of the beginning."""
        if isinstance(self.content, Path):
            with self.content.open("rb") as stream:
                return zlib.crc32(stream.read(_HASHED_BYTES))
        return self.content[1].CRC


@contextmanager
def picture_files(config: DataConfig) -> Iterator[list[PictureFile]]:
    """Find the picture files of the source, sorted by name; a zip file stays open during the block.

    Raises InputError if the source is neither a folder nor a zip file, or lacks pictures or names in the configuration.
    """
    source = BUILTIN if config.source is None else Path(config.source)
    with _files(source) as files:
        refuse_absent([file.name for file in files], config)
        yield files


def check_source(config: DataConfig) -> None:
    """Raise InputError if the source is missing or lacks named pictures, judging by the names of its files."""
    with picture_files(config):
        pass


def class_names(source: Path) -> tuple[str, ...]:
    """Return the names of the class folders in a folder or zip; raise InputError if there are fewer than two."""
    with _files(source) as files:
        classes = class_labels([file.name for file in files])[1]
    if not classes:
        raise InputError(f"{source}: holds no folders that could be classes, each with its pictures")
    return classes


def class_labels(names: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return labels and classes by the first folder of each name, if all names have one and they differ."""
    paths = [PurePosixPath(name).parts for name in names]
    folders = [path[0] for path in paths if len(path) > 1]
    classes = sorted(set(folders))
    if len(folders) < len(names) or len(classes) < 2:
        return None, ()
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[folder] for folder in folders]), tuple(classes)


def refuse_absent(names: Sequence[str], config: DataConfig) -> None:
    """Raise InputError if a name in `holdout` matches no picture, or a folder in `shares` has none."""
    absent = {name for name, _ in config.shares} - {PurePosixPath(name).parts[0] for name in names}
    if absent:
        raise InputError(f"data.shares: there is no folder of pictures named {', '.join(sorted(absent))}")
    unmatched = set(config.holdout).difference(*map(aliases, names))
    if unmatched:
        raise InputError(f"holdout: there is no readable picture named {', '.join(sorted(unmatched))}")


def aliases(name: str) -> set[str]:
    """Return the names in `holdout` that match a picture: with or without its folders and suffix."""
    path = PurePosixPath(name)
    return {name, path.name, path.stem}


@contextmanager
def _files(source: Path) -> Iterator[list[PictureFile]]:
    with ExitStack() as stack:
        if source.is_dir():
            found = (path for path in sorted(source.rglob("*")) if is_picture(path.relative_to(source)))
            stats = [(path, path.stat()) for path in found if path.is_file() and not _SAMPLE.search(path.as_posix())]
            files = [PictureFile(p.relative_to(source).as_posix(), (s.st_size, s.st_mtime_ns), p) for p, s in stats]
        elif source.is_file():
            try:
                archive = stack.enter_context(zipfile.ZipFile(source))
            except Exception as error:  # damaged tables raise all kinds of errors
                raise InputError(f"{source}: neither a folder nor a readable zip file") from error
            entries = sorted(archive.infolist(), key=lambda info: info.filename)
            pictures = [info for info in entries if is_picture(PurePosixPath(info.filename))]
            files = [PictureFile(i.filename, (i.file_size, i.CRC), (archive, i)) for i in pictures]
        else:
            raise InputError(f"{source}: no such folder or zip file")
        if not files:
            raise InputError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
        yield files
