"""Training pictures: files in a folder (recursively) or a zip, or the records of a TFRecord file or an LMDB.

They are decoded once to 8-bit arrays and cached in a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from PIL import Image

from scoreinv.files.guard import reason
from scoreinv.files.read import SUFFIXES, decode, is_picture
from scoreinv.imaging.picture import Picture, eight_bits
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.options import BELOW_ONE, Number, Whole, check_settings, require
from scoreinv.system.text import printable
from scoreinv.training.data.tfrecord import example_picture, record_places

_log = logging.getLogger(__name__)

BUILTIN = Path(__file__).parent / "builtin"
"""The small set of photographs for training without other data."""

ENTRY_BYTES = 256_000_000
"""Largest size of an entry of a zip file, unpacked."""
_HASHED_BYTES = 2**26
_TRANSIENT = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""Errors of the system, not of the file: reading may succeed another time."""
_SAMPLE = re.compile(r"/samples/step-\d+\.png$")  # a sample grid of a training run
_AT_ONCE = 32  # number of pictures decoded by the threads
_ZOOMED_SIDES = 1.5  # shorter side of a picture for zooms, relative to the drawn side
_ENLARGED_PIXELS = 2**26


@dataclass(frozen=True)
class DataConfig:
    """Training pictures, and how crops are drawn from them; `TrainingConfig.drawn_side` is the side of a crop.

    Attributes:
        source: a folder (read recursively), a zip file, a TFRecord file of pictures, or LSUN's LMDB; None for the small
            built-in set of photographs.
        mode: `crops` of large pictures at several scales; `resize`, whole pictures with the shorter side resized to the
            drawn one, and a random part of the longer side; `zooms`, random squares from `least_zoom` of the shorter
            side up to all of it, resized; or `center`, the central square, resized, as in the reference implementation.
        scales: of the pictures to crop, at most 1; equally likely if the picture is large enough.
        least_zoom: side of the smallest square of `zooms`, as a share of the picture's shorter side.
        shares: share of a folder's pictures in each pass, drawn again for each pass, so that large sets of few subjects
            do not crowd out others: ((folder, share), ...). A share of 2 takes each picture twice; the default is 1.
        flip: mirror half of the pictures.
        shift: largest shift of a drawn picture in both directions, in pixels, reflected at its borders.
        dequantise: values (k + u) / 256 with u uniform on [0, 1) instead of k / 255.
        holdout: pictures to keep for validation: their paths in the source, file names, or file names without suffix.
        holdout_fraction: share of further pictures to keep for validation, chosen by a hash of their names.
        memory_gb: beyond this size, the decoded pictures in the run's folder are memory-mapped.
    """

    source: str | None = None
    mode: Literal["crops", "resize", "zooms", "center"] = "crops"
    scales: tuple[float, ...] = (1.0, 0.7, 0.5, 0.35, 0.25)
    least_zoom: Annotated[float, Number(None, 1.0)] = 0.5
    shares: tuple[tuple[str, float], ...] = ()
    flip: bool = True
    shift: Annotated[int, Whole(0, 1000)] = 0
    dequantise: bool = False
    holdout: tuple[str, ...] = ()
    holdout_fraction: Annotated[float, BELOW_ONE] = 0.05
    memory_gb: Annotated[float, Number(None)] = 6.0

    removed_fields: ClassVar = ("detail_candidates", "crops")

    def __post_init__(self) -> None:
        check_settings(self, "data.")
        require(all(0 < share <= 1000 for _, share in self.shares), "data.shares must lie in (0, 1000]")
        require(len(dict(self.shares)) == len(self.shares), "data.shares names a folder twice")
        require(self.source != "", "data.source is empty: name a folder or a zip file, or leave it out")
        require(bool(self.scales) and all(0 < scale <= 1 for scale in self.scales), "data.scales must lie in (0, 1]")


def _first_frame(content: bytes | Path, name: str) -> Picture:
    """Return the first frame of a picture file, given its content or its path."""
    return decode(content, 0, name=name if isinstance(content, bytes) else None).picture


@dataclass(frozen=True)
class PictureFile:
    """A picture in a source.

    Attributes:
        name: its path in the source, its number, or its key.
        version: changes with its content.
        read: returns its content, or its path.
        decode: returns the first frame of these, given the name for messages.
    """

    name: str
    version: tuple[int, int]
    read: Callable[[], bytes | Path]
    decode: Callable[[Any, str], Picture] = _first_frame


@contextmanager
def picture_files(config: DataConfig) -> Iterator[list[PictureFile]]:
    """Find the picture files of the source, sorted by name; a zip, TFRecord file or LMDB stays open during the block.

    Raises InputError if the source is none of these and no folder, or lacks pictures or names in the configuration.
    """
    source = BUILTIN if config.source is None else Path(config.source)
    with ExitStack() as stack:
        if (source / "data.mdb").is_file():
            files = _lmdb_files(source, stack)
        elif source.is_dir():
            found = (path for path in sorted(source.rglob("*")) if is_picture(path.relative_to(source)))
            files = [_file_of(path, source) for path in found if path.is_file() and not _is_of_run(path, source)]
        elif source.is_file() and not zipfile.is_zipfile(source):
            files = _tfrecord_files(source)
        elif source.is_file():
            files = _zip_files(source, stack)
        else:
            raise InputError(f"{source}: no such folder or file")
        if not files:
            raise InputError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
        refuse_absent([file.name for file in files], config)
        yield files


def check_source(config: DataConfig) -> None:
    """Raise InputError if the source is missing or lacks named pictures, judging by the names of its files."""
    with picture_files(config):
        pass


def class_names(source: Path) -> tuple[str, ...]:
    """Return the names of the class folders in a folder or zip; raise InputError if there are fewer than two."""
    with picture_files(DataConfig(str(source))) as files:
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
    """Return the names in `holdout` that match a picture: its path, its file name, and that without suffix."""
    path = PurePosixPath(name)
    return {name, path.name, path.stem}


def _is_of_run(path: Path, source: Path) -> bool:
    """Return whether a picture in the source is a sample grid of a training run, or in the folder of its evaluation."""
    folders = (folder for folder in path.relative_to(source).parents if folder.name == "evaluation")
    is_evaluation = any((source / folder.parent / "metrics.jsonl").is_file() for folder in folders)
    return is_evaluation or _SAMPLE.search(path.as_posix()) is not None


def _file_of(path: Path, source: Path) -> PictureFile:
    stat = path.stat()
    return PictureFile(path.relative_to(source).as_posix(), (stat.st_size, stat.st_mtime_ns), partial(Path, path))


def _zip_files(source: Path, stack: ExitStack) -> list[PictureFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(source))
    except Exception as error:  # damaged tables raise all kinds of errors
        raise InputError(f"{source}: cannot be read as a zip file ({error})") from error

    def read(entry: zipfile.ZipInfo) -> bytes:
        name, size = entry.filename, entry.file_size
        require(
            size <= ENTRY_BYTES, f"{name}: unfolds to more than {ENTRY_BYTES / 1e6:.0f} MB, too large for a picture"
        )
        try:
            return archive.read(entry)  # no more than the size that was just checked
        except Exception as error:  # damaged and encrypted entries raise all kinds of errors
            raise InputError(f"{name}: cannot be read from the zip file ({error})") from error

    entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
    pictures = [entry for entry in entries if is_picture(PurePosixPath(entry.filename))]
    return [PictureFile(each.filename, (each.file_size, each.CRC), partial(read, each)) for each in pictures]


def _tfrecord_files(source: Path) -> list[PictureFile]:
    def read(offset: int, length: int) -> bytes:
        with source.open("rb") as file:  # several threads read
            file.seek(offset)
            return file.read(length)

    changed = source.stat().st_mtime_ns
    return [
        PictureFile(f"{number:08d}", (length, changed), partial(read, offset, length), example_picture)
        for number, (offset, length) in enumerate(record_places(source))
    ]


def _lmdb_files(source: Path, stack: ExitStack) -> list[PictureFile]:
    """Return the pictures of an LMDB such as LSUN's, which holds encoded files by key."""
    try:
        lmdb = import_module("lmdb")
    except ImportError as error:
        raise InputError(f"{source}: an LMDB needs the package lmdb: pip install lmdb") from error
    try:
        environment = stack.enter_context(lmdb.open(str(source), readonly=True, lock=False, readahead=False))
    except lmdb.Error as error:
        raise InputError(f"{source}: no readable LMDB: {error}") from error

    def read(key: bytes) -> bytes:
        with environment.begin() as transaction:
            return bytes(transaction.get(key))

    changed = (source / "data.mdb").stat().st_mtime_ns
    with environment.begin() as transaction:
        keys = list(transaction.cursor().iternext(values=False))
    return [PictureFile(os.fsdecode(key), (0, changed), partial(read, key)) for key in keys]


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        names: paths inside the source.
        levels: for each picture, HxWxC uint8 arrays from the finest scale to the coarsest.
        labels: (N,) indices into `classes`; None without class folders.
        classes: names of the class folders, sorted.
        digest: hash of the names and contents of the files, independent of the source's path.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[np.ndarray, ...], ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    digest: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Sequence[int]) -> Pictures:
        """Return some of the pictures, in this order; the digest is that of all."""
        labels = None if self.labels is None else self.labels[list(indices)]
        names, levels = tuple(self.names[i] for i in indices), tuple(self.levels[i] for i in indices)
        return replace(self, names=names, levels=levels, labels=labels)


@dataclass(frozen=True)
class _Decoded:
    """A picture with its name, its levels, and the checksum of its file."""

    name: str
    levels: tuple[np.ndarray, ...]
    checksum: int


def load_pictures(
    config: DataConfig, side: int, channels: int, *, cache: Path | None = None, limit: int | None = None
) -> Pictures:
    """Decode the pictures of the source, in the order of their names; leave out damaged ones with a warning.

    Args:
        config: the source and the scales.
        side: of the drawn pictures, in pixels.
        channels: 1 or 3.
        cache: folder for the decoded pictures; later calls read them, and map them if they exceed `memory_gb`.
        limit: largest number of files, chosen by a hash of their names; they stay within `memory_gb`.

    Raises:
        InputError: the source is missing, holds no readable picture, or lacks a named one; the cache cannot be written.
    """
    with picture_files(config) as files:
        if limit is not None:
            chosen = sorted(files, key=lambda file: _name_hash(file.name))[:limit]
            some = _within_memory(_decode(chosen, config, side, channels), config)
            decoded = sorted(some, key=lambda picture: picture.name)
        elif cache is None:
            decoded = list(_decode(files, config, side, channels))
        else:
            decoded = _cached(files, config, side, channels, cache)
    if not decoded:
        source = config.source or "the built-in pictures"
        raise InputError(f"{source}: none of its {len(files)} pictures is readable")
    names = tuple(picture.name for picture in decoded)
    digest = _hash([(picture.name, picture.checksum) for picture in decoded])
    return Pictures(names, tuple(picture.levels for picture in decoded), *class_labels(names), digest)


def split(pictures: Pictures, config: DataConfig) -> tuple[Pictures, Pictures]:
    """Return training and held-out pictures, split by name only, so that added pictures do not move others.

    Raises InputError if a name in `holdout` or a folder in `shares` has no readable picture, or no picture is left to
    train on.
    """
    refuse_absent(pictures.names, config)
    wanted, names = set(config.holdout), pictures.names
    by_hash = sorted(range(len(names)), key=lambda index: _name_hash(names[index]))
    named = {index for index in by_hash if wanted & aliases(names[index])}
    others = [index for index in by_hash if index not in named]
    count = sum(_name_hash(names[index]) < config.holdout_fraction for index in others)
    if config.holdout_fraction > 0 and not named:
        count = min(max(count, 1), len(others) - 1)
    if count == len(others):
        raise InputError("every picture is held out: nothing is left to train on")
    return pictures.subset(sorted(others[count:])), pictures.subset(sorted([*named, *others[:count]]))


def _within_memory(decoded: Iterator[_Decoded], config: DataConfig) -> Iterator[_Decoded]:
    """Yield pictures until their total size exceeds `memory_gb`."""
    size = 0
    for picture in decoded:
        yield picture
        size += sum(level.nbytes for level in picture.levels)
        if size > config.memory_gb * 2**30:
            return


def _cached(files: list[PictureFile], config: DataConfig, side: int, channels: int, cache: Path) -> list[_Decoded]:
    """Return all pictures from the cache; first write it unless it holds these files in this decoding."""
    versions = [(file.name, file.version) for file in files]
    key = _hash([config.mode, config.scales if config.mode == "crops" else (), side, channels, versions])[:16]
    values, description = cache / f"pictures-{key}.bin", cache / f"pictures-{key}.json"
    try:
        if not (values.exists() and description.exists()):
            cache.mkdir(parents=True, exist_ok=True)
            for old in cache.glob(f"pictures-{16 * '[0-9a-f]'}.*"):
                old.unlink()
            _write_cache(_decode(files, config, side, channels), values, description)
        is_mapped = values.stat().st_size > config.memory_gb * 2**30
        flat = np.memmap(values, np.uint8, mode="r") if is_mapped else np.fromfile(values, np.uint8)
        index = json.loads(description.read_text())
    except ValueError:  # a damaged description
        description.unlink()
        return _cached(files, config, side, channels, cache)
    except OSError as error:
        remedy = "make room, or use fewer data.scales"
        raise InputError(f"{cache}: the decoded pictures cannot be stored ({error}): {remedy}") from error
    decoded, offset = [], 0
    for name, shapes, checksum in index:
        pyramid = []
        for shape in shapes:
            count = math.prod(shape)
            pyramid.append(flat[offset : offset + count].reshape(shape))
            offset += count
        decoded.append(_Decoded(name, tuple(pyramid), checksum))
    return decoded


def _write_cache(pictures: Iterator[_Decoded], values: Path, description: Path) -> None:
    """Write the values of all levels to one file, and names, shapes and checksums as JSON to another."""
    entries = []
    with atomic_write(values) as temporary, temporary.open("wb") as file:
        for picture in pictures:
            entries.append([picture.name, [level.shape for level in picture.levels], picture.checksum])
            for level in picture.levels:
                file.write(level.tobytes())
    with atomic_write(description) as temporary:
        temporary.write_text(json.dumps(entries))


def _decode(files: list[PictureFile], config: DataConfig, side: int, channels: int) -> Iterator[_Decoded]:
    """Yield the readable files in order, decoded by threads, a few at a time to save memory."""

    def attempt(file: PictureFile) -> _Decoded | Exception:
        try:
            content = file.read()
            picture = file.decode(content, file.name)
            return _Decoded(file.name, _pyramid(picture, file.name, config, side, channels), _checksum(content))
        except Exception as error:  # decoders raise all kinds of errors on damaged files
            return error

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), _AT_ONCE):
            some = files[start : start + _AT_ONCE]
            for file, result in zip(some, pool.map(attempt, some), strict=True):
                if not isinstance(result, Exception):
                    yield result
                elif _is_transient(result):
                    raise InputError(f"{file.name}: could not be read: {reason(result)}; try again, or remove it")
                else:
                    _log.warning("%s is left out: %s", printable(file.name), reason(result))


def _is_transient(error: BaseException | None) -> bool:
    """Return whether reading may succeed another time. Leaving such a picture out would make runs differ."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _TRANSIENT:
            return True
        error = error.__cause__ or error.__context__
    return False


def _checksum(content: bytes | Path) -> int:
    """Return the CRC-32 of the content of a picture; for very large files, of the beginning."""
    if isinstance(content, Path):
        with content.open("rb") as stream:
            content = stream.read(_HASHED_BYTES)
    return zlib.crc32(content)


def _pyramid(picture: Picture, name: str, config: DataConfig, side: int, channels: int) -> tuple[np.ndarray, ...]:
    """Return a picture at the scales of training, HxWxC uint8, finest first.

    Pictures are reduced by area averaging, those of the mode `center` by a bicubic filter. A picture that is smaller
    than a crop is enlarged to its size, as its only level. Zooms use one level, with a shorter side of at most
    `_ZOOMED_SIDES` times the drawn side.
    """
    pixels = np.atleast_3d(picture.pixels)[..., : -1 if picture.has_alpha else None]
    pixels = np.ascontiguousarray(eight_bits(pixels) if pixels.dtype == np.uint16 else pixels)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("L" if channels == 1 else "RGB")
    width, height = image.size
    if config.mode == "center":
        least = min(width, height)
        left, top = (width - least) // 2, (height - least) // 2
        square = image.crop((left, top, left + least, top + least)).resize((side, side), Image.Resampling.BICUBIC)
        return (np.atleast_3d(np.asarray(square)),)
    if config.mode == "crops":
        sizes = [(round(width * scale), round(height * scale)) for scale in sorted(config.scales, reverse=True)]
        sizes = [size for size in sizes if min(size) >= side]
    elif config.mode == "zooms":
        scale = min(1.0, _ZOOMED_SIDES * side / min(width, height))
        sizes = [(max(1, round(width * scale)), max(1, round(height * scale)))]
    else:
        sizes = []
    if not sizes:
        scale = side / min(width, height)
        sizes = [(max(round(width * scale), side), max(round(height * scale), side))]
        if math.prod(sizes[0]) > _ENLARGED_PIXELS:
            raise InputError(f"{name}: {width}x{height} is too narrow: it would be enlarged to {side} pixels")
    levels = []
    for size in sizes:
        method = Image.Resampling.BOX if size[0] <= width else Image.Resampling.BICUBIC
        level = image if size == image.size else image.resize(size, method)
        levels.append(np.atleast_3d(np.asarray(level)))
    return tuple(levels)


def _name_hash(name: str) -> float:
    """Return a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big") / 2**56


def _hash(values: list[Any]) -> str:
    """Return the SHA-256 of values as JSON."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
