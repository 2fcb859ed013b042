"""Prints of photographs: their media, tones, edges, grain and files, by the numbers that they say."""

import numpy as np
import pytest

from scoreinv.training.data.prints import Medium, blurred, on_old_film

WHITE, BLACK = np.ones(3, np.float32), np.zeros(3, np.float32)
PLAIN = Medium(False, WHITE, BLACK, 0.0, 0.5, 0.0, None)


def medium(**changes: object) -> Medium:
    return Medium(**(vars(PLAIN) | changes))


def test_old_film_has_the_tones_of_its_medium() -> None:
    """Between ink and paper; of colours a grey medium keeps a grey, darker for red on some."""
    rgb = np.zeros((6, 8, 3), np.float32)
    rgb[:, 4:] = 1
    toned = medium(paper=np.array([0.9, 0.8, 0.7], np.float32), ink=np.array([0.2, 0.1, 0.0], np.float32))
    ends, soft = [], 0
    for seed in range(120):
        found = on_old_film(rgb, toned, np.random.default_rng(seed))
        assert (found >= toned.ink - 1e-5).all()
        assert (found <= toned.paper + 1e-5).all()
        ends.append([np.abs(found[3, 0] - toned.ink).max() < 1e-4, np.abs(found[3, -1] - toned.paper).max() < 0.02])
        soft += bool(np.abs(found[:, 3] - found[:, 0]).max() > 1e-4)
    assert np.mean(ends, axis=0).min() > 0.6
    assert 40 < soft < 80  # half of the lenses are soft
    red = np.tile(np.array([1, 0, 0], np.float32), (6, 8, 1))
    grays = [on_old_film(red, medium(gray=True), np.random.default_rng(seed))[3, 4] for seed in range(200)]
    assert np.ptp(grays, axis=1).max() < 1e-6
    assert 0.2 < np.median(np.array(grays)[:, 0]) < 0.33
    assert np.min(grays) < 0.12  # blind to red
    flat = np.full((6, 8, 3), 0.5, np.float32)
    middle = [on_old_film(flat, PLAIN, np.random.default_rng(seed))[3, 4, 0] for seed in range(300)]
    powers = np.log(middle) / np.log(0.5)
    assert np.median(powers) == pytest.approx(1, abs=0.1)
    assert np.std(np.log(powers)) > 0.2


def test_blurs_are_gaussian() -> None:
    dot = np.zeros((31, 31, 3), np.float32)
    dot[15, 15] = [1, 2, 3]
    found = blurred(dot, 2.0)
    np.testing.assert_allclose(found[15, 15] / found[15, 17], np.exp(0.5), rtol=1e-3)
    np.testing.assert_allclose(found.sum((0, 1)), [1, 2, 3], rtol=1e-4)
    assert not found[15, 22:].any()  # beyond three deviations
