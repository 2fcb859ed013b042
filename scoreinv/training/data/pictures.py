"""The training pictures: found, decoded once, and kept as 8-bit arrays at the scales that are trained on."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import re
import stat
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from scoreinv.errors import InputError
from scoreinv.files import atomic_write
from scoreinv.imaging.guard import reason
from scoreinv.imaging.picture import Picture, eight_bits
from scoreinv.imaging.read import SUFFIXES, decode, is_picture
from scoreinv.training.config import DataConfig

_log = logging.getLogger(__name__)

BUILTIN = Path(__file__).parent / "builtin"
"""The small set of photographs that training uses where no others are given."""

ENTRY_BYTES = 256_000_000
"""What an entry of a zip file may unfold to: more than any picture file, and it is read into memory as a whole."""

_ENCRYPTED = 1
_CACHED_FROM = 5000  # so many pictures take long enough to decode that the result is kept
_ZOOMED_SIDES = 1.5
_HASHED_BYTES = 2**26
_ENLARGED_PIXELS = 2**26
_SAMPLE = re.compile(r"step-\d+\.png")
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""Errors of the system that are no fault of the file."""


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        names: path of each inside the source.
        levels: of each picture, HxWxC uint8 arrays from the finest scale to the coarsest.
        labels: (N,) index into `classes`, or None when the source has no class folders.
        classes: names of the class folders, sorted.
        digest: changes with the names and contents of the files, wherever they lie.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[np.ndarray, ...], ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    digest: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Sequence[int]) -> Pictures:
        """Some of the pictures, in the order given; the digest stays that of all."""
        labels = None if self.labels is None else self.labels[list(indices)]
        names, levels = tuple(self.names[i] for i in indices), tuple(self.levels[i] for i in indices)
        return replace(self, names=names, levels=levels, labels=labels)


@dataclass(frozen=True)
class _Decoded:
    """One picture: its name, its pyramid, and a checksum of its file."""

    name: str
    levels: tuple[np.ndarray, ...]
    checksum: int


def load_pictures(
    config: DataConfig, side: int, channels: int, *, cache: Path | None = None, limit: int | None = None
) -> Pictures:
    """Decode the pictures of the source, in the order of their names; broken ones are warned of and left out.

    What a training run has drawn is no picture to train on (`samples/step-000001000.png` in a run's folder).

    With a `limit` at most so many files are taken, and no more than `memory_gb` of them, by a hash of their names. Many
    pictures, or more than `memory_gb` of them, are also kept in the folder `cache` (if given), where the next run finds
    them. Raises InputError when the source is missing or holds no readable picture, or lacks one that is named.
    """
    source = BUILTIN if config.source is None else Path(config.source)
    with ExitStack() as stack:
        files = _find(source, stack)
        _refuse_absent([file.name for file in files], config)
        if limit is not None:
            chosen = sorted(files, key=lambda file: _name_hash(file.name))[:limit]
            kept, _ = _filling_memory(_decoded(chosen, config, side, channels), config)
            decoded = sorted(kept, key=lambda picture: picture.name)
        else:
            # The key changes with the files, and with everything that decides how they are decoded.
            versions = [(file.name, file.version) for file in files]
            scales = config.scales if config.mode == "crops" else ()
            key = _hash([config.mode, scales, side, channels, versions])
            found = None if cache is None else _open_cache(cache, key, config.memory_gb)
            decoded = found or _decode_all(files, config, side, channels, key, cache)
    if not decoded:
        raise InputError(f"{source}: none of its {len(files)} pictures is readable")
    names = tuple(picture.name for picture in decoded)
    digest = _hash([(picture.name, picture.checksum) for picture in decoded])
    return Pictures(names, tuple(picture.levels for picture in decoded), *_class_labels(names), digest)


def check_source(config: DataConfig) -> None:
    """Raise InputError when the source is missing or lacks pictures that are named, by the names of its files."""
    with ExitStack() as stack:
        files = _find(BUILTIN if config.source is None else Path(config.source), stack)
        _refuse_absent([file.name for file in files], config)


def class_names(source: Path) -> tuple[str, ...]:
    """Names of the classes of a folder or zip, which are its own folders; InputError when it has fewer than two."""
    with ExitStack() as stack:
        classes = _class_labels([file.name for file in _find(source, stack)])[1]
    if not classes:
        raise InputError(f"{source}: holds no folders that could be classes, each with its pictures")
    return classes


def split(pictures: Pictures, config: DataConfig) -> tuple[Pictures, Pictures]:
    """Training and held-out pictures, told apart by name only, so that adding pictures moves none across.

    Raises InputError when a name of `holdout` belongs to no picture, a folder of `shares` has none, or nothing is left
    to train on.
    """
    _refuse_absent(pictures.names, config)  # those that cannot be read are found missing by now
    wanted = set(config.holdout)
    held = [
        index
        for index, name in enumerate(pictures.names)
        if wanted & _calls(name) or _name_hash(name) < config.holdout_fraction
    ]
    if not held and config.holdout_fraction > 0 and len(pictures) > 1:
        held = [min(range(len(pictures)), key=lambda index: _name_hash(pictures.names[index]))]
    kept = sorted(set(range(len(pictures))) - set(held))
    if not kept and not wanted and config.holdout_fraction < 1:
        kept = [max(held, key=lambda index: _name_hash(pictures.names[index]))]
        held = sorted(set(held) - set(kept))
    if not kept:
        raise InputError("every picture is held out: nothing is left to train on")
    return pictures.subset(kept), pictures.subset(held)


def _refuse_absent(names: Sequence[str], config: DataConfig) -> None:
    """Raise InputError when a name of `holdout` belongs to no picture, or a folder of `shares` has none."""
    absent = {name for name, _ in config.shares} - {PurePosixPath(name).parts[0] for name in names}
    if absent:
        raise InputError(f"data.shares: there is no folder of pictures named {', '.join(sorted(absent))}")
    unmatched = set(config.holdout).difference(*map(_calls, names))
    if unmatched:
        raise InputError(f"holdout: there is no readable picture named {', '.join(sorted(unmatched))}")


def _calls(name: str) -> set[str]:
    """What a picture may be held out by."""
    path = PurePosixPath(name)
    return {name, path.name, path.stem}


@dataclass(frozen=True)
class _File:
    """A picture file to be decoded; `version` changes when the file does."""

    name: str
    version: tuple[int, int]
    content: Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]

    def picture(self) -> Picture:
        """Its first frame."""
        if isinstance(self.content, Path):
            return decode(self.content, 0).picture
        archive, member = self.content
        try:
            with archive.open(member) as stream:
                content = stream.read(ENTRY_BYTES + 1)  # whatever the table declares
        except Exception as error:
            fault = "is encrypted" if member.flag_bits & _ENCRYPTED else "damaged in the zip file"
            raise InputError(f"{self.name}: {fault}") from error
        if len(content) > ENTRY_BYTES:
            raise InputError(f"{self.name}: unfolds to more than {ENTRY_BYTES / 1e6:.0f} MB, too large for a picture")
        return decode(content, 0, name=f"{archive.filename}/{self.name}").picture

    def checksum(self) -> int:
        """CRC-32 of its content; of a very large file of its beginning."""
        if isinstance(self.content, Path):
            with self.content.open("rb") as stream:
                return zlib.crc32(stream.read(_HASHED_BYTES))
        return self.content[1].CRC


def _find(source: Path, stack: ExitStack) -> list[_File]:
    """The picture files of a folder or zip, sorted by name; an opened zip is closed by `stack`.

    Raises InputError when it is neither, or holds no pictures.
    """
    try:
        mode = source.stat().st_mode
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such folder or zip file") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        found = (path for path in source.rglob("*") if is_picture(path.relative_to(source)) and path.is_file())
        paths = sorted(path for path in found if not _is_sample(path))
        stats = ((path, path.stat()) for path in paths)
        files = [_File(p.relative_to(source).as_posix(), (s.st_size, s.st_mtime_ns), p) for p, s in stats]
    elif stat.S_ISREG(mode):
        try:
            archive = stack.enter_context(zipfile.ZipFile(source))
        except Exception as error:  # of a damaged table every kind of error comes through
            raise InputError(f"{source}: neither a folder nor a readable zip file") from error
        members = sorted(archive.infolist(), key=lambda info: info.filename)
        pictures = [info for info in members if is_picture(PurePosixPath(info.filename))]
        files = [_File(info.filename, (info.file_size, info.CRC), (archive, info)) for info in pictures]
    else:
        raise InputError(f"{source}: neither a folder nor a zip file")
    if not files:
        raise InputError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return files


def _is_sample(path: Path) -> bool:
    """Whether a picture lies in the folder of a training run, where the run has drawn it."""
    return (
        _SAMPLE.fullmatch(path.name) is not None
        and path.parent.name == "samples"
        and (path.parent.parent / "metrics.jsonl").exists()
    )


def _filling_memory(decoded: Iterator[_Decoded], config: DataConfig) -> tuple[list[_Decoded], bool]:
    """The pictures up to the first beyond `memory_gb`, and whether there was one."""
    kept, size = [], 0
    for picture in decoded:
        kept.append(picture)
        size += sum(level.nbytes for level in picture.levels)
        if size > config.memory_gb * 2**30:
            return kept, True
    return kept, False


def _decode_all(
    files: list[_File], config: DataConfig, side: int, channels: int, key: str, cache: Path | None
) -> list[_Decoded]:
    """All the files; many of them, and more than memory takes, are put into the cache, too, which is then mapped."""
    decoded = _decoded(files, config, side, channels)
    kept, beyond = _filling_memory(decoded, config)
    if beyond and cache is None:
        raise InputError(f"the decoded pictures take more than {config.memory_gb:g} GB: raise data.memory_gb")
    if cache is None or not (beyond or len(files) >= _CACHED_FROM):
        return kept
    try:
        drained = (kept.pop(0) for _ in range(len(kept)))  # each is forgotten once it is written
        _write_cache(cache, key, chain(drained, decoded) if beyond else kept)
    except OSError as error:
        if beyond:
            raise InputError(f"{cache}: no room for the decoded pictures ({error}): use fewer data.scales") from error
        _log.warning("the decoded pictures are not kept for the next run: %s", error)
    found = _open_cache(cache, key, config.memory_gb) if beyond else kept
    if found is None:
        raise InputError(f"{cache}: the decoded pictures cannot be read back")
    return found


def _decoded(files: list[_File], config: DataConfig, side: int, channels: int) -> Iterator[_Decoded]:
    """The readable files, in order, decoded by a pool of threads, a few ahead of who takes them."""

    def attempt(file: _File) -> _Decoded | Exception:
        try:
            return _Decoded(file.name, _pyramid(file, config, side, channels), file.checksum())
        except Exception as error:  # decoders raise all kinds on damaged files, and one picture ends no training
            return error

    threads = min(os.cpu_count() or 1, 16)
    with ThreadPoolExecutor(threads) as pool:
        rest = iter(files)
        begun = deque((file, pool.submit(attempt, file)) for file in islice(rest, 2 * threads))
        while begun:
            file, coming = begun.popleft()
            result = coming.result()
            begun.extend((file, pool.submit(attempt, file)) for file in islice(rest, 1))
            if isinstance(result, Exception):
                if _may_pass(result):
                    raise InputError(f"{file.name}: could not be read: {reason(result)}; try again, or remove it")
                _log.warning("%s is left out: %s", file.name, reason(result))
            else:
                yield result


def _may_pass(error: BaseException | None) -> bool:
    """Whether reading may succeed another time: such a picture would be missing in the cache, or in this run alone."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__ or error.__context__
    return False


def _pyramid(file: _File, config: DataConfig, side: int, channels: int) -> tuple[np.ndarray, ...]:
    """A file at the scales that it is trained at: HxWxC uint8, finest first.

    Scales are reduced by area averaging. A picture too small for a crop is enlarged to it, and only that scale is kept.
    Zooms are taken of the picture as it is, its shorter side reduced to `_ZOOMED_SIDES` times the drawn one.
    """
    picture = file.picture()
    pixels = np.atleast_3d(picture.pixels)[..., : -1 if picture.has_alpha else None]
    pixels = np.ascontiguousarray(eight_bits(pixels) if pixels.dtype == np.uint16 else pixels)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("L" if channels == 1 else "RGB")
    width, height = image.size
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
            raise InputError(f"{file.name}: {width}x{height} is too narrow: it would be enlarged to {side} pixels")
    levels = []
    for size in sizes:
        method = Image.Resampling.BOX if size[0] <= width else Image.Resampling.BICUBIC
        level = image if size == image.size else image.resize(size, method)
        levels.append(np.atleast_3d(np.asarray(level)))
    return tuple(levels)


def _class_labels(names: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels by the first folder of each name, when every picture lies in a folder and there are several."""
    paths = [PurePosixPath(name).parts for name in names]
    folders = [path[0] for path in paths if len(path) > 1]
    classes = sorted(set(folders))
    if len(folders) < len(names) or len(classes) < 2:
        return None, ()
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[folder] for folder in folders]), tuple(classes)


def _name_hash(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big") / 2**56


def _hash(values: list[Any]) -> str:
    """Of what can be written as JSON."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _cache_files(cache: Path, key: str) -> tuple[Path, Path]:
    return cache / f"pictures-{key[:16]}.bin", cache / f"pictures-{key[:16]}.json"


def _write_cache(cache: Path, key: str, pictures: Iterable[_Decoded]) -> None:
    """The values of all levels one after another, then their names and shapes, in place of those of another key."""
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.glob(f"pictures-{16 * '[0-9a-f]'}.*"):
        old.unlink()
    values, description = _cache_files(cache, key)
    index = []
    with atomic_write(values) as temporary, temporary.open("wb") as file:
        for picture in pictures:
            index.append([picture.name, [level.shape for level in picture.levels], picture.checksum])
            for level in picture.levels:
                file.write(level.tobytes())
    with atomic_write(description) as temporary:
        temporary.write_text(json.dumps(index))


def _open_cache(cache: Path, key: str, memory_gb: float) -> list[_Decoded] | None:
    """What `_write_cache` wrote, in memory if it fits, else mapped; None when there is no such file."""
    values, description = _cache_files(cache, key)
    try:
        index = json.loads(description.read_text())
        fits = values.stat().st_size <= memory_gb * 2**30
        flat = np.fromfile(values, np.uint8) if fits else np.memmap(values, np.uint8, mode="r")
        decoded, offset = [], 0
        for name, shapes, checksum in index:
            pyramid = []
            for shape in shapes:
                count = math.prod(shape)
                pyramid.append(flat[offset : offset + count].reshape(shape))
                offset += count
            decoded.append(_Decoded(name, tuple(pyramid), checksum))
    except (OSError, ValueError, TypeError):
        return None
    return decoded
