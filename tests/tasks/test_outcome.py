"""Outcomes of several pictures as one."""

import numpy as np
import torch
from support.independent_pixels import truth

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import Form
from scoreinv.tasks.notes import info, warning
from scoreinv.tasks.once import in_form
from scoreinv.tasks.outcome import (
    ColorizeOutcome,
    DamageOutcome,
    DeblurOutcome,
    DenoiseOutcome,
    InpaintOutcome,
    Outcome,
    RestoreOutcome,
    SelectOutcome,
    Step,
    UpscaleOutcome,
)

PICTURES = [Picture(truth()), Picture(truth(seed=1))]
HALF = np.array([[True, False]])
NOTES = [[], [warning("noise_low", level=0.5), info("noise_estimated", level=1.0)]]


def test_a_batch_has_the_evaluations_of_its_longest_picture_and_lists_of_figures() -> None:
    each = zip(PICTURES, (0, 7), ("exact", "dpir"), (0.0, 0.1), NOTES, strict=True)
    outcomes = [DenoiseOutcome(p, [p], None, nfe, method, std, notes=notes) for p, nfe, method, std, notes in each]
    both = in_form(outcomes, Form("tensor", 4, torch.float32, "cpu"))
    assert (both.nfe, both.method, both.noise_std, both.notes) == (7, "dpir", [0.0, 0.1], NOTES)
    np.testing.assert_array_equal(both.image[0].permute(1, 2, 0), truth())
    alone = in_form(outcomes[1:], Form("tensor", 3, torch.float32, "cpu"))
    assert (alone.noise_std, alone.notes, alone.image.ndim) == (0.1, NOTES[1], 3)


def test_figures_of_each_task_are_in_the_users_units() -> None:
    base = (PICTURES[0], PICTURES[:1], None, 1, "pc")
    steps = [Step("tint", info("kind_gray"), False), Step("denoise", info("filled"), True, PICTURES[1])]
    restored = RestoreOutcome(*base, "grey", HALF, 0.2, steps, ["denoise", "tint"])
    for outcome, figures in (
        (Outcome(*base), {}),
        (DamageOutcome(*base, HALF), {"damaged": 0.5}),
        (SelectOutcome(*base, HALF, "small", HALF), {"model": "select", "selected": 0.5, "size": "small"}),
        (InpaintOutcome(*base, HALF), {"damaged": 0.5}),
        (InpaintOutcome(*base), {}),
        (DenoiseOutcome(*base, 0.2), {"noise": 51}),
        (UpscaleOutcome(*base, 0.0, 3), {"noise": 0, "factor": 3}),
        (DeblurOutcome(*base, 0.1, None, "file", None), {"noise": 25.5, "kernel": "file"}),
        (restored, {"found": "grey", "steps": ["denoise"], "damaged": 0.5, "noise": 51}),
        (RestoreOutcome(*base, "grey", None, None, []), {"found": "grey", "steps": []}),
    ):
        assert outcome.figures() == figures
    assert restored.step_pictures() == [PICTURES[1], None]
    assert Outcome(*base).step_pictures() == []


def test_the_invented_content_of_outcomes() -> None:
    base = (PICTURES[0], PICTURES[:1], None, 1)
    colours = [Step("colorize", info("colors_drawn"), True)]
    kept = [Step("colorize", info("colors_kept"), False), Step("denoise", info("filled"), True)]
    for outcome, invents in (
        (InpaintOutcome(*base, "pc", generated=HALF), True),
        (InpaintOutcome(*base, "pc", generated=HALF & False), False),
        (InpaintOutcome(*base, "telea", generated=HALF), False),
        (Outcome(*base, "pc"), False),
        (ColorizeOutcome(*base, "pc", "grey"), True),
        (RestoreOutcome(*base, "pc", "grey", None, None, colours), True),
        (RestoreOutcome(*base, "pc", "grey", None, None, kept), False),
        (RestoreOutcome(*base, "pc", "grey", HALF, None, kept, generated=HALF), True),
    ):
        assert outcome.invents == invents
