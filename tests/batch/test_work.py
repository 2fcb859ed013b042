"""One picture of a batch: its files as inputs of the task, and the settings of its results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.shell import hole_array, photo_array

from scoreinv.batch.plan import AuxiliaryFiles, Job, OutputOptions
from scoreinv.batch.work import Work, prepare
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.tasks.outcome import DenoiseOutcome
from scoreinv.tasks.requests import DamageRequest
from scoreinv.tasks.table import Task


def same(inputs: Any, request: Any, models: Any) -> DenoiseOutcome:
    """A task that changes nothing."""
    return DenoiseOutcome(inputs.picture, [inputs.picture], None, 1, "exact", 0.0)


def work(masks: MaskOptions | None = None, **options: Any) -> Work:
    auxiliary = AuxiliaryFiles(masks=masks or MaskOptions())
    return Work(
        Task("same", DamageRequest, same, "_same", "", makes_mask=True),
        DamageRequest(),
        Models(),
        auxiliary,
        OutputOptions(**options),
    )


def save(name: str, hole: np.ndarray, level: int = 255) -> None:
    Image.fromarray(np.where(hole, level, 0).astype(np.uint8)).save(name)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo_array()).save("photo.png")


def test_options_of_masks_are_those_of_the_hole_and_the_threshold_alone_of_what_is_avoided():
    save("mask.png", ~hole_array(), 60)
    save("avoid.png", hole_array()[::-1], 60)
    job = Job("photo.png", "out.png", outputs=("out.png",), mask="mask.png", avoid="avoid.png")
    given, _ = prepare(job, work(MaskOptions(mask_threshold=0.2, invert_mask=True, grow=1)))
    np.testing.assert_array_equal(given.hole, dilate(hole_array(), 1))
    np.testing.assert_array_equal(given.avoid, hole_array()[::-1])


def test_only_what_is_avoided_and_a_mask_of_damage_may_be_black():
    for name in ("black.png", "photo_damage.png"):
        save(name, np.zeros_like(hole_array()))
    with pytest.raises(InputError):
        prepare(Job("photo.png", "out.png", mask="black.png"), work())
    given, _ = prepare(Job("photo.png", "out.png", mask="photo_damage.png", avoid="black.png"), work())
    assert not given.hole.any()
    assert not given.avoid.any()
