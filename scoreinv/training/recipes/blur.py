"""Train pretrained/blur/blur.safetensors, the blur estimator, on photographs with synthetic blur.

    python -m scoreinv.training.recipes.blur PHOTOS [--spectra 12000] [--steps 2200] [--seed 0] [-o blur.safetensors]

PHOTOS is a folder of photographs; those named in pretrained/blur/held_out.txt are excluded. Crops at scales 0.5 to 1
are blurred by a Gaussian, a disk or a line, get noise, and are stored as JPEG or rounded. A third is sharp; some of
these are blurred in one part, or sharpened. Training rotates and mirrors the spectra. The loss is the cross-entropy of
the kind and of a line's angle, and the negative log likelihood of the size of the blur.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from scipy import fft
from torch import Tensor

from scoreinv.analysis.spectrum import polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.models.blur_estimator import ANGLES, BLUR_FILE, RADII, BlurNetwork
from scoreinv.operators import kernels
from scoreinv.system.files import PRETRAINED

SIDE, MARGIN = (192, 320), 16
SHARP, SOFT = 0.34, 0.55
"""Share of sharp photographs; largest standard deviation of their residual blur, in pixels."""
SIZES = ((0.6, 5.0), (0.7, 8.0), (3.0, 26.0))
"""Ranges of the sizes of Gaussians, disks and lines, in pixels."""
NOISE, QUALITY = (0.0015, 0.03), (75, 98)
BATCH, RATE, EMA = 128, 2e-3, 0.998


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spectra", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=BLUR_FILE)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    photos = photographs(options.folder, set((PRETRAINED / "blur" / "held_out.txt").read_text().split()))
    print(f"{len(photos)} photographs")
    spectra, kinds, sizes, angles = zip(*(drawn(photos, random) for _ in range(options.spectra)), strict=True)
    values = [torch.tensor(each) for each in (kinds, sizes, angles)]
    examples = torch.from_numpy(np.stack(spectra)), values[0], values[1].float(), values[2].float()
    network = train(examples, options.steps)
    options.output.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, options.output)


def photographs(folder: Path, held_out: set[str]) -> list[np.ndarray]:
    """Return the luma of each photograph, HxW in [0, 1]."""
    found = []
    for path in sorted(folder.glob("*.jpg")):
        if path.stem not in held_out:
            image = Image.open(path).convert("L")
            found.append(np.asarray(image, np.float32) / 255)
    return found


def blurred(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the periodic convolution."""
    shape = values.shape
    padded = np.zeros(shape, np.float32)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    padded = np.roll(padded, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1))
    return fft.irfft2(fft.rfft2(values) * fft.rfft2(padded), shape)


def drawn(photos: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, int, float, float]:
    """Draw a spectrum, and the kind, logarithm of the size, and angle (in degrees) of its blur."""
    photo = photos[random.integers(len(photos))]
    side = int(min(random.integers(*SIDE) + 2 * MARGIN, *photo.shape))
    scale = min(random.uniform(1, 2), min(photo.shape) / side)
    wide = int(side * scale)
    top, left = (random.integers(length - wide + 1) for length in photo.shape)
    crop = Image.fromarray(photo[top : top + wide, left : left + wide])
    values = np.asarray(crop.resize((side, side), Image.Resampling.LANCZOS) if wide > side else crop)
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
        values = soft + random.uniform(0.3, 1.2) * (soft - blurred(soft, kernels.gaussian(random.uniform(0.6, 1.5))))
    else:
        values = soft
    inside = values[MARGIN:-MARGIN, MARGIN:-MARGIN]
    noise = np.exp(random.uniform(*np.log(NOISE)))
    inside = (inside + noise * random.standard_normal(inside.shape)).clip(0, 1)
    stored = np.rint(255 * inside).astype(np.uint8)
    if random.random() < 0.65:
        file = io.BytesIO()
        Image.fromarray(stored).save(file, "JPEG", quality=int(random.integers(*QUALITY)))
        stored = np.asarray(Image.open(file))
    return polar_spectrum(Picture(stored), RADII, ANGLES), kind, math.log(size) if kind else 0.0, angle


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
    size, spread = (values[blurs].gather(1, which)[:, 0] for values in (estimate.size, estimate.spread))
    loss = loss + 0.5 * (((sizes[blurs] - size) * (-spread).exp()).square() / 2 + spread).sum() / len(kinds)
    lines = kinds == 3
    place = angles[lines] * ANGLES / 180
    low = place.floor().long() % ANGLES
    odds, share = estimate.angles[lines].log_softmax(1), place - place.floor()
    found = [odds.gather(1, one[:, None])[:, 0] for one in (low, (low + 1) % ANGLES)]
    return loss - 0.5 * ((1 - share) * found[0] + share * found[1]).sum() / len(kinds)


def train(examples: tuple[Tensor, Tensor, Tensor, Tensor], steps: int) -> BlurNetwork:
    network, average = BlurNetwork(), BlurNetwork()
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    for step in range(steps):
        rate = RATE * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate
        some = torch.randint(len(examples[0]), (BATCH,))
        spectra, kinds, sizes, angles = (values[some] for values in examples)
        spectra, angles = turned(spectra.float(), angles)
        loss = loss_of(network, spectra, kinds, sizes, angles)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            share = min(EMA, (1 + step) / (10 + step))
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - share)
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return average.eval()


if __name__ == "__main__":
    main()
