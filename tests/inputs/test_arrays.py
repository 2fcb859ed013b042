"""Pictures from Python: the kind that came in goes out, known samples bit-identical."""

import io
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import as_holes
from scoreinv.system.errors import InputError


def test_a_grey_tensor_gains_channels_when_coloured():
    pictures, form = pictures_from_api(torch.full((2, 1, 4, 4), 0.5))
    out = form.pictures([picture.colorized(np.full((4, 4, 3), 0.2)) for picture in pictures])
    assert out.shape == (2, 3, 4, 4)
    assert torch.allclose(out, torch.tensor(0.5), atol=1e-6)


def test_pil_modes_are_converted_and_turned_upright():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    image = Image.fromarray(pixels)
    image.getexif()[274] = 6
    image.info["exif"] = image.getexif().tobytes()
    (picture,), form = pictures_from_api(image)
    assert_array_equal(np.asarray(form.pictures([picture])), np.rot90(pixels, -1))
    becoming = {"P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "1": "L"}
    for mode, becomes in (becoming | dict.fromkeys(("CMYK", "YCbCr", "RGBX", "HSV", "LAB"), "RGB")).items():
        between = {"PA": "LA", "La": "LA", "RGBa": "RGBA"}.get(mode, "L")
        image = Image.fromarray(pixels).convert(between).convert(mode)
        (picture,), form = pictures_from_api(image)
        assert form.pictures([picture]).mode == becomes


def test_16_bit_colour_as_pil_image_is_rounded_and_says_so(caplog):
    _, form = pictures_from_api(Image.fromarray(np.zeros((2, 2), np.uint16)))
    out = form.pictures([Picture(np.full((2, 2, 3), 300, np.uint16))])
    assert_array_equal(np.asarray(out), 1)
    assert "rounded to 8" in caplog.text


def test_a_truncated_pil_image_is_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(buffer, "PNG")
    with pytest.raises(InputError, match="the picture: the PIL image cannot be decoded"):
        pictures_from_api(Image.open(io.BytesIO(buffer.getvalue()[:1000])))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), "3x8x8.*channels last"),
        (np.zeros((2, 8, 8, 3), np.uint8), "one by one, or as a tensor BxCxHxW"),
        (np.zeros((8, 8, 1), np.uint8), r"drop the last axis with \[..., 0\]"),
        (np.zeros((1, 8, 8), np.uint8), r"drop the first axis with \[0\]"),
        (np.zeros((8, 8), np.int64), "int64.*uint8, uint16 or float"),
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), 200.0), "divide by 255"),
        (np.full((8, 8), 300.0), r"from 300 to 300, but floats must be in \[0, 1\]$"),
        (torch.zeros(8, 8), "8x8.*CxHxW"),
        (torch.zeros(8, 8, 3), "8x8x3.*channels first"),
        (torch.zeros(0, 3, 8, 8), "0x3x8x8"),
        (torch.nested.nested_tensor([torch.zeros(8)] * 2, layout=torch.jagged), "a nested tensor"),
        (
            torch.nested.nested_tensor([torch.zeros(3, 8, 8)] * 2, layout=torch.jagged),
            "a nested tensor: pass its pictures one by one",
        ),
        (Image.fromarray(np.ones((2, 2), np.float32)), "mode F"),
        ("photo.png", "not str: read the file"),
        (np.ma.zeros((8, 8)), "masked array"),
        (torch.zeros(3, 8, 8, device="meta"), "without plain values"),
        (Image.new("I", (2, 2), -5), "outside 0 to 65535"),
        (Image.new("I", (2, 2), 65536), "outside 0 to 65535"),
    ],
)
def test_unfit_pictures(image, words):
    with pytest.raises(InputError, match=words):
        pictures_from_api(image)
    with pytest.raises(InputError):
        as_holes(image, [(8, 8)])


def test_floats_may_exceed_the_range_by_their_rounding():
    """On both sides, in arrays and tensors of both precisions; by more than 1e-6 they are refused."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        values, beyond = rng.random((4, 5)), float(np.exp(rng.uniform(-18, -10)))
        values[rng.integers(4), rng.integers(5)] = rng.choice((-beyond, 1 + beyond))
        allowed = nullcontext() if beyond < 0.9e-6 else pytest.raises(InputError, match="in \\[0, 1\\]")
        for image in (values, values.astype(np.float32), torch.from_numpy(values)[None]):
            if not 0.9e-6 < beyond < 1.1e-6:
                with allowed:
                    pictures_from_api(image)
