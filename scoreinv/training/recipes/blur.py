"""Train pretrained/blur/blur.safetensors, the blur estimator, on photographs with synthetic blur.

    python -m scoreinv.training.recipes.blur PHOTOS [--spectra 14500] [--steps 2600] [--seed 0] [-o blur.safetensors]

PHOTOS is a folder of photographs; those named in pretrained/blur/held_out.txt are excluded. Crops at scales 0.5 to 1
are decoded to light, half of them overexposed by a factor of up to 2. A Gaussian, a disk or a line blurs the light,
which is clipped at white and encoded. Noise and JPEG or rounding follow. A third is sharp; some of these are blurred in
one part, or sharpened. Training rotates and mirrors the spectra. The loss is the cross-entropy of
the kind and of a line's angle, and the negative log likelihood of the size of the blur.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.signal import fftconvolve
from torch import Tensor

from scoreinv.analysis.spectrum import block_powers, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.models.blur_estimator import ANGLES, BLUR_FILE, RADII, BlurNetwork
from scoreinv.operators import kernels
from scoreinv.operators.tones import srgb
from scoreinv.training.recipes.fitting import arguments, fit, photographs, store

SIDE, MARGIN = (192, 320), 16
SHARP, SOFT = 0.34, 0.55
"""Share of sharp photographs; largest standard deviation of their residual blur, in pixels."""
SIZES = ((0.6, 5.0), (0.7, 8.0), (3.0, 26.0))
"""Ranges of the sizes of Gaussians, disks and lines, in pixels."""
EXPOSURE = 2.0
"""Largest factor of the light of overexposed photographs."""
NOISE, QUALITY = (0.0015, 0.03), (75, 98)
BATCH, RATE, EMA = 128, 2e-3, 0.998


def main() -> None:
    options = arguments(__doc__, BLUR_FILE, "folder", spectra=14_500, steps=2600).parse_args()
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    paths = photographs(options.folder, "blur")
    print(f"{len(paths)} photographs")
    photos = [np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths]
    examples = [drawn(photos, random) for _ in range(options.spectra)]
    spectra, kinds, sizes, angles = (torch.from_numpy(np.stack(values)) for values in zip(*examples, strict=True))
    network = BlurNetwork()

    def draw_loss() -> Tensor:
        some = torch.randint(len(spectra), (BATCH,))
        turned_spectra, turned_angles = turned(spectra[some].float(), angles[some].float())
        return loss_of(network, turned_spectra, kinds[some], sizes[some].float(), turned_angles)

    fit(network.parameters(), draw_loss, options.steps, RATE, warmup=200, ema=EMA, clip=1.0)
    store(network, options.output)


def decoded(values: np.ndarray) -> np.ndarray:
    """Return the light of values in [0, 1]."""
    return np.interp(values, np.linspace(0, 1, len(srgb().light)), srgb().light)


def encoded(light: np.ndarray) -> np.ndarray:
    """Return the values in [0, 1] of light, which is clipped."""
    return np.interp(light, srgb().light, np.linspace(0, 1, len(srgb().light)))


def blurred(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the convolution; values beyond the border, within `MARGIN` of which it is wrong, count as black."""
    return fftconvolve(values, kernel, mode="same")


def drawn(photos: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, int, float, float]:
    """Draw a spectrum, and the kind, logarithm of the size, and angle (in degrees) of its blur."""
    photo = photos[random.integers(len(photos))]
    side = int(min(random.integers(*SIDE) + 2 * MARGIN, *photo.shape))
    scale = min(random.uniform(1, 2), min(photo.shape) / side)
    wide = int(side * scale)
    top, left = (random.integers(length - wide + 1) for length in photo.shape)
    crop = Image.fromarray(photo[top : top + wide, left : left + wide])
    values = decoded(np.asarray(crop.resize((side, side), Image.Resampling.LANCZOS) if wide > side else crop))
    if random.random() < 0.5:
        values = values * random.uniform(1, EXPOSURE)
    kind, size, angle = 0, 0.0, random.uniform(0, 180)
    soft = blurred(values, kernels.gaussian(random.uniform(0.2, SOFT)))
    if random.random() >= SHARP:
        kind = int(random.integers(1, 4))
        size = float(np.exp(random.uniform(*np.log(SIZES[kind - 1]))))
        values = blurred(soft, kernel_of(kind, size, angle))
    elif random.random() < 0.25:
        part = blurred(soft, kernel_of(int(random.integers(1, 4)), float(np.exp(random.uniform(0.7, 2))), angle))
        place, way = random.uniform(0.3, 0.7), random.uniform(0, 2 * math.pi)
        rows, columns = np.mgrid[:side, :side] / side - 0.5
        share = np.clip((rows * math.sin(way) + columns * math.cos(way) + 0.5 - place) * 12, 0, 1)
        values = soft + share * (part - soft)
    elif random.random() < 0.2:
        stored = encoded(soft)
        halo = stored - blurred(stored, kernels.gaussian(random.uniform(0.6, 1.5)))
        values = decoded(stored + random.uniform(0.3, 1.2) * halo)
    else:
        values = soft
    inside = encoded(values[MARGIN:-MARGIN, MARGIN:-MARGIN])
    noise = np.exp(random.uniform(*np.log(NOISE)))
    inside = (inside + noise * random.standard_normal(inside.shape)).clip(0, 1)
    stored = np.rint(255 * inside).astype(np.uint8)
    if random.random() < 0.65:
        file = io.BytesIO()
        Image.fromarray(stored).save(file, "JPEG", quality=int(random.integers(*QUALITY)))
        stored = np.asarray(Image.open(file))
    return polar_spectrum(block_powers(Picture(stored)), RADII, ANGLES), kind, math.log(size) if kind else 0.0, angle


def kernel_of(kind: int, size: float, angle: float) -> np.ndarray:
    return (kernels.gaussian(size), kernels.disk(size), kernels.motion(size, angle))[kind - 1]


def turned(spectra: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate the photographs of spectra and angles by random multiples of the column spacing, and mirror some."""
    shifts = torch.randint(ANGLES, (len(spectra), 1))
    mirrored = torch.rand(len(spectra), 1) < 0.5
    columns = torch.arange(ANGLES) - shifts
    columns = torch.where(mirrored, -columns, columns) % ANGLES
    spectra = spectra.gather(3, columns[:, None, None].expand(-1, 2, RADII, -1))
    angles = torch.where(mirrored[:, 0], -angles, angles)
    # Column c comes from c - shift, or from shift - c if mirrored: c = shift + angle, or shift - angle.
    return spectra, (angles + shifts[:, 0] * 180 / ANGLES) % 180


def loss_of(network: BlurNetwork, spectra: Tensor, kinds: Tensor, sizes: Tensor, angles: Tensor) -> Tensor:
    estimate = network(spectra)
    loss = F.cross_entropy(estimate.kinds, kinds)
    blurs = kinds > 0
    which = (kinds[blurs] - 1)[:, None]
    mean, log_std = (values[blurs].gather(1, which)[:, 0] for values in (estimate.log_size, estimate.log_spread))
    loss = loss + 0.5 * (((sizes[blurs] - mean) * (-log_std).exp()).square() / 2 + log_std).sum() / len(kinds)
    lines = kinds == 3
    place = angles[lines] * ANGLES / 180
    low = place.floor().long() % ANGLES
    odds, share = estimate.angles[lines].log_softmax(1), place - place.floor()
    found = [odds.gather(1, one[:, None])[:, 0] for one in (low, (low + 1) % ANGLES)]
    return loss - 0.5 * ((1 - share) * found[0] + share * found[1]).sum() / len(kinds)


if __name__ == "__main__":
    main()
