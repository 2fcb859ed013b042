"""Outcomes of several pictures as one."""

import numpy as np
import torch
from independent_pixels import truth

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import Form
from scoreinv.tasks.notes import info, warning
from scoreinv.tasks.outcome import DenoiseOutcome, in_form

PICTURES = [Picture(truth()), Picture(truth(seed=1))]
NOTES = [[], [warning("noise_low", level=0.5), info("noise_estimated", level=1.0)]]


def test_a_batch_has_the_evaluations_of_its_longest_picture_and_lists_of_figures() -> None:
    each = zip(PICTURES, (0, 7), ("exact", "dpir"), (0.0, 0.1), NOTES, strict=True)
    outcomes = [DenoiseOutcome(p, [p], None, nfe, method, std, notes=notes) for p, nfe, method, std, notes in each]
    both = in_form(outcomes, Form("tensor", 4, torch.float32, "cpu"))
    assert (both.nfe, both.method, both.noise_std, both.notes) == (7, "dpir", [0.0, 0.1], NOTES)
    np.testing.assert_array_equal(both.image[0].permute(1, 2, 0), truth())
    alone = in_form(outcomes[1:], Form("tensor", 3, torch.float32, "cpu"))
    assert (alone.noise_std, alone.notes, alone.image.ndim) == (0.1, NOTES[1], 3)
