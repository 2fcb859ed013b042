"""Batches as functions of (seed, step): what they hold, and how often."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.gaussian import write_noise_pictures
from support.small_runs import TINY, tiny_run, write_gradient
from torch import Tensor

from scoreinv.sdes import VP
from scoreinv.system.errors import InputError
from scoreinv.training.data.batches import PictureSource
from scoreinv.training.data.pictures import DataConfig, load_pictures, split
from scoreinv.training.learners import LabelledBatch, ObservedBatch, ScoreLearner
from scoreinv.training.metrics import held_out_batch
from scoreinv.training.presets import small_training, with_estimated_sigma_max


def source_of(data: DataConfig, size: int, batch_size: int = 8, *, channels: int = 1, seed: int = 0) -> PictureSource:
    run = tiny_run(Path())
    model = replace(run.model, network=replace(TINY, channels=channels), image_size=size)
    return replace(run, model=model, data=data).source(load_pictures(data, size, channels), batch_size, seed)


def images(source: PictureSource, step: int = 0) -> Tensor:
    return source.images(step, range(source.batch_size))


def levels(source: PictureSource, step: int = 0) -> Tensor:
    """The pictures of a step as levels from 0 to 255."""
    return ((images(source, step) + 1) * 127.5).round().long()


def numbered(folder: Path, *counts: tuple[str, int]) -> None:
    """Write pictures of one level each, counted over all folders."""
    number = 0
    for name, count in counts:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            Image.new("L", (8, 8), number).save(folder / name / f"{number:02}.png")
            number += 1


def numbers(source: PictureSource, step: int) -> list[int]:
    return levels(source, step)[:, 0, 0, 0].tolist()


def test_batches_are_functions_of_seed_and_step_and_divide_among_processes(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 5, 12, 0.5, 0.1)
    data = DataConfig(str(tmp_path), scales=(1.0,), dequantise=True)
    source, learner = source_of(data, 8), ScoreLearner()
    first, again = (learner.draw(one, 3, range(8)) for one in (source, source_of(data, 8)))
    parts = [learner.draw(source, 3, range(start, start + 4)) for start in (0, 4)]
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(again, name))
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), value)
    for other in (learner.draw(source, 4, range(8)), learner.draw(replace(source, seed=1), 3, range(8))):
        assert not any(torch.equal(value, getattr(other, name)) for name, value in vars(first).items())
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    noise = torch.cat([source_of(data, 32, 64).noise(step, range(64)) for step in range(2)]).flatten(1).double()
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert (noise.var() - 1).abs() < 4 * (2 / noise.numel()) ** 0.5
    assert (torch.corrcoef(noise) - torch.eye(len(noise))).abs().max() < 6 / 32


def test_every_picture_is_seen_once_a_pass(tmp_path: Path) -> None:
    numbered(tmp_path, ("", 7))
    source = source_of(DataConfig(str(tmp_path)), 8, 7)
    orders = [numbers(source, step) for step in range(4)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_crops_are_parts_of_the_picture_everywhere_and_half_of_them_mirrored(tmp_path: Path) -> None:
    write_gradient(tmp_path / "a.png", 40, 24)
    source = source_of(DataConfig(str(tmp_path), scales=(1.0,)), 16, 400, channels=3)
    pixels = levels(source)
    columns, rows = pixels[:, 0, 0, :], pixels[:, 1, :, 0]
    mirrored = columns[:, 0] > columns[:, -1]
    assert 140 < mirrored.sum() < 260
    steps = torch.where(mirrored, -1, 1)[:, None]
    assert torch.equal(columns.diff(dim=1), steps.expand(-1, 15))
    assert torch.equal(rows.diff(dim=1), torch.ones(400, 15, dtype=torch.long))
    assert set(columns.min(1).values.tolist()) == set(range(25))
    assert set(rows[:, 0].tolist()) == set(range(9))
    still = images(replace(source, data=replace(source.data, flip=False)))
    assert (still[:, 0, 0, 0] < still[:, 0, 0, -1]).all()


def test_zooms_are_squares_of_all_sizes(tmp_path: Path) -> None:
    write_gradient(tmp_path / "a.png", 60, 40)
    data = DataConfig(str(tmp_path), mode="zooms", least_zoom=0.5, flip=False)
    source = source_of(data, 32, 300, channels=3)
    assert [level.shape for level in source.pictures.levels[0]] == [(40, 60, 3)]
    values = (images(source) + 1) * 127.5
    for axis, extent in ((0, 60), (1, 40)):  # red counts columns, green rows
        first, last = (values[:, axis].movedim(2 - axis, 0)[edge].mean(1) for edge in (0, -1))
        side = (last - first) / 31 * 32
        assert (side.min().item(), side.max().item()) == pytest.approx((20, 40), abs=0.7)
        assert first.min() < 1
        assert last.max() > extent - 2.5
    large = tmp_path / "large"
    write_gradient(large / "b.png", 120, 80)
    write_gradient(large / "small.png", 12, 10)
    found = [picture[0].shape for picture in load_pictures(replace(data, source=str(large)), 32, 3).levels]
    assert found == [(48, 72, 3), (10, 12, 3)]


def test_a_pass_takes_the_asked_share_of_each_folder(tmp_path: Path) -> None:
    numbered(tmp_path, ("few", 4), ("many", 8))
    absent = DataConfig(str(tmp_path), shares=(("mnay", 0.25),))
    with pytest.raises(InputError, match="no folder of pictures named mnay"):
        split(load_pictures(absent, 8, 1), absent)
    source = source_of(DataConfig(str(tmp_path), shares=(("many", 0.25),)), 8, 6)
    passes = [numbers(source, step) for step in range(40)]
    assert all(set(taken) >= set(range(4)) and len(set(taken)) == 6 for taken in passes)
    assert set().union(*passes) == set(range(12))
    assert len({tuple(taken) for taken in passes}) > 30
    often = source_of(DataConfig(str(tmp_path), shares=(("few", 2.5),)), 8, 18)
    for step in range(10):
        taken = numbers(often, step)
        assert sorted(number for number in taken if number >= 4) == list(range(4, 12))
        assert {taken.count(number) for number in range(4)} == {2, 3}


def test_held_out_pictures_are_the_same_whatever_the_seed_of_the_run(tmp_path: Path) -> None:
    write_noise_pictures(tmp_path, 6, 12, 0.5, 0.1)
    pictures = load_pictures(DataConfig(str(tmp_path)), 8, 1)
    one, other = (held_out_batch(replace(tiny_run(tmp_path), seed=seed), pictures, 5) for seed in (1, 2))
    for name, value in vars(one).items():
        assert len(value) == 5
        assert torch.equal(value, getattr(other, name))


def test_parts_of_batches_and_their_device() -> None:
    batch = LabelledBatch(torch.rand(4, 1, 2, 2), torch.arange(4.0), torch.rand(4, 1, 2, 2), torch.arange(4))
    for rows in (slice(1, 3), torch.tensor([1, 2])):
        part = batch.part(rows)
        assert (part.times.tolist(), part.labels.tolist()) == ([1, 2], [1, 2])
        assert torch.equal(part.images, batch.images[1:3])
    moved = ObservedBatch(batch.images, batch.times, *3 * [batch.noise]).part(slice(2)).to("meta")
    assert (moved.images.device.type, moved.observed.device.type, moved.times.device.type) == ("meta", "meta", "cpu")
    assert (moved.fine, moved.encoder_luma) == (None, None)


def test_dequantisation_fills_the_interval_of_each_level(tmp_path: Path) -> None:
    for level in (0, 255):
        Image.new("L", (32, 32), level).save(tmp_path / f"{level}.png")
    source = source_of(DataConfig(str(tmp_path), dequantise=True), 32, 2)
    low, high = sorted(((image + 1) * 128 for image in images(source)), key=lambda image: float(image.mean()))
    for level, image in ((0, low), (255, high)):
        assert (image.floor() == level).all()
        assert (image - level).mean() == pytest.approx(0.5, abs=0.05)
    plain = images(replace(source, data=replace(source.data, dequantise=False)))
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
