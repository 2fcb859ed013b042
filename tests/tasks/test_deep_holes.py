"""Deep holes from coarse to fine: out of the picture's own patches, and by the network where it has too few.

The network adds nothing: what it draws are samples of the initial estimate and its variance.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError, SettingError
from scoreinv.tasks import deep_holes
from scoreinv.tasks.inpaint import inpaint
from scoreinv.tasks.notes import warning

pytestmark = pytest.mark.portable

EXAMPLES = Path(__file__).parents[2] / "examples"
_INPAINT = [sys.executable, "-m", "scoreinv", "inpaint", "--quiet"]


class _Nothing(nn.Module):
    """F = 0: the initial estimate and its variance are all there is."""

    channels, stride = 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor, label: Tensor, condition: Tensor | None = None) -> Tensor:
        self.seen.append(tuple(x.shape))
        return torch.zeros_like(x)


def prior(side: int = 16) -> ScorePrior:
    return ConditionalPrior(_Nothing(), VE(0.01, 20.0), ResidualPreconditioning(), (-1.0, 1.0), side).eval()


def scene(height: int = 96, width: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = (0.3 * rng.random((height, width, 3)) + np.linspace(0.1, 0.6, width)[None, :, None]).astype(np.float32)
    hole = np.zeros((height, width), dtype=bool)
    hole[24:72, 30:90] = True
    return image, hole


def waves(height: int = 160, width: int = 200, phases: Sequence[float] = (0, 0, 0), periods: int = 4) -> np.ndarray:
    """Waves of short periods, grey where their phases are the same."""
    y, x = np.mgrid[:height, :width]
    angles = 2 * np.pi * (x / (3 * periods) + y / (2 * periods))
    return np.stack([0.45 + 0.25 * np.sin(angles + phase) for phase in phases], -1).astype(np.float32)


def deep(height: int = 160, width: int = 200) -> np.ndarray:
    hole = np.zeros((height, width), dtype=bool)
    hole[60:84, 80:106] = True
    return hole


def test_a_deep_hole_is_drawn_at_several_scales_in_windows_of_the_training_size() -> None:
    image, hole = scene()
    model = prior()
    result = inpaint(image, hole, prior=model, steps=5)
    assert result.method == "conditioned"
    assert result.nfe == 5 + 3 * 8  # 24 pixels deep: three halvings to 4, a quarter of 16
    assert (result.image[~hole] == image[~hole]).all()
    assert np.isfinite(result.image).all()
    assert max(shape[-1] for shape in model.network.seen) == 16


@pytest.mark.slow
def test_a_hole_with_enough_around_it_asks_the_network_for_its_mean_alone() -> None:
    picture, hole = waves(phases=range(3)), deep()
    model = prior()
    result = inpaint(picture, hole, prior=model, samples=2, seed=1)
    assert (result.method, result.nfe) == ("conditioned", 1)
    assert (result.image[~hole] == picture[~hole]).all()
    assert np.sqrt(np.mean((result.image - picture)[hole] ** 2)) < 0.1


def test_a_hole_that_takes_most_of_the_picture_is_continued_from_twice_the_size() -> None:
    """Of an eighth of its size six pixels are known on each side, so that no patch is; of a quarter twelve."""
    picture = waves(160, 160)  # grey, so that patches have one channel
    hole = np.zeros((160, 160), dtype=bool)
    hole[50:110, 50:110] = True
    model = prior()
    result = inpaint(picture, hole, prior=model)
    assert result.nfe == 1
    assert (result.image[~hole] == picture[~hole]).all()
    assert (result.image == result.image[..., :1]).all()
    assert 0.7 < result.image[hole].std() / picture[hole].std() < 1.2


def test_samples_take_patches_from_about_the_size_of_the_hole_away() -> None:
    observed = torch.ones(400, 1, 20, 30)
    observed[..., 5:15, 5:15] = 0
    observed[200:, :, 5:15, 15:20], observed[200:, :, 15:20, 5:11] = 0, 0  # 180 pixels
    places = deep_holes.drawn_elsewhere(observed, NoiseStream(0, 400))
    for some, side in ((places[:200], 10), (places[200:], 180**0.5)):
        assert some.mean(0).abs().max() < 0.2 * side
        torch.testing.assert_close(some.std(0) / side, torch.tensor([0.3, 1.0]), rtol=0.15, atol=0)


def test_whether_there_is_enough_to_copy() -> None:
    """At the last two scales, of known pixels; and at any but the full size, of those that may be copied."""
    few, many = np.zeros((160, 160), bool), np.ones((160, 160), bool)
    few[:20, :20] = True
    assert deep_holes.enough_to_copy(many, many, 2) is True
    assert deep_holes.enough_to_copy(many, few, 2) is False
    assert deep_holes.enough_to_copy(few, few, 2) is None
    middle = np.zeros((160, 160), bool)
    middle[:70, :70] = True
    scales = [deep_holes.PatchPrior.enough(torch.ones(1, 1, 70 >> k, 70 >> k)) for k in range(5)]
    least = scales.index(False)  # 70 pixels are enough for so many scales
    for halvings in range(1, 6):
        expected = None if max(1, halvings - 1) >= least else True
        assert deep_holes.enough_to_copy(middle, middle, halvings) is expected
    assert deep_holes.enough_to_copy(many, middle, 3) is True


@pytest.mark.slow
def test_samples_of_a_continued_hole_differ_where_the_picture_may_go_on_in_several_ways() -> None:
    """Waves go on in one way; blotches of two pixels in any."""
    picture = ndimage.gaussian_filter(np.random.default_rng(0).random((160, 200, 3)), (1, 1, 0)).astype(np.float32)
    hole = deep()
    result = inpaint(picture, hole, prior=prior(), samples=2, seed=1)
    difference = np.abs(result.samples[0] - result.samples[1])
    assert result.nfe == 1
    assert difference[hole].mean() > 0.1 * picture.std()
    assert (difference[~hole] == 0).all()


class _Unsteady(_Nothing):
    """Its last digits are others each time; it notes by how many threads it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.threads = torch.Generator().manual_seed(0), set[int]()

    def forward(self, x: Tensor, label: Tensor, condition: Tensor | None = None) -> Tensor:
        self.threads.add(torch.get_num_threads())
        return 1e-4 * torch.randn(x.shape, generator=self.generator)


def test_a_seed_gives_one_picture_whatever_the_number_of_threads() -> None:
    picture = ndimage.gaussian_filter(np.random.default_rng(0).random((120, 130, 3)), (2, 2, 0))
    picture = (0.5 + 3 * (picture - 0.5)).clip(0, 1).astype(np.float32)
    model = ConditionalPrior(_Unsteady(), VE(0.01, 20.0), ResidualPreconditioning(), (-1.0, 1.0), 16).eval()
    before, images = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            images.append(inpaint(picture, deep(120, 130), prior=model).image)
    finally:
        torch.set_num_threads(before)
    assert np.abs(images[1] - images[0]).max() < 2 / 255
    assert model.network.threads == {1}  # its sums, in bfloat16, would differ by more


@pytest.mark.slow
def test_a_seed_gives_one_picture_on_another_processor(tmp_path: Path) -> None:
    """As AVX2, with another number of threads, by the command and its own model."""
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    pictures = []
    for name, threads, settings in (("here", "1", {}), ("there", "2", avx2)):
        out = tmp_path / f"{name}.png"
        command = [*_INPAINT, EXAMPLES / "photos" / "moose.jpg", "--mask", EXAMPLES / "masks" / "moose.png"]
        command += ["--precision", "float32", "--threads", threads, "-o", out]
        subprocess.run(list(map(str, command)), env=os.environ | settings, check=True)
        pictures.append(np.asarray(Image.open(out)).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 2


def test_the_mean_and_other_methods_stay_at_one_scale() -> None:
    image, hole = scene()
    assert inpaint(image, hole, prior=prior(), estimate="mean").nfe == 8
    assert inpaint(image, hole, prior=prior(), method="pc", steps=3).nfe == 6


def test_a_picture_that_is_all_hole_but_a_corner() -> None:
    image, hole = scene(40, 50)
    hole[:] = True
    hole[:3, :3] = False
    result = inpaint(image, hole, prior=prior(), steps=3)
    assert np.isfinite(result.image).all()
    assert replace(result, image=None).method == "conditioned"


def test_a_band_narrower_than_a_coarse_pixel_still_tells_the_colours() -> None:
    """It is nowhere known as a whole at the scale that is drawn first."""
    image = np.broadcast_to(np.array([0.9, 0.4, 0.2], np.float32), (64, 72, 3)).copy()
    hole = np.ones(image.shape[:2], dtype=bool)
    hole[-3:] = False
    result = inpaint(image, hole, prior=prior(), steps=5, samples=4)
    means = np.mean([sample[hole].mean(0) for sample in result.samples], axis=0)
    np.testing.assert_allclose(means, image[0, 0], atol=0.15)


@pytest.mark.slow
def test_avoided_areas_are_kept_and_not_copied() -> None:
    """Waves everywhere, and a copy of what the hole hides beside it, but for a speck: the copy goes on best."""
    picture, hole = waves(), deep()
    avoid = np.zeros_like(hole)
    avoid[40:110, 112:190] = True
    picture[avoid] = [0.9, 0.1, 0.1] * picture[avoid]
    result = inpaint(picture, hole, prior=prior(), avoid=avoid, samples=2)
    for sample in result.samples:
        assert (sample[~hole] == picture[~hole]).all()
        assert np.abs(np.diff(sample[hole], axis=1)).max() < 0.2  # grey
        assert np.sqrt(np.mean((sample - waves())[hole] ** 2)) < 0.1
    pil = inpaint(picture, hole, prior=prior(), avoid=(255 * avoid).astype(np.uint8))
    np.testing.assert_allclose(pil.image, result.samples[0], atol=1e-4)


def test_where_all_around_is_avoided_pieces_come_from_further_away() -> None:
    picture, hole = waves(160, 500), deep(160, 500)
    avoid = ~hole
    avoid[:, 380:] = False
    rng = np.random.default_rng(0)
    picture[avoid] = rng.random((avoid.sum(), 3))
    image = inpaint(picture, hole, prior=prior(), avoid=avoid).image
    assert (image[~hole] == picture[~hole]).all()
    inner = ndimage.binary_erosion(hole, iterations=6)
    assert np.abs(np.diff(image[inner], axis=1)).mean() < 0.1  # grey as what is far away


def test_masks_that_leave_nothing_to_copy_are_refused_before_any_work() -> None:
    picture, hole = waves(), deep()
    avoid = ~hole
    avoid[:6] = False
    model = prior()
    with pytest.raises(InputError, match="the mask to avoid leaves too little"):
        inpaint(picture, hole, prior=model, avoid=avoid)
    assert not model.network.seen


def test_fills_that_copy_nothing_have_a_note() -> None:
    picture, hole = waves(), deep()
    for options in ({"method": "pc"}, {"start": 0.5}, {"estimate": "mean"}, {"method": "telea"}):
        with pytest.raises(SettingError, match="avoid does not go with"):
            inpaint(picture, hole, prior=None if "telea" in options.values() else prior(), avoid=hole, **options)
    narrow = np.zeros_like(hole)
    narrow[40:120, 100:102] = True
    filled = inpaint(picture, narrow, prior=prior(), avoid=hole)
    assert warning("avoid_unused") in filled.notes
    assert (filled.image == inpaint(picture, narrow, prior=prior()).image).all()


@pytest.mark.slow
def test_people_are_avoided_by_themselves_where_something_else_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, hole = ndimage.gaussian_filter(np.random.default_rng(0).random((160, 200, 3)), (1, 1, 0)), deep()
    picture, people = picture.astype(np.float32), np.zeros_like(hole)
    people[:, 110:] = True

    def beside(hole: np.ndarray, gray: np.ndarray) -> np.ndarray:
        assert hole.shape == gray.shape
        return people if hole.shape == people.shape else np.zeros_like(hole)

    usual = inpaint(picture, hole, prior=prior()).image
    monkeypatch.setattr("scoreinv.tasks.inpaint.people_beside", beside)
    monkeypatch.setattr("scoreinv.tasks.inpaint.foreign", lambda rgb, hole, halvings: np.zeros_like(hole))
    by_itself = inpaint(picture, hole, prior=prior()).image
    monkeypatch.undo()
    assert by_itself.shape == usual.shape
    assert (by_itself != usual).any()
    monkeypatch.setattr("scoreinv.tasks.inpaint.people_beside", lambda hole, gray: np.ones_like(hole))
    assert (inpaint(picture, hole, prior=prior()).image == usual).all()
