"""Batches as functions of (seed, step): what they hold, and how often."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gaussian import write_noise_pictures
from PIL import Image
from small_runs import TINY, tiny_run, write_gradient

from scoreinv.sdes import VP
from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig
from scoreinv.training.data.batches import Batch, BatchSource, held_out_batch
from scoreinv.training.data.pictures import Pictures, load_pictures, split
from scoreinv.training.presets import small_training, with_estimated_sigma_max


def _source(pictures: Pictures, data: DataConfig, size: int, batch_size: int = 8, seed: int = 0) -> BatchSource:
    run = tiny_run(Path())
    model = replace(run.model, network=replace(TINY, channels=3), image_size=size)
    return BatchSource(replace(run, model=model, data=data), pictures, batch_size, seed)


def _with_data(source: BatchSource, **changes: object) -> BatchSource:
    """A source that differs in how it draws from the pictures."""
    config = source.config
    return replace(source, config=replace(config, data=replace(config.data, **changes)))


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
    write_gradient(tmp_path / "a.png", 40, 24)
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
    write_gradient(tmp_path / "a.png", 60, 40)
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
    write_gradient(large / "b.png", 120, 80)
    write_gradient(large / "small.png", 12, 10)
    levels = [picture[0].shape for picture in load_pictures(replace(data, source=str(large)), 32, 3).levels]
    assert levels == [(48, 72, 3), (10, 12, 3)]


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


def test_shifted_pictures_are_reflected_at_their_borders(tmp_path: Path) -> None:
    write_gradient(tmp_path / "a.png", 16, 16)
    data = DataConfig(str(tmp_path), scales=(1.0,), flip=False, shift=3)
    source = _source(load_pictures(data, 16, 3), data, 16, batch_size=300)
    pixels = ((source.batch(0).images + 1) * 127.5).round().long()
    line = torch.arange(16)
    moved = {}
    for step in range(-3, 4):
        place = (line - step).abs()
        moved[tuple(torch.where(place > 15, 30 - place, place).tolist())] = step
    counts = torch.zeros(7, 7)
    for columns, rows in zip(pixels[:, 0, 0].tolist(), pixels[:, 1, :, 0].tolist(), strict=True):
        counts[moved[tuple(rows)], moved[tuple(columns)]] += 1
    assert (counts > 0).sum() > 40  # each of 49, six times on average
    assert torch.equal(pixels[:, 0], pixels[:, 0, :1].expand(-1, 16, -1))
    assert torch.equal(pixels[:, 1], pixels[:, 1, :, :1].expand(-1, -1, 16))


def test_held_out_pictures_are_the_same_whatever_the_seed_of_the_run(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 6, 12, 0.5, 0.1)
    pictures = load_pictures(DataConfig(str(tmp_path)), 8, 1)
    one, other = (held_out_batch(replace(tiny_run(tmp_path), seed=seed), pictures, 5) for seed in (1, 2))
    for name in ("images", "times", "noise"):
        assert len(getattr(one, name)) == 5
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_parts_of_batches_and_their_device() -> None:
    batch = Batch(torch.rand(4, 1, 2, 2), torch.arange(4.0), torch.rand(4, 1, 2, 2), labels=torch.arange(4))
    for rows in (slice(1, 3), torch.tensor([1, 2])):
        part = batch.part(rows)
        assert (part.times.tolist(), part.labels.tolist(), part.observed) == ([1, 2], [1, 2], None)
        assert torch.equal(part.images, batch.images[1:3])
    moved = batch.to("meta")
    assert (moved.images.device.type, moved.labels.device.type, moved.times.device.type) == ("meta", "meta", "cpu")


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


def test_the_largest_noise_is_the_largest_distance_of_two_pictures(tmp_path: Path) -> None:
    """Song & Ermon 2020, technique 1; in the model's range, where black and white lie 2 apart."""
    for index, value in enumerate((100, 255, 0, 40)):
        Image.new("L", (8, 8), value).save(tmp_path / f"{index}.png")
    run = tiny_run(tmp_path)
    run = replace(run, data=replace(run.data, flip=False))
    assert with_estimated_sigma_max(run, 40).model.sde.sigma_max == pytest.approx(2 * 64**0.5, abs=0.05)
    for index in range(1, 4):
        (tmp_path / f"{index}.png").unlink()
    with pytest.raises(InputError, match="sigma_max cannot be estimated, because all pictures are alike"):
        with_estimated_sigma_max(run)
    with pytest.raises(InputError, match="for the VE SDE only"):
        with_estimated_sigma_max(small_training(VP(), DataConfig()))
