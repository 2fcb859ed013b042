"""The quantisation of a former JPEG, from its pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from scoreinv.analysis.jpeg_quantisation import (
    chroma_samples,
    coding_of,
    quantisation_error,
)
from scoreinv.imaging.picture import Picture

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
CELLS = {0: (1, 1), 1: (1, 2), 2: (2, 2)}


def reduced(name: str, side: int = 232) -> np.ndarray:
    """The middle of a photograph at half its size, which no JPEG has quantised."""
    image = Image.open(PHOTOS / f"{name}.jpg").convert("RGB").reduce(2)
    left, top = ((length - side) // 2 for length in image.size)
    return np.asarray(image.crop((left, top, left + side, top + side)))


def decoded(pixels: np.ndarray, quality: int, subsampling: int = 2) -> tuple[np.ndarray, list[np.ndarray]]:
    """The pixels of a JPEG, and its tables."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    image = Image.open(file)
    return np.asarray(image), [np.reshape(table, (8, 8)) for table in image.quantization.values()]


@pytest.mark.parametrize("scale", [3, 10, 300])
def test_the_error_of_rounded_coefficients(scale: float) -> None:
    """Nearly all, some and none of them become 0."""
    coefficients = np.random.default_rng(0).laplace(0, scale, (50, 8, 50, 8))
    rounded = 20 * np.rint(coefficients / 20)
    luma = fft.idctn(rounded, axes=(1, 3), norm="ortho").reshape(400, 400)
    true = float(np.std(rounded - coefficients))
    assert 255 * quantisation_error(luma, np.full((8, 8), 20.0)) == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("path", sorted(PHOTOS.glob("*.jpg")), ids=lambda path: path.stem)
def test_the_noise_is_the_error_of_luma(path: Path, quality: int) -> None:
    pixels = reduced(path.stem)
    stored, _ = decoded(pixels, quality)
    found = coding_of(Picture(stored))
    assert found is not None
    true = np.std((stored.astype(float) - pixels) @ [0.299, 0.587, 0.114])
    assert 1 / 1.25 < 255 * found.noise_std / true < 1.25


@pytest.mark.parametrize("quality", [75, 85, 92])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_steps_cells_and_grid_of_a_crop(quality: int, subsampling: int) -> None:
    pixels, tables = decoded(reduced("lake"), quality, subsampling)
    found = coding_of(Picture(np.ascontiguousarray(pixels[3:, 5:])))
    assert found is not None
    assert found.cell == CELLS[subsampling]
    assert found.origin == tuple(8 * cell - cut for cell, cut in zip(found.cell, (3, 5), strict=True))
    for steps, table in zip((found.luma, found.chroma), tables, strict=True):
        assert np.mean(abs(steps - table) <= 1) > 0.9
        assert steps.mean() == pytest.approx(table.mean(), rel=0.05)


def test_the_grid_of_a_large_picture_is_found_in_its_middle() -> None:
    pixels, _ = decoded(np.tile(reduced("lake"), (3, 3, 1)), 85)
    found = coding_of(Picture(np.ascontiguousarray(pixels[3:, 5:])))
    assert found is not None
    assert (found.cell, found.origin) == ((2, 2), (13, 11))


@pytest.mark.parametrize("name", ["lake", "facade", "moose", "dog"])
def test_a_photograph_that_was_never_compressed_has_none(name: str) -> None:
    assert coding_of(Picture(reduced(name, 200))) is None


def test_too_small_flat_or_black_and_white_pictures_have_none() -> None:
    assert coding_of(Picture(np.full((7, 40), 9, np.uint8))) is None
    assert coding_of(Picture(np.full((64, 64, 3), 99, np.uint8))) is None
    mask = Image.open(PHOTOS.parent / "masks" / "moose.png").convert("L")
    assert coding_of(Picture(np.asarray(mask))) is None


@pytest.mark.parametrize("cell", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_samples_come_back_from_a_decoder_up_to_the_border(cell: tuple[int, int]) -> None:
    """A decoder puts (3 a + b) / 4 beside each sample a, b being its neighbour on that side; the border repeats."""
    samples = np.random.default_rng(0).uniform(-99, 99, (2, 7, 9))
    planes = samples
    for axis, size in enumerate(cell, start=1):
        if size == 2:
            padded = np.pad(planes, [(int(axis == other),) * 2 for other in range(3)], mode="edge")
            before, after = (np.delete(padded, place, axis) for place in ([-2, -1], [0, 1]))
            both = [(3 * planes + beside) / 4 for beside in (before, after)]
            planes = np.stack(both, axis + 1).reshape(*planes.shape[:axis], -1, *planes.shape[axis + 1 :])
    np.testing.assert_allclose(chroma_samples(planes, cell), samples, rtol=0, atol=1e-3)
