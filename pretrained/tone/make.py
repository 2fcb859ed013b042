"""Train pretrained/tone/model.safetensors, the tone estimator, on photographs with synthetic fading.

    python -m pretrained.tone.make PHOTOS MORE [MORE ...] [--most 4000] [--cache FILE] [--steps 30000]

PHOTOS and MORE are folders of photographs; `--most` limits each folder of MORE, to balance the subjects. Photographs
named in pretrained/tone/held_out.txt are excluded. The cache keeps the colours that `scene` predicts for them.

A third of the pictures is healthy. The others fade by curves of three families (`by_dyes`, `by_levels`, `by_light`).
Healthy photographs vary in exposure, saturation, haze and a slight cast, so the network learns to keep these; some lie
in mist, which increases with the distance.

The loss of the curves is the mean CIEDE2000 between corrected and true pictures, of faded ones, plus half of what the
correction adds to it. The loss of the odds is the cross-entropy of whether the correction reduces CIEDE2000. It is
weighted by the change, and by `AVERSION` if that is an increase. So log odds above 0 mean that the expected gain is
more than `AVERSION` times the expected loss.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pretrained.fitting import arguments, fit, photographs
from scoreinv.models.catalogue import load_kind
from scoreinv.models.model_file import save
from scoreinv.models.tone_estimator import PARTS, SIDE, ToneNetwork, apply_curves
from scoreinv.prior import Model
from scoreinv.tasks.tone import REDUCED_SIDE, chroma_network, expected_chroma, inputs_of_pixels

BATCH, PIXELS, EMA = 48, 192, 0.998
DRAWN = 384
"""Pixels of each photograph to fade in a step; the network gets `PIXELS` of them, and quantiles of all."""
SPECKED = 0.1
"""Share of the pictures with specks of black or white."""
GUESSES = 3
"""Colour predictions for each photograph of PHOTOS, from healthy or faded greys; one for those of MORE."""
HEALTHY, GRAY, HAZY, PALE, TINGED = 0.33, 0.12, 0.06, 0.05, 0.05
"""Shares of healthy, grey and hazy pictures; share of slightly faded ones among the faded; share of strong colour
filters in `by_dyes`."""
FAMILIES = (0.5, 0.25, 0.25)
"""Shares of `by_dyes`, `by_levels` and `by_light` among the faded pictures."""
MISTY, BLACK = 0.1, 0.12
"""Share of the photographs of MORE with synthetic mist, and the limit of the darkest value of each channel in mist."""
MATTED = 0.1
"""Share of the pictures in a mat, or in the black around a round print, for training the odds."""
OF_FIRST = 0.15
"""Share of PHOTOS in a batch: it has more kinds of photographs than MORE."""
AVERSION = 8.0
"""Weight of a correction that increases CIEDE2000, relative to one that reduces it as much."""
AT_STAKE = 8.0
"""CIEDE2000 of a gain whose classification has the weight 1."""


def main() -> None:
    parser = arguments(__doc__, "tone", "photos", most=4000, steps=30_000, rate=2e-3)
    parser.add_argument("more", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, help="file for the data computed from the photographs")
    parser.add_argument("--init", type=Path, help="model to start from")
    parser.add_argument("--odds", action="store_true", help="train only the layers of the odds")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.cache is not None and options.cache.exists():
        kept = load_file(options.cache)
    else:
        kept = computed(options.photos, options.more, options.most)
        if options.cache is not None:
            save_file(kept, options.cache)
    photos, guesses, ends = kept["photos"], kept["guesses"], kept["ends"]
    print(f"{len(photos)} photographs, some of them more than once")
    network = (ToneNetwork() if options.init is None else load_kind("tone", options.init).network).train()
    first = GUESSES * len(photographs(options.photos, "tone"))

    def draw_loss() -> Tensor:
        which = torch.randint(first, len(photos), (BATCH,))
        which = torch.where(torch.rand(BATCH) < OF_FIRST, torch.randint(first, (BATCH,)), which)
        crops = cropped(photos[which], guesses[which], ends[which])
        return loss_of(network, *crops, matted=MATTED if options.odds else 0.0)

    trained = network.odds if options.odds else network
    fit(trained.parameters(), draw_loss, options.steps, options.rate, warmup=100, weight_decay=0.02, ema=EMA, clip=1.0)
    save(Model(network), options.output)


def computed(first: Path, more: list[Path], most: int) -> dict[str, Tensor]:
    """Return photographs (N, 3, 56, 56), colour predictions (N, 3 + DECODER_FEATURES, 14, 14) and `extremes`.

    The photographs of `first` come first. All values are uint8 except the predictions.
    """
    network, order = chroma_network(), random.Random(0)
    folders = [photographs(folder, "tone") for folder in more]
    others = [path for found in folders for path in order.sample(found, min(most, len(found)))]
    order.shuffle(others)
    paths = photographs(first, "tone") * GUESSES + others
    photos, guesses, ends = [], [], []
    for start in range(0, len(paths), 16):
        batch = torch.stack([read(path) for path in paths[start : start + 16]])
        if start >= len(paths) - len(others):
            batch = torch.where(torch.rand(len(batch), 1, 1, 1) < MISTY, in_mist(batch), batch)
        photos.append((255 * F.adaptive_avg_pool2d(batch, SIDE)).round().byte())
        ends.append((255 * extremes(batch)).round().byte())
        if order.random() > 0.4:
            gain, low, high = (uniform(a, b, len(batch), 3, 1, 1) for a, b in ((0.35, 1.1), (0, 0.25), (0.7, 1)))
            batch = low + (high - low) * batch**gain
        with torch.no_grad():
            guesses.append(expected_chroma(batch, network).half().contiguous(memory_format=torch.contiguous_format))
        if start % 800 == 0:
            print(f"{start} of {len(paths)} photographs", flush=True)
    return {"photos": torch.cat(photos), "guesses": torch.cat(guesses), "ends": torch.cat(ends)}


def in_mist(photos: Tensor) -> Tensor:
    """Return photographs (B, 3, H, W) in mist: J t + A (1 - t) with t = exp(-depth); the depth grows upwards.

    Narasimhan and Nayar 2002, eq. 6. Photographs without a black part in mist stay clear, since they could be faded.
    """
    number = len(photos)
    scalar = (number, 1, 1, 1)
    up = torch.linspace(1, 0, photos.shape[2])[None, None, :, None]
    depth = (up / uniform(0.35, 1.1, *scalar)).clamp(0, 1) ** uniform(0.7, 3, *scalar)
    relief = F.interpolate(torch.rand(number, 1, 5, 5), size=photos.shape[2:], mode="bilinear")
    depth = (depth * (1 + uniform(0, 0.75, *scalar) * (relief - 0.5))).clamp(0, 1)
    farthest = uniform(0.05, 0.75, *scalar)
    nearest = farthest + (1 - farthest) * torch.rand(scalar).sqrt()
    transmission = farthest**depth * nearest ** (1 - depth)
    warm = uniform(-0.08, 0.08, *scalar) * torch.tensor([-1.0, 0.0, 1.0])[:, None, None]
    air = (uniform(0.45, 1, *scalar) * (1 + normal(0.06, number, 3, 1, 1) + warm)).clamp(0, 1)
    mist = (photos * transmission + air * (1 - transmission)).clamp(0, 1)
    dark = mist.amin((2, 3)).amax(1) < BLACK
    return torch.where(dark[:, None, None, None], mist, photos)


def extremes(pictures: Tensor) -> Tensor:
    """Return the darkest and lightest pixel by channel in each of `PARTS`^2 parts of pictures (B, 3, H, W).

    (B, PARTS^2, 6, 3).
    """
    _, where = F.adaptive_max_pool2d(torch.cat([pictures, -pictures], dim=1), PARTS, return_indices=True)
    pixels = pictures.flatten(2).gather(2, where.flatten(1)[:, None].expand(-1, 3, -1))
    return pixels.unflatten(2, (6, PARTS**2)).permute(0, 3, 2, 1)


def ends_of(pixels: Tensor) -> Tensor:
    """Return the darkest and lightest values of the parts (B, 2, PARTS^2, 3), from `extremes`."""
    parts = pixels.unflatten(1, (PARTS**2, 6))
    return torch.stack([parts.amin(2), parts.amax(2)], dim=1)


def read(path: Path) -> Tensor:
    """Read a photograph, 3x224x224 in [0, 1]."""
    image = Image.open(path).convert("RGB").resize((REDUCED_SIDE, REDUCED_SIDE), Image.Resampling.BOX)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def loss_of(network: ToneNetwork, truth: Tensor, guess: Tensor, place: Tensor, matted: float) -> Tensor:
    """Fade photographs and return the loss of their correction.

    Args:
        truth, guess, place: the results of `cropped`.
        matted: share of the pictures in a mat.
    """
    truth, scan, faded = faded_by_drawing(truth, place)
    truth, scan = in_mats(truth, scan, place, matted)
    rgb, expected, quantiles, ends = inputs_of_pixels(scan[:, :DRAWN], guess, ends_of(scan[:, DRAWN:]))
    specks = (torch.rand(BATCH, 2, 1) < SPECKED) * torch.rand(BATCH, 2, 1)
    quantiles[:, [0, -1]] = torch.lerp(quantiles[:, [0, -1]], torch.tensor([[0.0], [1.0]]), specks)
    curves, odds = network(rgb, expected, quantiles, ends)
    wanted = lab(truth[:, :PIXELS])
    with torch.no_grad():
        before = distance(lab(rgb), wanted).mean(1)
    after = distance(lab(apply_curves(rgb, curves)), wanted).mean(1)
    is_faded = faded > 0
    gain = (before - after).detach()
    at_stake = torch.where(gain > 0, gain, -AVERSION * gain) / AT_STAKE
    odds_loss = F.binary_cross_entropy_with_logits(odds, (gain > 0).float(), at_stake)
    return after[is_faded].mean() + F.relu(after - before)[is_faded].mean() / 2 + odds_loss


def cropped(photos: Tensor, guesses: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw `DRAWN` pixels of crops with 0.85 to 1 of each side, some mirrored, and append `ends`.

    Also return the predictions at the first `PIXELS`, and the place of each pixel in the crop, from -1 to 1 per axis.
    """
    place = uniform(-1, 1, len(photos), DRAWN, 2)
    size = uniform(0.85, 1, len(photos), 1, 2)
    middle = uniform(-1, 1, len(photos), 1, 2) * (1 - size)
    size[..., 0] *= torch.where(torch.rand(len(photos), 1) < 0.5, 1.0, -1.0)
    grid = (middle + size * place)[:, None]
    pixels, guess = (
        F.grid_sample(maps.float(), positions, align_corners=False, padding_mode="border")[:, :, 0].transpose(1, 2)
        for maps, positions in ((photos, grid), (guesses, grid[:, :, :PIXELS]))
    )
    centres = (torch.arange(PARTS) + 0.5) * 2 / PARTS - 1
    parts = torch.stack([centres.repeat(PARTS), centres.repeat_interleave(PARTS)], dim=1)
    mirror = torch.stack([size[..., 0].sign(), torch.ones(len(photos), 1)], dim=2)
    places_of_ends = parts.repeat_interleave(6, 0) * mirror
    place = torch.cat([place, places_of_ends], dim=1)
    return torch.cat([pixels, ends.flatten(1, 2)], dim=1) / 255, guess, place


def faded_by_drawing(pixels: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixels (B, N, 3) of varied photographs and of scans of their prints, and 1 for faded ones, else 0.

    place: (B, N, 2), see `cropped`.
    """
    number = len(pixels)
    scalar, rgb = (number, 1, 1), (number, 1, 3)  # shapes of random numbers, by picture or by channel
    truth = pixels.clamp(1e-3, 1) ** torch.exp(normal(0.1, *scalar) + normal(0.03, *rgb))
    gray = (truth @ torch.tensor([0.299, 0.587, 0.114]))[..., None]
    is_gray = torch.rand(scalar) < GRAY
    truth = (gray + (truth - gray) * torch.where(is_gray, 0.0, uniform(0.8, 1.1, *scalar))).clamp(0, 1)
    haze = (torch.rand(scalar) < HAZY) * uniform(0, 0.2, *scalar)
    truth = haze + (1 - haze) * truth
    faded = (torch.rand(scalar) > HEALTHY).float()
    strength = faded * torch.where(torch.rand(scalar) < PALE, uniform(0.15, 0.5, *scalar), uniform(0.3, 1.6, *scalar))
    family = torch.multinomial(torch.tensor(FAMILIES), number, replacement=True)[:, None, None]
    scan = by_dyes(truth, strength, place)
    scan = torch.where(family == 1, by_levels(truth, strength), scan)
    scan = torch.where(family == 2, by_light(truth, strength, place), scan)
    scan = torch.where(is_gray, scan[..., 1:2], scan + faded * normal(0.006, *scan.shape))
    return truth, scan.clamp(0, 1), faded[:, 0, 0]


def by_dyes(truth: Tensor, strength: Tensor, place: Tensor) -> Tensor:
    """Fade by loss of density in each dye, with stain, fog, a scanner's curve, and less or more towards the borders.

    Args:
        truth: (B, N, 3); strength: (B, 1, 1), strength of the fading, 0 for none; place: see `cropped`.
    """
    number = len(truth)
    scalar, rgb = (number, 1, 1), (number, 1, 3)  # shapes of random numbers, by picture or by channel
    gain = (uniform(0.35, 0.95, *scalar) * torch.exp(normal(0.3, *rgb))).clamp(0.25, 1.1)
    gain = (1 + (gain - 1) * strength).clamp_min(0.2)
    mixing = torch.eye(3) + normal(0.06, number, 3, 3) * (1 - torch.eye(3)) * strength
    mixing = mixing / mixing.sum(2, keepdim=True)
    density = (-torch.log(truth.clamp(2e-3, 1)) @ mixing.transpose(1, 2)) * gain
    yellow = torch.tensor([0.0, 0.08, 0.3])
    filtered = torch.where(torch.rand(scalar) < TINGED, 0.12, 0.03) * normal(1, *rgb).abs()
    density = density + strength * (yellow * uniform(0, 1.2, *scalar) + filtered + uniform(0, 0.15, *scalar))
    scan = torch.exp(-density.clamp_min(0))
    ink = strength * (uniform(0, 0.25, *scalar) * (torch.rand(scalar) < 0.7) + normal(0.04, *rgb)).clamp(0, 0.4)
    scan = (ink + (1 - ink) * scan) * (1 - strength * (uniform(0, 0.15, *scalar) + normal(0.03, *rgb).abs()))
    scan = scan + strength * normal(0.15, *scalar) * torch.sin(2 * math.pi * scan) / (2 * math.pi)
    scan = scan.clamp(1e-3, 1) ** torch.exp(strength * normal(0.15, *scalar))
    uneven = uniform(0, 0.5, *scalar) * (torch.rand(scalar) < 0.3)
    return truth + (scan - truth) * (1 + uneven * (square_radius(place) - 0.4)).clamp(0, 1.2)


def by_levels(truth: Tensor, strength: Tensor) -> Tensor:
    """Shift black and white of each channel by stray light and exposure, and change its contrast; see `by_dyes`."""
    scalar, rgb = (len(truth), 1, 1), (len(truth), 1, 3)
    power = uniform(1.4, 2.6, *scalar)
    black = strength * (uniform(0, 0.18, *scalar) + uniform(0, 0.2, *rgb))
    white = 1 - strength * (uniform(0, 0.1, *scalar) + uniform(0, 0.12, *rgb))
    contrast = torch.exp(strength * (normal(0.12, *scalar) + normal(0.12, *rgb)))
    black, white = black.clamp_max(0.5) ** power, white**power
    return (black + (white - black) * truth.clamp_min(1e-3) ** (power * contrast)).clamp_min(1e-6) ** (1 / power)


def by_light(truth: Tensor, strength: Tensor, place: Tensor) -> Tensor:
    """Fade by a cast and a veil that vary over the print as quadratic functions of the place; see `by_dyes`."""
    number = len(truth)
    scalar, rgb = (number, 1, 1), (number, 1, 3)  # shapes of random numbers, by picture or by channel
    x, y = place.unbind(2)
    terms = torch.stack([x, y, x * y, x * x, y * y], dim=2)
    field = terms @ normal(0.5, number, 5, 1)
    cast = normal(0.15, *rgb) + field * normal(0.12, *rgb)
    cast = strength * (cast - cast.mean(2, keepdim=True) + uniform(0, 0.15, *scalar))
    veil = strength * (uniform(0, 0.2, *scalar) * (1 + field / 2) + uniform(0, 0.08, *rgb)).clamp(0, 0.35)
    contrast = torch.exp(strength * uniform(-0.5, 0.05, *scalar))
    scan = truth.clamp_min(1e-3) ** contrast * torch.exp(-cast)
    return veil + (1 - veil) * scan.clamp(0, 1)


def square_radius(place: Tensor) -> Tensor:
    """Return the squared distance of places (B, N, 2) from the centre, (B, N, 1), 1 in the corners."""
    return place.square().mean(-1, keepdim=True)


def in_mats(truth: Tensor, scan: Tensor, place: Tensor, matted: float) -> tuple[Tensor, Tensor]:
    """Put a share of photographs and scans (B, N, 3) into a black or white mat of 5 to 40 % of the area.

    The mat has not faded. place: see `cropped`.
    """
    scalar = (len(scan), 1, 1)
    radius = square_radius(place)
    radius = radius + torch.cat([torch.zeros(DRAWN, 1), uniform(-0.15, 0.15, radius.shape[1] - DRAWN, 1)])
    share = torch.where(torch.rand(scalar) < matted, uniform(0.05, 0.4, *scalar), 0.0)
    inner = radius[:, :DRAWN].sort(1).values.gather(1, ((1 - share) * (DRAWN - 1)).long())
    black, white = (depth * torch.rand(scalar) * torch.rand(len(scan), 1, 3) for depth in (0.04, 0.06))
    mat = torch.where(torch.rand(scalar) < 0.7, black, 1 - white) + uniform(0, 0.01, *scan.shape[:2], 1)
    within = (share > 0) & (radius > inner)
    return torch.where(within, mat.clamp(0, 1), truth), torch.where(within, mat.clamp(0, 1), scan)


def uniform(low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape)


def normal(deviation: float, *shape: int) -> Tensor:
    return deviation * torch.randn(shape)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return CIEDE2000 between colours (..., 3) in CIELAB, without the rotation term; its weights have no gradient."""
    with torch.no_grad():
        mean = (chroma(first) + chroma(second)) / 2
        factor = 1 + (1 - mean**3.5 / (mean**7 + 25.0**7).sqrt()) / 2  # of a*
        scale = torch.stack([torch.ones_like(factor), factor, torch.ones_like(factor)], dim=-1)
        middle = (first + second) * scale / 2
        mean = (chroma(first * scale) + chroma(second * scale)) / 2
        hue = torch.atan2(middle[..., 2], middle[..., 1])
        terms = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
        hue_weight = 1 + sum(amount * torch.cos(times * hue + math.radians(angle)) for amount, times, angle in terms)
        from_middle = (middle[..., 0] - 50) ** 2
        scale_l = 1 + 0.015 * from_middle / (20 + from_middle).sqrt()
        scale_c, scale_h = 1 + 0.045 * mean, 1 + 0.015 * mean * hue_weight
    first, second = first * scale, second * scale
    between, of_chroma = first - second, chroma(first) - chroma(second)  # differences
    hue_squared = (between[..., 1:].square().sum(-1) - of_chroma**2).clamp_min(0)
    return ((between[..., 0] / scale_l) ** 2 + (of_chroma / scale_c) ** 2 + hue_squared / scale_h**2 + 1e-4).sqrt()


def chroma(colours: Tensor) -> Tensor:
    """Return the chroma of colours (..., 3) in CIELAB."""
    return (colours[..., 1:].square().sum(-1) + 1e-6).sqrt()


def lab(rgb: Tensor) -> Tensor:
    """Convert sRGB (..., 3) to CIELAB, D65."""
    light = torch.where(rgb > 0.04045, ((rgb.clamp_min(0.04) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = torch.tensor(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = (light @ to_xyz.T) / torch.tensor([0.95047, 1.0, 1.08883])
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], dim=-1)


if __name__ == "__main__":
    main()
