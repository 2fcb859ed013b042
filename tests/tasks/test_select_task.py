"""Pointing at things: what a click may mean, boxes, further clicks, and the forms of pictures."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from support.pointing import LEFT, LENGTH, Network, session_of_pointing, square_picture

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.models.segment_anything import CELL, SIDE
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.tasks.requests import Inputs, SelectRequest
from scoreinv.tasks.select import MOST_CLICKS, SIZES, Prompt, Selection, select_picture, usual_grow

MIDDLE = (80, 80)


def square(size: str, height: int = LENGTH) -> np.ndarray:
    mask = np.zeros((height, LENGTH), bool)
    mask[LEFT[size] : LENGTH - LEFT[size], LEFT[size] : LENGTH - LEFT[size]] = True
    return mask


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture
def selection() -> Selection:
    return Selection(Picture(square_picture()), Network())  # type: ignore[arg-type]


@pytest.fixture
def network() -> Iterator[None]:
    yield from session_of_pointing()


def test_a_click_means_one_of_three_and_the_next_comes_by_another(selection):
    prompt = Prompt.of(at=MIDDLE)
    first = selection.select(prompt)
    assert (first.size, first.iou) == ("middle", pytest.approx(0.95))
    np.testing.assert_array_equal(first.mask, square("middle"))
    for size in SIZES:
        found = selection.select(prompt, size)
        assert found.size == size
        np.testing.assert_array_equal(found.mask, square(size))
    assert [selection.next_size(prompt, size) for size in SIZES] == ["large", "small", "middle"]
    assert selection.network.looks == 1
    assert len(selection.network.asked) == 1  # the three came at once


def test_the_decoder_is_given_the_middles_of_pixels_and_the_corners_of_a_box(selection, monkeypatch):
    given, masks = [], selection.network.masks

    def noted(embedding, points, labels, previous=None):
        given.append(points / selection.scale)
        return masks(embedding, points, labels, previous)

    monkeypatch.setattr(selection.network, "masks", noted)
    selection.select(Prompt.of(at=(80, 90), box=(45, 50, 70, 60)))
    np.testing.assert_allclose(given[-1], [(80.5, 90.5), (45, 50), (115, 110)])
    selection.select(Prompt.of(at=(80, 90), box=(-9, -8, 400, 300)))  # beyond the picture
    np.testing.assert_allclose(given[-1], [(80.5, 90.5), (0, 0), (LENGTH, LENGTH)])


def test_equal_masks_are_no_other_size():
    flat = np.zeros((100, 100, 3), np.uint8)
    flat[20:60, 20:60] = 250
    selection = Selection(Picture(flat), Network())  # type: ignore[arg-type]
    assert selection.next_size(Prompt.of(at=(30, 30)), "small") == "small"


@pytest.mark.parametrize(
    ("sides", "trust", "size"),
    [
        ((2, 60, 250), (0.95, 0.8, 0.9), "middle"),  # of a usual area
        ((30, 60, 90), (0.8, 0.79, 0.78), "large"),  # the whole, if they are nearly as likely
        ((30, 60, 90), (0.9, 0.79, 0.78), "small"),
    ],
)
def test_the_likeliest_mask_has_a_usual_size(selection, monkeypatch, sides, trust, size):
    logits = np.full((4, SIDE // CELL, SIDE // CELL), -9.0, np.float32)
    for mask, side in zip(logits[1:], sides, strict=True):
        mask[:side, :side] = 9
    answer = logits, np.array([0.5, *trust], np.float32)
    monkeypatch.setattr(selection.network, "masks", lambda *_: answer)
    assert selection.select(Prompt.of(at=(1, 1))).size == size


@pytest.mark.parametrize(
    ("click", "masks", "iou", "expected"),
    [
        ((20, 10), ("first", "first"), (0.8, 0.9), 0.8),  # the mask for several points is preferred
        ((50, 10), ("first", "both"), (0.8, 0.95), 0.95),  # unless another agrees with the clicks,
        ((50, 10), ("all", "both"), (0.9, 0.89), 0.89),  # or is more like the previous mask
    ],
)
def test_the_mask_after_several_clicks(selection, monkeypatch, click, masks, iou, expected):
    places = {name: np.full((SIDE // CELL, SIDE // CELL), -9.0, np.float32) for name in ("first", "both", "all")}
    for name, mask in places.items():
        mask[:64, :64] = 9
        mask[10:24, 64:100] = -9 if name == "first" else 9
    places["all"][:] = 9
    first = np.stack([places["first"]] * 4), np.full(4, 0.9, np.float32)
    one, other = (places[name] for name in masks)
    second = np.stack([one, other, other - 20, other - 20]), np.array([*iou, 0, 0], np.float32)
    answers = iter((first, second))
    monkeypatch.setattr(selection.network, "masks", lambda *_: next(answers))
    assert selection.select(Prompt.of(at=[(10, 10), click])).iou == pytest.approx(expected)


def boxed(*columns: tuple[int, int]) -> np.ndarray:
    """Return logits of masks of some columns of a `square_picture`."""
    masks = np.full((len(columns), SIDE // CELL, SIDE // CELL), -9.0, np.float32)
    for mask, (left, right) in zip(masks, columns, strict=True):
        mask[80:176, left * 256 // LENGTH : right * 256 // LENGTH] = 9
    return masks


def test_a_box_means_the_mask_that_colours_explain(selection, monkeypatch):
    """A wide box made the first mask leak into the background beside the middle square, columns 50 to 110."""
    trust = np.array([0.9, 0.8, 0.95, 0.7], np.float32)
    answers = iter([(boxed((30, 110), (50, 110), (50, 80), (20, 130)), trust), (boxed(*[(50, 110)] * 4), trust - 0.2)])
    asked = []
    monkeypatch.setattr(selection.network, "masks", lambda _, points, *__: asked.append(points) or next(answers))
    found = selection.select(Prompt.of(box=(28, 40, 100, 80)))
    assert iou(found.mask, square("middle")) > 0.95
    assert found.iou == pytest.approx(0.8)  # the median of 0.9, 0.8 and 0.7
    np.testing.assert_allclose(asked[1] / selection.scale, [(50, 50), (110, 110)], atol=1)  # its bounding box


def test_a_click_adds_or_removes_its_part_and_nothing_else(selection, monkeypatch):
    trust = np.full(4, 0.9, np.float32)
    answers = iter(boxed(*[columns] * 4) for columns in ((50, 80), (65, 110), (60, 90), (40, 120)))
    monkeypatch.setattr(selection.network, "masks", lambda *_: (next(answers), trust))
    clicks = ((60, 80, True), (100, 80, True), (105, 80, False), (70, 80, True))
    for count, columns in enumerate(((50, 80), (50, 110), (50, 90), (40, 120)), start=1):  # the last was selected
        across = np.nonzero(selection.select(Prompt(clicks[:count])).mask.any(axis=0))[0]
        np.testing.assert_allclose((across.min(), across.max() + 1), columns, atol=1)


def test_a_box_without_an_object_and_a_prompt_without_a_size(selection, monkeypatch):
    nothing = boxed(*[(0, 0)] * 4), np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    monkeypatch.setattr(selection.network, "masks", lambda *_: nothing)
    with pytest.raises(ScoreinvError, match="no object was found"):
        selection.select(Prompt.of(box=(28, 40, 100, 80)))
    assert selection.next_size(Prompt.of(box=(28, 40, 100, 80)), None) is None


def test_gaps_are_filled_unless_they_touch_the_border():
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[20:60, :40] = 160
    pixels[30:32, 20:22] = pixels[40:42, :2] = 0
    selection = Selection(Picture(pixels), Network())  # type: ignore[arg-type]
    mask = selection.select(Prompt.of(at=(30, 50))).mask
    assert mask[30:32, 20:22].all()
    assert not mask[40:42, 0].any()


def test_parts_without_a_click_stay_out_and_a_box_has_all_its_good_parts():
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[50:100, 40:90] = pixels[50:100, 110:160] = 160
    pixels[150:153, 100:103] = 160  # a speck
    pixels[70:73, 60:63] = 0  # a gap
    selection = Selection(Picture(pixels), Network())  # type: ignore[arg-type]
    one = np.zeros((200, 300), bool)
    one[50:100, 40:90] = True
    np.testing.assert_array_equal(selection.select(Prompt.of(at=(50, 60))).mask, one)
    both = one.copy()
    both[50:100, 110:160] = True
    np.testing.assert_array_equal(selection.select(Prompt.of(box=(35, 40, 130, 130))).mask, both)
    np.testing.assert_array_equal(selection.select(Prompt.of(at=[(50, 60), (130, 80)])).mask, both)
    cut = selection.select(Prompt.of(box=(35, 40, 100, 70))).mask
    np.testing.assert_array_equal(cut[:, :130], both[:, :130])
    assert not cut[:, 142:].any()


def test_each_further_click_goes_to_the_decoder_with_the_mask_so_far(selection):
    clicks = ((80, 80, True), (30, 30, False), (60, 60, True))
    for count in (1, 2, 3, 2, 1):  # the last two are taken back
        selection.select(Prompt(clicks[:count]))
    assert selection.network.asked == [([1, -1], False), ([1, 0, -1], True), ([1, 0, 1, -1], True)]
    selection.select(Prompt(clicks[:1], (40, 40, 80, 80)))
    assert selection.network.asked[3:] == [([2, 3], False), ([2, 3], False), ([1, 2, 3], True)]


def test_each_click_costs_one_run_of_the_decoder(selection):
    clicks = tuple((60.0 + place, 80.0, True) for place in range(MOST_CLICKS))
    selection.select(Prompt(clicks), "small")
    assert len(selection.network.asked) == MOST_CLICKS
    with pytest.raises(InputError, match=f"{MOST_CLICKS + 1}: at most {MOST_CLICKS}"):
        Prompt((*clicks, (80, 80, False)))


def test_another_size_is_refused_beside_the_picture(selection):
    with pytest.raises(InputError, match="not_at 5000,3 is outside"):
        selection.next_size(Prompt.of(at=MIDDLE, not_at=(5000, 3)), "small")


def test_masks_are_given_back_in_the_form_of_the_picture(network):
    height = 400
    colour, expected = square_picture(height), square("middle", height)
    gray = colour[..., 0]
    for pixels in (colour, gray, gray.astype(np.float32) / 255, colour.astype(np.uint16) * 257):
        mask = scoreinv.select(pixels, at=MIDDLE, grow=0)
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, expected)
    image = scoreinv.select(Image.fromarray(colour), box=(40, 40, 80, 80), grow=0)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), np.where(expected, 255, 0))
    tensor = torch.from_numpy(colour / 255.0).permute(2, 0, 1)
    assert scoreinv.select(tensor, at=MIDDLE, grow=0).shape == (1, height, LENGTH)
    masks = scoreinv.select(tensor[None], at=[MIDDLE], grow=0)
    assert (masks.shape, masks.dtype) == ((1, 1, height, LENGTH), tensor.dtype)
    np.testing.assert_array_equal(masks[0, 0].numpy(), expected)


def test_points_are_of_the_picture_turned_upright(network):
    image = Image.fromarray(square_picture(400)).transpose(Image.Transpose.ROTATE_90)
    image.getexif()[0x0112] = 6  # is shown turned back
    mask = scoreinv.select(image, at=MIDDLE, grow=0)
    np.testing.assert_array_equal(np.asarray(mask) > 0, square("middle", 400))


def test_a_mask_is_enlarged_for_soft_edges(network):
    mask = scoreinv.select(square_picture(), at=MIDDLE, size="large")
    np.testing.assert_array_equal(mask[18], [False] * 20 + [True] * 120 + [False] * 20)
    assert [usual_grow(size) for size in ((160, 160), (1024, 768), (3000, 4000))] == [2, 5, 17]


def test_a_shadow_is_selected_where_it_is_asked_for(network):
    """A soft one beside an ellipse on even ground; on black there is none."""
    down, across = np.mgrid[:330, :360]
    own = ((down - 150) / 120) ** 2 + ((across - 150) / 60) ** 2 <= 1
    shadow = (((265 - down) / 80 - 1) ** 2 + ((across - 150 - 1.5 * (265 - down)) / 70) ** 2 <= 1) & ~own
    scene = np.full((*own.shape, 3), 0.25, np.float32)
    scene[shadow], scene[own] = 0.12, 0.9
    for pixels, notes, expected in (
        (scene, ["object_selected"], own | shadow),
        (square_picture(), ["object_selected", "shadow_none"], square("middle")),
    ):
        request = SelectRequest(at=tuple(each // 2 - 15 for each in pixels.shape[1::-1]), grow=0, shadow=True)
        outcome = select_picture(Inputs(Picture(pixels)), request, Models())
        assert [note.code for note in outcome.notes] == notes
        assert iou(outcome.mask, expected) > 0.98


def tip(colours: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Return a fragment one cell below the middle square, for `fragments_beside`."""
    found = np.zeros(colours.shape[:2], bool)
    found[177:190, 120:136] = True
    return found


def test_small_tips_that_resemble_the_object_are_selected_with_it(selection, network, monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.select.fragments_beside", tip)
    found = selection.select(Prompt.of(at=MIDDLE))
    np.testing.assert_array_equal(found.mask, square("middle"))
    down, across = np.nonzero(found.fragments)
    assert (down.min(), down.max()) == (110, 118)  # joined to the square
    assert (across.min(), across.max()) == (75, 84)
    assert not selection.select(Prompt.of(at=MIDDLE, not_at=(80, 115))).fragments.any()
    assert not selection.select(Prompt.of(box=(45, 45, 70, 64))).fragments[113:].any()  # beyond the box
    pixels = square_picture()
    np.testing.assert_array_equal(scoreinv.select(pixels, at=MIDDLE, grow=0), found.mask | found.fragments)
    np.testing.assert_array_equal(scoreinv.select(pixels, at=MIDDLE, grow=0, fragments=False), found.mask)


def test_refusals_of_selections(network):
    pixels = square_picture()
    with pytest.raises(InputError, match="at is missing: say where the object is, or give a box"):
        scoreinv.select(pixels)
    with pytest.raises(InputError, match="at is missing"):
        scoreinv.select(pixels, not_at=(3, 3))
    with pytest.raises(InputError, match=r"at 160,3 is outside the picture, which is 160x160"):
        scoreinv.select(pixels, at=(160, 3))
    with pytest.raises(InputError, match=r"not_at -1,3 is outside"):
        scoreinv.select(pixels, at=MIDDLE, not_at=[(-1, 3)])
    with pytest.raises(InputError, match=r"box 170,3,9,9 is outside"):
        scoreinv.select(pixels, box=(170, 3, 9, 9))
    with pytest.raises(InputError, match="box must have a width and a height"):
        scoreinv.select(pixels, box=(10, 3, 0, 9))
    for at in (3, (1, 2, 3), [(1,)], ("a", "b"), [(1, float("nan"))]):
        with pytest.raises(InputError, match="at must be 2 numbers"):
            scoreinv.select(pixels, at=at)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="size must be small, middle or large"):
        scoreinv.select(pixels, at=MIDDLE, size="huge")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="grow must"):
        scoreinv.select(pixels, at=MIDDLE, grow=-1)
    with pytest.raises(InputError, match="2 pictures"):
        scoreinv.select(torch.zeros(2, 3, 40, 40), at=(3, 3))
    with pytest.raises(ScoreinvError, match="no object was found"):
        scoreinv.select(np.zeros((40, 50), np.uint8), at=(3, 3))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
def test_pictures_of_a_pixel_or_a_row_are_looked_at(network, size):
    assert scoreinv.select(np.full(size, 255, np.uint8), at=(0, 0), grow=0).all()
