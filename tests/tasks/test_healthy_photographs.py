"""What is no damage: wires, masts, branches, whiskers, eyes, the letters of signs, in photographs without any."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

import scoreinv
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.models.damage_detector import DamageDetector
from scoreinv.tasks.requests import SURE_SENSITIVITY
from scoreinv.training.data.pictures import BUILTIN

HELD_OUT = Path(__file__).parents[2] / "examples" / "photos"
"""Photographs that no bundled model was trained on."""

MOST = 0.02
"""Share of a photograph that may be marked; of all together `MOST_OF_ALL`."""
MOST_OF_ALL = 0.003

SHOWN = {
    "skimage-rocket": "masts, lattices, wires",
    "wp24-angular-roof": "struts",
    "wp24-museum": "lines of light",
    "avatar-Cocktail": "a straw before the sky",
    "grub2-050817-N-3488C-028": "antennas, letters on a fuselage",
    "grub2-Windbuchencom": "branches in the fog",
    "grub2-BonsaiTridentMaple": "branches",
    "wp25-coming-soon-bg-image": "branches before the sky",
    "skimage-chelsea": "whiskers, eyes",
    "avatar-Cat": "whiskers, eyes",
    "avatar-Owl": "an eye in the dark",
    "avatar-Brushes": "bristles",
    "lomiri1604-seeding_by_Clements_Engelhardt": "blades of grass against the light",
    "astronaut": "eyes, badges with letters, a mast",
    "dog": "eyes, whiskers",
    "facade": "columns, letters",
    "moose": "antlers",
    "moonwalk": "bright specks and marks of the camera",
    "lake": "snow and rocks",
}


@cache
def detector() -> DamageDetector:
    """The bundled one, which remembers what it saw in a window: tests differ in what they make of it."""
    found, seen = load_damage_detector("damage"), {}
    look = found.logits

    def logits(pictures: torch.Tensor) -> torch.Tensor:
        key = hashlib.sha256(pictures.numpy().tobytes()).digest(), pictures.shape
        if key not in seen:
            seen[key] = look(pictures)
        return seen[key]

    found.logits = logits
    return found


def photograph(name: str) -> Image.Image:
    folder = BUILTIN if (BUILTIN / f"{name}.jpg").exists() else HELD_OUT
    if not folder.exists():
        pytest.skip("the package is installed without its examples")
    return Image.open(folder / f"{name}.jpg").convert("RGB")


@cache
def marked(name: str, mode: str = "RGB") -> float:
    """The share of a photograph that is marked, in colour or grey."""
    return float(scoreinv.find_damage(np.asarray(photograph(name).convert(mode)), grow=0, model=detector()).mean())


SMALL = ("skimage-rocket", "skimage-chelsea", "wp25-coming-soon-bg-image", "avatar-Owl")
"""What is looked at whenever something changes: all are looked at after the rest, for it takes longer."""


def small_first(names: Iterable[str]) -> list:
    return [pytest.param(name, marks=[] if name in SMALL else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", small_first(SHOWN))
def test_a_photograph_without_damage_is_hardly_marked(name):
    assert marked(name) <= MOST, SHOWN[name]


@pytest.mark.slow
def test_photographs_without_damage_are_hardly_marked_in_all():
    assert np.mean([marked(name) for name in SHOWN]) <= MOST_OF_ALL


@pytest.mark.parametrize("name", small_first(["skimage-rocket", "moose", "facade"]))
def test_a_grey_photograph_without_damage_is_hardly_marked(name):
    assert marked(name, "L") <= MOST, SHOWN[name]


@pytest.mark.parametrize("name", small_first(["moose", "facade", "moonwalk", "tulips", "wp25-coming-soon-bg-image"]))
def test_restore_fills_next_to_nothing_of_a_photograph_in_colours(name):
    """Its marks in colours, enlarged as it does; `test_restore_task` has its other steps."""
    hole = scoreinv.find_damage(np.asarray(photograph(name)), sensitivity=SURE_SENSITIVITY, model=detector())
    assert hole.mean() <= 0.005


@pytest.mark.slow
def test_a_sign_is_read_and_not_mended():
    photo = photograph("wp25-coming-soon-bg-image")
    draw = ImageDraw.Draw(photo)
    draw.rectangle((150, 120, 330, 190), fill=(245, 245, 235), outline=(40, 40, 40), width=3)
    draw.text((168, 132), "GARDEN", fill=(30, 60, 110), font=ImageFont.load_default(40))
    draw.rectangle((236, 190, 244, 320), fill=(60, 50, 45))
    assert scoreinv.find_damage(np.asarray(photo), grow=0, model=detector()).mean() <= MOST


@pytest.mark.slow
def test_a_scratch_across_the_same_photographs_is_found():
    for name in ("skimage-chelsea", "avatar-Car"):
        photo = photograph(name).convert("L")
        width, height = photo.size
        lines = Image.new("L", photo.size)
        points = [(0.31 * width, 0), (0.35 * width, 0.5 * height), (0.33 * width, height)]
        ImageDraw.Draw(lines).line(points, fill=255, width=3)
        scratch = np.asarray(lines) > 0
        pixels = np.asarray(photo).copy()
        pixels[scratch] = 250
        visible = scratch & (np.asarray(photo) < 200)
        found = scoreinv.find_damage(pixels, grow=0, model=detector())
        assert found[visible].mean() > 0.6, name
        assert found[~scratch].mean() < 0.02, name
