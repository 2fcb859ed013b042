"""The score of a picture's own patches: against its formula, and on textures whose continuation is known."""

import math

import pytest
import torch
from torch import Tensor

from scoreinv.conditional.initial_estimate import block_means, push, smooth_estimate
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import VE, VP
from scoreinv.system.errors import InputError
from scoreinv.tasks.deep_holes import Scale, continue_surroundings, drawn_elsewhere
from scoreinv.texture import PatchPrior

pytestmark = pytest.mark.portable

SDE = VE(0.02, 2.0)
TOLERANCE, REACH, SIDE = 0.04, (0.5, 2.0), 9


def holed(height: int, width: int, box: tuple[int, int, int, int]) -> Tensor:
    """What is observed around a box (top, left, height, width), (1, 1, H, W)."""
    observed = torch.ones(1, 1, height, width)
    top, left, tall, wide = box
    observed[..., top : top + tall, left : left + wide] = 0
    return observed


def continued(values: Tensor, observed: Tensor, *halves: tuple[Tensor, Tensor], samples: int = 1) -> Tensor:
    """Samples of pictures (B, 3, H, W) in [0, 1], with a smooth initial estimate in place of a network's."""
    scales = [Scale(*pair, pair[1]) for pair in ((values, observed), *halves)]
    initial = 0.5 + smooth_estimate(scales[-1][0] - 0.5, scales[-1][1]).mean
    here = torch.zeros(len(values), 2)
    return continue_surroundings(scales, {len(halves): initial}, here, lambda scale: NoiseStream(scale, samples))


def halved(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    return block_means(torch.where(observed > 0, values, 0.0)), (block_means(observed) == 1).to(values)


def of_8_bits(values: Tensor) -> Tensor:
    """Values in [0, 1] as a picture's on [-1, 1]."""
    return (255 * values).round() / 127.5 - 1


def stripes(height: int, width: int) -> Tensor:
    """Slanted waves of period 12 and 8, of three colours, on [-1, 1]: (1, 3, H, W)."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    waves = [torch.sin(2 * math.pi * (x / 12 + y / 8) + phase) for phase in (0.0, 1.0, 2.0)]
    return 0.7 * torch.stack(waves)[None]


@pytest.mark.parametrize(("row", "elsewhere"), [(10, (0.0, 0.0)), (10, (0.7, -3.0)), (1, (0.0, 0.0))])
def test_the_mean_is_that_of_the_formula(row: int, elsewhere: tuple[float, float]) -> None:
    """One hidden pixel: all its patch is known but itself, so only the patch around it is asked for it.

    Beyond the picture's border nothing counts, neither as known nor as hidden.
    """
    generator = torch.Generator().manual_seed(0)
    picture = of_8_bits(torch.rand(1, 3, 20, 24, generator=generator) * 0.1)
    observed = holed(20, 24, (row, 12, 1, 1))
    state = of_8_bits((picture + 1) / 2 + 0.15 * torch.randn(picture.shape, generator=generator))
    level = 0.05
    t = math.log(level / SDE.sigma_min) / math.log(SDE.sigma_max / SDE.sigma_min)
    costs, centres = [], []
    patch = (slice(None), slice(row, row + SIDE), slice(8, 17))  # of what has a border
    bordered = [torch.nn.functional.pad(values[0], (0, 0, 4, 4)) for values in (state, picture, observed, 1 - observed)]
    here, inside = (values.double()[patch].clone() for values in bordered[:2])
    known, hidden = (values.expand(3, -1, -1)[patch] > 0 for values in bordered[2:])
    here[known] = inside[known]
    for top in range(20 - SIDE + 1):
        for left in range(24 - SIDE + 1):
            there = picture[0].double()[:, top : top + SIDE, left : left + SIDE]
            if (observed[0, 0, top : top + SIDE, left : left + SIDE] == 0).any():
                continue
            squares = (here - there).square()
            cost = squares[known].sum() / (2 * TOLERANCE**2)
            cost += squares[hidden].sum() / (2 * (level**2 + TOLERANCE**2))
            down, across = top + 4 - row - elsewhere[0], left - 8 - elsewhere[1]
            costs.append(cost + (down / REACH[0]) ** 2 / 2 + (across / REACH[1]) ** 2 / 2)
            centres.append(there[:, 4, 4])
    expected = torch.softmax(-torch.stack(costs), 0) @ torch.stack(centres)
    prior = PatchPrior(SDE, picture, observed, torch.tensor([elsewhere]))
    estimate, _ = prior._patches[0].estimate(state[0], level, list(elsewhere))
    torch.testing.assert_close(estimate[:, row, 12].double(), expected, atol=2e-4, rtol=0)
    # What the estimate misses around the pixel is added, so here the known neighbours count too.
    assert (prior.denoise(state, t)[0, :, row, 12] - estimate[:, row, 12]).abs().max() < 0.3


def test_the_noise_of_the_state_counts_as_much_as_it_is() -> None:
    """A hidden pixel among flat ones: flat patches nearby against a dot further away, which its noisy state favours.

    How much depends on s^2 + tau^2: at tau^2 alone the dot would be certain, without a state the flat patches.
    """
    value, level = 76 / 127.5, 0.25
    picture = torch.zeros(1, 3, 31, 49)
    picture[..., 15, 33] = value
    observed = holed(31, 49, (15, 23, 1, 1))
    state = torch.full_like(picture, value)
    costs, centres = [], []
    for top in range(31 - SIDE + 1):
        for left in range(49 - SIDE + 1):
            there = picture[0, 0, top : top + SIDE, left : left + SIDE]
            if (observed[0, 0, top : top + SIDE, left : left + SIDE] == 0).any():
                continue
            elsewhere = there.square().sum() - there[4, 4].square()
            cost = 3 * elsewhere / (2 * TOLERANCE**2)
            cost += 3 * (value - there[4, 4]) ** 2 / (2 * (level**2 + TOLERANCE**2))
            costs.append(cost + ((top - 11) / REACH[0]) ** 2 / 2 + ((left - 19) / REACH[1]) ** 2 / 2)
            centres.append(there[4, 4])
    expected = torch.softmax(-torch.stack(costs).double(), 0) @ torch.stack(centres).double()
    assert 0.1 * value < expected < 0.9 * value
    t = math.log(level / SDE.sigma_min) / math.log(SDE.sigma_max / SDE.sigma_min)
    found = PatchPrior(SDE, picture, observed).denoise(state, t)[0, :, 15, 23]
    torch.testing.assert_close(found.double(), expected.expand(3), atol=2e-3, rtol=0)


def test_noise_is_what_the_mean_leaves_on_any_sde() -> None:
    picture, observed = stripes(24, 24), holed(24, 24, (8, 8, 6, 6))
    for sde in (SDE, VP()):
        prior, t = PatchPrior(sde, picture, observed), torch.tensor([0.4], dtype=torch.float64)
        x = sde.perturb(picture, t, torch.randn(picture.shape, generator=torch.Generator().manual_seed(1)))
        mean = prior.denoise(x, t)
        torch.testing.assert_close(
            x, sde.alpha(t).float() * mean + sde.sigma(t).float() * prior.noise(x, t), atol=1e-5, rtol=0
        )
        assert torch.equal(mean[:, :, :8], picture[:, :, :8])


def test_of_equal_patches_that_at_the_offset_is_likeliest() -> None:
    """Each of two samples has its own."""
    observed, offsets = holed(40, 60, (18, 28, 2, 3)), torch.tensor([[1.0, -8.0], [-2.0, 9.0]])
    prior = PatchPrior(SDE, torch.zeros(2, 3, 40, 60), observed, offsets)
    found = prior.displacements(torch.zeros(2, 3, 40, 60))[:, :, observed[0, 0] == 0]
    assert torch.equal(found, offsets.long()[..., None].expand(2, 2, 6))


def test_its_gradient_is_refused() -> None:
    prior = PatchPrior(SDE, stripes(20, 24), holed(20, 24, (8, 8, 4, 4)))
    x = stripes(20, 24).requires_grad_()
    with pytest.raises(InputError, match="no gradient"):
        prior.noise(x, 0.5)
    with torch.no_grad():
        assert prior.noise(x, 0.5).isfinite().all()


def test_waves_go_on_through_a_hole() -> None:
    picture, observed = stripes(64, 80), holed(64, 80, (20, 28, 22, 24))
    drawn = continued((picture + 1) / 2, observed)
    error = (2 * drawn - 1 - picture)[(observed == 0).expand_as(picture)]
    assert error.square().mean().sqrt() < 0.1  # of 0.5 that the waves have
    assert torch.equal(drawn[..., :20, :], ((picture + 1) / 2)[..., :20, :])


@pytest.mark.parametrize("box", [(32, 48, 30, 32), (32, 0, 30, 24), (65, 97, 30, 30)])
def test_details_go_on_at_the_finer_scale(box: tuple[int, int, int, int]) -> None:
    """Waves of 4 and 3 pixels, which half the size does not show, on the coarse ones that it does."""
    y, x = torch.arange(95)[:, None], torch.arange(127)
    fine = 0.2 * torch.sin(2 * math.pi * (x / 4 + y / 3)).expand(1, 3, -1, -1)
    picture, observed = (each.expand(3, -1, -1, -1) for each in (stripes(95, 127) + fine, holed(95, 127, box)))
    half = halved((picture + 1) / 2, observed)
    drawn = 2 * continued((picture + 1) / 2, observed, half, samples=3) - 1
    hole = (observed == 0).expand_as(picture)
    detail = [values - push(block_means(values), values.shape) for values in (drawn, picture)]
    ratio = detail[0][hole].std() / detail[1][hole].std()
    assert 0.8 < ratio < 1.1
    errors = [(drawn - picture)[i][hole[i]].square().mean().sqrt() for i in range(3)]
    assert min(errors) < 0.25  # in a corner half of the draws are out of phase


def test_each_picture_of_a_batch_is_its_own() -> None:
    pictures = torch.cat([stripes(32, 32), -stripes(32, 32).flip(3)])
    observed = torch.cat([holed(32, 32, (10, 10, 8, 8)), holed(32, 32, (4, 16, 9, 7))])
    both = PatchPrior(SDE, pictures, observed)
    x = pictures + 0.2 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2))
    alone = [PatchPrior(SDE, pictures[i : i + 1], observed[i : i + 1]).denoise(x[i : i + 1], 0.3) for i in range(2)]
    torch.testing.assert_close(both.denoise(x, 0.3), torch.cat(alone))


def test_too_little_to_continue() -> None:
    assert not PatchPrior.enough(torch.zeros(1, 1, 5, 40))
    assert not PatchPrior.enough(holed(12, 12, (0, 0, 2, 12)))
    assert PatchPrior.enough(holed(32, 32, (0, 0, 2, 12)))
    assert PatchPrior.touch_known(holed(32, 32, (4, 4, 8, 20)))
    assert PatchPrior.touch_known(holed(32, 32, (4, 4, 11, 11)))  # all but 9 of 121
    assert not PatchPrior.touch_known(holed(32, 32, (4, 4, 12, 12)))


def test_samples_look_as_far_away_as_the_hole_is_wide() -> None:
    observed = torch.cat([holed(80, 96, (16, 16, side, side)).expand(3000, -1, -1, -1) for side in (20, 40)])
    down, across = drawn_elsewhere(observed, NoiseStream(0, 6000)).unflatten(0, (2, 3000)).unbind(2)
    for number, side in enumerate((20, 40)):
        assert float(down[number].std()) == pytest.approx(0.3 * side, rel=0.1)
        assert float(across[number].std()) == pytest.approx(side, rel=0.1)
        assert abs(float(across[number].mean())) < 0.2 * side


def test_patches_that_touch_what_may_not_be_copied_are_not_compared() -> None:
    """And where samples of one picture may copy different parts of it, each has patches of its own."""
    picture, observed = stripes(30, 40), holed(30, 40, (12, 5, 5, 5))
    sources = observed.clone()
    sources[..., 20, 30] = 0
    at = PatchPrior(SDE, picture, observed, sources=sources)._patches[0].tiles[0].at
    everywhere = PatchPrior(SDE, picture, observed)._patches[0].tiles[0].at
    margin = SIDE // 2
    near = ((everywhere - torch.tensor([[20], [30]])).abs() <= margin).all(0)
    assert near.sum() == SIDE * (2 * margin + 1 - max(0, 20 + margin - (29 - margin)))  # the border is near, too
    assert torch.equal(at, everywhere[:, ~near])
    both = PatchPrior(SDE, picture.expand(2, -1, -1, -1), observed, sources=torch.cat([observed, sources]))
    assert both._patches[0] is not both._patches[1]
    both = PatchPrior(SDE, picture.expand(2, -1, -1, -1), observed)
    assert both._patches[0] is both._patches[1]
    for pictures, masks in (
        (torch.cat([picture, -picture]), observed),
        (torch.zeros(2, 3, 30, 40), torch.cat([observed, holed(30, 40, (12, 6, 5, 5))])),
    ):
        both = PatchPrior(SDE, pictures, masks, sources=torch.minimum(sources, masks.amin(0, keepdim=True)))
        assert both._patches[0] is not both._patches[1]
