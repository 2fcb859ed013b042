"""The tones of faded photographs come back, and healthy ones are left as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.catalogue import load
from scoreinv.models.tone_estimator import PARTS
from scoreinv.networks.chroma import DECODER_FEATURES
from scoreinv.tasks.tone import REDUCED_SIDE, chroma_network, network_inputs, tone_picture
from scoreinv.training.data.pictures import BUILTIN

PHOTOS = sorted([*BUILTIN.glob("*.jpg"), *(Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg")])


def photo(path: Path) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    image.thumbnail((256, 256))
    return np.asarray(image)


def faded(rgb: np.ndarray) -> np.ndarray:
    """Of cyan dye half is left, of the others more, on yellowed paper; in [0, 1]."""
    return 0.1 + np.array([0.85, 0.78, 0.6]) * (rgb / 255) ** np.array([0.45, 0.65, 0.75])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(deltaE_ciede2000(rgb2lab(one), rgb2lab(other)).mean())


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(photo(path), np.rint(255 * faded(photo(path))).astype(np.uint8)) for path in PHOTOS[:12]]


def test_faded_photographs_come_nearer_to_what_they_were(pairs):
    before, after, changed = [], [], 0
    for truth, scan in pairs:
        toned, note = tone_picture(Picture(scan))
        changed += note.code == "tone_corrected"
        before.append(distance(scan, truth))
        after.append(distance(toned.pixels, truth))
    assert changed > 0.6 * len(pairs)
    assert np.mean(after) < 0.75 * np.mean(before)
    assert (np.array(after) < np.array(before) + 0.5).all()


@pytest.mark.slow
def test_healthy_photographs_are_hardly_changed(pairs):
    changes = [distance(tone_picture(Picture(truth))[0].pixels, truth) for truth, _ in pairs]
    assert np.median(changes) == 0
    assert max(changes) < 3


@pytest.mark.slow
def test_the_colours_of_greys_are_those_that_scene_knows():
    ours, scenes = chroma_network().state_dict(), load("scene").chroma.state_dict()
    assert ours.keys() == scenes.keys()
    assert all((ours[name] == scenes[name]).all() for name in ours)


def test_the_odds_are_told_the_ends_of_each_part_but_of_a_worn_print_not_of_single_pixels():
    seen = torch.full((1, 3, REDUCED_SIDE, REDUCED_SIDE), 0.5)
    seen[0, 0, :60, :60], seen[0, 2, 7, 9] = 0.75, 0.25
    _, _, quantiles, ends = network_inputs(seen, torch.zeros(1, 3 + DECODER_FEATURES, 14, 14), worn=False)
    wanted = torch.full((2, PARTS**2, 3), 0.5)
    wanted[0, 0, 2] = 0.25
    wanted[0, -1, 0], wanted[1, -4:, 0] = 0.75, 0.75
    assert (ends[0] == wanted).all()
    assert quantiles[0, 0].tolist() == [0.5, 0.5, 0.25]
    _, _, quantiles, ends = network_inputs(seen, torch.zeros(1, 3 + DECODER_FEATURES, 14, 14), worn=True)
    assert ends[0, 0, 0, 2] == quantiles[0, 0, 2] == (15 * 0.5 + 0.25) / 16


def test_the_grain_of_a_worn_print_is_no_black_and_no_white(pairs):
    truth, scan = pairs[0]
    grain = np.random.default_rng(0).normal(0, 14, scan.shape)
    grainy = Picture((scan + grain).clip(0, 255).astype(np.uint8))
    as_it_is, worn = (distance(tone_picture(grainy, worn=worn)[0].pixels, truth) for worn in (False, True))
    assert worn < as_it_is - 1


def test_sixteen_bits_stay_sixteen_and_alpha_stays(pairs):
    _, scan = pairs[0]
    deep = np.dstack([scan.astype(np.uint16) * 257, np.full(scan.shape[:2], 999, np.uint16)])
    toned = tone_picture(Picture(deep))[0].pixels
    assert toned.dtype == np.uint16
    assert (toned[..., 3] == 999).all()
    assert abs(toned[..., :3] / 257.0 - tone_picture(Picture(scan))[0].pixels).max() <= 1


def test_restore_brings_tones_back_and_tells_so(pairs):
    truth, scan = pairs[0]
    result = scoreinv.restore(scan, inpaint=False, denoise=False, colorize=False)
    step = next(step for step in result.steps if step.name == "tone")
    assert step.changed
    assert step.note.code == "tone_corrected"
    assert step.note.values
    assert distance(result.image, truth) < distance(scan, truth)
    half = scoreinv.restore(scan, tone=0.5, inpaint=False, denoise=False, colorize=False)
    assert distance(half.image, scan) < distance(result.image, scan)
    left = scoreinv.restore(scan, tone=0.0, inpaint=False, denoise=False, colorize=False)
    assert (left.image == scan).all()
