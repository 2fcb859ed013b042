"""Which pixels a mask marks: polarity, soft, coloured and transparent masks, sizes, empty and full ones."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import ndimage

from scoreinv.files.write import picture_bytes
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import as_holes, read_mask
from scoreinv.system.errors import EmptyMaskError, InputError

HOLE = np.zeros((20, 30), dtype=bool)
HOLE[4:9, 6:15] = True


def saved(tmp_path, pixels: np.ndarray, name: str = "mask.png", **options):
    Image.fromarray(pixels).save(tmp_path / name, **options)
    return tmp_path / name


def refused(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_settings_are_checked_and_messages_name_a_remedy(tmp_path):
    path = saved(tmp_path, HOLE.astype(np.uint8))
    said = "no hole", "largest value is 1 of 255", "use a mask threshold of 0"
    refused(lambda: read_mask(path, HOLE.shape), "mask.png", *said)
    for threshold in (128, "0.5", float("nan"), -0.1):
        refused(lambda wrong=threshold: as_holes(HOLE, [HOLE.shape], threshold=wrong), "mask_threshold must be")
    refused(lambda: as_holes(HOLE, [HOLE.shape], grow=-1), "grow must be at least 0")
    refused(lambda: as_holes(HOLE, [HOLE.shape], grow=1.5), "grow must be a whole number")
    refused(lambda: read_mask(path, HOLE.shape, threshold=0, grow=2**70), "leaves no known pixel")


def test_a_mask_with_many_intermediate_values_looks_like_a_photograph(caplog):
    """More than a fifth of all rows, wherever they are; soft edges have fewer."""
    rng = np.random.default_rng(1)
    for share in (0.1, 0.19, 0.21, 0.4, 0.9):
        soft = np.zeros(2000, bool)
        start = rng.integers(2000)
        soft[np.arange(start, start + int(2000 * share)) % 2000] = True
        values = np.where(soft, rng.integers(30, 220, 2000), 255 * rng.integers(2, size=2000)).astype(np.uint8)
        caplog.clear()
        as_holes(values.reshape(2000, 1), [(2000, 1)])
        assert len(caplog.records) == (share > 0.2)
        caplog.clear()
        as_holes(np.where(values < 128, values // 11, 255 - values // 11).reshape(2000, 1), [(2000, 1)])
        assert not caplog.records  # as a JPEG leaves them


def test_empty_and_full_masks(tmp_path):
    black, white = np.zeros((20, 30), np.uint8), np.full((20, 30), 255, np.uint8)
    refused(lambda: read_mask(saved(tmp_path, black), (20, 30)), "no hole", "largest value is 0 of 255", "white")
    refused(
        lambda: read_mask(saved(tmp_path, white), (20, 30)),
        "no known pixel",
        "255 of 255",
        "inverted, holes and known pixels are swapped",
    )
    refused(lambda: read_mask(saved(tmp_path, white), (20, 30), invert=True), "no hole", "do not invert it")
    refused(
        lambda: read_mask(saved(tmp_path, HOLE * np.uint8(255)), (20, 30), grow=50),
        "grown by 50 pixels",
        "use a smaller value",
    )
    refused(lambda: as_holes(np.zeros((20, 30), np.float32), [(20, 30)]), "0 of 1")
    rows = torch.stack([torch.from_numpy(HOLE), torch.from_numpy(HOLE.copy()).roll(1, 0), torch.from_numpy(HOLE)])
    refused(lambda: as_holes(rows, [HOLE.shape] * 3), "3x20x30, for 3 pictures", "Bx1xHxW")
    assert len(as_holes(rows[:1].expand(3, -1, -1), [HOLE.shape] * 3)) == 3  # one mask of three channels


def test_sizes_are_compared_upright(tmp_path):
    path = saved(tmp_path, HOLE * np.uint8(255))
    refused(lambda: read_mask(path, (30, 20)), "mask.png", "30x20", "20x30")
    exif = Image.Exif()
    exif[274] = 6
    lying = saved(tmp_path, np.rot90(HOLE) * np.uint8(255), "lying.png", exif=exif)
    assert_array_equal(read_mask(lying, HOLE.shape), HOLE)


def test_one_mask_for_all_pictures_or_one_each():
    pair = torch.stack([torch.from_numpy(HOLE), torch.from_numpy(~HOLE)])[:, None]
    first, second = as_holes(pair, [HOLE.shape] * 2)
    assert_array_equal(first, HOLE)
    assert_array_equal(second, ~HOLE)
    assert len(as_holes(HOLE, [HOLE.shape] * 3)) == 3
    refused(lambda: as_holes(pair, [HOLE.shape] * 3), "2 masks for 3 pictures")
    refused(lambda: as_holes(HOLE, [HOLE.shape, (9, 9)]), "the photo is 9x9")
    pair[1] = False
    refused(lambda: as_holes(pair, [HOLE.shape] * 2), "row 1 of the batch: the mask has no hole")


@pytest.mark.parametrize(
    ("mask", "word"),
    [
        (HOLE.astype(np.int64), "int64"),
        (HOLE * 255.0, "divide by 255"),
        ("mask.png", "str"),
        (torch.from_numpy(HOLE).int()[None], "floating-point"),
    ],
)
def test_unfit_masks_from_python(mask, word):
    refused(lambda: as_holes(mask, [HOLE.shape]), word)


def forms_of(pixels: np.ndarray) -> list[Any]:
    """Return the mask of 8-bit pixels HxWxC in its other forms; arrays and tensors have no grey with alpha."""
    samples = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    deep = samples * np.uint16(257)
    both = [picture_bytes(Picture(samples), "a.png"), picture_bytes(Picture(deep), "a.tif"), Image.fromarray(samples)]
    planes = torch.from_numpy(pixels).movedim(-1, 0)
    alone = [samples, deep, samples / np.float32(255), samples / 255.0, planes, planes / 255]
    return both if pixels.shape[2] == 2 else both + alone


def test_every_form_of_a_mask_is_one_array():
    """By drawn settings; what cannot be a mask is refused in every form."""
    rng, outcomes = np.random.default_rng(1), Counter()
    for number in range(80):
        channels, size = (1, 2, 3, 4)[number % 4], tuple(rng.integers(1, 9, 2))
        levels = ((0, 255), (0, 0, 0, 1), (0,), (255,), (0, 90, 127, 128, 170, 255))[rng.integers(5)]
        pixels = rng.choice(np.array(levels, np.uint8), (*size, channels))
        if channels in (2, 4) and rng.random() < 0.5:
            pixels[..., -1] = 255
        threshold, grow = float(rng.choice((0, 0.3, 0.5, 0.6))), int(rng.choice((0, 0, 1, 2)))
        invert, may_be_black = map(bool, rng.integers(2, size=2))

        shares = np.float32(pixels) / np.float32(255)
        values = shares[..., : 1 if channels < 3 else 3].max(-1) * (shares[..., -1] if channels in (2, 4) else 1)
        expected = (values > np.float32(threshold)) != invert
        if grow and not expected.all():
            squares = np.arange(-grow, grow + 1) ** 2
            expected = ndimage.binary_dilation(expected, np.add.outer(squares, squares) <= grow**2)
        error = InputError if expected.all() else None if expected.any() else EmptyMaskError
        if may_be_black and not invert and not values.any():
            error = None
        outcomes[error] += 1

        options = {"threshold": threshold, "invert": invert, "grow": grow, "may_be_black": may_be_black}
        forms = forms_of(pixels)
        for form in (forms[index] for index in rng.permutation(len(forms))[:3]):
            with nullcontext() if error is None else pytest.raises(error):
                is_file = isinstance(form, bytes)
                hole = read_mask(form, size, **options) if is_file else as_holes(form, [size], **options)[0]
                assert_array_equal(hole, expected)
    assert min(outcomes[kind] for kind in (None, InputError, EmptyMaskError)) > 10


def test_an_avoided_area_may_be_empty_but_not_full(tmp_path):
    avoided = partial(as_holes, may_be_black=True)
    """As a mask in size and threshold; values that are all below it are asked about."""
    marks = np.zeros((6, 8), np.uint8)
    marks[2:4, 3:5] = 255
    assert_array_equal(avoided(marks, [(6, 8)])[0], marks > 0)
    assert_array_equal(avoided(marks > 0, [(6, 8), (6, 8)])[1], marks > 0)
    assert not avoided(np.zeros((6, 8), bool), [(6, 8)])[0].any()
    Image.fromarray(marks).save(tmp_path / "avoid.png")
    assert_array_equal(read_mask(tmp_path / "avoid.png", (6, 8), may_be_black=True), marks > 0)
    with pytest.raises(InputError, match=r"avoid.png: the mask is 8x6, but the photo is 9x6"):
        read_mask(tmp_path / "avoid.png", (6, 9), may_be_black=True)
    with pytest.raises(InputError, match=r"has no hole \(the largest value is 1 of 255\): .* threshold of 0"):
        avoided(marks // 255, [(6, 8)])
    assert_array_equal(avoided(marks // 255, [(6, 8)], threshold=0)[0], marks > 0)
    with pytest.raises(InputError, match="no known pixel"):
        avoided(np.ones((6, 8), bool), [(6, 8)])
    with pytest.raises(InputError, match="mask_threshold"):
        avoided(marks, [(6, 8)], threshold=1)
