"""What generators of training data draw from a seed: a recipe makes the same pictures again, and so the same weights.

`tests/data/drawings.json` has a summary of each drawing. Those with letters are left out: fonts differ by version.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFont

from pretrained.blur import make as blur
from pretrained.tone import make as tone
from pretrained.upscaler import make as upscaler
from scoreinv.training.data import prints, synthetic_damage
from scoreinv.training.data.prints import Medium, Sheet, on_colour_film, on_old_film, on_other_film

pytestmark = pytest.mark.portable

DRAWINGS = Path(__file__).parents[2] / "data" / "drawings.json"
SEEDS = 8
PAPER, INK = np.array([0.95, 0.9, 0.8], np.float32), np.array([0.15, 0.1, 0.05], np.float32)
MEDIA = [Medium(gray, PAPER, INK, 0.02, 0.5, 0.0, None) for gray in (False, True)]
Draw = Callable[[np.random.Generator], list[np.ndarray]]


class LettersError(Exception):
    """Raised where a font is needed."""


def picture() -> np.ndarray:
    rows, columns = np.mgrid[:60, :84] / 15
    return (0.5 + 0.4 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)).astype(np.float32)


def medium(rng: np.random.Generator) -> list[np.ndarray]:
    one = prints.draw_medium(rng)
    numbers = (one.gray, *one.paper, *one.ink, one.grain, one.grain_size, one.focus, one.quality or 0)
    return [np.array(numbers)]


def enlarged(rng: np.random.Generator) -> list[np.ndarray]:
    photo = (255 * picture().clip(0, 1)).astype(np.uint8).repeat(5, 0).repeat(5, 1)
    small, large, *rest = upscaler.drawn([[photo]], 2, rng)
    return [small / 255, large / 255, np.array(rest)]


def faded(rng: np.random.Generator) -> list[np.ndarray]:
    """Draws of torch's generator, of photographs whose pixels lie anywhere in the print."""
    with torch.random.fork_rng([]):
        torch.manual_seed(int(rng.integers(1000)))
        pixels = torch.from_numpy(picture().reshape(1, -1, 3)).expand(6, -1, -1)
        place = 2 * torch.rand(6, pixels.shape[1], 2) - 1
        strength = torch.rand(6, 1, 1)
        found = [tone.by_dyes(pixels, strength, place), tone.by_levels(pixels, strength)]
        found += [tone.by_light(pixels, strength, place), *tone.faded_by_drawing(pixels, place)]
        found.append(tone.in_mist(torch.from_numpy(picture()).permute(2, 0, 1).expand(6, -1, -1, -1) - 0.1))
    return [value.numpy() for value in found]


def covers(kind: Callable[[Sheet], prints.Cover]) -> Draw:
    return lambda rng: list(kind(Sheet(picture(), MEDIA[int(rng.integers(2))], rng)))


CASES: dict[str, Draw] = {
    **{name: covers(draw) for name, (_, draw) in synthetic_damage.KINDS.items()},
    **{kind.__name__: covers(kind) for kind in prints.EDGES},
    **{
        hole.__name__: lambda rng, hole=hole: [hole(48, rng)]
        for hole in (*synthetic_damage.HOLES, synthetic_damage.draw_hints)
        if hole is not synthetic_damage.lines_of_letters
    },
    "wide creases": lambda rng: list(
        synthetic_damage.KINDS["creases"][1](Sheet(np.ones((12, 1300, 3)), MEDIA[0], rng))
    ),
    "old film": lambda rng: [on_old_film(picture(), MEDIA[int(rng.integers(2))], rng)],
    "other film": lambda rng: [on_other_film(picture(), "rec601", rng)],
    "colour film": lambda rng: [on_colour_film(picture(), "rec601", rng)],
    "medium": medium,
    "enlarged": enlarged,
    "faded": faded,
    "light": lambda rng: [blur.drawn_light([picture().repeat(6, 0).repeat(6, 1)[..., 0]], rng)],
    "blur": lambda rng: [np.asarray(each) for each in blur.randomly_blurred(picture()[:, :60, 0], rng)],
}


def summary(name: str) -> list[list[float]]:
    """The sizes of the first drawings' arrays, their means, and inner products with a vector of unit length."""
    found: list[list[float]] = []
    seed = 0
    while len(found) < SEEDS:
        seed += 1
        try:
            drawn = CASES[name](np.random.default_rng(seed))
        except LettersError:
            continue
        numbers = []
        for values in drawn:
            flat = np.asarray(values, np.float64).ravel()
            wave = np.sin(0.7 * np.arange(len(flat)) ** 1.5)
            numbers += [len(flat), flat.mean(), flat @ wave / math.sqrt(len(flat))]
        found.append([float(f"{number:.6g}") for number in numbers])
    return found


def no_font(size: int) -> None:
    raise LettersError


@pytest.mark.parametrize("name", CASES)
def test_drawings_of_a_seed_stay_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prints.font.cache_clear()
    monkeypatch.setattr(ImageFont, "load_default", no_font)
    expected = json.loads(DRAWINGS.read_text())[name]
    for found, known in zip(summary(name), expected, strict=True):
        np.testing.assert_allclose(found[0::3], known[0::3])
        # Rounding may move a few of the thousands of pixels across an edge.
        np.testing.assert_allclose(found[1::3], known[1::3], rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(found[2::3], known[2::3], rtol=1e-3, atol=0.04)
