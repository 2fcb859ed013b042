"""Marks in faces that are an eye or a mouth, no damage."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.formula_detector import FormulaDetector

import scoreinv
from scoreinv.analysis.faces import faces, facial_features, people_beside

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
EYES = (slice(97, 106), slice(199, 208)), (slice(99, 108), slice(242, 260))
"""Pupils and lashes of `astronaut`."""


@pytest.fixture
def portrait() -> np.ndarray:
    return photograph("astronaut")


def photograph(name: str) -> np.ndarray:
    if not PHOTOS.exists():
        pytest.skip("the package is installed without its examples")
    return np.asarray(Image.open(PHOTOS / f"{name}.jpg").convert("L"), np.float32) / 255


def found(gray: np.ndarray) -> np.ndarray:
    """What is darker than about 0.3, but for faces."""
    dark = FormulaDetector(lambda pictures: 100 * (0.3 - pictures.mean(1, keepdim=True)))
    return scoreinv.find_damage(gray, grow=0, model=dark)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_face_is_found_where_it_is(portrait, scale):
    boxes = np.array(faces(np.kron(portrait, np.ones((scale, scale), np.float32)))) / scale
    assert (np.abs(boxes - (62, 169, 109, 109)).max(axis=1) < 20).sum() == 1


def test_other_and_small_pictures_have_no_face():
    for name in ("dog", "moose", "facade"):
        assert faces(photograph(name)) == []
    for size in ((1, 1), (29, 300), (30, 30)):
        assert faces(np.zeros(size, np.float32)) == []


def test_eyes_are_no_damage(portrait):
    assert all(portrait[eye].min() < 0.2 for eye in EYES)
    mask = found(portrait)
    assert not any(mask[eye].any() for eye in EYES)
    assert mask[portrait < 0.2].mean() > 0.9  # all else that is dark


def test_a_spot_on_the_cheek_is_damage_and_so_is_a_scratch_through_an_eye(portrait):
    portrait[125:131, 200:206] = 0
    portrait[101, 150:210] = 0
    mask = found(portrait)
    assert mask[125:131, 200:206].all()
    assert mask[101, 150:210].all()
    assert not mask[EYES[1]].any()


FEATURES = {"eyes": (0.22, 0.52, 0.05, 0.97), "nostrils": (0.5, 0.7, 0.33, 0.67), "mouth": (0.7, 0.92, 0.22, 0.8)}
"""Top, bottom, left and right in the box of a face."""


@pytest.mark.parametrize("name", FEATURES)
def test_a_dark_mark_is_a_feature_if_the_part_of_the_face_holds_it(name):
    """Whole, and not if it goes on beyond one of the part's four ends; a cheek and a forehead have none."""
    top, bottom, left, right = (
        round(100 * end) + offset for end, offset in zip(FEATURES[name], (7, 7, 9, 9), strict=True)
    )
    marks = [(slice(top, bottom), slice(left, right))]
    middle = slice((top + bottom) // 2, (top + bottom) // 2 + 2), slice((left + right) // 2, (left + right) // 2 + 2)
    for rows, columns in (
        (slice(top - 30, top + 2), middle[1]),
        (slice(bottom - 2, bottom + 30), middle[1]),
        (middle[0], slice(max(0, left - 30), left + 2)),
        (middle[0], slice(right - 2, right + 30)),
    ):
        marks.append((rows, columns))
    for number, mark in enumerate(marks):
        marked, gray = np.zeros((140, 150), bool), np.full((140, 150), 0.6)
        marked[mark], gray[mark] = True, 0.1
        assert facial_features(marked, gray, [(7, 9, 100, 100)]).any() == (number == 0)
        assert not facial_features(marked, gray.max() - gray, [(7, 9, 100, 100)]).any()


def test_heads_and_shoulders_are_not_repeated_beside_them(portrait):
    hole = np.zeros(portrait.shape, dtype=bool)
    hole[10:300, 360:460] = True
    people = people_beside(hole, portrait)
    assert people[20:165, 165:290].mean() > 0.95  # hair, face and chin
    assert people[200:290, 150:300].all()  # the ring of the suit
    assert not people[:, 400:].any()
    assert not people_beside(hole, np.full_like(portrait, 0.5)).any()


@pytest.mark.parametrize("place", [np.s_[90:110, 200:220], np.s_[15:60, 180:280], np.s_[200:300, 150:300]])
def test_people_in_whom_the_hole_is_are_what_is_to_be_filled(portrait, place):
    """An eye, the hair, the chest: the face is whole in the last two, and is left alone."""
    hole = np.zeros(portrait.shape, dtype=bool)
    hole[place] = True
    people = people_beside(hole, portrait)
    assert not people[place].any()
    assert people.any() == (place != np.s_[90:110, 200:220])
