"""Pictures that would take more memory than there is, are told before the work."""

import json

import numpy as np
import pytest
from PIL import Image
from support.shell import photo_array

from scoreinv.cli.gallery import Gallery
from scoreinv.cli.options import Common
from scoreinv.system.errors import InputError


@pytest.fixture
def little_memory(limit):
    limit(memory=100_000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("inpaint", "photo.png", "--mask", "mask.png", "--samples", "1000"),
            "--samples 1000: drawing 1000 pictures of this size needs",
        ),
        (("colorize", "gray.png", "--samples", "1000"), "--samples 1000: drawing 1000 pictures of this size needs"),
        (("sample", "-n", "100000", "-o", "grid.png"), "-n 100000: so many pictures of 16x16 needs"),
        (("sample", "-n", "100", "-o", "folder/"), "-n 100: so many pictures of 16x16 needs"),
        (
            ("interpolate", "photo.png", "photo.png", "-n", "10000", "-o", "row.png"),
            "-n 10000: so many pictures of 40x24 needs",
        ),
    ],
)
def test_results_that_do_not_fit_into_memory(scoreinv, photo, mask, tmp_path, little_memory, words, said):
    Image.fromarray(photo_array(channels=1)).save(tmp_path / "gray.png")
    before = sorted(tmp_path.rglob("*"))
    outcome = scoreinv(*words)
    assert outcome.code == 2, outcome.err
    assert outcome.err.count("\n") == 1
    assert said in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_of_a_folder_are_not_limited_together(limit, tmp_path):
    limit(megapixels=1)
    Gallery(f"{tmp_path}/many/", 70, None, Common()).check((150, 100))
    with pytest.raises(InputError, match="1 megapixels"):
        Gallery(str(tmp_path / "one.png"), 70, None, Common()).check((150, 100))


def test_a_sheet_has_the_quality_that_is_asked_for(tmp_path):
    images, sizes = np.random.default_rng(0).random((2, 16, 16, 3)), []
    for quality in (10, 90):
        path = tmp_path / f"{quality}.jpg"
        Gallery(str(path), 2, quality, Common()).write(images)
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]


def test_a_file_and_json_both_need_stdout(scoreinv, photo):
    for words in (("sample", "-n", 1), ("interpolate", photo, photo), ("compare", photo, photo)):
        outcome = scoreinv(*words, "-o", "-", "--json")
        assert (outcome.code, list(json.loads(outcome.out))) == (2, ["error"])
