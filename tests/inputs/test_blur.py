"""Blur kernels by name and from a file."""

from contextlib import nullcontext
from itertools import product

import numpy as np
import pytest
from PIL import Image

from scoreinv.inputs.blur import check_kernel_size, kernel_from_text
from scoreinv.system.errors import InputError


def test_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.zeros((9, 8), np.uint16)
    values[4:6, 3:5] = [[10000, 20000], [0, 10000]]
    Image.fromarray(values).save("point.png")
    np.testing.assert_allclose(kernel_from_text("point.png"), [[0, 0, 0], [0.25, 0.5, 0], [0, 0.25, 0]], atol=1e-9)
    colour = np.zeros((3, 3, 4), np.uint8)
    colour[1, 1] = 255
    colour[1, 2, 1] = 255
    Image.fromarray(colour).save("colour.png")
    np.testing.assert_allclose(kernel_from_text("colour.png"), np.array([[0, 1, 0.587]]) / 1.587, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gaussian", "needs its size"),
        ("gaussian:wide", "is not a kernel"),
        ("gaussian:0", "gaussian:0: .* from 0.1 to 200 pixels, not 0"),
        ("gaussian:nan", "from 0.1 to 200"),
        ("disk:0.04", "from 0.1 to 200"),
        ("disk:1e9", "from 0.1 to 200"),
        ("motion:5", "is not a kernel"),
        ("motion:5,inf", "degrees"),
        ("missing.png", "missing.png: is neither a kernel nor a file: give gaussian:SIGMA"),
        ("gausian:1", "gausian:1: is neither a kernel nor a file: give gaussian:SIGMA"),
        ("black.png", "black.png: the kernel is 0"),
    ],
)
def test_kernels_that_are_none(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (5, 5)).save("black.png")
    with pytest.raises(InputError, match=said):
        kernel_from_text(text)


def test_a_kernel_is_smaller_than_the_photo_along_either_axis() -> None:
    sides = (3, 5, 7)
    for height, width, *size in product(sides, repeat=4):
        fits = height < size[0] and width < size[1]
        with nullcontext() if fits else pytest.raises(InputError, match=f"{width}x{height} and the photo"):
            check_kernel_size(np.ones((height, width)), tuple(size))
