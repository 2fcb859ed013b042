"""Corrections that join pieces of a picture: Poisson's equation on a hole, and no step of light between pieces."""

import numpy as np
import pytest
import torch

from scoreinv.texture.nearest_neighbour_field import NearestNeighbourField
from scoreinv.texture.poisson import poisson_correction


def test_the_correction_is_the_least_squares_solution() -> None:
    generator = torch.Generator().manual_seed(0)
    hole = torch.zeros(9, 11, dtype=torch.bool)
    hole[2:7, 3:9] = hole[4, 1:10] = True
    hole[3, 4] = False
    down, across = (torch.randn(2, *size, generator=generator) for size in ((8, 11), (9, 10)))
    told = torch.where(hole, 0.0, torch.randn(2, 9, 11, generator=generator))
    rim, known = torch.zeros(2, 9, 11), torch.zeros(9, 11)
    number = {place: n for n, place in enumerate(map(tuple, hole.nonzero().tolist()))}
    rows: list[np.ndarray] = []
    wanted: list[torch.Tensor] = []
    for (y, x), n in number.items():
        for y2, x2 in ((y + 1, x), (y, x + 1), (y - 1, x), (y, x - 1)):
            row = np.zeros(len(number))
            row[n] = 1
            if (y2, x2) not in number:
                rim[:, y, x] += told[:, y2, x2]
                known[y, x] += 1
                wanted.append(told[:, y2, x2])
            elif y2 > y or x2 > x:
                row[number[y2, x2]] = -1
                wanted.append(down[:, y, x] if y2 > y else across[:, y, x])
            else:
                continue
            rows.append(row)
    exact = np.linalg.lstsq(np.stack(rows), torch.stack(wanted).numpy(), rcond=None)[0]
    found = poisson_correction(torch.randn(2, 9, 11, generator=generator), hole, down, across, rim, known)
    np.testing.assert_allclose(found[:, hole].T, exact, atol=1e-4)
    assert (found[:, ~hole] == 0).all()


def test_a_hole_of_one_pixel_takes_the_mean_of_what_is_told_beside_it() -> None:
    hole = torch.zeros(3, 3, dtype=torch.bool)
    hole[1, 1] = True
    rim, known = torch.full((1, 3, 3), 2.0), torch.full((3, 3), 4.0)
    found = poisson_correction(torch.zeros(1, 3, 3), hole, torch.ones(1, 2, 3), torch.ones(1, 3, 2), rim, known)
    torch.testing.assert_close(found, 0.5 * hole[None])


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("slope", [0.1, 0.6])
def test_pieces_of_other_light_meet_without_a_step_and_keep_their_grain(upright: bool, slope: float) -> None:
    """A hole filled from one side, which is darker, and from the other: grey, with grain.

    Where they differ by more than light does, a step is left.
    """
    generator = torch.Generator().manual_seed(1)
    picture = 0.05 * torch.randn(3, 40, 120, generator=generator) + slope * torch.linspace(-1, 1, 120)
    observed = torch.ones(1, 40, 120)
    observed[:, 10:30, 50:70] = 0
    start = torch.zeros(2, 40, 120, dtype=torch.int64)
    start[1, :, :60], start[1, :, 60:] = -40, 40
    if upright:
        picture, observed, start = picture.mT, observed.mT, start.mT.flip(0)
    filled = NearestNeighbourField(picture, observed, start).fill()
    if upright:
        picture, filled = picture.mT, filled.mT

    def step(values: torch.Tensor) -> float:
        return float((values[:, 10:30, 60:64] - values[:, 10:30, 56:60]).mean())

    copied = torch.cat([picture[..., 10:20], picture[..., 100:110]], 2)[:, 10:30]
    there = float((copied[..., 10:14] - copied[..., 6:10]).mean())
    if slope > 0.5:
        assert 0.5 * there < step(filled) < 0.9 * there
        return
    assert abs(step(filled)) < 0.25 * there
    left, right = (values[..., 1:] - values[..., :-1] for values in (filled[:, 10:30, 50:70], copied))
    within = [*range(9), *range(10, 19)]
    assert float((left - right)[..., within].abs().mean()) < 0.15 * float(right[..., within].std())
