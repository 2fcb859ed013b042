"""Pictures from folders and zips, and batches as functions of (seed, step)."""

from __future__ import annotations

import errno
import logging
import os
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gaussian import write_noise_pictures
from PIL import Image
from small_runs import TINY, tiny_run

from scoreinv.errors import InputError
from scoreinv.files import atomic_write
from scoreinv.imaging.read import Decoded
from scoreinv.training import pictures as pictures_module
from scoreinv.training.batches import BatchSource
from scoreinv.training.config import DataConfig
from scoreinv.training.pictures import Pictures, check_source, load_pictures, split


def _source(pictures: Pictures, data: DataConfig, size: int, batch_size: int = 8, seed: int = 0) -> BatchSource:
    run = tiny_run(Path())
    model = replace(run.model, network=replace(TINY, channels=3), image_size=size)
    return BatchSource(replace(run, model=model, data=data), pictures, batch_size, seed)


def _with_data(source: BatchSource, **changes: object) -> BatchSource:
    """A source that differs in how it draws from the pictures."""
    config = source.config
    return replace(source, config=replace(config, data=replace(config.data, **changes)))


def _gradient(folder: Path, name: str, width: int, height: int) -> None:
    """Red counts columns, green rows, so that a crop tells where it was taken."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width)[None, :], np.arange(height)[:, None]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pictures of several sizes and modes in class folders, two of them broken."""
    folder = tmp_path / "data"
    _gradient(folder, "cat/a.png", 40, 30)
    _gradient(folder, "dog/b.png", 20, 64)
    Image.fromarray(np.full((12, 12), 40000, np.uint16)).save(folder / "cat/deep.png")
    Image.fromarray(np.full((16, 16, 4), (10, 20, 30, 0), np.uint8)).save(folder / "dog/alpha.png")
    (folder / "cat/broken.png").write_bytes((folder / "cat/a.png").read_bytes()[:60])
    (folder / "dog/text.jpg").write_text("not a picture")
    (folder / "readme.txt").write_text("not counted")
    return folder


def test_broken_pictures_are_warned_of_once_and_cost_nothing_else(
    mixed: Path, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_sources_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.zip").write_bytes(b"no zip")
    cases = {"": "none of its 1", "empty": "no pictures", "file.zip": "neither", "absent": "no such"}
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            load_pictures(DataConfig(str(tmp_path / name)), 8, 3)


def _zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    """A picture file's bytes."""
    _gradient(tmp_path, "good.png", 20, 20)
    return (tmp_path / "good.png").read_bytes()


def test_members_of_a_zip_are_judged_before_they_are_read(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By what they say of their size, by their beginning and by how they are compressed: each can take all memory."""
    archive = _zip_of(tmp_path / "a.zip", {"good.png": good, "large.png": good + bytes(200_000), "other.png": bytes(9)})
    read, reading = [], zipfile.ZipFile.read

    def noted(self: zipfile.ZipFile, member: zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        read.append(member.filename)
        return reading(self, member, pwd)

    monkeypatch.setattr(zipfile.ZipFile, "read", noted)
    monkeypatch.setattr(pictures_module, "ENTRY_BYTES", 100_000)
    assert load_pictures(DataConfig(str(archive)), 8, 3).names == ("good.png",)
    assert read == ["good.png"]
    assert "large.png is left out" in caplog.text
    assert "other.png is left out" in caplog.text
    rare = _zip_of(tmp_path / "b.zip", {"good.png": good}, zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match="none of its 1"):
        load_pictures(DataConfig(str(rare)), 8, 3)
    assert read == ["good.png"]


def test_a_zip_that_is_damaged_or_encrypted(good: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = _zip_of(tmp_path / "a.zip", {"a.png": good, "b.png": good, "c.png": good})
    whole = bytearray(archive.read_bytes())
    damaged = whole.copy()
    damaged[45:65] = bytes(20)  # in a.png
    directory = damaged.index(b"PK\x01\x02", damaged.index(b"PK\x01\x02") + 1)
    damaged[directory + 8] |= 1  # b.png is encrypted
    archive.write_bytes(damaged)
    assert load_pictures(DataConfig(str(archive)), 8, 3).names == ("c.png",)
    assert "a.png: damaged in the zip file" in caplog.text
    assert "b.png: is encrypted" in caplog.text
    whole[whole.index(b"PK\x01\x02") + 6] = 101  # needs version 10.1 of the format
    archive.write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.zip: neither a folder nor a readable zip file"):
        load_pictures(DataConfig(str(archive)), 8, 3)


def test_a_zip_whose_members_share_their_bytes_is_refused(good: bytes, tmp_path: Path) -> None:
    archive = _zip_of(tmp_path / "a.zip", {f"{n}.png": good + bytes(10 * n) for n in range(40)}, zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\x01\x02")
    while content[directory : directory + 4] == b"PK\x01\x02":
        content[directory + 20 : directory + 24] = (100_000).to_bytes(4, "little")  # compressed size
        directory += 46 + int.from_bytes(content[directory + 28 : directory + 30], "little")
    archive.write_bytes(content)
    with pytest.raises(InputError, match="members overlap"):
        load_pictures(DataConfig(str(archive)), 8, 3)


def test_a_damaged_zip_is_an_input_error(good: bytes, tmp_path: Path) -> None:
    """Bytes changed at random (seeded): nothing but InputError comes out, and a whole zip mostly stays readable."""
    archive = _zip_of(tmp_path / "a.zip", {f"{n}.png": good for n in range(3)})
    whole, generator = archive.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        content = np.frombuffer(whole, np.uint8).copy()
        places = len(whole) - 1 - generator.integers(min(len(whole), 300), size=4)  # most in the directory
        content[places] = generator.integers(256, size=4)
        archive.write_bytes(content.tobytes())
        try:
            load_pictures(DataConfig(str(archive)), 8, 3)
        except InputError:
            continue


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, OverflowError, AttributeError, RecursionError, MemoryError, zlib.error, SyntaxError]
)
def test_a_picture_that_cannot_be_decoded_in_any_way_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    for name in ("a.png", "b.png"):
        _gradient(tmp_path, name, 20, 20)
    decode = pictures_module.decode

    def failing(path: Path, frame: int) -> Decoded:
        if path.name == "a.png":
            raise error("odd")
        return decode(path, frame)

    monkeypatch.setattr(pictures_module, "decode", failing)
    assert load_pictures(DataConfig(str(tmp_path)), 8, 3).names == ("b.png",)
    assert "a.png is left out: odd" in caplog.text


def test_a_picture_too_narrow_to_be_enlarged_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _gradient(tmp_path, "a.png", 20, 20)
    Image.new("L", (60_000, 1)).save(tmp_path / "line.png")
    assert load_pictures(DataConfig(str(tmp_path)), 64, 3).names == ("a.png",)
    assert "line.png is left out: line.png: 60000x1 is too narrow" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_neither_devices_nor_pipes_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    _gradient(tmp_path, "a.png", 20, 20)
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    assert load_pictures(DataConfig(str(tmp_path)), 8, 3).names == ("a.png",)
    assert not caplog.records  # they are no pictures that could not be read
    for source in ("/dev/zero", tmp_path / "pipe.png"):
        with pytest.raises(InputError, match="neither a folder nor a zip file"):
            load_pictures(DataConfig(str(source)), 8, 3)
    with pytest.raises(InputError, match="cannot be read"):
        load_pictures(DataConfig("x" * 5000), 8, 3)


@pytest.mark.skipif(os.name != "posix", reason="needs names of any bytes")
def test_names_that_are_no_text_are_names_all_the_same(tmp_path: Path) -> None:
    _gradient(tmp_path, "a.png", 20, 20)
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    data = DataConfig(str(tmp_path))
    assert len(split(load_pictures(data, 8, 3), data)[0]) == 1


def test_what_a_run_has_drawn_is_no_picture_to_train_on(tmp_path: Path) -> None:
    _gradient(tmp_path, "photos/a.png", 20, 20)
    for run in (".", "runs/one"):  # a run in the folder of the pictures itself, and one below it
        _gradient(tmp_path / run, "samples/step-000001000.png", 20, 20)
        (tmp_path / run / "metrics.jsonl").write_text("")
    _gradient(tmp_path, "other/samples/step-000001000.png", 20, 20)  # of no run
    _gradient(tmp_path, "samples/mine.png", 20, 20)
    names = load_pictures(DataConfig(str(tmp_path)), 8, 3).names
    assert names == ("other/samples/step-000001000.png", "photos/a.png", "samples/mine.png")


def test_pictures_are_the_files_that_commands_take(tmp_path: Path) -> None:
    """Of every readable suffix, and no hidden ones, in folders and zips alike."""
    data, archive = tmp_path / "data", tmp_path / "data.zip"
    _gradient(data, "a.png", 20, 20)
    content = (data / "a.png").read_bytes()
    for name in ("b.jfif", "in/c.jpe", "in/.d.png", ".thumbnails/a.png"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(content)
    with zipfile.ZipFile(archive, "w") as file:
        for path in data.rglob("*.*"):
            file.write(path, path.relative_to(data))
    for source in (data, archive):
        assert load_pictures(DataConfig(str(source)), 8, 3).names == ("a.png", "b.jfif", "in/c.jpe")


def test_the_digest_is_of_names_and_contents_wherever_they_lie(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    _gradient(folder, "a.png", 20, 20)
    _gradient(folder, "b.png", 20, 20)

    def digest(source: Path) -> str:
        return load_pictures(DataConfig(str(source)), 8, 3).digest

    first = digest(folder)
    archive = _zip_of(tmp_path / "one.zip", {name: (folder / name).read_bytes() for name in ("a.png", "b.png")})
    os.utime(folder / "a.png", ns=(0, 0))
    assert digest(folder) == digest(archive) == digest(folder.rename(tmp_path / "moved")) == first
    changed = tmp_path / "moved" / "a.png"
    before = changed.stat()
    Image.fromarray(np.full((20, 20, 3), 7, np.uint8)).save(changed)
    content = changed.read_bytes()
    changed.write_bytes(content + bytes(max(0, before.st_size - len(content))))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = digest(tmp_path / "moved")
    assert other != first
    changed.rename(changed.with_name("aa.png"))
    assert digest(tmp_path / "moved") not in (first, other)


def test_the_builtin_photographs_train_at_64_pixels() -> None:
    loaded = load_pictures(DataConfig(), 64, 3)
    assert len(loaded) >= 15
    assert all(min(level.shape[:2]) >= 64 for levels in loaded.levels for level in levels)


def test_scales_average_areas(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 1, 32, 0.5, 0.2)
    fine, coarse = load_pictures(DataConfig(str(tmp_path), scales=(0.5, 1.0)), 8, 1).levels[0]
    means = fine.reshape(16, 2, 16, 2).astype(float).mean((1, 3))
    assert np.abs(coarse[..., 0] - means).max() <= 1  # rounded along each axis


def test_resize_takes_whole_pictures(tmp_path: Path) -> None:
    _gradient(tmp_path, "wide.png", 64, 32)
    loaded = load_pictures(DataConfig(str(tmp_path), mode="resize"), 16, 3)
    assert [level.shape for level in loaded.levels[0]] == [(16, 32, 3)]


def test_a_file_that_cannot_be_read_just_now_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out, it would be missing in the cache for ever, or be back when the run is resumed."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    decode_it = pictures_module.decode

    def fails(*given: object, **more: object) -> object:
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError as error:
            raise InputError("a.png: damaged") from error

    monkeypatch.setattr(pictures_module, "decode", fails)
    with pytest.raises(InputError, match=r"a\.png: could not be read: a\.png: damaged; try again, or remove it"):
        load_pictures(DataConfig(str(tmp_path)), 8, 3)
    monkeypatch.setattr(pictures_module, "decode", decode_it)
    assert len(load_pictures(DataConfig(str(tmp_path)), 8, 3)) == 1


def test_a_look_at_some_pictures_takes_no_more_memory_than_there_may_be(tmp_path: Path) -> None:
    """Of large photographs the noise range is estimated from fewer."""
    for number in range(20):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{number:02}.png")
    data = DataConfig(str(tmp_path), scales=(1.0,), memory_gb=5.5 * 64 * 64 * 3 / 2**30)
    some = load_pictures(data, 32, 3, limit=15)
    assert len(some) == 6
    assert list(some.names) == sorted(some.names)
    assert len(load_pictures(replace(data, memory_gb=1.0), 32, 3, limit=15)) == 15
    assert some.names != tuple(f"{number:02}.png" for number in range(6))  # not those of one folder


def test_names_that_are_missing_are_told_before_any_picture_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr("scoreinv.training.pictures._decode_all", lambda *_: 1 / 0)
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


def test_batches_are_functions_of_seed_and_step_and_divide_among_processes(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 5, 12, 0.5, 0.1)
    data = DataConfig(str(tmp_path), scales=(1.0,), dequantise=True)
    loaded = load_pictures(data, 8, 1)
    source = _source(loaded, data, 8)
    first, again = source.batch(3), _source(loaded, data, 8).batch(3)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.times, again.times)
    parts = [source.batch(3, slice(start, start + 4)) for start in (0, 4)]
    for name in ("images", "noise", "times"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(first, name))
    for other in (source.batch(4), replace(source, seed=1).batch(3)):
        assert not torch.equal(first.noise, other.noise)
        assert not torch.equal(first.images, other.images)
    assert first.images.is_contiguous(memory_format=torch.channels_last)


def test_noise_is_standard_normal_and_independent(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 2, 32, 0.5, 0.1)
    data = DataConfig(str(tmp_path))
    source = _source(load_pictures(data, 32, 1), data, 32, batch_size=64)
    noise = torch.cat([source.batch(step).noise for step in range(2)]).flatten(1).double()
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert (noise.var() - 1).abs() < 4 * (2 / noise.numel()) ** 0.5
    correlation = torch.corrcoef(noise) - torch.eye(len(noise))
    assert correlation.abs().max() < 6 / 32


def test_every_picture_is_seen_once_a_pass(tmp_path: Path) -> None:
    for index in range(7):
        Image.new("L", (8, 8), index).save(tmp_path / f"{index}.png")
    data = DataConfig(str(tmp_path))
    source = _source(load_pictures(data, 8, 1), data, 8, batch_size=7)
    orders = [((source.batch(step).images[:, 0, 0, 0] + 1) * 127.5).round().long().tolist() for step in range(4)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_crops_are_parts_of_the_picture_everywhere_and_half_of_them_mirrored(tmp_path: Path) -> None:
    _gradient(tmp_path, "a.png", 40, 24)
    data = DataConfig(str(tmp_path), scales=(1.0,))
    source = _source(load_pictures(data, 16, 3), data, 16, batch_size=400)
    pixels = ((source.batch(0).images + 1) * 127.5).round().long()
    columns, rows = pixels[:, 0, 0, :], pixels[:, 1, :, 0]
    mirrored = columns[:, 0] > columns[:, -1]
    assert 140 < mirrored.sum() < 260
    steps = torch.where(mirrored, -1, 1)[:, None]
    assert torch.equal(columns.diff(dim=1), steps.expand(-1, 15))
    assert torch.equal(rows.diff(dim=1), torch.ones(400, 15, dtype=torch.long))
    assert set(columns.min(1).values.tolist()) == set(range(25))
    assert set(rows[:, 0].tolist()) == set(range(9))
    still = _with_data(source, flip=False).batch(0).images
    assert (still[:, 0, 0, 0] < still[:, 0, 0, -1]).all()


def test_zooms_are_squares_of_all_sizes(tmp_path: Path) -> None:
    _gradient(tmp_path, "a.png", 60, 40)
    data = DataConfig(str(tmp_path), mode="zooms", least_zoom=0.5, flip=False)
    pictures = load_pictures(data, 32, 3)
    assert [level.shape for level in pictures.levels[0]] == [(40, 60, 3)]
    values = (_source(pictures, data, 32, batch_size=300).batch(0).images + 1) * 127.5
    assert values.shape == (300, 3, 32, 32)
    for axis, extent in ((0, 60), (1, 40)):  # red counts columns, green rows
        first, last = (values[:, axis].movedim(2 - axis, 0)[edge].mean(1) for edge in (0, -1))
        side = (last - first) / 31 * 32
        assert side.min() == pytest.approx(20, abs=0.7)
        assert side.max() == pytest.approx(40, abs=0.7)
        assert first.min() < 1
        assert last.max() > extent - 2.5
    large = tmp_path / "large"
    _gradient(large, "b.png", 120, 80)
    _gradient(large, "small.png", 12, 10)
    levels = [picture[0].shape for picture in load_pictures(replace(data, source=str(large)), 32, 3).levels]
    assert levels == [(48, 72, 3), (10, 12, 3)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_zoom_of_a_single_pixel_has_its_colour(tmp_path: Path, channels: int) -> None:
    (tmp_path / "thin").mkdir()
    Image.new("RGB", (1, 9), (200, 100, 50)).save(tmp_path / "thin" / "a.png")
    data = DataConfig(str(tmp_path), mode="zooms", flip=False)
    pictures = load_pictures(data, 8, channels)
    images = _source(pictures, data, 8).batch(0).images
    assert images.shape[1] == channels
    torch.testing.assert_close(images, images[:, :, :1, :1].expand_as(images))
    if channels == 3:
        found = ((images[0, :, 0, 0] + 1) * 127.5).round().tolist()
        assert found == [200, 100, 50]


def test_a_pass_takes_the_asked_share_of_each_folder(tmp_path: Path) -> None:
    for index in range(12):
        path = tmp_path / ("few" if index < 4 else "many") / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), index).save(path)
    absent = DataConfig(str(tmp_path), shares=(("mnay", 0.25),))
    with pytest.raises(InputError, match="no folder of pictures named mnay"):
        split(load_pictures(absent, 8, 1), absent)
    data = DataConfig(str(tmp_path), shares=(("many", 0.25),))
    source = _source(load_pictures(data, 8, 1), data, 8, batch_size=6)
    passes = [((source.batch(step).images[:, 0, 0, 0] + 1) * 127.5).round().long().tolist() for step in range(40)]
    assert all(set(taken) >= set(range(4)) and len(set(taken)) == 6 for taken in passes)
    assert set().union(*passes) == set(range(12))
    assert len({tuple(taken) for taken in passes}) > 30


def test_a_pass_takes_pictures_more_than_once(tmp_path: Path) -> None:
    for index in range(6):
        path = tmp_path / ("few" if index < 2 else "many") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), index).save(path)
    data = DataConfig(str(tmp_path), shares=(("few", 2.5),))
    source = _source(load_pictures(data, 8, 1), data, 8, batch_size=9)
    for step in range(10):
        taken = ((source.batch(step).images[:, 0, 0, 0] + 1) * 127.5).round().long().tolist()
        assert sorted(taken[index] for index in range(9) if taken[index] >= 2) == [2, 3, 4, 5]
        assert {taken.count(0), taken.count(1)} == {2, 3}


def test_dequantisation_fills_the_interval_of_each_level(tmp_path: Path) -> None:
    Image.new("L", (32, 32), 255).save(tmp_path / "white.png")
    Image.new("L", (32, 32), 0).save(tmp_path / "black.png")
    data = DataConfig(str(tmp_path), dequantise=True)
    source = _source(load_pictures(data, 32, 1), data, 32, batch_size=2)
    low, high = sorted(((image + 1) * 128 for image in source.batch(0).images), key=lambda image: float(image.mean()))
    for level, image in ((0, low), (255, high)):
        assert (image.floor() == level).all()
        assert (image - level).mean() == pytest.approx(0.5, abs=0.05)
    plain = _with_data(source, dequantise=False).batch(0).images
    assert {plain.min().item(), plain.max().item()} == {-1.0, 1.0}


def test_detail_is_preferred_when_asked_for(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 1, 64, 0.5, 0.2)
    path = tmp_path / "0000.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[:, :32] = 128
    Image.fromarray(pixels).save(path)
    data = DataConfig(str(tmp_path), scales=(1.0,))
    source = _source(load_pictures(data, 8, 1), data, 8, batch_size=100)
    flat, detailed = (
        (_with_data(source, detail_candidates=n).batch(0).images.flatten(1).std(1) < 0.05).sum() for n in (1, 4)
    )
    assert detailed < 20 < flat


@pytest.mark.parametrize("memory_gb", [6.0, 1e-6], ids=["in memory", "mapped"])
def test_decoded_pictures_are_kept_and_found_again(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_gb: float
) -> None:
    monkeypatch.setattr(pictures_module, "_CACHED_FROM", 1)
    data, cache = DataConfig(str(mixed), scales=(1.0, 0.5), memory_gb=memory_gb), tmp_path / "cache"
    plain = load_pictures(replace(data, memory_gb=6.0), 8, 3)
    first = load_pictures(data, 8, 3, cache=cache)
    monkeypatch.setattr(pictures_module, "_pyramid", None)  # decoding again would fail
    second = load_pictures(data, 8, 3, cache=cache)
    for loaded in (first, second):
        assert (loaded.names, loaded.digest) == (plain.names, plain.digest)
        for one, other in zip(plain.levels, loaded.levels, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    monkeypatch.undo()
    (mixed / "cat/a.png").unlink()
    assert "cat/a.png" not in load_pictures(data, 8, 3, cache=cache).names


def test_a_disk_too_full_for_the_cache_costs_the_cache_only(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pictures_module, "_CACHED_FROM", 1)
    monkeypatch.setattr(pictures_module, "atomic_write", full)
    assert len(load_pictures(DataConfig(str(mixed)), 8, 3, cache=tmp_path / "cache")) == 4
    assert "No space left" in caplog.text
    with pytest.raises(InputError, match="No space left"):
        load_pictures(DataConfig(str(mixed), memory_gb=1e-6), 8, 3, cache=tmp_path / "cache")


def test_values_never_lie_beside_the_description_of_others(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the disk is full at the description, which is written last."""
    cache, full = tmp_path / "cache", {"now": False}

    def on_a_full_disk(path: Path):
        if full["now"] and path.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return atomic_write(path)

    monkeypatch.setattr(pictures_module, "_CACHED_FROM", 1)
    monkeypatch.setattr(pictures_module, "atomic_write", on_a_full_disk)
    load_pictures(DataConfig(str(mixed)), 8, 3, cache=cache)
    assert sorted(path.name for path in cache.iterdir()) == ["pictures.bin", "pictures.json"]
    full["now"] = True
    load_pictures(DataConfig(str(mixed)), 4, 3, cache=cache)
    assert not list(cache.iterdir())


def test_few_pictures_are_decoded_before_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number:02}.png")
    begun, pyramid = [], pictures_module._pyramid
    monkeypatch.setattr(pictures_module, "_pyramid", lambda *given: (begun.append(1), pyramid(*given))[1])
    monkeypatch.setattr(pictures_module.os, "cpu_count", lambda: 3)
    data = DataConfig(str(tmp_path), memory_gb=1e-6)  # the first is too large already: the others wait for the disk
    with pytest.raises(InputError, match=r"raise data\.memory_gb"):
        load_pictures(data, 64, 1)
    assert len(begun) <= 20
    assert len(load_pictures(replace(data, memory_gb=1.0), 8, 1).names) == 60
