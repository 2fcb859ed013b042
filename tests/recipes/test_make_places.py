"""The likeness recipe: its losses by hand, and what pairs of views they prefer."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pretrained.places import make as recipe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    random.seed(0)


def test_marks_of_places() -> None:
    marks = torch.arange(12).reshape(3, 4)
    places = torch.tensor([[0.0, 0.0], [0.4, 0.3], [0.99, 0.99], [0.7, 0.1]])
    assert recipe.values_at(marks, places).tolist() == [0, 5, 11, 8]


def test_the_error_of_a_match() -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    right, nothing = torch.tensor([[True, False, True], [False, False, False]]), torch.tensor([False, True])
    shares = F.pad(logits, (0, 1)).softmax(1)
    expected = -(math.log(shares[0, 0] + shares[0, 2]) + math.log(shares[1, 3])) / 2
    assert float(recipe.match_loss(logits, right, nothing)) == pytest.approx(expected, rel=1e-5)


def test_the_gain_of_colours_that_are_taken() -> None:
    """A place as light takes them as they are, a darker one less, and what was drawn counts as one place."""
    luma = torch.tensor([0.45, 0.95])
    a = {"drawn": torch.zeros(2, 2), "truth": torch.tensor([[0.3, 0.2], [-0.1, 0.1]]), "luma": luma}
    b = {"truth": torch.tensor([[0.4, 0.0], [0.0, 0.2]]), "luma": torch.tensor([0.95, 0.45])}
    logits = torch.tensor([[0.5, -0.3], [0.1, 1.0]])
    weights = logits.exp()
    mixed = torch.zeros(2, 2)
    for here, there in np.ndindex(2, 2):
        shade = min(1.0, (float(luma[here]) + 0.05) / (float(b["luma"][there]) + 0.05))
        mixed[:, here] += weights[here, there] * shade * b["truth"][:, there] / (1 + weights[here].sum())
    before, after = (float((x - a["truth"]).square().mean()) for x in (a["drawn"], mixed))
    expected = 10 * math.log10((before + 2e-4) / (after + 2e-4))
    assert float(recipe.gain(a, b, logits)) == pytest.approx(expected, rel=1e-4)


SIDE = 4


def view(keys: torch.Tensor, kind: str, marks: torch.Tensor | None = None) -> dict[str, object]:
    """A picture of 4x4 places with these keys (D, 16), each of a colour of its own that the drawn one lacks."""
    line = (torch.arange(SIDE) + 0.5) / SIDE
    return {
        "maps": [keys.reshape(1, -1, SIDE, SIDE)],
        "kind": kind,
        "drawn": torch.zeros(2, 16),
        "truth": torch.stack([torch.linspace(-1, 1, 16), torch.linspace(1, -1, 16) ** 2]),
        "luma": torch.full((16,), 0.5),
        "marks": torch.zeros(16) if marks is None else marks,
        "places": torch.cartesian_prod(line, line),
    }


def test_objects_are_marked_where_their_kind_shows() -> None:
    kinds = []
    for number in range(2):
        pictures = []
        for seed in range(4):
            rng = torch.Generator().manual_seed(10 * number + seed)
            coarse = 0.05 * torch.randn(1, 3, SIDE, SIDE, generator=rng)
            coarse[:, number, :2, :2] += 2  # the thing, above on the left
            whole, crop = view(torch.eye(16), "x"), view(torch.eye(16), "x")
            whole["maps"] = [*whole["maps"], coarse]
            pictures.append([whole, crop])
        kinds.append(pictures)
    recipe.mark_objects(kinds)
    for pictures in kinds:
        for whole, crop in pictures:
            marks = whole["marks"].reshape(SIDE, SIDE)
            assert marks[:2, :2].mean() > 0.8
            assert marks[2:].mean() < 0.3
            torch.testing.assert_close(crop["marks"], whole["marks"])


# --- views of pictures ------------------------------------------------------------------------------------------------
