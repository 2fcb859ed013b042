"""Comparison of a result with its original."""

from dataclasses import replace

import numpy as np
import pytest

from scoreinv.imaging.changes import ALTERED, GENERATED
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import Record, pixel_hash, with_record
from scoreinv.system.errors import InputError
from scoreinv.tasks.compare import compare_pictures

ORIGINAL = Picture(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
MASK = np.zeros((6, 8), np.uint8)
MASK[1, 2], MASK[3] = GENERATED, ALTERED


def changed(*places: tuple[int, int]) -> Picture:
    pixels = ORIGINAL.pixels.copy()
    for place in places:
        pixels[place] ^= 1
    return Picture(pixels)


def record_of(original: Picture) -> Record:
    return Record("inpaint", {}, {}, {}, pixel_hash(original))


def test_changes_inside_and_outside_the_mask() -> None:
    inside = compare_pictures(ORIGINAL, changed((1, 2), (3, 5)), Picture(MASK))
    assert (inside.untouched, inside.unmarked.any()) == (True, False)
    assert (inside.identical, inside.generated, inside.altered) == (46 / 48, 1 / 48, 8 / 48)
    outside = compare_pictures(ORIGINAL, changed((1, 2), (0, 0)), Picture(MASK))
    assert (outside.untouched, np.argwhere(outside.unmarked).tolist()) == (False, [[0, 0]])
    assert tuple(outside.side_by_side().pixels[0, 0]) == (255, 224, 0)


def test_without_a_mask_all_changes_are_shown_as_altered() -> None:
    result = changed((0, 0))
    bare = compare_pictures(ORIGINAL, result)
    assert (bare.untouched, bare.generated, bare.altered, bare.unmarked.any()) == (None, None, None, False)
    marked = compare_pictures(ORIGINAL, result, Picture(ALTERED * bare.differs.astype(np.uint8)))
    assert np.array_equal(bare.side_by_side().pixels, marked.side_by_side().pixels)


def test_the_record_gives_the_part_of_the_original() -> None:
    part = with_record(ORIGINAL.part((1, 2, 4, 5)), replace(record_of(ORIGINAL), box=(1, 2, 4, 5)))
    found = compare_pictures(ORIGINAL, part)
    assert (found.identical, found.as_recorded, found.original.size) == (1.0, True, (4, 5))
    unrecorded = compare_pictures(ORIGINAL, Picture(part.pixels))
    assert (unrecorded.identical, unrecorded.record, unrecorded.as_recorded) == (0.0, None, None)


def test_a_record_of_another_original_is_ignored() -> None:
    assert compare_pictures(ORIGINAL, with_record(changed(), record_of(changed((0, 0))))).record is None


@pytest.mark.parametrize(
    "changes",
    [
        with_record(Picture(MASK), record_of(changed((0, 0)))),  # of another original
        Picture(MASK[:5]),
        Picture(MASK.astype(np.uint16)),
        Picture(np.stack([MASK] * 3, axis=-1)),
    ],
)
def test_wrong_masks_are_refused(changes: Picture) -> None:
    with pytest.raises(InputError):
        compare_pictures(ORIGINAL, changed(), changes)
