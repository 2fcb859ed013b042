"""Scans with synthetic damage: what is masked is what changed, whatever the size; and a detector learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scoreinv.models.codec import decode, encode
from scoreinv.models.config import DetectorConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.system.errors import InputError
from scoreinv.training.config import DamageDrawing, DataConfig, TrainingConfig
from scoreinv.training.data.batches import BatchSource
from scoreinv.training.data.pictures import load_pictures
from scoreinv.training.data.prints import _EDGES, Sheet, blurred, draw_medium, draw_print, on_old_film
from scoreinv.training.data.synthetic_damage import _KINDS, _SHARP, HEALTHY, VISIBLE, damaged, draw_kinds, draw_scan
from scoreinv.training.loop import train
from scoreinv.training.losses import DamageLearner
from scoreinv.training.presets import damage_training

ALL = DamageDrawing(undamaged=0.0)


def photograph(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 20
    return (0.5 + 0.3 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)).astype(np.float32)


def checked_cover(draw, size, number):
    """What an edge or a kind of damage covers of a print; it and its colour are of the print's size, within [0, 1]."""
    generator = np.random.default_rng(number)
    medium = draw_medium(generator)
    cover, colour = draw(Sheet(on_old_film(photograph(*size), medium, generator), medium, generator))
    assert cover.shape == size
    assert colour.shape in ((3,), (*size, 3))
    assert 0 <= cover.min() <= cover.max() <= 1
    assert 0 <= colour.min() <= colour.max() <= 1
    return cover


def test_the_mask_is_where_the_print_changed():
    one = replace(ALL, most=1, often=(("film", 5.0), ("specks", 5.0)))
    for number in range(10):
        generator = np.random.default_rng(number)
        medium = draw_medium(generator)
        print_ = draw_print(photograph(90, 70), medium, generator)
        generator.random()  # whether there is damage
        (kind,) = draw_kinds(one, generator)
        clear = blurred(print_, medium.focus)
        if kind in _SHARP:
            changed = damaged(clear, medium, generator, [kind])
        else:
            changed = blurred(damaged(print_, medium, generator, [kind]), medium.focus)
        change = np.abs(changed - clear).max(axis=2)
        scan = draw_scan(photograph(90, 70), one, np.random.default_rng(number))
        np.testing.assert_array_equal(scan.mask, change > VISIBLE + medium.grain)
        np.testing.assert_array_equal(scan.mask | scan.faint, change > HEALTHY)
    # A file without loss differs from the undamaged one nowhere else.
    lossless = [draw_scan(photograph(90, 70), ALL, np.random.default_rng(number)) for number in range(30)]
    lossless = [scan for scan in lossless if scan.medium.quality is None]
    assert len(lossless) > 5
    for scan in lossless:
        healthy = ~(scan.mask | scan.faint)
        difference = np.abs(scan.damaged - scan.undamaged()).max(axis=2)
        assert difference[healthy].max() <= HEALTHY + 1.01 / 255
        assert not scan.mask.any() or difference[scan.mask].max() > VISIBLE


def test_the_edge_of_a_print_is_no_damage():
    edged = 0
    for number in range(60):
        generator = np.random.default_rng(number)
        medium = draw_medium(generator)
        bare = on_old_film(photograph(64, 80), medium, generator)
        scan = draw_scan(photograph(64, 80), DamageDrawing(undamaged=1.0), np.random.default_rng(number))
        edged += bool(np.abs(scan.print - blurred(bare, medium.focus)).max() > VISIBLE)
        assert not (scan.mask | scan.faint).any()
    assert 3 <= edged <= 18


@pytest.mark.parametrize("kind", _EDGES)
@pytest.mark.parametrize("size", [(32, 32), (300, 37)])
def test_every_edge_covers_rims_of_pictures_of_any_size_and_leaves_the_middle(kind, size):
    covered = 0.0
    for number in range(12):
        cover = checked_cover(kind, size, number)
        assert cover[size[0] // 2, size[1] // 2] < 0.5
        covered = max(covered, float(cover.max()))
    assert covered > 0.7


@pytest.mark.parametrize("kind", _KINDS)
def test_every_kind_covers_a_part_of_pictures_of_any_size(kind):
    covered = 0.0
    for number in range(8):
        cover = checked_cover(_KINDS[kind][1], ((32, 32), (300, 37))[number % 2], number)
        covered = max(covered, float(cover.max()))
    assert covered > 0.3


def test_kinds_are_drawn_as_often_as_asked():
    assert list(ALL.shares) == list(_KINDS)
    assert sum(ALL.shares.values()) == pytest.approx(1)
    often = DamageDrawing(undamaged=0.0, often=(("torn", 1000.0), ("dust", 0.5)))
    assert often.shares["dust"] / often.shares["folds"] == pytest.approx(ALL.shares["dust"] / ALL.shares["folds"] / 2)
    reaches_the_edge = 0
    for number in range(20):  # nearly always one of the kinds is what is missing at an edge
        mask = draw_scan(photograph(64, 64), often, np.random.default_rng(number)).mask
        reaches_the_edge += max(*mask[[0, -1]].mean(axis=1), *mask[:, [0, -1]].mean(axis=0)) > 0.1
    assert reaches_the_edge >= 15
    assert DamageDrawing(often=(("stains", 2.0),)).shares["stains"] == pytest.approx(0.14 / 1.17)
    with pytest.raises(InputError, match="leaves 0 kinds"):
        replace(ALL, often=tuple((kind, 0.0) for kind in ALL.shares))


def test_faint_damage_counts_for_nothing():
    config = small_run()
    learner, model = DamageLearner(config), config.model.build()
    pictures = load_pictures(config.data, config.drawn_side, 3, limit=3)
    batch = BatchSource(config, pictures, 4, 1).batch(0)
    assert batch.damaged is not None
    faint = batch.damaged.clone()
    faint[:, :, :8] = float("nan")
    all_faint = replace(batch, damaged=faint * float("nan"))
    assert learner.losses(model, all_faint).abs().max() < 1e-6
    measured = learner.measures(model, replace(batch, damaged=faint))
    assert (measured["missed"] <= measured["damaged"]).all()
    assert (measured["damaged"] <= 0.75).all()


def test_a_detector_and_nothing_else_is_trained_with_damage():
    config = replace(small_run(), damage=DamageDrawing(often=(("stains", 2.0),)))
    with pytest.raises(InputError, match="trained with damage"):
        replace(config, damage=None)
    with pytest.raises(InputError, match="trained with frozen_norms"):
        replace(config, model=replace(config.model, network=replace(config.model.network, second=True)))
    assert decode(TrainingConfig, encode(config)) == config


@pytest.mark.slow
def test_frozen_norms_keep_what_they_have_and_the_weights_are_learnt(tmp_path):
    """Over a resumption, too."""
    config = replace(small_run(), batch_size=2, steps=2, frozen_norms=True, validate_every=0)
    before = config.model.build()
    for name, value in before.network.named_buffers():
        value.uniform_(0.1, 0.4, generator=torch.Generator().manual_seed(len(name)))
    expected = {name: value.clone() for name, value in before.network.state_dict().items()}
    train(replace(config, steps=1), tmp_path / "out", init=before)
    after = train(config, tmp_path / "out", resume=True).trained.network.state_dict()
    kept = {name for name, value in after.items() if torch.equal(value, expected[name])}
    assert kept == {name for name, _ in before.network.named_buffers()}
    with pytest.raises(InputError, match="trained weights: give a model to start from"):
        train(config, tmp_path / "fresh", resume=True)  # there is no state to go on from


def small_run() -> TrainingConfig:
    run = damage_training(DataConfig())
    small = DetectorConfig(DetectorNetworkConfig(widths=(4, 4, 8, 8), coarse_width=8), image_size=32)
    return replace(run, model=small, damage=ALL, batch_size=4)
