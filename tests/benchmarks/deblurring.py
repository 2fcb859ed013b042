"""Deblurring of photographs that were blurred as cameras blur, with the true kernel and without a kernel.

    python tests/benchmarks/deblurring.py PHOTOS [--light jpeg-85 jpeg-92 jpeg-95 array] [--gamma jpeg-92] [--tuning]

Held-out photographs are blurred by a Gaussian (0.7 to 4 pixels), a disk (1 to 6) or motion (4 to 20, any angle), with
sizes drawn evenly in the logarithm. `--light`: sRGB's curve decodes the photograph, its light is blurred, clipped at
white and encoded. `--gamma`: its values are blurred. Noise of 0.5 to 2.5 grey levels follows, then rounding to 8 bits,
or JPEG of a quality. `array` stays in floats with that noise.

Without a kernel `scoreinv.deblur` gets a crop of 448 pixels, and decides the curve, too. Its middle of `--side` pixels
is deblurred with the true kernel and the usual curve. The gain is the PSNR of this middle over that of the blurred one
in dB, without a rim of 16 pixels. A refusal counts as 0 dB. An estimate is right if its size is within 15 % and its
angle within 10 degrees; a Gaussian and a disk of less than 1.5 pixels may be confused.

The photographs are the 44 of pretrained/blur/held_out.txt that judge, or the 12 others with `--tuning`.
`--sharp N` counts how many of N sharp crops are changed, and by how many grey levels; they have noise of 0 to 2.5 grey
levels, and half are JPEGs.
"""

import argparse
import io
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from models import load_fast
from PIL import Image
from scipy.signal import fftconvolve

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators.kernels import PointSpread
from scoreinv.operators.tones import srgb
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.deblur import BlurEstimate, check_detail, deblurring_noise, find_blur, remove_blur
from scoreinv.tasks.noise import estimate_noise
from scoreinv.tasks.requests import DeblurRequest

SIDE, RIM, TUNING = 448, 16, slice(0, 24, 2)
RANGES = {"gaussian": (0.7, 4.0), "disk": (1.0, 6.0), "motion": (4.0, 20.0)}
NOISE = (0.5 / 255, 2.5 / 255)


def even(ends: tuple[float, float], random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(*np.log(ends))))


def drawn(number: int, random: np.random.Generator) -> PointSpread:
    kind = tuple(RANGES)[number % 3]
    return PointSpread(kind, even(RANGES[kind], random), random.uniform(0, 180) if kind == "motion" else 0.0)


def blurred(photo: np.ndarray, kernel: np.ndarray, light: bool) -> np.ndarray:
    """Return the part of HxWx3 that is blurred from within, smaller by the kernel."""
    values, curve = np.linspace(0, 1, len(srgb().light)), srgb().light
    scene = np.interp(photo, values, curve) if light else photo
    seen = np.stack([fftconvolve(scene[..., channel], kernel, mode="valid") for channel in range(3)], axis=-1)
    return np.interp(seen, curve, values) if light else seen


def stored(photo: np.ndarray, noise: float, storage: str, random: np.random.Generator) -> Picture:
    noisy = (photo + noise * random.standard_normal(photo.shape)).clip(0, 1)
    if storage == "array":
        return Picture(noisy.astype(np.float32))
    pixels = np.rint(255 * noisy).astype(np.uint8)
    if storage.startswith("jpeg-"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(storage.removeprefix("jpeg-")))
        pixels = np.asarray(Image.open(file))
    return Picture(pixels)


def middle(values: np.ndarray, side: int) -> np.ndarray:
    top, left = ((length - min(side, length)) // 2 for length in values.shape[:2])
    return np.ascontiguousarray(values[top : top + side, left : left + side])


def found(picture: Picture) -> tuple[BlurEstimate | None, str]:
    try:
        blur = find_blur(picture)
    except InputError as error:
        return None, f"refused: {error}"[:40]
    return blur, str(blur.likeliest) if isinstance(blur.likeliest, PointSpread) else "shake"


def right(blur: PointSpread | np.ndarray, truth: PointSpread) -> bool:
    """Return whether an estimate is right; small disks and Gaussians are compared by their variance."""
    if isinstance(blur, np.ndarray):
        return False
    if blur.kind != truth.kind:
        small = {blur.kind, truth.kind} <= {"disk", "gaussian"} and max(map(deviation, (blur, truth))) < 1.5
        return small and abs(np.log(deviation(blur) / deviation(truth))) < 0.15
    turned = abs((blur.angle - truth.angle + 90) % 180 - 90)
    return abs(blur.size / truth.size - 1) <= 0.15 and (blur.kind != "motion" or turned <= 10)


def deviation(blur: PointSpread) -> float:
    """Return the standard deviation of a disk or a Gaussian along an axis, in pixels."""
    return blur.size / 2 if blur.kind == "disk" else blur.size


def psnr(values: np.ndarray, truth: np.ndarray) -> float:
    errors = np.square(values.clip(0, 1) - truth)[RIM:-RIM, RIM:-RIM]
    return float(-10 * np.log10(errors.mean()))


def gains(name: str, photo: np.ndarray, number: int, light: bool, storage: str, side: int, prior: ScorePrior) -> list:
    """Return the gains with the true kernel and without a kernel, and the outcome of the estimate; print them."""
    random = np.random.default_rng([1, number])
    truth = drawn(number, random)
    kernel = truth.kernel()
    crop = middle(photo, SIDE + max(kernel.shape) - 1)
    picture = stored(blurred(crop, kernel, light), even(NOISE, random), storage, random)
    rows, columns = kernel.shape
    clean = crop[rows // 2 :, columns // 2 :][: picture.height, : picture.width]
    part, clean = Picture(middle(picture.pixels, side)), middle(clean, side)
    before, noise = psnr(part.rgb(), clean), deblurring_noise(part, estimate_noise(part, Models()).std)

    def gain(image: Picture) -> float:
        return psnr(image.rgb(), clean) - before

    image = remove_blur(part, kernel, noise, prior, DeblurRequest()).image
    by_truth, by_blur, outcome = gain(image), 0.0, "refused"
    try:
        result = scoreinv.deblur(picture.pixels)
        by_blur, words = gain(Picture(middle(result.image, side))), result.kernel
        outcome = "right" if right(result.blur, truth) else "wrong"
    except InputError as error:
        words = f"refused: {error}"[:60]
    print(f"  {name:<36}{truth!s:<20}{before:>6.2f}{by_truth:>+7.2f}{by_blur:>+7.2f}  {words}", flush=True)
    return [by_truth, by_blur, outcome]


def summary(rows: list[list]) -> str:
    true, blind = (np.array([row[column] for row in rows]) for column in (0, 1))
    told = [row[2] for row in rows]
    counts = ", ".join(f"{outcome} {told.count(outcome)}" for outcome in ("right", "wrong", "refused"))
    used = np.array([outcome != "refused" for outcome in told])
    lost = (true - blind)[used]
    below = f"{np.quantile(lost, 0.9):.2f}" if used.any() else "-"
    return (
        f"true kernel {true.mean():+.2f} (worst {true.min():+.2f}), blind {blind.mean():+.2f} "
        f"(worst {blind.min():+.2f}); {counts}; estimate below truth in nine of ten by at most {below}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--light", nargs="*", default=["jpeg-92"], metavar="STORAGE")
    parser.add_argument("--gamma", nargs="*", default=[], metavar="STORAGE")
    parser.add_argument("--photos", type=int, default=44)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--sharp", type=int, default=0)
    parser.add_argument("--tuning", action="store_true")
    options = parser.parse_args()
    held_out = (PRETRAINED / "blur" / "held_out.txt").read_text().split()
    tuning = held_out[TUNING]
    names = tuning if options.tuning else [name for name in held_out if name not in tuning]
    names = names[: options.photos]
    photos = [np.asarray(Image.open(options.folder / f"{name}.jpg").convert("RGB"), np.float32) / 255 for name in names]
    prior = load_fast("denoiser")
    for domain, storages in (("light", options.light), ("gamma", options.gamma)):
        for storage in storages:
            start, rows = time.process_time(), []
            for number, (name, photo) in enumerate(zip(names, photos, strict=True)):
                rows.append(gains(name, photo, number, domain == "light", storage, options.side, prior))
            seconds = (time.process_time() - start) / len(rows)
            print(f"{domain}, {storage}, {len(rows)}: {summary(rows)}; {seconds:.1f} s each", flush=True)
    changed = []
    for number in range(options.sharp):
        random, storage = np.random.default_rng([2, number]), ("8 bits", "jpeg-92")[number % 2]
        crop = middle(photos[number % len(photos)], SIDE - 32 * (number // len(photos)))
        picture = stored(crop, random.uniform(0, NOISE[1]), storage, random)
        blur, words = found(picture)
        if blur is not None:
            part = Picture(middle(picture.pixels, options.side))
            own = estimate_noise(part, Models()).std
            noise = deblurring_noise(part, own)
            image = remove_blur(part, blur.kernel, noise, prior, DeblurRequest(), deviations=blur.deviations).image
            change = 255 * float(np.square(image.rgb() - part.rgb()).mean()) ** 0.5
            with suppress(InputError):
                check_detail(part, image, blur.kernel, own)
                changed.append(f"{names[number % len(photos)]} {words}, by {change:.1f}")
    if options.sharp:
        print(f"sharp, taken for blurred: {len(changed)} of {options.sharp} {changed}")


if __name__ == "__main__":
    main()
