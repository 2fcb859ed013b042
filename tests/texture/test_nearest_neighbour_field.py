"""Fields of displacements: against their energy and distribution, and on structures whose continuation is known."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scoreinv.conditional.initial_estimate import block_means, smooth_estimate
from scoreinv.samplers import NoiseStream
from scoreinv.system.errors import InputError
from scoreinv.tasks.deep_holes import Scale, continue_surroundings
from scoreinv.texture import NearestNeighbourField

pytestmark = pytest.mark.portable

REACH = 3


def holed(height: int, width: int, box: tuple[int, int, int, int]) -> Tensor:
    """What is observed around a box (top, left, height, width), (1, H, W)."""
    observed = torch.ones(1, height, width)
    top, left, tall, wide = box
    observed[:, top : top + tall, left : left + wide] = 0
    return observed


def of_8_bits(values: Tensor) -> Tensor:
    """Values in [0, 1] as a picture's on [-1, 1]."""
    return (255 * values).round() / 127.5 - 1


def moved(height: int, width: int, down: int, across: int) -> Tensor:
    return torch.tensor([down, across])[:, None, None].expand(2, height, width).clone()


def energy(picture: Tensor, observed: Tensor, field: Tensor) -> float:
    """E as the module's docstring has it, pixel by pixel."""
    height, width = observed.shape[-2:]
    hole = [tuple(place) for place in (observed[0] == 0).nonzero().tolist()]
    filled, total = picture.double().clone(), 0.0
    for y, x in hole:
        filled[:, y, x] = picture[:, y + field[0, y, x], x + field[1, y, x]]
    for y, x in hole:
        for down, across in itertools.product(range(-REACH, REACH + 1), repeat=2):
            if 0 <= y + down < height and 0 <= x + across < width:
                there = picture[:, y + field[0, y, x] + down, x + field[1, y, x] + across]
                total += float((filled[:, y + down, x + across] - there).square().sum())
    return total


@pytest.mark.parametrize("box", [(7, 7, 2, 2), (13, 0, 2, 2), (0, 28, 2, 2)])
def test_without_temperature_no_other_source_has_a_lower_energy(
    monkeypatch: pytest.MonkeyPatch, box: tuple[int, int, int, int]
) -> None:
    """Given the others, by the formula of all pixels: seams with neighbours in the hole, and outside it, count."""
    picture = of_8_bits(torch.rand(3, 15, 30, generator=torch.Generator().manual_seed(3)))
    observed, start = holed(15, 30, box), moved(15, 30, 0, 0)
    hole = observed[0] == 0
    start[0, hole], start[1, hole] = 7 - hole.nonzero()[:, 0], 18 - hole.nonzero()[:, 1]  # all from one place
    field = NearestNeighbourField(picture, observed, start)
    monkeypatch.setattr(field, "_precision", 1e6)
    places = [(7 + down, 18 + across) for down in (-1, 0) for across in (-3, 0, 4)]
    allowed = torch.tensor([(y + REACH) * field._row + x + REACH for y, x in places], dtype=torch.int32)
    monkeypatch.setattr(field, "_candidates", lambda own, *_: allowed.expand(len(own), -1))
    generator = torch.Generator().manual_seed(0)
    found = field.displacements
    for _ in range(20):
        field.sweep(generator)
        found, before = field.displacements, found
        if torch.equal(found, before):
            break
    assert len({tuple(each) for each in field._source[field._pixels][:, None].tolist()}) > 1
    least = energy(picture, observed, found)
    for y, x in hole.nonzero().tolist():
        for place in places:
            other = found.clone()
            other[0, y, x], other[1, y, x] = place[0] - y, place[1] - x
            assert energy(picture, observed, other) > least - 1e-4


def test_heights_are_drawn_as_often_as_their_distribution_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a flat picture all pieces fit: where they come from is normal around c."""
    picture, observed = torch.zeros(3, 60, 30), holed(60, 30, (30, 12, 1, 4))
    field = NearestNeighbourField(picture, observed, moved(60, 30, 8, 0), below=10, reach=2)
    rows = torch.arange(34, 47, dtype=torch.int32) + REACH  # of the picture with its border
    monkeypatch.setattr(field, "_candidates", lambda own, *_: own[:, None] % field._row + rows * field._row)
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(150):
        field.sweep(generator)
        seen.append(field.displacements[0, 30, 12:16])
    drawn = torch.stack(seen).double()
    assert drawn.mean() == pytest.approx(10, abs=0.3)
    assert drawn.std() == pytest.approx(2, abs=0.25)


def test_one_channel_stands_for_three_alike() -> None:
    """It draws the same sources at the same random numbers, and fills with the same values."""
    picture = of_8_bits(0.5 + 0.03 * torch.rand(1, 40, 60, generator=torch.Generator().manual_seed(0)))
    observed = holed(40, 60, (0, 26, 10, 10))
    fields = [NearestNeighbourField(x, observed, moved(40, 60, 12, -17)) for x in (picture, picture.expand(3, -1, -1))]
    for field in fields:
        field.sweep(torch.Generator().manual_seed(1))
    one, three = fields
    assert torch.equal(one.displacements, three.displacements)
    torch.testing.assert_close(one.fill().expand(3, -1, -1), three.fill(), atol=1e-4, rtol=0)


def test_sources_that_are_not_known_are_refused() -> None:
    picture, observed = torch.zeros(3, 30, 30), holed(30, 30, (10, 10, 8, 8))
    for step in (1, 11, 30):
        with pytest.raises(InputError, match="must not be copied"):
            NearestNeighbourField(picture, observed, moved(30, 30, 0, step))


def test_nothing_is_taken_from_where_it_may_not_be_copied() -> None:
    """What goes on best is a copy of what is around the hole, and may not be taken."""
    generator = torch.Generator().manual_seed(0)
    picture, observed = torch.rand(3, 40, 60, generator=generator), holed(40, 60, (14, 14, 8, 8))
    picture[:, 8:28, 34:54] = picture[:, 8:28, 8:28]
    sources = observed.clone()
    sources[:, :, 32:] = 0
    with pytest.raises(InputError, match="must not be copied"):
        NearestNeighbourField(picture, observed, moved(40, 60, 0, 26), sources)
    free = NearestNeighbourField(picture, observed, moved(40, 60, 14, 0))
    bound = NearestNeighbourField(picture, observed, moved(40, 60, 14, 0), sources)
    for field in (free, bound):
        for _ in range(4):
            field.sweep(generator)
    at = torch.stack(torch.meshgrid(torch.arange(14, 22), torch.arange(14, 22), indexing="ij"))
    taken = at + bound.displacements[:, 14:22, 14:22]
    for down, across in taken.flatten(1).T.tolist():
        assert sources[0, down - REACH : down + REACH + 1, across - REACH : across + REACH + 1].all()
    assert (bound.fill()[:, observed[0] > 0] == picture[:, observed[0] > 0]).all()


def checkerboard(height: int, width: int) -> Tensor:
    cells = torch.arange(height)[:, None] // 8 + torch.arange(width) // 8
    return (cells % 2 - 0.5).expand(3, -1, -1).clone()


def diagonal(height: int, width: int) -> Tensor:
    stripes = (torch.arange(height)[:, None] + torch.arange(width)) // 6 % 2 - 0.5
    return torch.stack([stripes, -stripes, stripes])


@pytest.mark.parametrize("structure", [checkerboard, diagonal])
def test_structure_goes_straight_on_through_the_hole(structure: Callable[[int, int], Tensor]) -> None:
    """Half the size loses the windows and bends the horizon; a quarter shows both."""
    picture, observed = structure(120, 144), holed(120, 144, (37, 51, 36, 40))
    scales = [Scale((picture[None] + 1) / 2, observed[None], observed[None])]
    for _ in range(2):
        values, known, _ = scales[-1]
        half = (block_means(known) == 1).float()
        scales.append(Scale(block_means(torch.where(known > 0, values, 0.0)), half, half))
    estimates = {first: 0.5 + smooth_estimate(scales[first][0] - 0.5, scales[first][1]).mean for first in (1, 2)}
    drawn = continue_surroundings(scales, estimates, torch.zeros(1, 2), lambda scale: NoiseStream(scale, 1))
    wrong = (2 * drawn[0] - 1 - picture).abs().amax(0)[observed[0] == 0] > 0.25
    assert wrong.float().mean() < 0.03


@pytest.mark.parametrize(("between", "apart"), [(2, False), (3, True)])
def test_each_hole_takes_the_likelier_of_two_fields(between: int, apart: bool) -> None:
    """Waves of period 10: a piece from three periods away goes on, one from half a period less does not.

    With two known columns between them a patch reaches from one hole into the other, with three it does not.
    """
    y, x = torch.arange(40)[:, None], torch.arange(100)
    picture = of_8_bits(0.5 + torch.stack([torch.sin(2 * math.pi * (x + y + k) / 10) for k in range(3)]) / 4)
    wide, narrow = holed(40, 100, (14, 26, 8, 8)), holed(40, 100, (14, 34 + between, 8, 4))
    observed = torch.minimum(wide, narrow)
    first, second = moved(40, 100, 0, 25), moved(40, 100, 0, 25)
    first[1, :, 34:], second[1, :, :34] = 30, 30
    found = NearestNeighbourField(picture, observed, first)
    found.take_lower_energy(NearestNeighbourField(picture, observed, second))
    best = moved(40, 100, 0, 30) if apart else second  # that of the wide hole, where they decide together
    assert torch.equal(found.displacements, torch.where(observed > 0, 0, best))
