"""Train the noise estimator, and then the denoiser's adapters to noise that is not white, on synthetic noise.

    python -m pretrained.noise.make estimator PHOTOS [PHOTOS ...] [--steps N] [--rate R] [--init MODEL]
    python -m pretrained.noise.make adapters PHOTOS [PHOTOS ...] [--steps N] [--rate R]

Writes pretrained/noise/model.safetensors, or the adapters in pretrained/denoiser/model.safetensors, whose published
weights stay as they are. PHOTOS are folders of photographs, each drawn equally often; those named in
pretrained/blur/held_out.txt are excluded. Crops are reduced, which removes their own noise, and get the noise of
`synthetic_noise`; two fifths of them are the most textured of four. The loss of the estimator is the negative log
likelihood of the noise; that of the adapters is the negative PSNR, with the levels that the estimator returns. Training
is in bfloat16 where the processor has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pretrained.fitting import arguments, fit, photographs
from pretrained.noise.synthetic_noise import draw_kind, draw_noisy, needed_side
from scoreinv.imaging.opencv import load_opencv
from scoreinv.models.catalogue import load, load_kind
from scoreinv.models.model_file import save
from scoreinv.models.noise_estimator import NoiseEstimator
from scoreinv.networks.blocks import channels_last
from scoreinv.networks.ffdnet import PATCH, FFDNet
from scoreinv.networks.noise_estimator import NoiseEstimatorConfig, NoiseEstimatorNetwork
from scoreinv.networks.noise_levels import energies, level_of_values, of_gray
from scoreinv.preconditioning import DataPrediction
from scoreinv.prior import ScorePrior
from scoreinv.system.devices import uses_bfloat16
from scoreinv.system.files import PRETRAINED

SIDE, BATCH, RANK, EMA, CLIP = 128, {"estimator": 10, "adapters": 5}, 32, 0.999, 1.0
"""Side and number of the crops of a step, rank of the adapters, decay of the average, norm of the gradient."""
REDUCTION = (1.2, 2.6)
"""Range of the factor by which photographs are reduced."""
TEXTURED, TEXTURED_OF = 0.4, 4
"""Share of the crops that are the most textured of this number."""
FLOORS = 0.1 * (2 / 255) ** 2 / 12, (0.25 / 255) ** 2
"""Variances added to the noise and to the error of the denoiser, below those of rounding."""


def main() -> None:
    parser = arguments(__doc__, "noise", steps=12_000, rate=1.2e-3)
    parser.set_defaults(output=PRETRAINED)
    parser.add_argument("part", choices=["estimator", "adapters"])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--init", type=Path, help="model from which the estimator is trained on")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    photos = [
        [np.asarray(Image.open(path).convert("RGB")) for path in photographs(folder, "blur")]
        for folder in options.folders
    ]
    draw = partial(batch, photos, BATCH[options.part], random)
    if options.part == "estimator":
        train_estimator(draw, options.steps, options.rate, options.output, options.init)
    else:
        train_adapters(draw, options.steps, options.rate, options.output)


def train_estimator(
    draw: Callable[[], tuple[Tensor, Tensor]], steps: int, rate: float, output: Path, init: Path | None
) -> None:
    """Train the estimator, from new weights or from those of a model."""
    network = channels_last(load_kind("noise", init).network if init else NoiseEstimatorConfig().build())
    network.train().requires_grad_(True)
    fit(network.parameters(), lambda: likelihood_loss(network, *draw()), steps, rate, warmup=200, ema=EMA, clip=CLIP)
    path = output / "noise" / "model.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(NoiseEstimator(network.eval(), SIDE), path, half=True)


def train_adapters(draw: Callable[[], tuple[Tensor, Tensor]], steps: int, rate: float, output: Path) -> None:
    """Train new adapters of the denoiser with the bundled estimator."""
    prior, estimator = load("denoiser"), channels_last(load_kind("noise", "noise").network)
    published = {name: value for name, value in prior.network.state_dict().items() if "adapters" not in name}
    network = channels_last(replace(prior.network.config, adapters=RANK).build())
    network.load_state_dict(published, strict=False)
    for adapter in network.adapters:
        torch.nn.init.zeros_(adapter.up.weight)  # at first the network is the published one
    network.requires_grad_(False)
    network.adapters.requires_grad_(True)
    preconditioning = cast(DataPrediction, prior.preconditioning)
    fit(
        network.adapters.parameters(),
        lambda: denoising_loss(network, estimator, preconditioning, *draw()),
        steps,
        rate,
        warmup=200,
        weight_decay=0.0,
        ema=EMA,
        clip=CLIP,
    )
    prior.network = network
    store(prior, output / "denoiser" / "model.safetensors")


def store(prior: ScorePrior, path: Path) -> None:
    """Write the denoiser: the published weights in float32, the filters of the adapters in float16."""
    with safe_open(PRETRAINED / "denoiser" / "model.safetensors", "pt") as file:
        notes = json.loads(file.metadata()["notes"])
    path.parent.mkdir(parents=True, exist_ok=True)
    save(prior, path, notes=notes)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    halved = {name: value.half() if "adapters" in name and value.ndim > 1 else value for name, value in weights.items()}
    save_file(halved, path, metadata)


def batch(photos: list[list[np.ndarray]], count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw pictures with noise and without, (B, 3, SIDE, SIDE) on [-1, 1]."""
    pairs = []
    for _ in range(count):
        kind = draw_kind(random)
        draws = TEXTURED_OF if random.random() < TEXTURED else 1
        crops = [sharp_crop(photos, needed_side(SIDE, kind), random) for _ in range(draws)]
        picture = max(crops, key=texture)
        pixels, clean = draw_noisy(picture, SIDE, random, kind)
        pairs.append(np.stack([pixels.astype(np.float32) / 255, clean]))
    both = 2 * torch.from_numpy(np.stack(pairs)).permute(1, 0, 4, 2, 3) - 1
    return both[0].contiguous(memory_format=torch.channels_last), both[1].contiguous(memory_format=torch.channels_last)


def sharp_crop(photos: list[list[np.ndarray]], side: int, random: np.random.Generator) -> np.ndarray:
    """Draw a crop of a reduced photograph, side x side x 3 in [0, 1], a third of them darker or lighter."""
    while True:
        folder = photos[random.integers(len(photos))]
        photo = folder[random.integers(len(folder))]
        if min(photo.shape[:2]) >= side:
            break
    wide = int(side * min(min(photo.shape[:2]) / side, random.uniform(*REDUCTION)))
    top, left = (int(random.integers(length - wide + 1)) for length in photo.shape[:2])
    cv2 = load_opencv()
    crop = cv2.resize(photo[top : top + wide, left : left + wide], (side, side), interpolation=cv2.INTER_AREA)
    crop = np.rot90(crop.astype(np.float32) / 255, int(random.integers(4)))[:, :: random.choice((-1, 1))]
    brightness = random.random()
    if brightness < 0.25:
        crop = crop ** np.float32(random.uniform(0.7, 1.8))
    elif brightness < 0.35:
        crop = crop * np.float32(random.uniform(0.3, 1))
    return np.ascontiguousarray(crop)


def texture(crop: np.ndarray) -> float:
    """Return the standard deviation of the Laplacian of the green channel."""
    return float(load_opencv().Laplacian(crop[..., 1], -1).std())


def autocast() -> torch.autocast:
    """Return the context of the networks' precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=uses_bfloat16("auto", torch.device("cpu")))


def likelihood_loss(network: NoiseEstimatorNetwork, noisy: Tensor, clean: Tensor) -> Tensor:
    """Return the mean negative log likelihood of the noise's components, without a constant."""
    with autocast():
        logs = network(noisy)
    return (logs + 0.5 * (energies(noisy - clean) + FLOORS[0]) * (-2 * logs).exp()).mean()


def denoising_loss(
    network: FFDNet,
    estimator: NoiseEstimatorNetwork,
    preconditioning: DataPrediction,
    noisy: Tensor,
    clean: Tensor,
) -> Tensor:
    """Return the mean negative PSNR, in dB."""
    with autocast():
        with torch.no_grad():
            levels = estimator(noisy).exp()
            gray = (noisy == noisy[:, :1]).all(1).flatten(1).all(1)
            levels = torch.where(gray[:, None, None, None], of_gray(levels), levels)
            level = level_of_values(levels).amax((1, 2, 3), keepdim=True)
            contrast = (network.config.noise_limit / level).clamp_max(1)
        output = network.denoised(contrast * noisy, contrast * levels) / contrast
    variance = F.interpolate(levels.square().mean(1, keepdim=True), scale_factor=float(PATCH))
    error = (preconditioning.estimate(noisy, output, variance) - clean).square().mean((1, 2, 3)) / 4
    return 10 * (error + FLOORS[1]).log10().mean()


if __name__ == "__main__":
    main()
