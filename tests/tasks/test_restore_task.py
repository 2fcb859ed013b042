"""Old photographs: which steps a photograph takes, and that what needs none is left as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.analytic import gaussian_colour_prior
from support.formula_detector import FormulaDetector, whites
from support.small_conditional import conditional_prior
from torch import Tensor

import scoreinv
from scoreinv.inputs.masks import dilate
from scoreinv.operators.luma import luma
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import FOUND_GROW
from scoreinv.tasks.notes import Note, info
from scoreinv.tasks.outcome import Step
from scoreinv.tasks.requests import RESTORATION, RestoreRequest
from scoreinv.training.data.pictures import BUILTIN

HEIGHT, WIDTH = 72, 96
HEALTHY = sorted([*BUILTIN.glob("*.jpg"), *(Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg")])
NOISE = 12 / 255
USUAL = [name for name in RESTORATION if name not in ("border", "tone", "enlarge")]


def prior():
    return gaussian_colour_prior(
        torch.tensor([0.55, 0.45, 0.4]), 0.04 * torch.eye(3) + 0.02, sde=scoreinv.sdes.VE(0.001, 20.0)
    )


def gray_scene() -> np.ndarray:
    """Smooth tones between 0.2 and 0.8, HxW, without noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return 0.5 + 0.15 * np.sin(x / 9) + 0.15 * np.cos(y / 11)


def sepia(gray: np.ndarray) -> np.ndarray:
    return gray[..., None] * np.array([1.0, 0.85, 0.65])


def coloured_scene() -> np.ndarray:
    gray = gray_scene()
    return np.stack([gray, gray[::-1], gray[:, ::-1]], axis=-1)


def noisy(values: np.ndarray, std: float = NOISE) -> np.ndarray:
    """With the same noise in all channels, as a scan of a grey print has."""
    noise = std * np.random.default_rng(0).standard_normal(values.shape[:2])
    return values + (noise if values.ndim == 2 else noise[..., None])


def levels(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 0.9)).astype(np.uint8)


def scratched(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy()
    pixels[30:32, 10:80] = 255
    return pixels


SCRATCH = dilate(scratched(np.zeros((HEIGHT, WIDTH), np.uint8)) > 0, FOUND_GROW)


def restored(image: Any, **more: Any):
    """Without the step `tone`, which would take the tones of these drawings for faded ones."""
    fixed = {
        "detector": FormulaDetector(whites),
        "filler": prior(),
        "denoiser": prior(),
        "colorizer": prior(),
        "tone": 0.0,
    }
    return scoreinv.restore(image, **(fixed | more))


def step_note(result: scoreinv.RestoreOutcome[Any], name: str) -> Note:
    return next(step.note for step in result.steps if step.name == name)


def changed(result: scoreinv.RestoreOutcome[Any]) -> list[str]:
    return [step.name for step in result.steps if step.changed]


def test_a_healthy_photograph_in_colours_comes_back_bit_for_bit():
    photo = levels(noisy(coloured_scene(), 2 / 255))
    result = restored(photo)
    assert (result.image == photo).all()
    assert not np.shares_memory(result.image, photo)
    assert result.image.dtype == np.uint8
    assert (result.kind, changed(result), result.nfe, result.method) == ("coloured", [], 0, "exact")
    assert not result.damage.any()
    assert result.noise_std == pytest.approx(2 / 255, rel=0.3)
    codes = {step.name: step.note.code for step in result.steps}
    left = {"damage": "damage_none", "tint": "kind_color", "denoise": "noise_none", "colorize": "colors_kept"}
    assert codes == left


def test_a_print_of_one_tint_with_dirt_on_it_is_known_by_the_damage_that_is_found():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    dirt = 0.012 * (np.sin(x / 2.5) * np.sin(y / 2.5))[..., None] * np.array([1.0, 0.0, -1.0])
    photo = levels(sepia(gray_scene()) + dirt)
    few = {"inpaint": True, "denoise": False, "colorize": False}
    assert restored(photo, **few).kind == "coloured"
    assert restored(photo, mask=SCRATCH, **few).kind == "coloured"  # it may be of anything
    assert restored(scratched(photo), **few).kind == "tinted"
    assert restored(scratched(photo), sensitivity=0.001, **few).kind == "tinted"

    def unsure(pictures: Tensor) -> Tensor:
        """Takes what is nearly white for damage, too, but not surely."""
        nearly = (pictures.amin(1, keepdim=True) > 0.93) & (pictures.amin(1, keepdim=True) < 0.99)
        return torch.where(nearly, 2.0, whites(pictures))

    speck, coloured = np.s_[58:66, 40:50], levels(coloured_scene())
    for image in (photo, coloured):
        image[30:32, 10:25], image[speck] = 255, 245
    assert (
        restored(photo, detector=FormulaDetector(unsure), **few).damage[speck].all()
    )  # of a print, what is likely is enough
    assert not restored(coloured, detector=FormulaDetector(unsure), **few).damage[speck].any()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (number % 12 > 0)) for number, path in enumerate(HEALTHY)],
    ids=lambda path: path.stem,
)
def test_of_a_healthy_photograph_nothing_but_damage_and_noise_could_change(path):
    """What is taken for damage: `test_healthy_photographs`."""
    result = restored(Image.open(path), inpaint=False, tone=None, denoise=False)
    assert (result.kind, changed(result)) == ("coloured", []), result.steps


def test_a_damaged_noisy_sepia_print_takes_every_step_in_order():
    photo = scratched(levels(sepia(noisy(gray_scene()))))
    result = restored(photo)
    assert (result.kind, changed(result)) == ("tinted", ["tint", "inpaint", "denoise", "colorize"])
    assert [step.name for step in result.steps] == USUAL
    assert (result.damage == SCRATCH).all()
    assert result.noise_std == pytest.approx(NOISE, rel=0.25)
    gray = luma(result.image / 255.0)
    assert abs(gray[SCRATCH]).max() < 0.95  # nothing is left of the scratch
    # The lightest tone is as bright as its brightest channel was.
    assert np.quantile(gray, 0.99) == pytest.approx(np.quantile(gray_scene(), 0.99), abs=0.06)


def test_a_photograph_in_colours_is_recoloured_on_request():
    pixels = levels(coloured_scene())
    assert restored(pixels, inpaint=False, denoise=False).steps[-1].note.code == "colors_kept"
    outcome = restored(pixels, inpaint=False, denoise=False, recolor=True)
    assert outcome.steps[-1].note.code == "colors_replaced"
    gray, after = (luma(values / 255) for values in (pixels, outcome.image))
    assert abs(after - gray).max() < 0.01
    assert (outcome.image != pixels).any()
    with pytest.raises(SettingError):
        RestoreRequest(colorize=False, recolor=True)


def test_the_tint_is_kept_where_that_is_asked_for():
    photo = scratched(levels(sepia(gray_scene())))
    result = restored(photo, keep_tint=True, tone=None)  # neither are its tones changed
    assert (result.kind, changed(result)) == ("tinted", ["inpaint"])
    codes = {step.name: step.note.code for step in result.steps}
    left = ("damage_found", "tint_kept", "filled", "noise_none", "colors_not_drawn")
    assert codes == dict(zip(USUAL, left, strict=True))
    assert (result.image[~SCRATCH] == photo[~SCRATCH]).all()


def test_without_colours_a_print_becomes_grey_in_its_own_mode():
    photo = np.dstack([levels(sepia(gray_scene())), np.full((HEIGHT, WIDTH), 200, np.uint8)])
    result = restored(photo, colorize=False)
    assert (result.kind, changed(result), result.image.shape) == ("tinted", ["tint"], photo.shape)
    assert np.ptp(result.image[..., :3], axis=-1).max() == 0
    assert (result.image[..., 3] == 200).all()


def test_faint_noise_is_left_and_other_noise_removed():
    for std, removed in ((1.5, False), (4, True)):
        result = restored(levels(noisy(gray_scene(), std / 255)), colorize=False)
        assert changed(result) == (["denoise"] if removed else []), std
        level = pytest.approx(255 * result.noise_std)
        note = step_note(result, "denoise")
        assert (note.code, note.values["level"]) == ("noise_removed" if removed else "noise_none", level)
    flat = restored(np.full((8, 8), 99, np.uint8), colorize=False)
    assert step_note(flat, "denoise").code == "noise_none"
    given = restored(levels(noisy(gray_scene(), 4 / 255)), colorize=False, noise_std=4 / 255)
    assert (changed(given), given.noise_std) == (["denoise"], 4 / 255)
    assert step_note(given, "denoise") == info("noise_removed", level=4, kind="noise")
    # A print of one tint has the noise of a grey picture.
    assert "denoise" in changed(restored(levels(sepia(noisy(gray_scene()))), colorize=False))


def test_damage_is_as_given_and_then_not_looked_for():
    detector = FormulaDetector(whites)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:9, 5:9] = True
    photo = levels(gray_scene())
    result = restored(photo, mask=mask, detector=detector, colorize=False)
    assert (detector.asked, changed(result)) == (0, ["inpaint"])
    assert step_note(result, "damage") == info("damage_given", share=mask.mean())
    assert (result.damage == mask).all()
    assert (result.image[~mask] == photo[~mask]).all()
    assert (result.image[mask] != photo[mask]).any()


def test_sensitivity_decides_what_is_damage():
    photo = scratched(levels(coloured_scene()))
    assert changed(restored(photo, sensitivity=0.5)) == ["inpaint"]
    assert changed(restored(photo, sensitivity=0.0005)) == []  # the detector is sure of it to 0.999
    assert changed(restored(photo)) == ["inpaint"]


def test_in_colours_only_what_is_surely_damage_is_filled():
    unsure_detector = FormulaDetector(lambda pictures: whites(pictures).clamp(max=2.5))
    for photo, unsure in ((coloured_scene(), False), (gray_scene(), True)):
        photo = scratched(levels(photo))
        assert ("inpaint" in changed(restored(photo, detector=unsure_detector, colorize=False))) == unsure


@pytest.mark.parametrize("scene", [coloured_scene, gray_scene], ids=["in colours", "grey"])
def test_a_few_marks_that_do_not_stand_out_are_left(scene):
    doubtful = FormulaDetector(lambda pictures: whites(pictures).clamp(min=-3))  # thinks a little of damage everywhere
    photo = levels(scene())
    photo[30:32, 10:40] = 255
    assert changed(restored(photo, colorize=False)) == ["inpaint"]
    left = restored(photo, detector=doubtful, colorize=False)
    assert changed(left) == []
    assert step_note(left, "damage") == info("damage_uncertain", share=pytest.approx(60 / (HEIGHT * WIDTH)))
    assert changed(restored(photo, detector=doubtful, colorize=False, sensitivity=0.05)) == ["inpaint"]
    assert changed(restored(scratched(photo), detector=doubtful, colorize=False)) == ["inpaint"]


def test_found_damage_is_enlarged_and_what_is_none_is_not():
    photo = scratched(levels(coloured_scene()))
    assert (restored(photo, grow=0).damage == (photo.min(-1) == 255)).all()
    assert not restored(levels(coloured_scene()), grow=9).damage.any()


def test_damage_that_is_grown_over_everything_is_refused():
    """Otherwise the whole photograph would be invented."""
    with pytest.raises(InputError, match="grow the damage less"):
        restored(scratched(levels(coloured_scene())), grow=500)


def test_a_picture_that_is_damage_nearly_everywhere_is_not_filled():
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    page[10:20] = 30
    result = restored(page, colorize=False)
    assert (changed(result), result.damage.any()) == ([], False)
    assert step_note(result, "damage").code == "damage_implausible"
    assert (result.image == page).all()


@pytest.mark.parametrize(
    ("count", "estimate", "hinted"),
    [(1, None, False), (1, "mean", True), (1, "sample", False), (3, None, False)],
)
def test_colours_are_those_of_colorize(count, estimate, hinted):
    """`estimate` and `seed` mean the same in both tasks."""
    gray, model, hints = levels(gray_scene()), conditional_prior(), None
    if hinted:
        hints = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        hints[20:30, 20:30] = (200, 40, 40, 255)
    settings: dict[str, Any] = {"samples": count, "estimate": estimate, "seed": 3, "hints": hints}
    restored = scoreinv.restore(gray, inpaint=False, denoise=False, tone=0.0, colorizer=model, **settings)
    colorized = scoreinv.colorize(gray, prior=model, **settings)
    shown = zip([restored.image, *restored.samples], [colorized.image, *colorized.samples], strict=True)
    for one, other in shown:
        assert abs(one.astype(int) - other).max() <= 1
    assert abs(restored.image.astype(int) - gray[..., None]).max() > 5


def test_models_of_steps_that_are_left_out_are_not_loaded():
    photo = levels(sepia(gray_scene()))
    gone = {"detector": "gone_model", "filler": "gone_model", "denoiser": "gone_model", "colorizer": "gone_model"}
    result = scoreinv.restore(photo, inpaint=False, tone=0.0, denoise=False, colorize=False, **gone)
    assert changed(result) == ["tint"]
    for name in gone:
        with pytest.raises(InputError, match="gone_model"):
            restored(photo, **{name: "gone_model"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mask": SCRATCH, "inpaint": False}, "^mask needs"),
        (
            {"hints": np.pad(np.ones((1, 1, 4), np.uint8) * 255, ((0, 71), (0, 95), (0, 0))), "colorize": False},
            "^hints",
        ),
        ({"noise_std": 10}, "25/255"),
        ({"mask": SCRATCH[:20]}, "the mask is 96x20, .* photo is 96x72"),
        ({"hints": np.full((20, 20, 4), 255, np.uint8)}, "everything is opaque"),
        ({"hints": np.pad(np.ones((1, 1, 4), np.uint8) * 255, ((0, 9), (0, 9), (0, 0)))}, "the hints"),
        ({"noise_std": 1e-4}, "out of the model's range"),
    ],
)
def test_conflicting_settings_are_refused_before_the_work(settings, said):
    detector = FormulaDetector(whites)
    with pytest.raises(InputError, match=said):
        restored(levels(gray_scene()), detector=detector, **settings)
    assert detector.asked == 0


def marks(pictures: Tensor) -> Tensor:
    """Is sure of what is white, and half sure of what is nearly."""
    return torch.maximum(whites(pictures), torch.where(pictures.amin(1, keepdim=True) > 0.96, 1.0, -6.0))


def test_a_photograph_in_colours_that_is_surely_damaged_is_an_old_one():
    photo = levels(coloured_scene())
    photo[60:62, 20:60] = 250
    assert not restored(photo, detector=FormulaDetector(marks)).damage.any()
    assert restored(scratched(photo), detector=FormulaDetector(marks)).damage[60:62, 20:60].all()


@pytest.mark.slow
def test_an_enlarged_print_is_filled_as_small_as_it_is():
    """And what is found is enlarged as far as its rims are soft there; what is given stays as it is."""
    small = scratched(levels(gray_scene()))
    photo = np.asarray(Image.fromarray(small).resize((8 * WIDTH, 8 * HEIGHT), Image.Resampling.NEAREST))
    smooth = np.asarray(Image.fromarray(levels(gray_scene())).resize((8 * WIDTH, 8 * HEIGHT)))
    photo = np.where(photo == 255, photo, smooth)
    result = restored(photo, colorize=False, denoise=False)
    scratch = photo == 255
    assert (result.damage == dilate(scratch, 2 * FOUND_GROW)).all()
    drawn = result.image[242:254, 90:630].astype(float)  # by a prior of white noise
    assert np.diff(drawn).std() < 0.7 * (drawn[:, 4:] - drawn[:, :-4]).std()
    given = restored(photo, mask=scratch, colorize=False, denoise=False)
    assert (given.image[~scratch] == photo[~scratch]).all()


@pytest.mark.parametrize("channels", [(), 4])
def test_the_paper_around_a_grey_print_stays_grey(channels):
    gray = np.pad(levels(gray_scene()), ((9, 5), (7, 8)), constant_values=240)
    photo = np.repeat(gray[..., None], channels, 2) if channels else gray
    result = restored(photo, inpaint=False, denoise=False).image[..., :3].astype(int)
    inside = np.zeros(gray.shape, bool)
    inside[9:-5, 7:-8] = True
    assert (result[~inside] == 240).all()
    assert np.ptp(result, axis=-1)[inside].max() > 0
    assert abs(luma(result.astype(np.float32)) - gray).max() <= 0.5


def test_a_border_is_told_and_cut_off_where_that_is_asked():
    photo = np.pad(levels(np.pad(coloured_scene(), ((24, 24), (32, 32), (0, 0)), "wrap")), ((9, 5), (7, 8), (0, 0)))
    scratch = np.zeros(photo.shape[:2], bool)
    scratch[30:32, 20:60] = True
    hints = np.zeros((*photo.shape[:2], 4), np.uint8)
    hints[40, 40] = (200, 30, 30, 255)
    result = restored(photo, mask=scratch)
    assert result.image.shape == photo.shape
    assert result.steps[1] == Step("border", info("border_kept", width=160, height=120), False)
    result = restored(photo, mask=scratch, hints=hints, crop_border=True)
    assert result.steps[1] == Step("border", info("border_cropped", width=160, height=120), True)
    assert (result.damage == scratch[9:-5, 7:-8]).all()
    known = ~result.damage
    assert (result.image[known] == photo[9:-5, 7:-8][known]).all()
    alone = restored(photo, crop_border=True, inpaint=False)
    assert (alone.image == photo[9:-5, 7:-8]).all()
    assert restored(photo[9:-5, 7:-8], mask=scratch[9:-5, 7:-8], crop_border=True).image.shape == (120, 160, 3)
    with pytest.raises(SettingError, match="crop_border gives pictures of different sizes"):
        restored(torch.zeros(2, 3, 40, 40), crop_border=True)


def test_a_grey_print_on_coloured_paper_is_coloured_by_its_hints_once_the_paper_is_cut_off():
    """The kind is that of the part that is left, and so are the places of the hints."""
    gray = levels(np.pad(gray_scene(), ((24, 24), (32, 32)), "wrap"))
    photo = np.full((134, 175, 3), (210, 90, 40), np.uint8)
    photo[9:-5, 7:-8] = gray[..., None]
    hints = np.zeros((134, 175, 4), np.uint8)
    hints[40:60, 50:70] = (60, 60, 220, 255)
    settings = {"inpaint": False, "denoise": False, "hints": hints}
    kept, cut = (restored(photo, crop_border=crop, **settings) for crop in (False, True))
    assert (kept.kind, changed(kept)) == ("coloured", [])
    assert (cut.kind, changed(cut)) == ("grey", ["border", "colorize"])
    blue = cut.image[33:49, 45:61].astype(int)
    assert (blue[..., 2] - blue[..., 0]).min() > 40


@pytest.mark.parametrize("kept", [{"denoise": False}, {"keep_grain": 1.0}])
def test_an_enlargement_has_the_noise_that_is_kept(kept):
    photo = levels(noisy(coloured_scene()))[:24, :32]
    large = restored(photo, inpaint=False, enlarge=2, **kept).image
    means = large.reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert abs(means - photo).mean() < 0.5


@pytest.mark.slow
def test_the_result_is_enlarged_last():
    """It reduces to the result without; the damage keeps its size, and each sample is enlarged."""
    photo = scratched(levels(sepia(gray_scene())))
    small, large = (restored(photo, tone=0.0, denoise=False, samples=2, enlarge=factor) for factor in (None, 2))
    assert large.steps[-1] == Step("enlarge", info("enlarged", factor=2), True)
    assert "enlarge" not in [step.name for step in small.steps]
    assert (large.damage == small.damage).all()
    for one, other in zip(small.samples, large.samples, strict=True):
        assert other.shape == (2 * HEIGHT, 2 * WIDTH, 3)
        means = other.reshape(HEIGHT, 2, WIDTH, 2, 3).mean((1, 3))
        assert abs(means - one).mean() < 0.3
    assert large.std.shape == (2 * HEIGHT, 2 * WIDTH)
    assert large.std[large.damage.repeat(2, 0).repeat(2, 1)].mean() > 0
    with pytest.raises(SettingError, match="enlarge"):
        restored(photo, enlarge=5)


@pytest.mark.parametrize("form", ["array", "image", "batch"])
def test_steps_that_are_kept_are_in_the_callers_form(form):
    photo = scratched(levels(gray_scene()))
    batch = torch.from_numpy(photo)[None, None].expand(2, 1, HEIGHT, WIDTH)
    given = {"array": photo, "image": Image.fromarray(photo), "batch": batch}[form]
    result = restored(given, colorize=False, denoise=False, keep_steps=True)
    steps = result.steps[1] if form == "batch" else result.steps
    image = result.image[1] if form == "batch" else result.image
    shown = {step.name: step.image for step in steps}
    assert type(shown["inpaint"]) is type(given)
    np.testing.assert_array_equal(np.asarray(shown["inpaint"]), np.asarray(image))
    np.testing.assert_array_equal(np.asarray(shown["damage"]).reshape(HEIGHT, WIDTH), SCRATCH * 255)
    assert shown["tint"] is None
    left = restored(given, colorize=False, denoise=False)
    assert all(step.image is None for step in (left.steps[0] if form == "batch" else left.steps))
