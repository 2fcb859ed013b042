"""The likeness recipe: its losses by hand, and what pairs of views they prefer."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import savemat
from small_chroma import chroma_prior

from pretrained.places import make as recipe
from scoreinv.conditional.colour import ColourPrior
from scoreinv.models.places import maps_of
from scoreinv.networks.place_embedding import Colours


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    random.seed(0)


def test_marks_of_places() -> None:
    marks = torch.arange(12).reshape(3, 4)
    places = torch.tensor([[0.0, 0.0], [0.4, 0.3], [0.99, 0.99], [0.7, 0.1]])
    assert recipe.values_at(marks, places).tolist() == [0, 5, 11, 8]


def test_what_a_match_misses() -> None:
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
    recipe.mark_objects(kinds)
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


# --- views of pictures ------------------------------------------------------------------------------------------------

WEIGHTS = torch.tensor([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def prior() -> ColourPrior:
    return chroma_prior()


def test_a_view_has_the_colours_of_its_places(prior: ColourPrior) -> None:
    blocks = torch.rand(8, 12, 3)
    rgb = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    marks = torch.arange(96).reshape(8, 12)
    whole = recipe.view(rgb, prior, "x", marks, (0, 0, 1))
    luma = (blocks @ WEIGHTS).flatten()
    torch.testing.assert_close(whole["luma"], luma)
    torch.testing.assert_close(whole["beyond"], blocks.flatten(0, 1).T - luma)
    centred = 2 * blocks.permute(2, 0, 1)[None] - 1
    torch.testing.assert_close(whole["truth"], prior.preconditioning.chroma_beyond_gray(centred)[0].flatten(1))
    assert torch.equal(whole["marks"], marks.flatten())
    rows, columns = whole["places"].reshape(8, 12, 2).unbind(2)
    torch.testing.assert_close(rows, ((torch.arange(8) + 0.5) / 8)[:, None].expand(8, 12))
    torch.testing.assert_close(columns, ((torch.arange(12) + 0.5) / 12).expand(8, 12))
    gray = (torch.from_numpy(rgb) @ WEIGHTS)[None, None]
    with torch.no_grad():
        maps = maps_of(gray, prior)
        drawn = prior.chroma(gray)[0][0].flatten(1)
    for found, expected in zip(whole["maps"], maps, strict=True):
        torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(whole["drawn"], drawn, rtol=1e-2, atol=1e-3)
    # A part lies where its box says, and is on another film.
    part = recipe.view(rgb, prior, "x", marks, (0.25, 0.5, 0.5))
    torch.testing.assert_close(part["places"], 0.5 * whole["places"] + torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(part["truth"], whole["truth"])
    assert (part["luma"] - luma).abs().mean() > 0.01
    assert torch.equal(part["luma"].argsort()[5:-5], luma.argsort()[5:-5])
    lumas = [recipe.view(rgb, prior, "x", marks, (0, 0, 0.5))["luma"] for _ in range(5)]
    assert len({round(float(one.mean()), 4) for one in lumas}) == 5


@pytest.mark.parametrize("halved", [False, True])
def test_the_views_of_a_picture_show_its_places(prior: ColourPrior, tmp_path: Path, halved: bool) -> None:
    """Red grows to the right and green downwards; the crop's places are those of the whole."""
    y, x = np.mgrid[:160, :240] / np.array([160, 240])[:, None, None]
    Image.fromarray(np.rint(255 * np.stack([x, y, 0 * x + 0.5], axis=2)).astype(np.uint8)).save(tmp_path / "a.png")
    one, other = recipe.views(tmp_path / "a.png", prior, "x", halved=halved)
    across = (0.0, 0.5) if halved else (0.0, 0.0)
    for view, left in zip((one, other), across, strict=True):
        down, right = view["places"].T
        right = left + right / 2 if halved else right
        colours = torch.stack([right, down, torch.full_like(down, 0.5)])
        torch.testing.assert_close(view["beyond"], colours - WEIGHTS @ colours, atol=0.02, rtol=0)
        assert 0 < view["places"].min() <= view["places"].max() < 1
    if halved:
        assert len(one["luma"]) == len(other["luma"]) == 28**2
    else:
        assert len(one["luma"]) == len(other["luma"]) == 28 * 40
        span = np.ptp(other["places"][:, 1].numpy()) / np.ptp(one["places"][:, 1].numpy())
        assert 0.5 <= span <= 0.95


def test_clothes_are_marked_by_their_annotations(tmp_path: Path) -> None:
    folder = tmp_path / "annotations" / "pixel-level"
    folder.mkdir(parents=True)
    savemat(tmp_path / "label_list.mat", {"label_list": np.array([["null", "hair", "dress", "jeans"]], dtype=object)})
    truth = np.repeat(np.repeat([[0, 1, 2], [3, 3, 2]], 4, axis=0), 4, axis=1)
    savemat(folder / "0007.mat", {"groundtruth": truth})
    assert recipe.garments(tmp_path / "photos" / "0007.jpg", 2, 3).tolist() == [[0, 2, 5], [4, 4, 5]]


def test_some_photographs_of_a_folder(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.jpg").touch()
    assert len({path.stem for path in recipe.random_files(tmp_path, 3)}) == 3
    assert {path.stem for path in recipe.random_files(tmp_path, 9)} == set("abcde")
