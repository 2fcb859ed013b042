"""Scans with synthetic damage: what is masked is what changed, whatever the size; and a detector learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from scoreinv.models.config import DetectorConfig
from scoreinv.networks.detector import DetectorNetworkConfig
from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig, TrainingConfig
from scoreinv.training.data.batches import DAMAGE
from scoreinv.training.data.pictures import load_pictures
from scoreinv.training.data.prints import blurred, draw_medium, draw_print
from scoreinv.training.data.synthetic_damage import (
    HEALTHY,
    SHARP,
    VISIBLE,
    DamageDrawing,
    damaged,
    draw_kinds,
    draw_scan,
)
from scoreinv.training.learners import DamageLearner
from scoreinv.training.loop import train
from scoreinv.training.presets import damage_training

ALL = DamageDrawing(undamaged=0.0)


def photograph(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 20
    return (0.5 + 0.3 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)).astype(np.float32)


def test_the_mask_is_where_the_print_changed():
    one = replace(ALL, most=1, often=(("film", 5.0), ("specks", 5.0)))
    for number in range(10):
        generator = np.random.default_rng(number)
        medium = draw_medium(generator)
        print_ = draw_print(photograph(90, 70), medium, generator)
        generator.random()  # whether there is damage
        (kind,) = draw_kinds(one, generator)
        clear = blurred(print_, medium.focus)
        if kind in SHARP:
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


def test_batches_hold_scans_and_their_masks(tmp_path):
    Image.fromarray((255 * photograph(48, 48)).astype(np.uint8)).save(tmp_path / "a.png")
    config = replace(small_run(), data=DataConfig(str(tmp_path), scales=(1.0,), flip=False))
    source = config.source(load_pictures(config.data, 32, 3), 6, 1)
    batch, part = (config.learner.draw(source, 0, rows) for rows in (range(6), range(2, 4)))
    for row, picture in enumerate(source.images(0, range(6))):
        scan = draw_scan(picture.permute(1, 2, 0).numpy(), ALL, source.stream(DAMAGE, 0, row))
        assert torch.equal(batch.images[row].permute(1, 2, 0), torch.from_numpy(scan.damaged))
        np.testing.assert_array_equal(batch.damaged[row, 0], scan.mask)
        np.testing.assert_array_equal(batch.certain[row, 0], ~scan.faint)
    assert torch.equal(part.images, batch.images[2:4])


def test_a_detector_with_second_levels_is_trained_with_frozen_norms():
    config = small_run()
    with pytest.raises(InputError, match="needs frozen_norms"):
        replace(config, model=replace(config.model, network=replace(config.model.network, second=True)))


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
    return replace(run, model=small, learner=DamageLearner(ALL), batch_size=4)
