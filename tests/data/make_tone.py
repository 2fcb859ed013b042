"""Trains pretrained/tone/tone.safetensors, which tells how far a photograph has faded, on photographs faded by drawing.

    python tests/data/make_tone.py PHOTOS [--minutes 14] [--seed 0] [--init FILE] [-o tone.safetensors]

PHOTOS is the folder of photographs; those that pretrained/tone/held_out.txt names are not looked at. A third of
what is shown is healthy; the rest loses density by dye, gets stained, fogged, scanned with another curve, and fades
unevenly. Healthy photographs are varied, in exposure, saturation, haze and a slight cast, so that such things are not
undone. The loss is the distance of the corrected picture to the truth in CIELAB (CIE94), more where it is farther
than the faded one was, and the cross-entropy of whether it has faded.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from scoreinv.files import PRETRAINED
from scoreinv.networks.fading import SIDE, TONE_FILE, ToneNetwork, load_tone
from scoreinv.tasks.tone import SEEN_SIDE, chroma_network, guessed_chroma, told_of

BATCH, PIXELS, RATE, EMA = 48, 112, 2e-3, 0.998
DRAWN = 448
"""Pixels of each photograph that a step fades; of `PIXELS` of them the network sees more than quantiles."""
GUESSES = 8
"""Chroma of each photograph as guessed of its greys, of the truth and of it faded in other ways."""
HEALTHY, GRAY, HAZY = 0.33, 0.12, 0.06
_LINE = torch.linspace(-1, 1, SIDE) ** 2
RADIUS = ((_LINE[:, None] + _LINE) / 2).reshape(-1, 1)


def corrected(rgb: Tensor, curves: Tensor) -> Tensor:
    """Pixels (B, N, 3) through the curves (B, 3, 3) of `ToneNetwork`: ((x - black) / (white - black)) ^ exponent."""
    black, white, power = (one[:, None] for one in curves.unbind(1))
    return ((rgb - black) / (white - black)).clamp(1e-3, 1) ** power.exp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=TONE_FILE)
    parser.add_argument("--init", type=Path, help="weights to go on from")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    unseen = set((PRETRAINED / "tone" / "held_out.txt").read_text().split())
    paths = sorted(path for path in options.folder.iterdir() if path.suffix in (".jpg", ".png"))
    paths = [path for path in paths if path.stem not in unseen]
    print(f"{len(paths)} photographs")
    photos = torch.stack([read(path) for path in paths])
    chroma = torch.stack([guesses(photos, number) for number in range(GUESSES)], dim=1)
    chroma = F.interpolate(chroma.flatten(0, 1), size=(SIDE, SIDE), mode="bilinear").unflatten(0, (-1, GUESSES))
    network = train(F.adaptive_avg_pool2d(photos, SIDE), chroma, options.minutes, options.init)
    options.output.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, options.output)


def read(path: Path) -> Tensor:
    """A photograph, 3x224x224 in [0, 1]."""
    image = Image.open(path).convert("RGB").resize((SEEN_SIDE, SEEN_SIDE), Image.Resampling.BOX)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@torch.no_grad()
def guesses(photos: Tensor, number: int) -> Tensor:
    """The chroma of each photograph as guessed of its greys, (N, 3, 28, 28): of the first two numbers of the truth."""
    network, found = chroma_network(), []
    for some in photos.split(25):
        shown = some.flip(-1) if number % 2 else some
        if number > 1:
            gain, low, high = (uniform(a, b, len(some), 3, 1, 1) for a, b in ((0.35, 1.1), (0, 0.25), (0.7, 1)))
            shown = low + (high - low) * shown**gain
        chroma = guessed_chroma(shown, network)
        found.append(chroma.flip(-1) if number % 2 else chroma)
    print(f"guess {number + 1} of {GUESSES}", flush=True)
    return torch.cat(found)


def train(photos: Tensor, chroma: Tensor, minutes: float, init: Path | None) -> ToneNetwork:
    """The network with the mean of its weights."""
    network = ToneNetwork() if init is None else load_tone(init).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    means = [value.detach().clone() for value in network.parameters()]
    begun, step, said = time.monotonic(), 0, []
    while (done := (time.monotonic() - begun) / 60 / minutes) < 1:
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * done))
        which = torch.randint(len(photos), (BATCH,))
        truth, guess = cropped(photos[which], chroma[which, torch.randint(GUESSES, (BATCH,))])
        where = torch.randperm(SIDE * SIDE)[:DRAWN]
        truth, scan, faded = faded_by_drawing(at(truth, where), RADIUS[where])
        rgb, expected, quantiles = told_of(scan, at(guess, where))
        rgb, expected, truth = rgb[:, :PIXELS], expected[:, :PIXELS], truth[:, :PIXELS]
        curves, odds = network(rgb, expected, quantiles)
        before = distance(rgb, truth).mean(1)
        after = distance(corrected(rgb, curves), truth).mean(1)
        loss = after.mean() + F.relu(after - before).mean() / 2 + F.binary_cross_entropy_with_logits(odds, faded)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for value, mean in zip(network.parameters(), means, strict=True):
                mean.lerp_(value, 1 - min(EMA, (1 + step) / (10 + step)))
        gone = faded > 0
        said.append([float(one.detach()) for one in (before[gone].mean(), after[gone].mean(), after[~gone].mean())])
        if step % 500 == 0:
            print(f"{step}: faded {{:.2f}} to {{:.2f}}, healthy {{:.2f}}".format(*np.mean(said, 0)), flush=True)
            said = []
    with torch.no_grad():
        for value, mean in zip(network.parameters(), means, strict=True):
            value.copy_(mean)
    return network


def cropped(photos: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
    """Parts of three fifths and more of each side, some mirrored, of photographs and of their chroma."""
    number = len(photos)
    size = uniform(0.6, 1, number, 2)
    place = torch.zeros(number, 2, 3)
    place[:, 0, 0] = size[:, 0] * torch.where(torch.rand(number) < 0.5, 1.0, -1.0)
    place[:, 1, 1] = size[:, 1]
    place[:, :, 2] = uniform(-1, 1, number, 2) * (1 - size)
    grid = F.affine_grid(place, (number, 3, SIDE, SIDE), align_corners=False)
    first, second = (F.grid_sample(one, grid, align_corners=False, padding_mode="border") for one in (photos, chroma))
    return first, second


def at(pictures: Tensor, where: Tensor) -> Tensor:
    """Pixels (B, N, 3) of pictures (B, 3, H, W)."""
    return pictures.flatten(2)[:, :, where].transpose(1, 2)


def faded_by_drawing(pixels: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (B, N, 3) of healthy photographs, of scans of their prints, and 1 for those that have faded, else 0.

    radius: (N, 1) squared distance of each from the middle, 1 in the corners.
    """
    number = len(pixels)
    one, each = (number, 1, 1), (number, 1, 3)
    truth = pixels.clamp(1e-3, 1) ** torch.exp(normal(0.1, *one) + normal(0.03, *each))
    gray = (truth @ torch.tensor([0.299, 0.587, 0.114]))[..., None]
    is_gray = torch.rand(one) < GRAY
    truth = (gray + (truth - gray) * torch.where(is_gray, 0.0, uniform(0.8, 1.1, *one))).clamp(0, 1)
    haze = (torch.rand(one) < HAZY) * uniform(0, 0.2, *one)
    truth = haze + (1 - haze) * truth
    faded = (torch.rand(one) > HEALTHY).float()
    far = faded * uniform(0.3, 1.1, *one)
    gain = 1 + ((uniform(0.35, 0.95, *one) * torch.exp(normal(0.25, *each))).clamp(0.25, 1.1) - 1) * far
    mixing = torch.eye(3) + normal(0.06, number, 3, 3) * (1 - torch.eye(3)) * far
    mixing = mixing / mixing.sum(2, keepdim=True)
    density = (-torch.log(truth.clamp(2e-3, 1)) @ mixing.transpose(1, 2)) * gain
    yellow = torch.tensor([0.0, 0.08, 0.3])
    density = density + far * (yellow * uniform(0, 1.2, *one) + normal(0.03, *each).abs() + uniform(0, 0.15, *one))
    scan = torch.exp(-density.clamp_min(0))
    ink = far * (uniform(0, 0.25, *one) * (torch.rand(one) < 0.7) + normal(0.04, *each)).clamp(0, 0.4)
    scan = (ink + (1 - ink) * scan) * (1 - far * (uniform(0, 0.15, *one) + normal(0.03, *each).abs()))
    scan = scan + far * normal(0.15, *one) * torch.sin(2 * math.pi * scan) / (2 * math.pi)
    scan = scan.clamp(1e-3, 1) ** torch.exp(far * normal(0.15, *one))
    uneven = uniform(0, 0.5, *one) * (torch.rand(one) < 0.3)
    scan = truth + (scan - truth) * (1 + uneven * (radius - 0.4)).clamp(0, 1.2)
    scan = torch.where(is_gray, scan[..., 1:2], scan + faded * normal(0.006, *scan.shape))
    return truth, scan.clamp(0, 1), faded[:, 0, 0]


def uniform(low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape)


def normal(deviation: float, *shape: int) -> Tensor:
    return deviation * torch.randn(shape)


def distance(one: Tensor, other: Tensor) -> Tensor:
    """CIE94 between colours (..., 3)."""
    first, second = lab(one), lab(other)
    chroma, of_other = ((x[..., 1:].square().sum(-1) + 1e-6).sqrt() for x in (first, second))
    difference = first - second
    hue = (difference[..., 1:].square().sum(-1) - (chroma - of_other) ** 2).clamp_min(0)
    paler = (chroma - of_other) / (1 + 0.045 * of_other)
    return (difference[..., 0] ** 2 + paler**2 + hue / (1 + 0.015 * of_other) ** 2 + 1e-4).sqrt()


def lab(rgb: Tensor) -> Tensor:
    """sRGB (..., 3) in CIELAB, D65."""
    light = torch.where(rgb > 0.04045, ((rgb.clamp_min(0.04) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = torch.tensor(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = (light @ to_xyz.T) / torch.tensor([0.95047, 1.0, 1.08883])
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], dim=-1)


if __name__ == "__main__":
    main()
