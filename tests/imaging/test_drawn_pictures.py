"""Results of operations on pictures do not depend on sample types, strips and orientations."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.picture_files import CHANNELS

from scoreinv.imaging import picture as pictures
from scoreinv.imaging import tone_curves
from scoreinv.imaging.changes import changes, differing
from scoreinv.imaging.metadata import Metadata, orient
from scoreinv.imaging.picture import Fill, Picture, eight_bits, to_float
from scoreinv.imaging.tone_curves import ToneCurves, with_tones
from scoreinv.inputs import masks
from scoreinv.inputs.hints import hints_from_picture
from scoreinv.inputs.masks import dilate, hole_from_picture

CURVES = ToneCurves(*np.array([[0.1, 0.05, 0], [0.9, 1, 0.95], [0.7, 1.2, 1], [0.2, 0.1, 0.05], [0.8, 0.9, 0.9]]))


class Scene:
    """A drawn picture of 8 bits, nearly grey in parts or as a whole, and inputs of its size."""

    def __init__(self, rng: np.random.Generator, mode: str) -> None:
        shape = height, width = tuple(rng.integers(3, 30, 2))
        self.pixels = rng.integers(0, 256, (*shape, *CHANNELS[mode]), dtype=np.uint8)
        if mode.startswith("RGB"):
            gray = self.pixels[: height // 2 if rng.random() < 0.5 else height]
            gray[..., :3] = gray[..., :1] // 2 + rng.integers(0, 7, (*gray.shape[:2], 3))
        if mode.endswith("A"):
            self.pixels[..., -1] = rng.choice((0, 127, 128, 255), shape)
        self.rgb = rng.random((*shape, 3)).astype(np.float32)
        self.low = rng.random((1 + height // 2, 1 + width // 2, 3)).astype(np.float32)
        self.hole = np.zeros(shape, bool)
        self.hole[rng.integers(height, size=3), rng.integers(width, size=3)] = True
        self.other = self.pixels.copy()
        self.other[self.hole] ^= 1
        self.gray = rng.integers(0, 256, shape, dtype=np.uint8)

    def turned(self, orientation: int) -> Scene:
        scene = copy(self)
        scene.__dict__ = {name: orient(values, orientation) for name, values in self.__dict__.items()}
        return scene

    def results(self, stored: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Return the results of operations on the pictures, stored in another type, as arrays HxW(xC)."""
        picture, other, gray = (Picture(stored(pixels)) for pixels in (self.pixels, self.other, self.gray))
        height, width = picture.size
        found = {
            "rgb": picture.rgb(),
            "luma": picture.luma(),
            "gray": np.full(picture.size, picture.is_gray()),
            "gray there": np.full(picture.size, picture.is_gray(self.hole)),
            "fills": picture.with_fills([Fill((0, 0, height, width), self.hole, 1.2 * self.rgb - 0.1)]).pixels,
            "colorized": picture.colorized(self.rgb).pixels,
            "chroma": picture.with_chroma(self.low).pixels,
            "resized": picture.resized_rgb(1 + height // 3, 1 + width // 3),
            "enlarged": picture.blank_enlarged(2).pixels,
            "tones": with_tones(picture, CURVES).pixels,
            "differing": differing(picture, other),
            "changes": changes(picture, [picture, other], self.hole),
            "dilated": dilate(self.hole, 2),
            "mask": hole_from_picture(picture, picture.size, name="mask", threshold=0.3),
        }
        if not picture.is_gray_mode:
            found["colours there"] = picture.with_colours_at(self.rgb, self.hole, gray).pixels
        if picture.has_alpha:
            found["hints"] = hints_from_picture(picture).known
        if picture.pixels.dtype == np.uint16:
            found["8 bits"] = eight_bits(picture.pixels)
        return found


def shares(values: np.ndarray) -> np.ndarray:
    """Return values of any type, as shares of its range."""
    return values.astype(float) / (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1)


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Compare results: to a level of the coarser type if the types differ, else exactly but for rounding."""
    for name in found.keys() & expected.keys():
        exact = found[name].dtype == expected[name].dtype and name != "chroma"
        assert_allclose(
            shares(found[name]), shares(expected[name]), rtol=0, atol=1e-5 if exact else 1.5 / 255, err_msg=name
        )


@pytest.mark.parametrize("mode", CHANNELS)
def test_neither_type_nor_strips_nor_orientation_matter(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    types = (lambda pixels: pixels, lambda pixels: pixels * np.uint16(257), to_float)
    for orientation in (2, 3, 5, 6, 8):
        scene = Scene(rng, mode)
        whole = [scene.results(stored) for stored in types]
        for other in whole[1:]:
            check(other, whole[0])
        turned = scene.turned(orientation).results(types[1])
        check(turned, {name: orient(values, orientation) for name, values in whole[1].items()})
        with monkeypatch.context() as patch:
            for module, name in ((pictures, "STRIP_ROWS"), (tone_curves, "STRIP_ROWS"), (masks, "_ROWS")):
                patch.setattr(module, name, int(rng.integers(1, 9)))
            check(scene.results(types[1]), whole[1])


@pytest.mark.parametrize("mode", CHANNELS)
def test_results_keep_metadata_and_a_profile_that_fits(mode: str) -> None:
    scene = Scene(np.random.default_rng(2), mode)
    gray = mode in ("L", "LA")
    metadata = Metadata(bytes(16) + (b"GRAY" if gray else b"RGB "), b"exif", b"xmp", (300.0, 200.0))
    picture = Picture(scene.pixels, metadata)
    height, width = picture.size
    whole = (0, 0, height, width)
    coloured = picture.colorized(scene.rgb)
    in_colour = (
        coloured,
        picture.with_chroma(scene.low),
        picture.with_coloured_part(coloured.part((0, 0, 2, 2)), (1, 1, 2, 2)),
    )
    assert {result.metadata for result in in_colour} == {replace(metadata, icc=None) if gray else metadata}
    filled = picture.with_fills([Fill(whole, scene.hole, scene.rgb)])
    for result in (filled, picture.part(whole), picture.covered(scene.hole), with_tones(picture, CURVES)):
        assert (result.metadata, result.mode) == (metadata, mode)
    assert picture.blank_enlarged(3).metadata == replace(metadata, dpi=(900.0, 600.0))
