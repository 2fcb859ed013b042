"""Default settings of tasks and samplers, each with what it was chosen by. Imports no torch."""

from __future__ import annotations

from scoreinv.options import Method, RestorationMethod, Sampler

START_LEVEL = 0.5
"""Noise level at which a short run of `pc` begins: twice the spread of a picture's values, which drowns the initial
estimate."""
FILL_STEPS: dict[Method, int] = {"conditioned": 10, "pc": 30}
"""Times of the grid of each method for holes. With 10 the detail of fills by `photo` is nearest to the photographs':
1.0 to 1.1 of it, with 25 1.2; and 30 of `pc` differ little from more."""
NARROW_FILL_STEPS = 3
"""Evaluations of `PosteriorFlow` for scratches, specks and writing: more change little."""
COLOUR_STEPS: dict[Method, int] = {"conditioned": 15, "pc": 30}
"""Times of the grid of each method for colours."""
MEAN_DRAWS = 4
"""Noises that the posterior mean of colours is averaged over: a single one would leave a tint."""
COLOUR_TEMPERATURE = 0.2
"""What is left of the deviation of drawn colours from the posterior mean. Larger deviations of those of `scene` are
patches of odd colours: between 0.5 and 0.7 a sample errs as much as the grey picture (Kodak), at 1 more."""
COLOUR_SATURATION = 1.45
"""Factor of the chroma of such samples, which are as pale as the mean is: 0.56 as colourful as the truth without it,
0.81 with it, for 0.6 dB (256 pixels, held-out photographs)."""
RESTORATION_STEPS: dict[RestorationMethod, int] = {
    "diffpir": 8,
    "ddnm": 8,
    "ddrm": 12,
    "pigdm": 12,
    "dps": 300,
    "mmps": 12,
    "pc": 30,
    "dpir": 10,
}
"""Times of the grid of each method where sampling begins at an initial estimate of the picture."""
EXACT_STEPS = 5
"""Times of `dpir` there where the observation is exact: by its momentum they come further than ten without."""
FULL_STEPS = 3
"""Times as many where it begins at the prior; `dps` takes as many there."""
DENOISING_STEPS = 10
"""Times of the grid for samples of a picture with noise alone."""
SAMPLER_STEPS: dict[Sampler, int] = {"multistep": 25, "heun": 18, "ddim": 50}
"""Times of the grid for new pictures; of `heun` as in its paper for CIFAR-10."""
ODE_RTOL = 1e-5
"""Tolerance of the adaptive solver, relative and absolute."""
USUAL_SENSITIVITY = 0.5
"""Pixels whose probability of damage is above 1 - 0.5 are marked."""
FOUND_GROW = 2
"""Pixels by which damage that is found is enlarged: soft edges would show as outlines of what is filled."""
MASK_THRESHOLD = 0.5
"""Values of a mask in [0, 1] above which pixels are holes."""
