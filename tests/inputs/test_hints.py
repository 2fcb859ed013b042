"""Colours known at some pixels: strokes on a transparent layer, and what a photo has."""

import numpy as np
import pytest

from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.hints import (
    KnownColours,
    hints_from_picture,
    present_colours,
    read_hints,
    read_references,
    references_of,
)
from scoreinv.system.errors import InputError


def test_thin_strokes_count_at_a_smaller_size_and_wide_ones_do_not_spread() -> None:
    rgb = np.full((64, 64, 3), 0.5, np.float32)
    rgb[...] = (0.8, 0.4, 0.4)
    known = np.zeros((64, 64), bool)
    known[20, 8:40] = True  # an eighth of the small pixels it crosses
    known[41:64, 33:64] = True
    chroma, where = KnownColours(rgb, known).small(8, 8, "rec601")
    assert where[2, 1:5].all()
    assert where[:2].sum() == where[3:5, :4].sum() == 0
    assert where[6:, 5:].all()
    assert not where[4, 5:].any()
    expected = np.array([0.8, 0.4, 0.4]) - 0.299 * 0.8 - 0.701 * 0.4
    np.testing.assert_allclose(chroma[where], np.broadcast_to(expected, chroma[where].shape), atol=1e-5)


@pytest.mark.parametrize(("columns", "expected"), [(1, False), (2, True), (3, True)])
def test_a_small_pixel_is_known_if_a_quarter_of_it_is(columns: int, expected: bool) -> None:
    """Beside one that is known as a whole."""
    known = np.zeros((64, 64), bool)
    known[24:32, 16 : 24 + columns] = True
    _, where = KnownColours(np.full((64, 64, 3), 0.5, np.float32), known).small(8, 8, "rec601")
    assert where[3, 2:5].tolist() == [True, expected, False]


def test_layers_that_are_no_hints() -> None:
    for pixels, said in (
        (np.zeros((8, 8, 3), np.uint8), "alpha channel"),
        (np.zeros((8, 8, 4), np.uint8), "nothing is opaque"),
        (np.full((8, 8, 4), 255, np.uint8), "everything is opaque"),
    ):
        with pytest.raises(InputError, match=said):
            hints_from_picture(Picture(pixels))


def test_files_of_hints_have_the_size_of_their_photo(tmp_path) -> None:
    path, pixels = str(tmp_path / "hints.png"), np.zeros((8, 12, 4), np.uint8)
    pixels[2:5, 3:9] = (200, 40, 40, 255)
    write_picture(path, Picture(pixels))
    hints = read_hints(path, (8, 12))
    assert hints.part((1, 2, 3, 4)).known.tolist() == [[False] * 4] + [[False, True, True, True]] * 2
    assert (hints.part((1, 2, 3, 4)).rgb == hints.rgb[1:4, 2:6]).all()
    with pytest.raises(InputError, match=r"hints.png: the hints are 12x8, but the photo is 8x12"):
        read_hints(path, (12, 8))


def test_a_grey_photo_has_no_colours() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    assert present_colours(Picture(gray)) is None
    rgb = np.repeat(gray[..., None], 3, 2)
    assert present_colours(Picture(rgb)) is None
    rgb[20:40, 10:30, 2] //= 2
    found = present_colours(Picture(rgb))
    assert found is not None
    assert found.known[22:38, 12:28].any()
    assert not found.known[:, 40:].any()


def test_a_photo_in_colours_has_them_everywhere() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    rgb[:, 40:] = rgb[:, 40:, :1]  # its white wall
    found = present_colours(Picture(rgb))
    assert found is not None
    assert found.known.all()


def test_a_reference_is_neither_grey_nor_sepia_but_may_be_of_one_hue(caplog) -> None:
    levels = np.linspace(0.1, 0.9, 64 * 64).reshape(64, 64, 1) + np.zeros(3)
    sepia, blue = (Picture(levels * np.array(tint)) for tint in ((1.0, 0.86, 0.66), (0.5, 0.8, 1.0)))
    for pale in (Picture(levels), sepia):
        with pytest.raises(InputError, match="like: has no colours"):
            references_of([("like", pale)])
        assert len(references_of([("a", pale), ("b", blue)])) == 1
        assert "left out: a" in caplog.text
    assert references_of([]) == []


def test_a_large_reference_is_reduced_and_a_small_one_keeps_its_pixels(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for size, expected in (((600, 1100), (512, 939)), ((40, 30), (40, 30)), ((512, 700), (512, 700))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        write_picture(tmp_path / "a.tif", Picture(pixels), overwrite=True)
        (reference,) = read_references([str(tmp_path / "a.tif")])
        assert reference.size == expected
        assert size != expected or np.array_equal(reference.pixels, pixels)
