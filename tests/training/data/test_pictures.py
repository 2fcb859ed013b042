"""Pictures from folders and zips."""

import logging
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.gaussian import write_noise_pictures
from support.small_runs import write_gradient

from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig
from scoreinv.training.data.pictures import check_source, class_labels, class_names, load_pictures, split


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pictures of several sizes and modes in class folders, two of them broken."""
    folder = tmp_path / "data"
    write_gradient(folder / "cat/a.png", 40, 30)
    write_gradient(folder / "dog/b.png", 20, 64)
    Image.fromarray(np.full((12, 12), 40000, np.uint16)).save(folder / "cat/deep.png")
    Image.fromarray(np.full((16, 16, 4), (10, 20, 30, 0), np.uint8)).save(folder / "dog/alpha.png")
    (folder / "cat/broken.png").write_bytes((folder / "cat/a.png").read_bytes()[:60])
    (folder / "dog/text.jpg").write_text("not a picture")
    (folder / "readme.txt").write_text("not counted")
    return folder


def test_broken_pictures_are_warned_of_once_and_cost_nothing_else(mixed, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = load_pictures(DataConfig(str(mixed), scales=(1.0, 0.5)), 16, 3)
    assert loaded.names == ("cat/a.png", "cat/deep.png", "dog/alpha.png", "dog/b.png")
    for broken in ("cat/broken.png", "dog/text.jpg"):
        assert sum(broken in record.getMessage() for record in caplog.records) == 1
    assert loaded.classes == ("cat", "dog")
    assert loaded.labels.tolist() == [0, 0, 1, 1]
    shapes = [[level.shape for level in levels] for levels in loaded.levels]
    # Too small for a crop: enlarged to one. Too small at half size: that scale left out.
    assert shapes == [[(30, 40, 3)], [(16, 16, 3)], [(16, 16, 3)], [(64, 20, 3)]]
    assert set(np.unique(loaded.levels[1][0])) == {round(40000 / 257)}
    assert loaded.levels[2][0][0, 0].tolist() == [10, 20, 30]


def test_classes_are_the_first_folders_if_all_pictures_have_one_and_there_are_two(mixed, tmp_path) -> None:
    assert class_names(mixed) == ("cat", "dog")
    assert class_labels(["b/1.png", "a/x/2.png", "b/3.png"])[0].tolist() == [1, 0, 1]
    for names in (["a/1.png", "2.png", "b/3.png"], ["a/1.png", "a/b/2.png"]):
        assert class_labels(names) == (None, ())
    with pytest.raises(InputError, match="no folders that could be classes"):
        class_names(mixed / "cat")


def test_a_zip_holds_the_same_pictures_as_its_folder(mixed: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(mixed.rglob("*")):
            file.write(path, path.relative_to(mixed))
    folder, zipped = (load_pictures(DataConfig(str(path)), 8, 1) for path in (mixed, archive))
    assert folder.names == zipped.names
    assert folder.labels.tolist() == zipped.labels.tolist()
    for one, other in zip(folder.levels, zipped.levels, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_sources_without_pictures_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.zip").write_bytes(b"no zip")
    cases = {"": "none of its 1", "empty": "no pictures", "file.zip": "neither", "absent": "no such"}
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            load_pictures(DataConfig(str(tmp_path / name)), 8, 3)
    Image.new("L", (1, 2**14)).save(tmp_path / "empty/thread.png")
    with pytest.raises(InputError, match="none of its 1"):
        load_pictures(DataConfig(str(tmp_path / "empty")), 128, 1)
    assert "thread.png: 1x16384 is too narrow" in caplog.text


def _zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    """A picture file's bytes."""
    write_gradient(tmp_path / "good.png", 20, 20)
    return (tmp_path / "good.png").read_bytes()


def test_the_name_of_an_entry_is_on_one_line_of_the_log(good: bytes, tmp_path: Path, caplog) -> None:
    archive = _zip_of(tmp_path / "a.zip", {"good.png": good, "x\nERROR \x1b[2Jforged.png": b"no picture"})
    load_pictures(DataConfig(str(archive)), 8, 3)
    (record,) = caplog.records
    assert record.getMessage().isprintable()


def test_entries_that_are_damaged_encrypted_or_too_large_are_left_out(good: bytes, tmp_path: Path, caplog) -> None:
    archive = _zip_of(tmp_path / "a.zip", {f"{name}.png": good for name in "abcd"})
    whole = bytearray(archive.read_bytes())
    damaged, entries = whole.copy(), [match.start() for match in re.finditer(b"PK\x01\x02", whole)]
    damaged[45:65] = bytes(20)  # in a.png
    damaged[entries[1] + 8] |= 1  # b.png is encrypted
    damaged[entries[2] + 24 : entries[2] + 28] = (300_000_000).to_bytes(4, "little")  # size of c.png
    archive.write_bytes(damaged)
    assert load_pictures(DataConfig(str(archive)), 8, 3).names == ("d.png",)
    assert "c.png: unfolds to more than 256 MB" in caplog.text
    for name in "ab":
        assert f"{name}.png: cannot be read from the zip file" in caplog.text
    whole[entries[0] + 6] = 101  # needs version 10.1 of the format
    archive.write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.zip: cannot be read as a zip file"):
        load_pictures(DataConfig(str(archive)), 8, 3)


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_neither_devices_nor_pipes_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    write_gradient(tmp_path / "a.png", 20, 20)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    assert load_pictures(DataConfig(str(tmp_path)), 8, 3).names == ("a.png",)
    assert not caplog.records  # they are no pictures that could not be read
    for source in ("/dev/zero", tmp_path / "pipe.png"):
        with pytest.raises(InputError, match="no such folder or file"):
            load_pictures(DataConfig(str(source)), 8, 3)


def test_outputs_of_runs_are_no_training_pictures(tmp_path: Path) -> None:
    write_gradient(tmp_path / "photos/a.png", 20, 20)
    for run in (".", "runs/one"):  # a run in the folder of the pictures itself, and one below it
        write_gradient(tmp_path / run / "samples/step-000001000.png", 20, 20)
        for drawn in ("real/000000.png", "0123456789abcdef/step-000001000/000000.png", "evaluation.png"):
            write_gradient(tmp_path / run / "evaluation" / drawn, 20, 20)
        (tmp_path / run / "metrics.jsonl").touch()
    mine = ("evaluation/a.png", "samples/mine.png")
    for name in mine:
        write_gradient(tmp_path / "others" / name, 20, 20)
    names = load_pictures(DataConfig(str(tmp_path)), 8, 3).names
    assert names == (*(f"others/{name}" for name in mine), "photos/a.png")
    real = tmp_path / "runs/one/evaluation/real"  # named itself
    assert load_pictures(DataConfig(str(real)), 8, 3).names == ("000000.png",)


def test_the_digest_is_of_names_and_contents_wherever_they_lie(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write_gradient(folder / "a.png", 20, 20)
    write_gradient(folder / "b.png", 20, 20)

    def digest(source: Path) -> str:
        return load_pictures(DataConfig(str(source)), 8, 3).digest

    first = digest(folder)
    archive = _zip_of(tmp_path / "one.zip", {name: (folder / name).read_bytes() for name in ("a.png", "b.png")})
    os.utime(folder / "a.png", ns=(0, 0))
    assert digest(folder) == digest(archive) == digest(folder.rename(tmp_path / "moved")) == first
    changed = tmp_path / "moved" / "a.png"
    Image.fromarray(np.full((20, 20, 3), 7, np.uint8)).save(changed)
    other = digest(tmp_path / "moved")
    assert other != first
    changed.rename(changed.with_name("aa.png"))
    assert digest(tmp_path / "moved") not in (first, other)


def test_names_that_are_missing_are_told_before_any_picture_is_read(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"not readable")
    for data, said in (
        (DataConfig(str(tmp_path), holdout=("a", "absent")), "holdout: there is no readable picture named absent"),
        (DataConfig(str(tmp_path), shares=(("b", 0.5),)), "there is no folder of pictures named b"),
    ):
        for look in (check_source, lambda data: load_pictures(data, 8, 3)):
            with pytest.raises(InputError, match=said):
                look(data)


def test_holdout_is_by_name_and_stable(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 60, 8, 0.5, 0.1)
    loaded = load_pictures(DataConfig(str(tmp_path)), 8, 1)
    training, held = split(loaded, DataConfig(holdout=("0007.png", "0011"), holdout_fraction=0.2))
    assert {"0007.png", "0011.png"} <= set(held.names)
    assert set(training.names).isdisjoint(held.names)
    assert len(training) + len(held) == 60
    assert 5 <= len(held) <= 25
    fewer, held_of_fewer = split(loaded.subset(range(30)), DataConfig(holdout_fraction=0.2))
    assert set(held_of_fewer.names) <= set(held.names)
    assert set(fewer.names) <= set(training.names) | {"0007.png", "0011.png"}
    with pytest.raises(InputError, match=r"absent\.png"):
        split(loaded, DataConfig(holdout=("absent.png",)))
    with pytest.raises(InputError, match="held out"):
        split(loaded.subset([0]), DataConfig(holdout=("0000.png",)))
    for picture in range(60):  # one alone is trained on, whatever its name
        alone, none_held = split(loaded.subset([picture]), DataConfig(holdout_fraction=0.5))
        assert (len(alone), len(none_held)) == (1, 0)


@pytest.mark.parametrize("memory_gb", [6.0, 1e-6], ids=["in memory", "mapped"])
def test_decoded_pictures_are_kept_and_found_again(mixed: Path, tmp_path: Path, memory_gb: float) -> None:
    data, cache = DataConfig(str(mixed), scales=(1.0, 0.5), memory_gb=memory_gb), tmp_path / "cache"
    plain = load_pictures(replace(data, memory_gb=6.0), 8, 3)
    first = load_pictures(data, 8, 3, cache=cache)
    picture, before = mixed / "cat/a.png", (mixed / "cat/a.png").stat()
    picture.write_bytes(bytes(before.st_size))  # decoding it again would fail
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_pictures(data, 8, 3, cache=cache)
    for loaded in (first, second):
        assert (loaded.names, loaded.digest) == (plain.names, plain.digest)
        for one, other in zip(plain.levels, loaded.levels, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    picture.unlink()
    assert "cat/a.png" not in load_pictures(data, 8, 3, cache=cache).names


@pytest.mark.parametrize("description", [None, "[["])
def test_a_cache_whose_description_is_lost_or_damaged_is_made_anew(tmp_path: Path, description: str | None) -> None:
    write_gradient(tmp_path / "a.png", 20, 20)
    data, cache = DataConfig(str(tmp_path), scales=(1.0,)), tmp_path / "cache"
    first = load_pictures(data, 8, 3, cache=cache)
    (path,) = cache.glob("*.json")
    path.unlink()
    if description is not None:
        path.write_text(description)
    again = load_pictures(data, 8, 3, cache=cache)
    assert (again.names, again.digest) == (first.names, first.digest)
    assert np.array_equal(again.levels[0][0], first.levels[0][0])
    assert path.exists()


def test_a_cache_that_cannot_be_written_is_named(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match="cache: the decoded pictures cannot be stored"):
        load_pictures(DataConfig(str(mixed)), 8, 3, cache=tmp_path / "cache")
