"""Masks of low resolution raised along the edges of a photograph."""

from functools import partial

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scoreinv.analysis.guided_upsampling import upsampled_mask
from scoreinv.imaging.picture import Picture


def scene(height: int, width: int) -> tuple[Picture, np.ndarray]:
    """A reddish ellipse on greenish ground, both with texture, and where it is."""
    down, across = np.mgrid[:height, :width]
    inside = ((down - 0.45 * height) / (0.3 * height)) ** 2 + ((across - 0.52 * width) / (0.25 * width)) ** 2 < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(height, width)), 2)[..., None]
    rgb = np.where(inside[..., None], (0.7, 0.4, 0.35), (0.3, 0.5, 0.35)) + 0.3 * texture
    return Picture(np.rint(255 * rgb.clip(0, 1)).astype(np.uint8)), inside


@pytest.mark.parametrize("size", [(400, 600), (403, 591)])
def test_a_mask_follows_the_edges(size):
    picture, inside = scene(*size)
    low = (40, 60)
    small = np.asarray(Image.fromarray(inside.astype(np.float32)).resize(low[::-1], Image.Resampling.BOX))
    blurred = ndimage.gaussian_filter(np.roll(small, 1, axis=1), 0.7)  # half a cell or so beside it
    mask = upsampled_mask(picture, picture.resized_rgb(*low), blurred)
    plain = np.asarray(Image.fromarray(blurred).resize(size[::-1], Image.Resampling.BILINEAR)) > 0.5
    wrong, wrong_plainly = (mask != inside).sum(), (plain != inside).sum()
    assert wrong < 0.5 * wrong_plainly


def test_sure_pixels_stay_whatever_the_picture_shows():
    picture, _ = scene(120, 90)
    edges = partial(upsampled_mask, picture, picture.resized_rgb(30, 22))
    assert edges(np.ones((30, 22), np.float32)).all()
    assert not edges(np.zeros((30, 22), np.float32)).any()


def test_at_the_size_of_the_picture_it_is_the_guided_filter():
    """By the means of windows of 5x5 cells, written out."""
    rng = np.random.default_rng(0)
    colours, probability = rng.random((24, 29, 3)).astype(np.float32) * 0.2, rng.random((24, 29)).astype(np.float32)

    def windows(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, [(2, 2), (2, 2)] + [(0, 0)] * (values.ndim - 2), mode="edge")
        return np.lib.stride_tricks.sliding_window_view(padded.astype(float), (5, 5), (0, 1))

    slopes, offsets = np.empty((24, 29, 3)), np.empty((24, 29))
    seen, shares = windows(colours), windows(probability)
    for place in np.ndindex(24, 29):
        each, share = seen[place].reshape(3, 25), shares[place].ravel()
        both = np.cov(np.vstack([each, share]), bias=True)
        slopes[place] = np.linalg.solve(both[:3, :3] + 1e-3 * np.eye(3), both[:3, 3])
        offsets[place] = share.mean() - slopes[place] @ each.mean(1)
    expected = (windows(slopes).mean((-2, -1)) * colours).sum(-1) + windows(offsets).mean((-2, -1))
    found = upsampled_mask(Picture(colours), colours, probability)
    sure = np.abs(expected - 0.5) > 1e-3
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(found[sure], expected[sure] > 0.5)
