"""The task `denoise`: remove noise by the posterior mean or by samples.

The noise of cameras, scans and files is estimated (`tasks.noise`): a level for each component at every place. The
result is the mean of two estimates with these levels. One is that of a network trained on synthetic noise; the other is
that of a network for white noise, at two scales. On noise unlike the synthetic one their errors differ. Samples start
from this mean with white noise of the same standard deviation, which the reverse process then removes.

Noise of a given level is white. White noise alone needs no approximation. A picture with white noise of standard
deviation sigma / alpha, times alpha, *is* a state of the forward process. One evaluation there gives the posterior mean
(Tweedie's formula), and the reverse process from there draws from the posterior.

A file stores y = min(max(x + n, 0), 1). Near black, the stored values are brighter than x on average, and a denoiser
keeps that bias. Clipped values are censored data (Tobin 1958). They are replaced by their expectation given the
estimated picture (Dempster, Laird and Rubin 1977, example 4.2):

    E[x + n | x + n <= 0] = x - s phi(a) / Phi(a),   a = -x / s,   n ~ N(0, s^2),

and its mirror image at white. For samples, they are replaced by draws from the truncated normal distribution. The first
pass has no estimate yet, so the local mean replaces x, and the local deviation, which includes edges and texture,
replaces s. The picture is then estimated from the completed values, and a second time if much was clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.imaging.picture import STRIP_ROWS, Fill, Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.loading import Models
from scoreinv.networks.ffdnet import PATCH, FFDNet
from scoreinv.preconditioning import DataPrediction, centre
from scoreinv.prior import ScorePrior
from scoreinv.samplers import DPMpp2M, NoiseStream, State
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.system.limits import limits
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.system.progress import Callback, part, parts, report
from scoreinv.tasks.common import Model, draw_outcome, models_of, noise_range, start_time, wide_tile
from scoreinv.tasks.noise import LEAST, Noise, given_or_estimated, std_of, white_level
from scoreinv.tasks.notes import info, warning
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import DenoiseOutcome, ImageLike, Outcome
from scoreinv.tasks.requests import DENOISING_STEPS, DenoiseRequest, Estimate, Inputs, SolveRequest
from scoreinv.windows.placement import covering_tile, grid
from scoreinv.windows.tiled import Tiled, blended
from scoreinv.windows.transforms import ALL, crop, turn, turn_back

FAINT = 12 / 255
"""Standard deviation of noise, in [0, 1], below which the network is exact: bfloat16 costs 0.05 dB at this level, and
0.2 dB at 5 grey levels."""
_CELL = 2 * PATCH
"""Side of the cells in pixels of which windows are made: pairs of levels, for two scales."""
_TILES = (64, 192)
"""Range of the side of windows, in levels (every second pixel)."""
_MUCH_CLIPPED = 0.15
"""Fraction of clipped values above which a second estimate is made; below, it would gain at most 0.02 dB."""
_MIXED = 3
"""Radius in pixels of the local mean that approximates a denoiser's response to a small change of its input."""
_AROUND = 2
"""Radius in pixels of the local mean and deviation in the first pass."""
_ROUNDS = 2
"""Iterations of the first pass, each with the values of the previous one; a third gains nothing."""
_WIDEST = 2.0
"""Largest local deviation, as a multiple of the noise's; across edges it would be larger."""
_DRAWN = 4.0
"""Largest distance of x from black or white in draws, in standard deviations, because float32 has no smaller tail
probabilities. At this distance draws are a quarter of a standard deviation beyond black or white on average."""
_LEAST = 1e-12
"""Smallest probability of a draw; the quantile of 0 would be infinite."""


def denoise(
    image: ImageLike,
    *,
    noise_std: float | None = None,
    keep_grain: float = 0.0,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    steps: int | None = None,
    orientations: int = 1,
    prior: Model | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> DenoiseOutcome[ImageLike]:
    """Remove the noise of a photograph.

        result = scoreinv.denoise(image)
        result.image, result.noise_std

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        noise_std: standard deviation of white noise, in [0, 1]; None: noise of any kind is estimated, and removed from
            2.5 grey levels of 255 on.
        keep_grain: share of the noise to keep, 0 to 1.
        samples: number of samples.
        seed: the same seed gives the same pictures; each sample has its own noise.
        estimate: `mean`: the average of several samples, or for one the posterior mean; `sample`: one possible picture.
            None: `mean` for one sample, otherwise `sample`.
        steps: of the sampler. None: 10. The posterior mean takes none.
        orientations: flips and turns that the posterior mean is averaged over: 1, 2, 4 or 8.
        prior: the model, its name or its file; None: the bundled one.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
    """
    request = DenoiseRequest(
        samples=samples,
        seed=seed,
        estimate=estimate,
        steps=steps,
        orientations=orientations,
        noise_std=noise_std,
        keep_grain=keep_grain,
    )
    pictures, form = pictures_from_api(image)
    inputs, models = [Inputs(picture) for picture in pictures], models_of(denoise=prior)
    return for_each("denoise", inputs, request, models, form, callback, progress=progress)


def denoise_picture(inputs: Inputs, request: DenoiseRequest, models: Models) -> DenoiseOutcome[Picture]:
    """Remove the noise of a photograph, unless its estimate is below `noise.LEAST` or the model's range."""
    picture, notes = inputs.picture, []
    report()
    noise = given_or_estimated(request.noise_std, picture, models)
    noise_std = std_of(noise)
    if isinstance(noise, Noise):
        if noise_std < max(LEAST, noise_range(models.denoiser())[0]):
            std = np.zeros(picture.size, dtype=np.float32) if request.samples > 1 else None
            low = warning("noise_low", level=noise_std * GRAY_LEVELS)
            return DenoiseOutcome(picture, [picture] * request.samples, std, 0, "exact", noise_std, notes=[low])
        notes.append(info("noise_estimated", level=noise_std * GRAY_LEVELS, kind=noise.words))
    prior = models.denoiser(exact=noise_std < FAINT)
    drawn = remove_noise(picture, noise, prior, request)
    return DenoiseOutcome(**vars(drawn) | {"notes": notes}, noise_std=noise_std)


def remove_noise(
    picture: Picture, noise: Noise | float, prior: ScorePrior, request: DenoiseRequest
) -> Outcome[Picture]:
    """Remove noise from a photograph: estimated noise, or white noise of a standard deviation in [0, 1].

    In each orientation the posterior mean of white noise takes one evaluation of the network, or two if more than 15 %
    of the values are clipped; that of other noise takes three, one of them at half the size. The result
    of a grey photograph is grey, whatever its mode. A model without adapters to noise of other kinds
    (`networks.ffdnet`) removes it as white noise of the same standard deviation.
    """
    values, gray = photograph(picture)
    finish = partial(written, picture)
    adapted = isinstance(prior.network, FFDNet) and prior.network.config.adapters
    if adapted and isinstance(noise, Noise) and not noise.white:
        return _drawn(_PictureWithLevels(values, noise, prior), prior, request, finish, gray=gray)
    return denoise_values(values, std_of(noise), prior, request, finish, gray=gray, stored=True)


def photograph(picture: Picture) -> tuple[Tensor, bool]:
    """Return the colours (1, 3, H, W) in [0, 1], and whether they are grey; grey photographs have equal channels."""
    gray = picture.is_gray()
    rgb = np.repeat(picture.luma()[..., None], 3, axis=2) if gray else picture.rgb()
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous(), gray


def written(picture: Picture, rgb: np.ndarray) -> Picture:
    """Return the picture with new colours HxWx3 in [0, 1], and its mode, metadata and alpha."""
    fills = []
    for top in range(0, picture.height, STRIP_ROWS):  # to bound memory
        strip = rgb[top : top + STRIP_ROWS]
        fills.append(Fill((top, 0, *strip.shape[:2]), np.ones(strip.shape[:2], dtype=bool), strip))
    return picture.with_fills(fills)


def denoise_values(
    y: Tensor,
    noise_std: float,
    prior: ScorePrior,
    request: SolveRequest,
    finish: Callable[[np.ndarray], Picture],
    *,
    gray: bool,
    stored: bool,
) -> Outcome[Picture]:
    """Return the posterior mean of a picture with white noise, by one evaluation, or samples of the reverse process.

    Args:
        y: (1, 3, H, W), of pictures in [0, 1].
        noise_std: standard deviation of its noise, in [0, 1] and in `noise_range`.
        request: its method is ignored. The mean takes an evaluation in each orientation.
        finish: converts colours HxWx3 in [0, 1] to the result.
        gray: the channels of y, and their noise, are equal.
        stored: y was clipped at black and white, as files are; the mean then takes up to twice the evaluations.
    """
    picture = _NoisyPicture(y, noise_std, prior, gray=gray, stored=stored)
    return _drawn(picture, prior, request, finish, gray=gray)


def _drawn(
    picture: _NoisyPicture,
    prior: ScorePrior,
    request: SolveRequest,
    finish: Callable[[np.ndarray], Picture],
    *,
    gray: bool,
) -> Outcome[Picture]:
    """Return the posterior mean of a picture, or samples; arguments as those of `denoise_values`."""
    y = picture.y
    kept = request.keep_grain if isinstance(request, DenoiseRequest) else 0.0
    steps = DENOISING_STEPS if request.steps is None else request.steps
    mean, mean_nfe = None, 0
    needs_mean = picture.needs_mean and not request.mean
    averaging, drawing = parts([picture.passes * needs_mean, steps * request.samples])
    if needs_mean:
        with averaging:
            mean, mean_nfe = picture.mean(1)

    def draw(noise: NoiseStream) -> tuple[Tensor, int]:
        if request.mean:
            x0, nfe = picture.mean(request.orientations)
            x0 = prior.to_model(x0)
        else:
            x0, nfe = picture.sample(steps, mean, noise)
            nfe += mean_nfe
        return torch.lerp(x0, prior.to_model(y), kept), nfe

    with drawing:
        return draw_outcome(draw, (y.shape[-2], y.shape[-1]), prior, request, finish, gray=gray, method="exact")


class _NoisyPicture:
    """A picture with white noise, which times alpha is a state of a prior's forward process.

    Args:
        y, noise_std, gray, stored: see `denoise_values`.

    Attributes:
        clipped: share of values at black or white; 0 if y is not `stored`.
        passes: number of estimates for the mean, 1 or 2.
        evaluations: of the network for an estimate in one orientation.
        needs_mean: whether samples start from the mean.
    """

    evaluations = 1

    def __init__(self, y: Tensor, noise_std: float, prior: ScorePrior, *, gray: bool, stored: bool) -> None:
        self.y, self.noise_std, self.prior, self.gray = y.to(prior.device), noise_std, prior, gray
        self.time = denoising_time(prior, white_level(noise_std, gray=gray))
        self.alpha, self.sigma = (broadcast(f(as_time(self.time)), self.y) for f in (prior.sde.alpha, prior.sde.sigma))
        self.clipped = float(is_clipped(self.y).float().mean()) if stored else 0.0
        self.passes = 2 if self.clipped > _MUCH_CLIPPED else 1
        self.needs_mean = bool(self.clipped)

    @torch.no_grad()
    def mean(self, orientations: int) -> tuple[Tensor, int]:
        """Return the posterior mean (1, 3, H, W) in [0, 1], averaged over orientations, and its evaluations."""
        nfe = self.passes * self.evaluations * orientations
        with part(0, self.passes):
            completed = expected_around(self.y, self.noise_std) if self.clipped else self.y
            x = self._denoised(completed, orientations)
        if not self.clipped:
            return x, nfe
        refined = expected(self.y, x, self.noise_std)
        if self.passes == 1:
            return x + local_mean(refined - completed, _MIXED), nfe
        with part(1, 2):
            return self._denoised(refined, orientations), nfe

    def _denoised(self, y: Tensor, orientations: int) -> Tensor:
        """Return the mean given y without clipped values, in [0, 1], by one evaluation in each orientation."""
        windows = wide_tile(self.prior, *y.shape[-2:])
        tiled = Tiled(self.prior, *windows, limits().pixels_at_once, orientations=ALL[:orientations])
        return self.prior.to_image(tiled.denoise(self.alpha * self.prior.to_model(y), self.time))

    def sample(self, steps: int, mean: Tensor | None, noise: NoiseStream) -> tuple[Tensor, int]:
        """Return samples (B, 3, H, W) in the model's range, one per stream of `noise`, and the evaluations for each.

        Args:
            mean: the posterior mean if samples need it.
        """
        prior = self.prior
        unclipped = self.y if mean is None else self._noisy(mean, noise)
        x = (self.alpha * prior.to_model(unclipped)).expand(len(noise), -1, -1, -1)
        if self.gray:  # add the chroma of white noise: only then is this a state of the process
            z = noise.normal(x.shape)
            x = x + self.sigma * (z - z.mean(1, keepdim=True))
        tiled = Tiled(prior, prior.image_size, prior.image_size // 8, limits().pixels_at_once)
        sampler = DPMpp2M(eta=1.0, steps=steps, s_noise=prior.s_noise)
        start = State(x, self.time)
        result = sampler.sample(tiled, tuple(x.shape), rng=noise, start=start)
        return result.x0, int(result.nfe[0])

    def _noisy(self, mean: Tensor, noise: NoiseStream) -> Tensor:
        """Return y for each stream, with clipped values drawn given the mean."""
        channels, mean = (self.y[:, :1], mean.mean(1, keepdim=True)) if self.gray else (self.y, mean)
        given = mean.expand(len(noise), -1, -1, -1)
        return drawn_beyond(channels, given, self.noise_std, noise).expand(-1, 3, -1, -1)


class _PictureWithLevels(_NoisyPicture):
    """A picture with noise of any kind; its samples start from the mean.

    The mean is that of two estimates. The network with adapters takes the level of each component. It is the better one
    by 0.3 dB for synthetic noise like that of its training. For noise drawn by other demosaicing and noise reduction
    the network without adapters, at two scales, is 0.2 dB better; their mean is 0.3 dB better than the first.

    Args:
        y: see `denoise_values`.
        noise: the estimated noise.
        prior: a model with adapters to such noise.
    """

    evaluations = 3

    def __init__(self, y: Tensor, noise: Noise, prior: ScorePrior) -> None:
        super().__init__(y, noise.std, prior, gray=noise.gray, stored=False)
        self.network = cast(FFDNet, prior.network)
        self.preconditioning = cast(DataPrediction, prior.preconditioning)
        high, wide = noise.levels.shape[-2:]
        self.levels = F.pad(noise.levels.to(prior.device), (0, wide % 2, 0, high % 2), mode="replicate")  # whole cells
        self.needs_mean = True

    def _denoised(self, y: Tensor, orientations: int) -> Tensor:
        height, width = y.shape[-2:]
        padded = F.pad(self.prior.to_model(y), (0, -width % _CELL, 0, -height % _CELL), mode="replicate")
        u, estimates = centre(padded, self.prior.data_range), []
        for number, orientation in enumerate(ALL[:orientations]):
            with part(number, orientations):
                output = self._output(turn(u, orientation), turn(self.levels, orientation))
                estimates.append(turn_back(output, orientation))
        variance = (2 * self.levels).square().mean(1, keepdim=True)
        variance = F.interpolate(variance, scale_factor=float(PATCH))
        x = self.preconditioning.estimate(u, torch.stack(estimates).mean(0), variance)
        return (x[..., :height, :width] + 1) / 2

    def _output(self, u: Tensor, levels: Tensor) -> Tensor:
        """Return the network's output for a picture (1, 3, H, W) centred on [-1, 1], in windows."""
        network, (high, wide) = self.network, levels.shape[-2:]
        # The network at half the size sees twice as far as `reach`, but hardly: there 0.1 grey levels are lost.
        contrast = min(1.0, network.config.noise_limit / (2 * float(levels.max())))
        overlap, stride = 2 * network.reach // PATCH, _CELL // PATCH
        boxes = grid(high, wide, covering_tile(high, wide, overlap, stride, *_TILES), overlap, stride)
        windows = [(PATCH * top, PATCH * left, PATCH * tall, PATCH * across) for top, left, tall, across in boxes]
        outputs = []
        for number, (box, window) in enumerate(zip(boxes, windows, strict=True)):
            with part(number, len(boxes)):
                x = (contrast * crop(u, window)).contiguous(memory_format=torch.channels_last)
                level = 2 * contrast * crop(levels, box)
                outputs.append((network.denoised(x, level) + network.at_two_scales(x, level)) / 2)
        return blended(windows, outputs, PATCH * overlap, (PATCH * high, PATCH * wide)) / contrast

    def _noisy(self, mean: Tensor, noise: NoiseStream) -> Tensor:
        """Return the mean with white noise of the photograph's standard deviation for each stream."""
        z = noise.normal((len(noise), 1 if self.gray else 3, *mean.shape[-2:]))
        return mean + self.noise_std * z


def denoising_time(prior: ScorePrior, noise_std: float) -> float:
    """Return the time of states with this noise; raise InputError if it is out of the model's range."""
    least, largest = noise_range(prior)
    if not least < noise_std < largest:
        raise InputError(
            f"noise of {noise_std * GRAY_LEVELS:.3g} grey levels of 255 is out of the model's range, from "
            f"{least * GRAY_LEVELS:.2g} to {largest * GRAY_LEVELS:.4g}"
        )
    time = start_time(prior, noise_std)
    return 1.0 if time is None else time


def is_clipped(y: Tensor) -> Tensor:
    """Return the mask of values of y, in [0, 1], at black or white, which may have been clipped."""
    return (y <= 0) | (y >= 1)


def expected(y: Tensor, x: Tensor, noise_std: float) -> Tensor:
    """Return y with clipped values replaced by their expectation given the picture x."""

    def below(x: Tensor) -> Tensor:
        return (x - noise_std * _mills(x / noise_std)).clamp_max(0)

    return _replaced(y, below(x), 1 - below(1 - x))


def expected_around(y: Tensor, noise_std: float) -> Tensor:
    """Return y, (B, C, H, W), with clipped values replaced by their expectation given their neighbourhood.

    Nearby values are modelled as N(m, v), v >= noise_std^2. To estimate m and v, clipped values are replaced by their
    expectation in the previous iteration.
    """
    filled = y.clone()
    for channel in filled.split(1, 1):  # one after the other, to bound memory
        report()
        where = is_clipped(channel)
        white = channel[where] >= 1
        for _ in range(_ROUNDS):
            mean, square = (local_mean(values, _AROUND)[where] for values in (channel, channel.square()))
            std = (square - mean.square()).clamp(noise_std**2, (_WIDEST * noise_std) ** 2).sqrt()
            within = torch.where(white, 1 - mean, mean) / std
            beyond = (std * (within - _mills(within))).clamp_max(0)
            channel[where] = torch.where(white, 1 - beyond, beyond)
    return filled


def local_mean(values: Tensor, reach: int) -> Tensor:
    """Return the mean of (B, C, H, W) over squares of side 2 reach + 1, clipped to the picture."""
    for down, across in ((reach, 0), (0, reach)):  # separable passes are faster
        size, padding = (2 * down + 1, 2 * across + 1), (down, across)
        values = F.avg_pool2d(values, size, stride=1, padding=padding, count_include_pad=False)
    return values


def _mills(within: Tensor) -> Tensor:
    """Return phi(a) / Phi(a) at a = -within. It uses the scaled erfc, since Phi is 0 in float32 below a = -5."""
    scaled = within / math.sqrt(2)
    if scaled.device.type == "mps":  # some versions lack erfcx there
        scaled = scaled.cpu()
    return math.sqrt(2 / math.pi) / torch.special.erfcx(scaled).to(within)


def drawn_beyond(y: Tensor, x: Tensor, noise_std: float, noise: NoiseStream) -> Tensor:
    """Return y with clipped values replaced by draws given the picture x, (B, C, H, W); x has one row per draw."""
    # Inverse transform sampling of the truncated normal distribution.
    uniform = torch.special.ndtr(noise.normal(x.shape))

    def below(x: Tensor) -> Tensor:
        x = x.clamp_max(_DRAWN * noise_std)
        probability = (uniform * torch.special.ndtr(-x / noise_std)).clamp(_LEAST, 1 - 1e-6)
        return (x + noise_std * torch.special.ndtri(probability)).clamp_max(0)

    return _replaced(y.expand_as(x), below(x), 1 - below(1 - x))


def _replaced(y: Tensor, black: Tensor, white: Tensor) -> Tensor:
    return torch.where(y <= 0, black, torch.where(y >= 1, white, y))
