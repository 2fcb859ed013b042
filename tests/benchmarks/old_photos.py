"""Faded photographs and the step `tone` of `restore`: CIEDE2000 to the truth, before and after.

    python tests/benchmarks/old_photos.py FOLDER [--family dyes] [--photos 100] [--side 384] [--seed 1] [--sheet FILE]

The photographs are the first of those that pretrained/tone/held_out.txt names as held out; each is faded once, by other
curves than those of the training. Families of curves (`--family`):

- dyes: what remains of each dye's density in linear light is .35 to .95 of it, with a toe of its own; a yellow stain,
  flare and a scanner's exposure are added, and three in ten fade more towards their borders;
- levels: each channel has a lift of up to .3, a loss of white of up to .15, and a gamma of its own;
- light: a cast in linear light that varies smoothly over the print, and a veil.

The same photographs unfaded tell what the step does to healthy ones. Beside it: the step told that they have faded
(`--tone 1`), and each channel stretched between its percentiles.

With `--steps` those that no model has seen are printed besides, grained, stained and cracked, as colour prints and as
grey ones (`training.data.synthetic_damage`), and restored whole: CIEDE2000, PSNR and structural similarity after
each step.

With `--tint` it counts instead which of 200 pictures of each kind are taken for prints of one tint: prints toned by
drawing, and photographs, as they are, faded, and in one hue (red rock, leaves, the sea, a sunset), faded or not.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from damage import DAMAGE
from PIL import Image, ImageOps
from scipy.interpolate import RectBivariateSpline
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from scoreinv.analysis.kind import kind_by_colours
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators.luma import luma
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.requests import Inputs, RestoreRequest
from scoreinv.tasks.restore import restore_picture
from scoreinv.tasks.tone import tone_picture
from scoreinv.training.data.prints import draw_medium, draw_print, scanned
from scoreinv.training.data.synthetic_damage import damaged, draw_kinds

DRAWN = 200
"""Pictures of each kind that may be prints of one tint."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="dyes")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--side", type=int, default=384, help="longer side, in pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="a contact sheet: truth, faded, restored, and unfaded restored")
    parser.add_argument("--tint", action="store_true", help="which pictures are prints of one tint?")
    parser.add_argument("--steps", action="store_true", help="what does each step of restore do to damaged prints?")
    options = parser.parse_args()
    if options.tint:
        tints(sorted(options.folder.glob("*.jpg")), np.random.default_rng(options.seed))
        return
    held = (PRETRAINED / "tone" / "held_out.txt").read_text().split()[: options.photos]
    paths = {path.stem: path for path in options.folder.iterdir()}
    rng = np.random.default_rng(options.seed)
    seen_by_none = json.loads((PRETRAINED / "photo" / "training.json").read_text())["data"]["holdout"]
    if options.steps:
        steps([paths[stem] for stem in seen_by_none], options.side, rng)
        return
    rows, sheet = [], []
    for stem in held:
        truth = reduced(paths[stem], options.side)
        scan = np.rint(255 * FAMILIES[options.family](truth / 255, rng)).astype(np.uint8)
        restored, told, kept, told_too = (
            tone_picture(Picture(pixels), share)[0].pixels for pixels in (scan, truth) for share in (None, 1.0)
        )
        of_faded, of_unfaded = (scan, stretched(scan), restored, told), (stretched(truth), kept, told_too)
        rows.append([distance(image, truth) for image in (*of_faded, *of_unfaded)])
        sheet.append([truth, scan, restored, kept])
        print(f"{stem:<44}" + "".join(f"{value:>8.2f}" for value in rows[-1]), flush=True)
    table = np.array(rows)
    before, percentiles, after, by_word, healthy_percentiles, healthy, healthy_by_word = table.T
    print(f"{len(rows)} photographs        CIEDE2000   ratio   worse by .5   unfaded: mean   below 1")
    for name, one, own in (
        ("faded", before, 0 * before),
        ("percentiles", percentiles, healthy_percentiles),
        ("tone", after, healthy),
        ("tone, by word", by_word, healthy_by_word),
    ):
        worse = int((one > before + 0.5).sum())
        figures = f"{one.mean():>9.2f}{one.mean() / before.mean():>8.2f}{worse:>14}"
        print(f"{name:<20}{figures}{own.mean():>16.2f}{(own < 1).sum():>10}")
    blind = np.array([stem in seen_by_none for stem in held])
    print(f"the {blind.sum()} that no model has seen: {before[blind].mean():.2f} to {after[blind].mean():.2f}")
    if options.sheet:
        contact_sheet(sheet, 200).save(options.sheet, quality=90)


def steps(paths: list[Path], side: int, rng: np.random.Generator) -> None:
    """Print how near to the truth the prints of photographs, in colours and grey, are after each step of `restore`."""
    request, models = RestoreRequest(keep_steps=True), Models()
    figures: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for number, path in enumerate(paths):
        truth, kind = reduced(path, side), ("colours", "greys")[number % 2]
        scan = Picture(np.rint(255 * old_print(truth / 255, kind == "greys", rng)).astype(np.uint8))
        now = dict.fromkeys(("scan", "tint", "tone", "inpaint", "denoise", "colorize"), scan)
        names = list(now)
        for step in restore_picture(Inputs(scan), request, models).steps:
            if step.name in now and step.image is not None:
                now.update(dict.fromkeys(names[names.index(step.name) :], step.image))
        for name, picture in now.items():
            figures.setdefault((kind, name), []).append(likeness(picture.rgb(), truth / 255))
        print(f"{path.stem:<44}{kind:<9}" + "".join(f"{likeness(x.rgb(), truth / 255)[0]:>7.2f}" for x in now.values()))
    for (kind, name), rows in figures.items():
        colour, noise, structure = np.mean(rows, axis=0)
        print(f"{kind:<9}{name:<10} CIEDE2000 {colour:6.2f}   PSNR {noise:6.2f} dB   SSIM {structure:.3f}")


def old_print(rgb: np.ndarray, gray: bool, rng: np.random.Generator) -> np.ndarray:
    """A scan of the faded and damaged print of a photograph, both HxWx3 in [0, 1]."""
    medium = replace(draw_medium(rng), gray=gray)
    print_ = draw_print(faded(rgb, rng).astype(np.float32), medium, rng)
    return scanned(damaged(print_, medium, rng, draw_kinds(DAMAGE, rng)), medium, rng)


def likeness(rgb: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Mean CIEDE2000, PSNR in dB and structural similarity of pictures HxWx3 in [0, 1]."""
    similar = structural_similarity(rgb, truth, channel_axis=-1, data_range=1)
    return distance(rgb, truth), peak_signal_noise_ratio(truth, rgb, data_range=1), similar


def tints(paths: list[Path], rng: np.random.Generator) -> None:
    """Print how many pictures of each kind are taken for prints of one tint."""
    counts: Counter[str] = Counter()
    for _ in range(DRAWN):
        rgb = reduced(paths[rng.integers(len(paths))], 224) / 255
        of_hue = in_one_hue(rgb, rng)
        drawn = {"a toned print": toned_print(rgb, rng), "photograph": rgb, "photograph, faded": faded(rgb, rng)}
        drawn |= {"of one hue": of_hue, "of one hue, faded": faded(of_hue.clip(0, 1), rng)}
        for name, values in drawn.items():
            picture = Picture(np.rint(255 * values.clip(0, 1)).astype(np.uint8))
            counts[name] += kind_by_colours(picture) == "tinted"
    for name, count in counts.items():
        print(f"{name:<20}{count:>4} of {DRAWN} are taken for prints of one tint")


def toned_print(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey print on toned paper or with toned shades, with grain, some yellowed towards the borders."""
    gray = luma(rgb) ** np.exp(rng.normal(0, 0.25))
    paper, ink = rng.uniform(0.7, 1), rng.uniform(0, 0.2)
    tone = rng.uniform(0.03, 0.3) * np.array([rng.uniform(0.15, 0.6), 0, -0.5])
    strength = np.ones_like(gray) if rng.random() < 0.5 else 3.2 * gray * (1 - gray) + 0.2
    values = (ink + (paper - ink) * gray)[..., None] + strength[..., None] * tone
    values = values + rng.normal(0, rng.uniform(0, 0.03), gray.shape)[..., None]
    y, x = (np.linspace(-1, 1, size) for size in gray.shape)
    far = (y[:, None] ** 2 + x**2)[..., None] / 2 * (rng.random() < 0.3)
    return values * (1 - far * rng.uniform(0, 0.6) * np.array([0, 0.05, 0.15]))


def in_one_hue(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photograph whose colours are brought near one hue, each as strong as it was."""
    hue = np.array([[1, -0.25, -0.75], [-0.2, 0.35, -1.0], [-0.8, 0.1, 0.7], [1, -0.1, -0.9]])[rng.integers(4)]
    hue = hue + rng.normal(0, 0.08, 3)
    hue = (hue - luma(hue)) / np.linalg.norm(hue)
    gray = luma(rgb)[..., None]
    strength = np.linalg.norm(rgb - gray, axis=-1, keepdims=True)
    strength = strength / max(float(np.quantile(strength, 0.95)), 0.05) * rng.uniform(0.12, 0.35)
    return gray + strength * hue + 0.15 * (rgb - gray)


def reduced(path: Path, side: int) -> np.ndarray:
    """A photograph, HxWx3 uint8, whose longer side is at most so long."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def faded(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A scan of the faded print of a photograph, both HxWx3 in [0, 1]."""
    height, width = rgb.shape[:2]
    density = -np.log10(np.clip(light_of(rgb), 0.002, 1))
    remains = rng.uniform(0.35, 0.95, 3)
    toe = rng.uniform(0.85, 1.15, 3)
    down = remains * density.max() * (density / density.max()) ** toe
    stain = rng.uniform(0, 0.3) * np.array([0.05, 0.35, 1.0]) + rng.uniform(0, 0.06)
    down = down + stain
    if rng.random() < 0.3:
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        more = rng.uniform(0.1, 0.4) * np.maximum(np.abs(x), np.abs(y))[..., None] ** 2
        down = down * (1 - more)
    light = 10**-down + rng.uniform(0, 0.02)
    return values_of(light * rng.uniform(0.85, 1.1) / max(1.0, float(light.max())))


def lifted(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same, with lift, white and gamma of each channel changed."""
    black, white, gamma = rng.uniform(0, 0.3, 3), 1 - rng.uniform(0, 0.15, 3), np.exp(rng.normal(0, 0.2, 3))
    return black + (white - black) * rgb**gamma


def unevenly_cast(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same, under a cast that varies over the print, and a veil."""
    field, mean, spread = rng.uniform(0, 1, (3, 3, 3)), rng.uniform(0, 0.5, 3), rng.uniform(0, 0.6)
    y, x = (np.linspace(0, 2, length) for length in rgb.shape[:2])
    planes = [RectBivariateSpline(range(3), range(3), field[..., channel], kx=2, ky=2)(y, x) for channel in range(3)]
    light = light_of(rgb) * np.exp(-(mean + spread * np.stack(planes, axis=-1)))
    veil = rng.uniform(0, 0.06) * np.exp(rng.normal(0, 0.3, 3))
    light = veil + (1 - veil) * light
    return values_of(light * min(1 / light.max(), 1.3))


FAMILIES = {"dyes": faded, "levels": lifted, "light": unevenly_cast}


def light_of(rgb: np.ndarray) -> np.ndarray:
    """The light of values in sRGB."""
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def values_of(light: np.ndarray) -> np.ndarray:
    """The values in sRGB of light, clipped to [0, 1]."""
    return np.clip(np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light), 0, 1)


def stretched(rgb: np.ndarray) -> np.ndarray:
    """Each channel between its .5 and 99.5 percentiles: what the step must beat."""
    low, high = np.percentile(rgb, (0.5, 99.5), axis=(0, 1))
    return np.rint(255 * np.clip((rgb - low) / np.maximum(high - low, 1), 0, 1)).astype(np.uint8)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean CIEDE2000."""
    return float(deltaE_ciede2000(rgb2lab(one), rgb2lab(other)).mean())


def contact_sheet(rows: list[list[np.ndarray]], side: int) -> Image.Image:
    """Rows of pictures, each within a square."""
    sheet = Image.new("RGB", (side * len(rows[0]), side * len(rows)), "white")
    for down, row in enumerate(rows):
        for right, pixels in enumerate(row):
            sheet.paste(ImageOps.contain(Image.fromarray(pixels), (side - 4, side - 4)), (side * right, side * down))
    return sheet


if __name__ == "__main__":
    main()
