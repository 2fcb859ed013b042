"""Outcomes of several pictures as one."""

import numpy as np
from support.independent_pixels import truth

from scoreinv.imaging.picture import Picture
from scoreinv.tasks.notes import info
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
