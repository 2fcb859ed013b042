"""Flag pictures that a model was not made for, by their likelihood, and plot the likelihoods.

    python examples/out_of_distribution.py FOLDER [OTHER ...] [--model cifar10] [-n 100] [--figure likelihood.png]

FOLDER contains pictures of the kind that the model was trained on, but not the training pictures themselves; a few
hundred are ideal (for `cifar10`, those of its test set). Half of them show which likelihoods are usual, and the other
half should pass as usual. They are compared with the same pictures with noise, blurred, inverted and with their blocks
shuffled, and with those of OTHER folders, brought to the model's size. Flat pictures are *more* likely than any
photograph (few bits describe them), so a picture is flagged when its bits per dimension lie outside of the middle 95 %
of the usual ones, on either side. The figure needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

import scoreinv
from scoreinv.inputs.arrays import picture_from_array
from scoreinv.prior import ScorePrior
from scoreinv.tasks.bits_per_dim import pictures_bits_per_dim
from scoreinv.tasks.sampling_settings import LikelihoodSettings


def pictures(folder: Path, count: int, side: int) -> np.ndarray:
    """Read `count` pictures spread over the folder: their middle squares at `side` pixels, (N, side, side, 3) uint8."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if len(paths) < 2:
        raise SystemExit(f"{folder}: fewer than two pictures (png or jpg)")
    chosen = []
    for number in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int):
        image = Image.open(paths[number]).convert("RGB")
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.crop((left, top, left + edge, top + edge))
        chosen.append(np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)))
    return np.stack(chosen)


def strange(images: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Change the pictures in ways that no camera does."""
    noisy = (images + rng.normal(0, 10, images.shape)).round().clip(0, 255).astype(np.uint8)
    blurred = gaussian_filter(images, (0, 1, 1, 0))
    edge = images.shape[1] // 4
    blocks = images.reshape(len(images), 4, edge, 4, edge, 3).swapaxes(2, 3).reshape(len(images), 16, edge, edge, 3)
    mixed = rng.permuted(np.tile(np.arange(16), (len(images), 1)), axis=1)
    blocks = np.take_along_axis(blocks, mixed[:, :, None, None, None], 1).reshape(len(images), 4, 4, edge, edge, 3)
    return {
        "with noise of 10 levels": noisy,
        "blurred": blurred,
        "inverted": 255 - images,
        "blocks shuffled": blocks.swapaxes(2, 3).reshape(images.shape),
    }


def bits(prior: ScorePrior, images: np.ndarray) -> np.ndarray:
    """Bits per dimension of each picture, by a fixed grid of 16 steps."""
    named = [picture_from_array(image, "picture") for image in images]
    return np.array(
        [density.bits_per_dim for density in pictures_bits_per_dim(named, prior, LikelihoodSettings(steps=16))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--model", default="cifar10")
    parser.add_argument("-n", type=int, default=100, help="pictures of each kind; twice as many of FOLDER")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.figure:
        import matplotlib  # noqa: F401  (fails now if it is missing, not at the end)
    prior = scoreinv.load(options.model)
    side = prior.image_size
    known = pictures(options.folder, 2 * options.n, side)
    usual = bits(prior, known[::2])
    low, high = np.quantile(usual, [0.025, 0.975])
    groups = {"known": known[1::2]} | strange(known[1::2], np.random.default_rng(0))
    groups |= {path.name: pictures(path, options.n, side) for path in options.others}
    print(f"usual: {low:.2f} to {high:.2f} bits/dim, mean {usual.mean():.2f}")
    print(f"{'pictures':<26}{'bits/dim':>9}{'flagged':>9}")
    values = {}
    for name, images in groups.items():
        values[name] = bits(prior, images)
        flagged = ((values[name] < low) | (values[name] > high)).mean()
        print(f"{name:<26}{values[name].mean():>9.2f}{flagged:>9.0%}", flush=True)
    if options.figure:
        draw(values, (low, high), options.figure)


def draw(values: dict[str, np.ndarray], usual: tuple[float, float], path: Path) -> None:
    """Plot a row of dots for each kind of pictures, over the band of the usual ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(values) + 1), layout="constrained")
    axes.axvspan(*usual, color="0.9", label="middle 95 % of the usual")
    for row, bits_per_dim in enumerate(values.values()):
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(bits_per_dim))
        axes.plot(bits_per_dim, row + spread, ".", ms=4, alpha=0.6)
    axes.set(yticks=range(len(values)), yticklabels=list(values), xlabel="bits per dimension")
    axes.invert_yaxis()
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
