"""Prints of photographs: their media, tones, edges, grain and files, by the numbers that they say."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from scoreinv.operators.luma import luma
from scoreinv.training.data.prints import Medium, Sheet, blurred, draw_medium, on_old_film, on_other_film, scanned

WHITE, BLACK = np.ones(3, np.float32), np.zeros(3, np.float32)
PLAIN = Medium(False, WHITE, BLACK, 0.0, 0.5, 0.0, None)


def medium(**changes: object) -> Medium:
    return Medium(**(vars(PLAIN) | changes))


def test_media_are_drawn_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_medium(rng) for _ in range(3000)]

    def share(holds: Callable[[Medium], bool]) -> float:
        return float(np.mean([holds(one) for one in drawn]))

    assert share(lambda one: one.gray) == pytest.approx(0.6, abs=0.03)
    assert share(lambda one: one.grain > 0) == pytest.approx(0.6, abs=0.03)
    assert share(lambda one: one.focus > 0) == pytest.approx(0.2, abs=0.03)
    assert share(lambda one: one.quality is not None) == pytest.approx(0.6, abs=0.03)
    # Colours and half of the greys have a tone; 60 % of all are faded.
    assert share(lambda one: np.ptp(one.paper) > 0) == pytest.approx(0.7, abs=0.03)
    untoned = [one for one in drawn if np.ptp(one.paper) == 0]
    assert np.mean([one.paper[0] < 1 for one in untoned]) == pytest.approx(0.6, abs=0.06)
    assert np.mean([one.ink[0] for one in untoned]) == pytest.approx(0.6 * 0.125, abs=0.015)
    assert np.mean([one.paper[0] for one in untoned]) == pytest.approx(1 - 0.6 * 0.125, abs=0.015)
    toned = [one for one in drawn if np.ptp(one.paper) > 0]
    yellow = np.mean([one.paper[0] - one.paper[2] for one in toned])
    assert 0.07 < yellow < 0.16 * 0.65 + 0.01  # less where white is clipped
    assert 0 < np.mean([one.ink[0] - one.ink[2] for one in toned]) < 0.6 * yellow
    for name, least, most in (("grain", 0.005, 0.07), ("focus", 0.3, 0.8), ("grain_size", 0.3, 1.2)):
        values = [value for one in drawn if (value := getattr(one, name))]
        assert least <= min(values) < least + 0.05 * most
        assert 0.95 * most < max(values) <= most
    qualities = {one.quality for one in drawn if one.quality is not None}
    assert qualities == set(range(45, 97))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("size", [0.4, 0.6, 1.1])
def test_grain_has_its_deviation_whatever_its_size(size: float, gray: bool) -> None:
    """Of the same generator it is the same; coarser grain hangs together."""
    flat = np.full((150, 160, 3), 0.5, np.float32)
    grain, again = (
        scanned(flat, medium(gray=gray, grain=0.05, grain_size=size), np.random.default_rng(1)) - flat for _ in range(2)
    )
    assert np.array_equal(grain, again)
    assert grain.std() == pytest.approx(0.05, rel=0.1)
    assert abs(grain.mean()) < 0.005
    channels = np.corrcoef(grain.reshape(-1, 3).T)
    assert channels[0, 1] == pytest.approx(1 if gray else 0, abs=0.05)
    beside = np.corrcoef(grain[:, 1:, 0].ravel(), grain[:, :-1, 0].ravel())[0, 1]
    assert beside == pytest.approx(np.exp(-1 / (4 * size**2)) if size > 0.5 else 0, abs=0.06)


def test_scans_without_grain_are_rounded_or_a_jpeg() -> None:
    print_ = np.random.default_rng(0).uniform(-0.1, 1.1, (24, 32, 3)).astype(np.float32)
    levels = np.rint(print_.clip(0, 1) * 255)
    np.testing.assert_allclose(scanned(print_, PLAIN, np.random.default_rng(0)), levels / 255, atol=1e-6)
    file = BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(file, "JPEG", quality=60)
    expected = np.asarray(Image.open(file)) / 255
    np.testing.assert_allclose(scanned(print_, medium(quality=60), np.random.default_rng(0)), expected, atol=1e-6)


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


def sheet(height: int = 60, width: int = 80, seed: int = 0, **changes: object) -> Sheet:
    print_ = np.random.default_rng(9).uniform(0, 1, (height, width, 3)).astype(np.float32)
    return Sheet(print_, medium(**changes), np.random.default_rng(seed))


def test_a_sheet_knows_its_sizes_and_places() -> None:
    one = sheet(60, 700)
    assert (one.height, one.width, one.longer, one.extent) == (60, 700, 700, 60)
    large = np.zeros((161, 162, 3), np.uint8)
    assert Sheet(large, PLAIN, np.random.default_rng(0)).extent == 160
    places = np.array([one.place() for _ in range(2000)])
    np.testing.assert_allclose(places.mean(0), [350, 30], rtol=0.05)
    assert (places.max(0) > [690, 59]).all()
    rows, columns = one.pixels()
    assert (rows[5, 9], columns[5, 9]) == (5, 9)


@pytest.mark.parametrize("size", [0.5, 4.0, 15.0])
def test_clouds_have_unit_variance_and_blots_of_their_size(size: float) -> None:
    values = np.stack([sheet(90, 120, seed).clouds(size) for seed in range(12)])
    assert values.std() == pytest.approx(1, abs=0.2 if size < 1 else 0.15)
    assert abs(values.mean()) < 0.15

    def beside(step: int) -> float:
        return float((values[:, :, step:] * values[:, :, :-step]).mean() / values.var())

    if size > 1:
        assert beside(max(1, round(size / 8))) > 0.85
        assert abs(beside(round(2 * size))) < 0.2
    else:
        assert abs(beside(2)) < 0.2


def test_covers_colours_and_papers() -> None:
    one = sheet(paper=np.array([0.8, 0.6, 0.4], np.float32))
    cover = np.linspace(0, 1, 60 * 80, dtype=np.float32).reshape(60, 80)
    found = one.covered(lambda given: (cover, np.array([0.1, 0.5, 0.9], np.float32)))
    expected = (1 - cover[..., None]) * one.print_ + cover[..., None] * [0.1, 0.5, 0.9]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(one.toned(np.array([1.0, 0.8, 0.5])), [1, 0.6, 0.25], atol=1e-6)
    textures = [sheet(seed=seed).textured(np.full(3, 0.5)) for seed in range(30)]
    assert np.mean([texture.mean() for texture in textures]) == pytest.approx(0.5, abs=0.02)
    assert 0.005 < np.mean([texture.std() for texture in textures]) < 0.08
    assert all(np.ptp(texture, axis=2).max() < 1e-6 for texture in textures)


def test_other_films_have_greys_for_black_and_white_and_weights_of_colours() -> None:
    """With the power of a middle grey taken back, the light of three primaries adds up to white's."""
    rgb = np.array([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    found = np.array([luma(on_other_film(rgb, "rec601", np.random.default_rng(seed))) for seed in range(500)])
    black, white = found[:, 0], found[:, 1]
    np.testing.assert_allclose([black.min(), black.mean(), black.max()], [0, 0.06, 0.12], atol=0.006)
    np.testing.assert_allclose([white.min(), white.mean(), white.max()], [0.88, 0.94, 1], atol=0.006)
    light = (found - black[:, None]) / (white - black)[:, None]
    power = np.log(light[:, 2]) / np.log(0.5)
    np.testing.assert_allclose([np.log(power).mean(), np.log(power).std()], [0, 0.3], atol=0.04)
    weights = light[:, 3:].clip(1e-9) ** (1 / power)[:, None]
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-3)
    np.testing.assert_allclose(weights.mean(0), [0.3, 0.4, 0.3], atol=0.03)
