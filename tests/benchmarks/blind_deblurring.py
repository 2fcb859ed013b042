"""How often `deblur` tells what has blurred a photograph, by how much it errs, and what that costs.

    python tests/benchmarks/blind_deblurring.py PHOTOS [--photos 60] [--restored 30] [--seed 1]

Crops of 448 pixels of the 24 photographs that were held out are blurred by a drawn disk (radius 1 to 6 pixels),
Gaussian (.7 to 4) or line (4 to 20, any angle), get noise of .5 to 2 %, and are stored as JPEG at quality 90; as many
are stored sharp with that noise, and as many as they are. Right: the size within 15 % (and the angle within 10
degrees), whatever the kind is called where a Gaussian and a disk are both of less than 1.5 pixels. The middles of the
first of them, 160 pixels, are restored by the blur that was found and by the true one: PSNR in dB, without a rim of 16
pixels, which depends on what lies beyond.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from models import load_fast
from PIL import Image
from scipy.signal import fftconvolve

from scoreinv.analysis.noise import noise_under_blur
from scoreinv.imaging.picture import Picture
from scoreinv.operators.kernels import PointSpread
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.deblur import find_blur, remove_blur
from scoreinv.tasks.requests import DeblurRequest

SIDE, MIDDLE, RIM, JUDGED = 448, 160, 16, 24
RANGES = {"disk": (1.0, 6.0), "gaussian": (0.7, 4.0), "motion": (4.0, 20.0)}


def drawn(random: np.random.Generator) -> PointSpread:
    kind = ("disk", "gaussian", "motion")[random.integers(3)]
    return PointSpread(kind, random.uniform(*RANGES[kind]), random.uniform(0, 180) if kind == "motion" else 0.0)


def cropped(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    top, left = (random.integers(max(1, length - SIDE)) for length in photo.shape[:2])
    return photo[top : top + SIDE, left : left + SIDE]


def blurred(photo: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The part of HxWx3 that is blurred from within it, and so smaller by the kernel."""
    return np.stack([fftconvolve(photo[..., channel], kernel, mode="valid") for channel in range(3)], axis=-1)


def stored(photo: np.ndarray, noise: float, random: np.random.Generator) -> Picture:
    """With noise, as a JPEG."""
    noisy = (photo + noise * random.standard_normal(photo.shape)).clip(0, 1)
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * noisy).astype(np.uint8)).save(file, "JPEG", quality=90)
    return Picture(np.asarray(Image.open(file)))


def found(picture: Picture) -> tuple[PointSpread | None, str]:
    try:
        return find_blur(picture), ""
    except InputError as error:
        return None, str(error)


def right(told: PointSpread, truth: PointSpread) -> bool:
    """Whether a blur is told within 15 % of its size; small disks and Gaussians by their variance."""
    if told.kind != truth.kind:
        small = {told.kind, truth.kind} <= {"disk", "gaussian"} and max(map(deviation, (told, truth))) < 1.5
        return small and abs(np.log(deviation(told) / deviation(truth))) < 0.15
    turned = abs((told.angle - truth.angle + 90) % 180 - 90)
    return abs(told.size / truth.size - 1) <= 0.15 and (told.kind != "motion" or turned <= 10)


def deviation(blur: PointSpread) -> float:
    """Standard deviation along an axis, of a disk or a Gaussian, in pixels."""
    return blur.size / 2 if blur.kind == "disk" else blur.size


def restored(picture: Picture, truth: np.ndarray, blur: PointSpread, prior: ScorePrior) -> float:
    """PSNR of the middle of a photograph without the blur, but for its rim."""
    top, left = ((length - MIDDLE) // 2 for length in picture.size)
    part = Picture(np.ascontiguousarray(picture.pixels[top : top + MIDDLE, left : left + MIDDLE]))
    result = remove_blur(part, blur.kernel(), noise_under_blur(part), prior, DeblurRequest()).image.rgb()
    errors = np.square(result - truth[top : top + MIDDLE, left : left + MIDDLE])[RIM:-RIM, RIM:-RIM]
    return float(-10 * np.log10(errors.mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--restored", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = (PRETRAINED / "blur" / "held_out.txt").read_text().split()[:JUDGED]
    photos = [np.asarray(Image.open(options.folder / f"{name}.jpg").convert("RGB"), np.float32) / 255 for name in names]
    random, prior = np.random.default_rng(options.seed), load_fast("denoiser")
    counts = {kind: {"right": 0, "wrong": 0, "refused": 0} for kind in RANGES}
    gaps, lost = [], []
    for number in range(options.photos):
        name, crop = names[number % JUDGED], cropped(photos[number % JUDGED], random)
        truth = drawn(random)
        kernel = truth.kernel()
        picture = stored(blurred(crop, kernel), random.uniform(0.005, 0.02), random)
        told, why = found(picture)
        outcome = "refused" if told is None else "right" if right(told, truth) else "wrong"
        counts[truth.kind][outcome] += 1
        line = f"{name:<36}{truth.kind:<9}{truth.size:>6.2f}{truth.angle:>5.0f}  {outcome:<8}{told or why[:40]}"
        if told is not None and len(gaps) < options.restored:
            rows, columns = kernel.shape
            clean = crop[rows // 2 :, columns // 2 :]
            by_truth, by_told = (restored(picture, clean, blur, prior) for blur in (truth, told))
            gaps.append(by_told - by_truth)
            line += f"  {by_truth:.2f} dB, {by_told - by_truth:+.2f}"
        print(line, flush=True)
    for how, noise in (("with noise", 0.02), ("as they are", 0.0)):
        alarms = []
        for number in range(options.photos):
            crop, level = cropped(photos[number % JUDGED], random), random.uniform(0.25, 1) * noise
            told, _ = found(stored(crop, level, random) if noise else Picture(crop))
            if told is not None:
                alarms.append(f"{names[number % JUDGED]} {told}")
        lost.append(f"sharp, {how}: {len(alarms)} of {options.photos} taken for blurred {alarms}")
    for kind, count in counts.items():
        print(f"{kind:<9}" + ", ".join(f"{outcome} {number}" for outcome, number in count.items()))
    print("\n".join(lost))
    if gaps:
        print(
            f"PSNR by what was found less that by the truth, {len(gaps)}: {np.mean(gaps):+.2f}, worst {min(gaps):+.2f}"
        )


if __name__ == "__main__":
    main()
