"""Fragments: small parts of the sixteen objects of `objects.py` that masks miss, and how many of them are found.

    python tests/benchmarks/fragments.py FOLDER [--sheet FILE.png]

Masks are outlines drawn by hand (`outlines.json`), enlarged as `select` does it. They miss tips, which an opening of
the object removes, or gaps in it; others miss nothing, enlarged once or three times as far. Masks of nothing are
squares and blobs. Masks by boxes, and by the prompts of `objects.py`, are those of `select`; the outlines show what
they miss. A fragment has 0.1 to 3 % of the object. `select` finds it if it proposes half of its pixels, and `inpaint`
if it names a place in it. Proposals mostly beside the object are false.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from deep_holes import draw_hole
from objects import POINTED
from scipy import ndimage
from selection import OUTLINES, box_around, drawn, marked, sheet

from scoreinv.analysis.fragments import LARGEST, find_fragments
from scoreinv.files.read import read_picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.segment_anything import SegmentAnything
from scoreinv.tasks.select import Prompt, Selection, usual_grow

LEAST = 0.001
BESIDE = np.ones((3, 3), bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    network = SegmentAnything()
    paths = {path.stem: path for path in options.folder.iterdir()}
    table: dict[str, np.ndarray] = {}
    seconds, shown = 0.0, []
    for number, (stem, rings) in enumerate(OUTLINES.items()):
        picture = read_picture(str(paths[stem]))
        truth, selection, grow = drawn(rings, picture.size), Selection(picture, network), usual_grow(picture.size)
        made = [*cases(truth, grow, number)]
        pointed = POINTED[stem]
        for name, prompt in (
            ("a box", Prompt(box=box_around(truth))),
            ("a box and points", Prompt.of(pointed.at, pointed.not_at, pointed.box)),
        ):
            found = selection.select(prompt)
            mask, fragments = found.hole(fragments=False), found.fragments
            missed = parts(ndimage.binary_opening(truth & ~mask, BESIDE), truth.sum())
            labels, count = ndimage.label(fragments, BESIDE)
            false = (ndimage.mean(truth, labels, range(1, count + 1)) < 0.5).sum()
            hits = sum((fragments & part).sum() >= part.sum() / 2 for part in missed)
            share = 100 * fragments.sum() / found.mask.sum()
            row = np.array((1, len(missed), hits, false, share))
            table[f"`select`, {name}"] = table.get(f"`select`, {name}", 0) + row
            print(f"{stem}, {name}: {len(missed)} missed, {hits} found, {false} false, {share:.2f} %", flush=True)
            shown.append(marked(picture, fragments, found.mask))
            made.append((f"of {name}", mask, missed))
        for name, mask, missed in made:
            began = time.process_time()
            places = find_fragments(picture, mask)
            seconds += time.process_time() - began
            hits = sum(any(dilate(part, grow)[y, x] for x, y in places) for part in missed)
            here = truth & ~mask if name.startswith("of a ") else np.any([np.zeros_like(truth), *missed], axis=0)
            false = sum(not dilate(here, grow)[y, x] for x, y in places)
            row = np.array((1, len(missed), hits, false, 0))
            table[f"`inpaint`, {name}"] = table.get(f"`inpaint`, {name}", 0) + row
    print("| masks | fragments | found | false | area proposed, % |")
    print("|---|---|---|---|---|")
    for name, (masks, missed, hits, false, share) in table.items():
        area = f"{share / masks:.2f}" if name.startswith("`select`") else ""
        print(f"| {name}, {masks:.0f} | {missed:.0f} | {hits:.0f} | {false:.0f} | {area} |")
    count = sum(row[0] for name, row in table.items() if name.startswith("`inpaint`"))
    print(f"processor seconds of `inpaint`'s search: {seconds / count:.3f}")
    if options.sheet is not None:
        sheet(shown).save(options.sheet)


def cases(truth: np.ndarray, grow: int, number: int) -> Iterator[tuple[str, np.ndarray, list[np.ndarray]]]:
    """Yield the kind of a mask, the mask, and the fragments that it misses."""
    rng, area = np.random.default_rng(number), truth.sum()
    radius = np.sqrt(area / np.pi)
    yield "of all", dilate(truth, grow), []
    yield "of all, loose", dilate(truth, 3 * grow), []
    depth = ndimage.distance_transform_edt(truth)
    tips = []
    for share in (0.3, 0.2, 0.12):
        core = ndimage.distance_transform_edt(depth <= share * radius) <= share * radius
        tips += parts(truth & ~core, area)[:2]
    for tip in tips[:4]:
        mask = dilate(truth & ~tip, grow)
        if (missed := tip & ~mask).sum() >= LEAST * area:
            yield "without a tip", mask, [missed]
    middles = np.argwhere(depth > 0.08 * radius)
    for _ in range(3):
        down, across = np.moveaxis(np.argwhere(np.ones_like(truth)) - rng.choice(middles), 1, 0).reshape(
            2, *truth.shape
        )
        angle, width, length = rng.uniform(0, np.pi), rng.uniform(0.05, 0.15), rng.uniform(0.15, 0.4)
        along = np.abs(down * np.sin(angle) + across * np.cos(angle)) < length * radius
        gap = along & (np.abs(down * np.cos(angle) - across * np.sin(angle)) < width * radius) & truth
        if LEAST * area <= gap.sum() <= LARGEST * area:
            yield "without a gap", dilate(truth, grow) & ~gap, [gap]
    for kind in ("square", "blob"):
        side = rng.choice([64, 96, 160])
        if min(truth.shape) > 1.5 * side:
            yield "of nothing", draw_hole(truth.shape, kind, side, rng), []


def parts(mask: np.ndarray, area: int) -> list[np.ndarray]:
    """Return the components of a mask that are fragments of an object with this area, largest first."""
    labels, count = ndimage.label(mask, BESIDE)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return [labels == 1 + at for at in np.argsort(-areas) if LEAST * area <= areas[at] <= LARGEST * area]


if __name__ == "__main__":
    main()
