"""Train pretrained/blur/model.safetensors, the blur estimator, on photographs with synthetic blur.

    python -m pretrained.blur.make PHOTOS [--spectra 14500] [--steps 2600] [--seed 0] [-o FILE]

PHOTOS is a folder of photographs; those named in pretrained/blur/held_out.txt are excluded. Crops at scales 0.5 to 1
are decoded to light, half of them overexposed by a factor of up to 2. A Gaussian, a disk or a line blurs the light,
which is clipped at white and encoded. Noise and JPEG or rounding follow. A third is sharp; some of these are blurred in
one part, or sharpened. Training rotates and mirrors the spectra. The loss is the cross-entropy of the kind, plus half
of the cross-entropy of a line's angle and half of the negative log likelihood of the size of the blur.
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

from pretrained.fitting import arguments, fit, photographs
from scoreinv.analysis.spectrum import block_powers, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork
from scoreinv.models.model_file import save
from scoreinv.operators import kernels
from scoreinv.operators.tones import srgb
from scoreinv.prior import Model

SIDE, MARGIN = (192, 320), 16
"""Range of the side of a crop, and the margin that is cut off after the blur, in pixels."""
SHARP, SOFT = 0.34, 0.55
"""Share of sharp photographs; largest standard deviation of the residual blur of all photographs, in pixels."""
SIZES = ((0.6, 5.0), (0.7, 8.0), (3.0, 26.0))
"""Ranges of the sizes of Gaussians, disks and lines, in pixels."""
EXPOSURE = 2.0
"""Largest factor of the light of overexposed photographs."""
NOISE, QUALITY = (0.0015, 0.03), (75, 98)
"""Ranges of the standard deviation of the noise, for values in [0, 1], and of the quality of JPEG."""
BATCH, RATE, EMA = 128, 2e-3, 0.998


def main() -> None:
    options = arguments(__doc__, "blur", "folder", spectra=14_500, steps=2600).parse_args()
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    paths = photographs(options.folder, "blur")
    print(f"{len(paths)} photographs")
    photos = [np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths]
    examples = [drawn(photos, random) for _ in range(options.spectra)]
    spectra, kinds, sizes, angles = (torch.from_numpy(np.stack(values)) for values in zip(*examples, strict=True))
    network = BlurNetwork()

    def draw_loss() -> Tensor:
        rows = torch.randint(len(spectra), (BATCH,))
        turned_spectra, turned_angles = turned(spectra[rows].float(), angles[rows].float())
        return loss_of(network, turned_spectra, kinds[rows], sizes[rows].float(), turned_angles)

    fit(network.parameters(), draw_loss, options.steps, RATE, warmup=200, ema=EMA, clip=1.0)
    save(Model(network), options.output)


def decoded(values: np.ndarray) -> np.ndarray:
    """Return the light of values in [0, 1]."""
    return np.interp(values, np.linspace(0, 1, len(srgb().light)), srgb().light)


def encoded(light: np.ndarray) -> np.ndarray:
    """Return the values in [0, 1] of light, which is clipped."""
    return np.interp(light, srgb().light, np.linspace(0, 1, len(srgb().light)))


def blurred(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the convolution. Values beyond the border count as black, so it is wrong near the border (`MARGIN`)."""
    return fftconvolve(values, kernel, mode="same")


def drawn(photos: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, int, float, float]:
    """Draw a spectrum, and the kind, logarithm of the size, and angle (in degrees) of its blur."""
    light = drawn_light(photos, random)
    light, kind, size, angle = randomly_blurred(light, random)
    pixels = stored(encoded(light[MARGIN:-MARGIN, MARGIN:-MARGIN]), random)
    return polar_spectrum(block_powers(Picture(pixels)), RADII, ANGLES), kind, math.log(size) if kind else 0.0, angle


def drawn_light(photos: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Draw the light of a square crop of a photograph, reduced and overexposed at random."""
    photo = photos[random.integers(len(photos))]
    side = int(min(random.integers(*SIDE) + 2 * MARGIN, *photo.shape))
    scale = min(random.uniform(1, 2), min(photo.shape) / side)
    wide = int(side * scale)
    top, left = (random.integers(length - wide + 1) for length in photo.shape)
    crop = Image.fromarray(photo[top : top + wide, left : left + wide])
    light = decoded(np.asarray(crop.resize((side, side), Image.Resampling.LANCZOS) if wide > side else crop))
    return light * random.uniform(1, EXPOSURE) if random.random() < 0.5 else light


def randomly_blurred(light: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int, float, float]:
    """Return the light with a random blur, and the kind, size and angle of the blur.

    Kind 0 is sharp, apart from the blur of a camera. Some sharp photographs are blurred in one part, or sharpened.
    """
    angle = random.uniform(0, 180)
    sharp = blurred(light, kernels.gaussian(random.uniform(0.2, SOFT)))
    if random.random() >= SHARP:
        kind = int(random.integers(1, 4))
        size = float(np.exp(random.uniform(*np.log(SIZES[kind - 1]))))
        return blurred(sharp, kernel_of(kind, size, angle)), kind, size, angle
    if random.random() < 0.25:
        soft = blurred(sharp, kernel_of(int(random.integers(1, 4)), float(np.exp(random.uniform(0.7, 2))), angle))
        offset, direction = random.uniform(0.3, 0.7), random.uniform(0, 2 * math.pi)
        rows, columns = np.mgrid[: len(light), : len(light)] / len(light) - 0.5
        share = np.clip((rows * math.sin(direction) + columns * math.cos(direction) + 0.5 - offset) * 12, 0, 1)
        return sharp + share * (soft - sharp), 0, 0.0, angle
    if random.random() < 0.2:
        values = encoded(sharp)
        halo = values - blurred(values, kernels.gaussian(random.uniform(0.6, 1.5)))
        return decoded(values + random.uniform(0.3, 1.2) * halo), 0, 0.0, angle
    return sharp, 0, 0.0, angle


def stored(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return values in [0, 1] with noise as 8-bit pixels, some of them from a JPEG file."""
    noise_std = np.exp(random.uniform(*np.log(NOISE)))
    noisy = (values + noise_std * random.standard_normal(values.shape)).clip(0, 1)
    pixels = np.rint(255 * noisy).astype(np.uint8)
    if random.random() < 0.65:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(random.integers(*QUALITY)))
        pixels = np.asarray(Image.open(file))
    return pixels


def kernel_of(kind: int, size: float, angle: float) -> np.ndarray:
    """Return the kernel of a Gaussian (kind 1), a disk (2) or a line (3)."""
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
    """Return the loss of a batch.

    Args:
        spectra: (B, 2, RADII, ANGLES).
        kinds: (B,), 0 for sharp photographs.
        sizes: (B,), logarithms of the sizes in pixels.
        angles: (B,), in degrees.
    """
    estimate = network(spectra)
    loss = F.cross_entropy(estimate.kinds, kinds)
    blurs = kinds > 0
    which = (kinds[blurs] - 1)[:, None]
    mean, log_std = (values[blurs].gather(1, which)[:, 0] for values in (estimate.log_size, estimate.log_spread))
    loss = loss + 0.5 * (((sizes[blurs] - mean) * (-log_std).exp()).square() / 2 + log_std).sum() / len(kinds)
    lines = kinds == 3
    position = angles[lines] * ANGLES / 180  # between two columns, which share the target probability
    low = position.floor().long() % ANGLES
    log_probabilities, share = estimate.angles[lines].log_softmax(1), position - position.floor()
    below, above = (log_probabilities.gather(1, column[:, None])[:, 0] for column in (low, (low + 1) % ANGLES))
    return loss - 0.5 * ((1 - share) * below + share * above).sum() / len(kinds)


if __name__ == "__main__":
    main()
