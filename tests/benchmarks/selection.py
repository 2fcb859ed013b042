"""Sixteen objects in photographs, selected by a box or at most three clicks: IoU with masks drawn along their outlines.

    python tests/benchmarks/selection.py FOLDER [--sheet FILE.jpg] [--large]

The objects are those of `objects.py`, whole: an animal with all its legs, a bicycle with helmet and spokes, a piper
with his pipes. They were outlined by hand, before any was selected, and without the help of a program; an outline is
wrong by a pixel or two of what is looked at. Measured is what `scoreinv.select` gives with `grow=0`:

- box: the box of the mask, one per cent larger on each side;
- wide box: the same, ten per cent larger on each side, as one is drawn in haste;
- clicks: one, two and three, the first in the middle of the object, each further one in that
  of what is most wrong;
- box and a click: the box, and such a click.

On the sheet the outline is green, and what the box, and the box with a click, selects is red. `--large` also measures
seconds, processor seconds and memory on a photograph of 12 megapixels.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.models.segment_anything import SegmentAnything
from scoreinv.tasks.select import Prompt, Selection

OUTLINES: dict[str, list[str]] = json.loads(Path(__file__).with_name("outlines.json").read_text())
"""By the stem of the photograph, in its pixels, "across,down": the outline, and then holes in it."""
DRAWN, WIDE = 0.01, 0.1
"""Of its sides, by how much a box, and a wide one, is drawn too large."""
WANTED = 0.85
COLUMNS, SIDE = 4, 400
"""Of the sheet: pictures in a row, and the most pixels of one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    network = SegmentAnything()
    paths = {path.stem: path for path in options.folder.iterdir()}
    rows, shown = [], []
    print("| object | box | wide box | one click | two | three | box and a click |\n|---|---|---|---|---|---|---|")
    for stem, rings in OUTLINES.items():
        picture = read_picture(str(paths[stem]))
        truth = drawn(rings, picture.size)
        selection = Selection(picture, network)
        boxed = prompts(selection, truth, Prompt(box=box_around(truth)), 1)
        wide = selection.select(Prompt(box=box_around(truth, WIDE))).mask
        masks = [boxed[0], wide, *prompts(selection, truth, Prompt(), 3)[1:], boxed[1]]
        rows.append([iou(mask, truth) for mask in masks])
        shown += [marked(picture, truth, masks[0]), marked(picture, truth, masks[-1])]
        print(f"| {stem} | {' | '.join(f'{value:.3f}' for value in rows[-1])} |", flush=True)
    means, enough = np.mean(rows, axis=0), (np.array(rows) >= WANTED).sum(axis=0)
    print(f"| mean | {' | '.join(f'{value:.3f}' for value in means)} |")
    print(f"| at least {WANTED} | {' | '.join(f'{count} of {len(rows)}' for count in enough)} |")
    best = np.array(rows)[:, [0, 4, 5]].max(axis=1)
    print(f"{(best >= WANTED).sum()} of {len(rows)} by a box, a box and a click, or three clicks")
    if options.sheet is not None:
        sheet(shown).save(options.sheet, quality=80)
    if options.large:
        large(paths["gcompris-erase-goat"])


def drawn(rings: list[str], size: tuple[int, int]) -> np.ndarray:
    """The mask of outlines, HxW bool."""
    canvas = Image.new("1", size[::-1])
    for number, ring in enumerate(rings):
        points = [tuple(map(int, corner.split(","))) for corner in ring.split()]
        ImageDraw.Draw(canvas).polygon(points, fill=number == 0)
    return np.array(canvas)


def box_around(mask: np.ndarray, drawn: float = DRAWN) -> tuple[float, float, float, float]:
    (rows, columns) = ndimage.find_objects(mask.astype(int))[0]
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    left, top = columns.start - drawn * wide, rows.start - drawn * high
    return left, top, (1 + 2 * drawn) * wide, (1 + 2 * drawn) * high


def prompts(selection: Selection, truth: np.ndarray, prompt: Prompt, clicks: int) -> list[np.ndarray]:
    """What a prompt selects (without box nothing), and what it does with one more click each time."""
    masks = [np.zeros_like(truth) if prompt.box is None else selection.select(prompt).mask]
    for _ in range(clicks):
        missed, too_much = middle(truth & ~masks[-1]), middle(masks[-1] & ~truth)
        depth, x, y = max(missed, too_much)
        prompt = Prompt((*prompt.clicks, (x, y, depth == missed[0])), prompt.box)
        masks.append(selection.select(prompt).mask)
    return masks


def middle(mask: np.ndarray) -> tuple[float, int, int]:
    """The pixel that is farthest from the border of a mask: its distance, across and down."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return float(distance[y, x]), int(x), int(y)


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def marked(picture: Picture, truth: np.ndarray, mask: np.ndarray) -> Image.Image:
    """What is around the object, with the mask red and the outline green."""
    rgb = picture.rgb()
    rgb[mask] = (rgb[mask] + (1, 0, 0.2)) / 2
    (rows, columns) = ndimage.find_objects((truth | mask).astype(int))[0]
    around = (slice(max(0, rows.start - 12), rows.stop + 12), slice(max(0, columns.start - 12), columns.stop + 12))
    scale = SIDE / max(rgb[around].shape)
    size = round(scale * rgb[around].shape[1]), round(scale * rgb[around].shape[0])
    values = np.asarray(
        Image.fromarray((255 * rgb[around]).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    ).copy()
    outline = np.asarray(Image.fromarray(truth[around]).resize(size))
    values[outline & ~ndimage.binary_erosion(outline, border_value=1)] = (0, 220, 0)
    return Image.fromarray(values)


def sheet(pictures: list[Image.Image]) -> Image.Image:
    page = Image.new("RGB", (COLUMNS * SIDE, -(-len(pictures) // COLUMNS) * SIDE), "white")
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % COLUMNS * SIDE, number // COLUMNS * SIDE))
    return page


def large(path: Path) -> None:
    """Print seconds and memory on a photograph enlarged to 12 megapixels."""
    image = Image.open(path)
    scale = (12e6 / (image.width * image.height)) ** 0.5
    picture = Picture(np.asarray(image.resize((round(scale * image.width), round(scale * image.height)))))
    box = tuple(scale * value for value in box_around(drawn(OUTLINES[path.stem], image.size[::-1])))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = SegmentAnything()
    print(f"{picture.width}x{picture.height}: seconds, processor seconds")
    selection = timed("looking", lambda: Selection(picture, network))
    timed("a box, the decoder being loaded", lambda: selection.select(Prompt(box=box)))
    for x, y in ((600, 300), (800, 350), (1000, 300)):
        timed("a click", lambda: selection.select(Prompt(((scale * x, scale * y, True),), box)))  # noqa: B023
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"at most {after / 1e6:.2f} GB of memory, {before / 1e6:.2f} before")


def timed(name, work):
    began, busy = time.monotonic(), time.process_time()
    result = work()
    print(f"{name}: {time.monotonic() - began:.2f}, {time.process_time() - busy:.2f}")
    return result


if __name__ == "__main__":
    main()
