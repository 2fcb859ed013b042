import math

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior
from support.formula_detector import FormulaDetector, whites
from support.small_conditional import conditional_prior

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import Models
from scoreinv.samplers import PC, State
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.options import FOUND_GROW
from scoreinv.tasks.holes import inpaint_picture
from scoreinv.tasks.inpaint import PreparedFill, inpaint
from scoreinv.tasks.notes import info, warning
from scoreinv.tasks.outcome import InpaintOutcome
from scoreinv.tasks.requests import START_LEVEL, InpaintRequest, Inputs

pytestmark = pytest.mark.portable

MEAN, STD = 0.5, 0.08


def prior(**options):
    low, high = options.get("data_range", (0.0, 1.0))
    mean = torch.full((3,), low + MEAN * (high - low))
    return gaussian_colour_prior(mean, torch.eye(3) * (STD * (high - low)) ** 2, **options)


def photo(height=40, width=56, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def hole(height=40, width=56):
    mask = np.zeros((height, width), dtype=bool)
    mask[3:28, 8:50] = True
    mask[35:, :4] = True
    return mask


@pytest.mark.parametrize(
    ("options", "start"),
    [
        pytest.param({}, math.inf, id="VE"),
        pytest.param({"data_range": (-1.0, 1.0)}, 1.0, id="range"),
        pytest.param({"sde": VP()}, 1.0, id="VP"),
    ],
)
def test_holes_are_samples_of_the_prior(options, start):
    # Pixels are independent, so the exact conditional of the hole is the prior itself, wherever sampling starts.
    mask = hole()
    result = inpaint(photo(), mask, prior=prior(**options), samples=3, steps=60, start=start)
    values = np.stack([sample[mask] for sample in result.samples])
    count = values.size
    assert abs(values.mean() - MEAN) < 5 * STD / math.sqrt(count)
    # The grid of 60 steps itself leaves a few percent.
    assert values.std() == pytest.approx(STD, rel=0.08)
    channels = np.corrcoef(values.reshape(-1, 3).T)
    assert abs(channels[np.triu_indices(3, 1)]).max() < 5 / math.sqrt(count / 3)
    samples = np.corrcoef(values.reshape(3, -1))
    assert abs(samples[np.triu_indices(3, 1)]).max() < 5 / math.sqrt(count / 3)


def test_known_pixels_std_mean_and_counts():
    mask, image = hole(), photo()
    result = inpaint(image, mask, prior=prior(), samples=4, steps=5)
    for sample in result.samples:
        assert (sample[~mask] == image[~mask]).all()
    assert (result.image == result.samples[0]).all()
    stack = np.stack(result.samples)
    np.testing.assert_allclose(result.std, np.sqrt(stack.var(0, ddof=1).mean(-1)), atol=1e-6)
    assert result.nfe == 10
    mean = inpaint(image, mask, prior=prior(), samples=4, steps=5, estimate="mean")
    np.testing.assert_allclose(mean.image, stack.mean(0), atol=1e-6)
    assert inpaint(image, mask, prior=prior(), steps=5).std is None


@pytest.mark.parametrize("estimate", ["sample", "mean"])
def test_pictures_of_one_size_are_filled_together_and_each_as_alone(estimate):
    """Also where one has more regions than the others, and one that many windows cover."""
    images = torch.from_numpy(np.stack([photo(48, 160, seed) for seed in range(3)])).permute(0, 3, 1, 2)
    masks = torch.zeros(3, 48, 160, dtype=torch.bool)
    masks[0, 5:12, 8:14] = masks[1, 10:17, 20:25] = masks[2, 7:9, 4:11] = True
    masks[1, 15:40, 120:150] = True
    model = prior()
    settings = {"steps": 3, "seed": 4, "samples": 2, "estimate": estimate}
    together = inpaint(images, masks[:, None], prior=model, **settings)
    assert model.preconditioning.windows[0] == (6, 3, 16, 16)  # three pictures in two samples
    assert len(set(model.preconditioning.windows)) > 1
    for number in range(3):
        alone = inpaint(images[number], masks[number], prior=prior(), **settings)
        torch.testing.assert_close(together.image[number], alone.image, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.std[number], alone.std, atol=1e-5, rtol=0)
        assert alone.nfe == together.nfe


@pytest.mark.parametrize(
    ("steps", "start", "level"), [(30, None, START_LEVEL), (30, 0.05, 0.05), (30, math.inf, None), (1000, None, None)]
)
def test_the_noise_at_which_a_fill_starts(monkeypatch, steps, start, level):
    """With the steps of the paper it starts from noise alone."""

    def noted(self, *given, start=None, **more):
        starts.append(start)
        raise Cancelled

    starts: list[State | None] = []
    monkeypatch.setattr(PC, "sample", noted)
    model = prior()
    with pytest.raises(Cancelled):
        inpaint(photo(), hole(), prior=model, steps=steps, start=start)
    found = None if starts[0] is None else float(model.sde.sigma(torch.tensor(starts[0].t, dtype=torch.float64)))
    assert found == (None if level is None else pytest.approx(level, rel=1e-4))


@pytest.mark.parametrize("estimate", ["sample", "mean", "detail"])
def test_hidden_pixels_do_not_enter(estimate):
    """Nor through the part of a long hole that is filled first."""
    picture, scratch = photo(48, 260) / 2, np.zeros((48, 260), dtype=bool)
    scratch[20:23, 4:256] = True
    other = np.where(scratch[..., None], np.float32(1), picture)
    results = [
        inpaint(one, scratch, prior=conditional_prior(), estimate=estimate, steps=2).image for one in (picture, other)
    ]
    np.testing.assert_array_equal(*results)


def test_the_fill_of_a_scratch_does_not_depend_on_the_range_of_the_model():
    scratch = np.zeros((32, 32), dtype=bool)
    scratch[10:13, 4:28] = True
    models = conditional_prior(VE(0.01, 20.0)), conditional_prior(VE(0.005, 10.0), (0.0, 1.0))
    results = [inpaint(photo(32, 32), scratch, prior=model, estimate="sample", steps=3).image for model in models]
    np.testing.assert_allclose(*results, atol=5e-3)


def test_equal_holes_in_different_places_get_different_noise():
    mask = np.zeros((40, 200), dtype=bool)
    mask[18:22, 18:22] = mask[18:22, 138:142] = True
    filled = inpaint(np.full((40, 200, 3), 0.5, np.float32), mask, prior=prior(), steps=5).image
    assert abs(filled[18:22, 18:22] - filled[18:22, 138:142]).max() > 0.01


def test_the_network_sees_windows_of_its_training_size_around_holes_only():
    model = prior()
    mask = np.zeros((400, 400), dtype=bool)
    mask[200:203, :] = True
    inpaint(np.zeros((400, 400, 3), np.float32), mask, prior=model, steps=2)
    shapes = model.preconditioning.windows
    assert {shape[2:] for shape in shapes} == {(16, 16)}
    each = sum(shape[0] for shape in shapes) / 4
    assert each < 2.5 * 400 / 12  # one or two rows of windows, 12 pixels apart


@pytest.mark.slow
def test_a_hole_as_large_as_several_windows_has_no_seams():
    # A prior of one colour per pixel cannot make seams by itself: its spread must be the same at every place.
    mask = np.zeros((64, 64), dtype=bool)
    mask[4:60, 4:60] = True
    result = inpaint(photo(64, 64), mask, prior=prior(), samples=24, steps=30)
    inside = np.stack(result.samples)[:, 4:60, 4:60].std(0).mean(-1)
    assert inside.mean(0).max() / inside.mean() < 1.12
    assert inside.mean(0).min() / inside.mean() > 0.88


def test_masks_are_inverted_and_grown():
    mask = hole()
    options = {"prior": prior(), "steps": 3, "start": 1.0}
    plain, inverted = inpaint(photo(), mask, **options), inpaint(photo(), ~mask, invert=True, **options)
    np.testing.assert_array_equal(inverted.image, plain.image)
    changed = (inpaint(photo(), mask, grow=2, **options).image != photo()).any(axis=-1)
    assert changed[1:30, 6:52].mean() > 0.9
    assert not changed[:1].any()
    assert not changed[:30, 54:].any()


def test_grey_pictures_are_filled_with_grey_whatever_the_mode():
    """Its luma, as a picture of mode L gets it; and paint in the hole does not count."""
    gray = np.random.default_rng(0).integers(100, 150, (40, 56), dtype=np.uint8)
    colour = np.repeat(gray[..., None], 3, axis=2)
    colour[hole()] = (255, 0, 0)
    plain = inpaint(gray, hole(), prior=prior(), steps=3).image
    filled = inpaint(colour, hole(), prior=prior(), steps=3).image
    np.testing.assert_array_equal(filled, np.repeat(plain[..., None], 3, axis=2))
    colour[0, 0] = (150, 100, 100)
    filled = inpaint(colour, hole(), prior=prior(), steps=3).image
    assert np.ptp(filled[hole()].astype(int), axis=-1).max() > 5


def test_a_model_that_was_not_trained_for_it_is_refused_whatever_the_hole():
    wide = np.zeros((96, 96), dtype=bool)
    wide[20:76, 20:76] = True  # deep: no window would come to ask the model
    with pytest.raises(InputError, match="trained without observations"):
        inpaint(photo(96, 96), wide, prior=prior(), method="conditioned")
    with pytest.raises(InputError, match="avoid does not go with the method pc"):
        inpaint(photo(), hole(), prior=prior(), avoid=~hole())


def test_a_prepared_picture_is_filled_again_with_other_seeds_and_numbers():
    inputs, models = Inputs(Picture(photo()), hole()), Models(inpaint=prior())
    prepared = PreparedFill(inputs, InpaintRequest(steps=3), models)
    for request in (InpaintRequest(steps=3, seed=7), InpaintRequest(steps=3, samples=2), InpaintRequest(steps=3)):
        again, alone = prepared.draw(request), inpaint_picture(inputs, request, models)
        assert len(again.samples) == request.samples
        for one, other in zip(again.samples, alone.samples, strict=True):
            np.testing.assert_allclose(one.pixels, other.pixels, atol=1e-5)


def found(pixels: np.ndarray, **settings: object) -> InpaintOutcome[Picture]:
    models = Models(inpaint=prior(), damage=FormulaDetector(whites))
    return inpaint_picture(Inputs(Picture(pixels)), InpaintRequest(steps=2, **settings), models)


def test_damage_is_filled_where_no_mask_is_given():
    pixels = 0.8 * photo()
    scratch = np.zeros((40, 56), bool)
    scratch[10:12, 5:50] = True
    pixels[scratch] = 1
    result = found(pixels, grow=0)
    np.testing.assert_array_equal(result.damage, scratch)
    assert result.notes == [info("damage_found", share=scratch.mean(), sensitivity=0.5, corners=0)]
    changed = (result.image.pixels != pixels).any(-1)
    assert not changed[~scratch].any()
    assert changed[scratch].all()
    np.testing.assert_array_equal(found(pixels).damage, dilate(scratch, FOUND_GROW))
    clean = found(0.8 * photo(), sensitivity=0.3)
    assert clean.notes == [warning("damage_none", sensitivity=0.3)]
    np.testing.assert_array_equal(clean.image.pixels, 0.8 * photo())
    with pytest.raises(InputError, match="all of it is detected"):
        found(np.ones((40, 56), np.float32))


def test_a_mask_has_notes():
    most = np.ones((40, 56), bool)
    most[:8] = False
    assert inpaint(photo(), most, prior=prior(), steps=1).notes == [warning("mask_mostly_hole", share=0.8)]
    empty = inpaint_picture(Inputs(Picture(photo()), most & ~most), InpaintRequest(), Models(inpaint=prior()))
    assert empty.notes == [warning("mask_empty")]
    np.testing.assert_array_equal(empty.image.pixels, photo())


def test_small_parts_of_an_object_outside_its_mask_are_noted_and_kept():
    rng = np.random.default_rng(0)
    pixels = rng.integers(20, 60, (200, 200, 3)).astype(np.uint8)
    pixels[70:150, 60:140] = pixels[54:70, 96:104] = rng.integers(190, 250, (1, 1, 3))
    mask = np.zeros((200, 200), bool)
    mask[67:153, 57:143] = True
    outcome = inpaint(pixels, mask, prior=prior(), steps=1)
    (note,) = outcome.notes
    assert (note.code, note.level, note.values["count"]) == ("fragments_left", "warning", 1)
    x, y = map(int, note.values["places"].split(","))
    assert 96 <= x < 104
    assert 54 <= y < 67
    np.testing.assert_array_equal(outcome.image[~mask], pixels[~mask])
    mask[51:70, 93:107] = True
    assert inpaint(pixels, mask, prior=prior(), steps=1).notes == []


def test_an_object_that_is_left_beside_its_mask_is_noted():
    pixels = np.random.default_rng(0).integers(20, 60, (160, 160, 3)).astype(np.uint8)
    pixels[50:110, 50:110] = (230, 150, 130)
    mask = np.zeros((160, 160), bool)
    mask[54:106, 54:106] = True
    (note,) = inpaint(pixels, mask, prior=prior(), steps=1).notes
    assert (note.code, note.level) == ("object_left", "warning")
    assert note.values["grow"] >= 4
    assert inpaint(pixels, mask, prior=prior(), steps=1, grow=note.values["grow"]).notes == []


@pytest.mark.parametrize("method", ["pc", "biharmonic"])
def test_the_rim_of_a_smeared_jpeg_is_redrawn_unless_it_is_to_be_exact(method, monkeypatch):
    """The scene around the hole is that without the smear; the result has the picture to be kept."""
    levels = {"picture": 0.3, "seen": 0.7, "kept": 0.5}
    picture, seen, kept = (Picture(np.full((24, 24, 3), level, np.float32)) for level in levels.values())
    mask = np.zeros((24, 24), bool)
    mask[10:13, 10:13] = True
    monkeypatch.setattr("scoreinv.tasks.holes.without_smears", lambda *_: (seen, kept))
    inputs, models = Inputs(picture, mask), Models(inpaint=prior())
    for exact, outside, inside, notes in (
        (False, 0.5, 0.7, [info("jpeg_rim_redrawn", pixels=8)]),
        (True, 0.3, 0.3, []),
    ):
        request = InpaintRequest(method=method, exact=exact)
        outcome = inpaint_picture(inputs, request, models)
        assert (outcome.image.pixels[~mask] == np.float32(outside)).all()
        assert outcome.notes == notes
        if method == "biharmonic":
            np.testing.assert_allclose(outcome.image.pixels[mask], inside, atol=1e-5)
        else:
            assert PreparedFill(inputs, request, models).picture is (picture if exact else seen)
