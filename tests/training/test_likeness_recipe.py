"""The likeness recipe: its losses by hand, and what pairs of views they prefer."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scoreinv.networks.place_embedding import Colours
from scoreinv.training.recipes import likeness as recipe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    random.seed(0)


def test_marks_of_places() -> None:
    marks = torch.arange(12).reshape(3, 4)
    places = torch.tensor([[0.0, 0.0], [0.4, 0.3], [0.99, 0.99], [0.7, 0.1]])
    assert recipe.at(marks, places).tolist() == [0, 5, 11, 8]


def test_what_a_match_misses() -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    right, nothing = torch.tensor([[True, False, True], [False, False, False]]), torch.tensor([False, True])
    shares = F.pad(logits, (0, 1)).softmax(1)
    expected = -(math.log(shares[0, 0] + shares[0, 2]) + math.log(shares[1, 3])) / 2
    assert float(recipe.missed(logits, right, nothing)) == pytest.approx(expected, rel=1e-5)


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


def metric(maps: list[torch.Tensor]) -> tuple[torch.Tensor, None]:
    return F.normalize(maps[0][0].flatten(1), dim=0), None


NUMBERS = torch.tensor([1.0, 0.7, 2.0])


def loss(task: str, *pairs: tuple[dict[str, object], dict[str, object]], group: str = "photo") -> float:
    """The mean of a task's loss for pairs of views; those of another group stand beside."""
    beside = {"photo": [], "clothes": [], "kinds": []}
    given = beside | {group: [list(pairs)] if group == "kinds" else list(pairs)}
    return float(torch.stack([recipe.loss_of(task, metric, NUMBERS, given) for _ in range(12)]).mean())


def test_tasks_prefer_the_matches_that_they_are_of() -> None:
    own = torch.eye(16)
    alike = (view(own, "photo"), view(own, "photo"))
    apart = (view(torch.cat([own, 0 * own]), "photo"), view(torch.cat([0 * own, own]), "photo"))
    assert loss("own", alike) < -1  # its gain in dB, of which .15 count
    assert abs(loss("own", apart)) < 0.5
    assert loss("crop", (alike[0] | {"kind": "x"}, alike[1]), group="clothes") < 0.1
    moved = view(own.reshape(16, SIDE, SIDE).roll((2, 2), (1, 2)).flatten(1), "x")  # further than it may be
    assert loss("crop", (view(own, "x"), moved), group="clothes") > 0.5
    # Pictures of other kinds should match nothing, even if what they give is right.
    kinds = [(known(view(own, name)),) * 2 for name in "ab"]
    unlike = [(known(view(torch.cat([own, 0 * own][::way]), name)),) * 2 for way, name in ((1, "a"), (-1, "b"))]
    assert loss("other", *unlike, group="clothes") < 0.1 < loss("other", *kinds, group="clothes")


def known(one: dict[str, object]) -> dict[str, object]:
    """A view whose drawn colours are right."""
    return one | {"drawn": one["truth"]}


@pytest.mark.parametrize("task", ["clothes", "kind"])
def test_things_match_things_of_their_sort(task: str) -> None:
    """Two halves of looks: marks that go with them are missed less than marks across."""
    half = (torch.arange(16) < 8).float()
    keys = torch.stack([half, 1 - half])
    group = "clothes" if task == "clothes" else "kinds"
    marks, others = (1 + half, 2 - half) if task == "clothes" else (half, 1 - half)
    with_them, across = ((view(keys, "x", marks), view(keys, "x", there)) for there in (marks, others))
    assert loss(task, with_them, with_them, group=group) < 0.2
    assert loss(task, (across[0], across[0]), (across[1], across[1]), group=group) > 1


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
    recipe.mark_things(kinds)
    for pictures in kinds:
        for whole, crop in pictures:
            marks = whole["marks"].reshape(SIDE, SIDE)
            assert marks[:2, :2].mean() > 0.8
            assert marks[2:].mean() < 0.3
            torch.testing.assert_close(crop["marks"], whole["marks"])


def test_colours_are_learnt_by_their_likelihood() -> None:
    """Places of two looks, red and blue: each look expects its colour."""
    look = torch.zeros(64, 2)
    look[0, 0] = look[1, 1] = 10.0
    chroma = torch.tensor([[0.3, -0.2], [-0.1, -0.1], [-0.2, 0.3]])
    noise = 0.02 * torch.randn(3, 100)
    given = [
        {"maps": [look[:, [n]].repeat(1, 50)[None, :, None]], "beyond": chroma[:, [n]] + noise[:, 50 * n : 50 * n + 50]}
        for n in (0, 1)
    ]
    colours = Colours()
    recipe.train_colours(colours, given, 60)
    with torch.no_grad():
        shares = colours(look[None, :, None])
        likely = shares.T @ colours.log_densities(chroma).exp()
    assert likely[0, 0] > 1.5 * likely[0, 1]
    assert likely[1, 1] > 1.5 * likely[1, 0]
