"""Deep holes out of the picture's own patches, from coarse to fine, by ancestral sampling."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from scoreinv.guidance import Exemplars
from scoreinv.samplers import PC, Ancestral, NoCorrector, NoiseStream, State
from scoreinv.sdes import VE
from scoreinv.tasks.common import Share, TaskCallback, Told

_FIRST = VE(sigma_min=0.02, sigma_max=2.0)
"""Of the first scale, for pictures on [-1, 1]: from noise that drowns them."""
_FINER = VE(sigma_min=0.02, sigma_max=0.15)
"""Of finer scales: from noise as strong as the details that are missing."""
_FIRST_STEPS = 16
_FINER_STEPS = 4


def continue_surroundings(
    scales: list[tuple[Tensor, Tensor]], noise: Callable[[int], NoiseStream], callback: TaskCallback | None
) -> Tensor:
    """Samples (B, 3, H, W) in [0, 1] of pictures that go on in their holes as they are around them.

    Arguments:
        scales: pictures (B, 3, H, W) in [0, 1] and what of them is observed, (B, 1, H, W), each at half the size of the
            one before; the last with patches to start from (`Exemplars.enough`).
        noise: the noise of each scale, 0 the finest.
    """
    share = Share(callback, sum(observed.numel() for _, observed in scales))

    def sample(exemplars: Exemplars, number: int, steps: int) -> Tensor:
        share.begin(scales[number][1].numel())
        base, stream = exemplars.base, noise(number)
        start = State(base + exemplars.sde.prior_std * stream.normal(base.shape), 1.0)
        sampler = PC(Ancestral(), NoCorrector(), corrector_steps=0, steps=steps)
        return sampler.sample(exemplars, tuple(base.shape), noise=stream, callback=Told(share), start=start).x0

    pictures, observed = scales[-1]
    exemplars = Exemplars(_FIRST, 2 * pictures - 1, observed)
    x0 = sample(exemplars, len(scales) - 1, _FIRST_STEPS)
    for number in reversed(range(len(scales) - 1)):
        pictures, observed = scales[number]
        exemplars = Exemplars(_FINER, 2 * pictures - 1, observed, exemplars.as_coarse(x0))
        x0 = sample(exemplars, number, _FINER_STEPS)
    return (x0 + 1) / 2
