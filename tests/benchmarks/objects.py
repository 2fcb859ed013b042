"""Sixteen objects in the photographs held out by name, selected and removed: a contact sheet of their fills.

    python tests/benchmarks/objects.py FOLDER [--methods inpaint gmic] [--free] [--sheet FILE.jpg]

The marks are what `select` makes of `POINTED` (with `--free`, of `FREE`), with a shadow where one is proposed; the
methods are those of `deep_holes.py`. The sheet has each object marked in red, and beside it each fill. To be looked at:
how many would a customer take without a second try?
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from deep_holes import method
from PIL import Image, ImageDraw

from scoreinv.analysis.shadows import propose_shadow
from scoreinv.files.read import read_picture
from scoreinv.models.segment_anything import SegmentAnything
from scoreinv.tasks.select import Prompt, Selection


class Again(NamedTuple):
    """What is filled once more after a look at the fill, and what is not copied then: corners around each."""

    holes: tuple[str, ...]
    avoid: tuple[str, ...]


class Pointed(NamedTuple):
    """What a careful user points at, who has seen the outline that the box gave, in pixels of the photograph.

    Attributes:
        box: around the object: across, down, width, height.
        at, not_at: at most three points on what the box missed, and on what it took too much.
        grow: of `select`; None for what is usual. Hair takes more.
        avoid: boxes of what is not to be copied.
        again: what is marked for a second fill.
    """

    box: tuple[int, int, int, int]
    at: tuple[tuple[int, int], ...] = ()
    not_at: tuple[tuple[int, int], ...] = ()
    grow: int | None = None
    avoid: tuple[tuple[int, int, int, int], ...] = ()
    again: Again | None = None


POINTED = {
    "avatar-Astronaut": Pointed((156, 25, 216, 429), at=((180, 250),)),
    "gcompris-erase-goat": Pointed(
        (203, 72, 1022, 669),
        at=((1184, 126),),
        grow=18,
        again=Again(
            (
                "225,535 400,570 530,600 640,622 760,650 860,670 960,712 960,745 780,735 560,735 300,700 225,690",
                "610,140 775,140 775,215 610,215",
                "885,180 960,180 960,250 885,250",
            ),
            ("0,250 300,250 700,400 1365,400 1365,768 1130,768 960,712 225,535 0,515",),
        ),
    ),
    "gcompris-erase-penguin": Pointed((352, 42, 518, 704), at=((430, 290),), avoid=((340, 645, 170, 123),)),
    "gcompris-farm_animals-duck": Pointed((93, 163, 571, 532)),
    "gcompris-world_animals-moose": Pointed(
        (120, 94, 709, 551),
        at=((346, 268), (405, 288), (340, 233)),
        grow=7,
        avoid=((0, 470, 130, 110), (560, 590, 464, 93)),
    ),
    "gcompris-world_music-ireland": Pointed(
        (570, 120, 194, 274),
        at=((577, 305),),
        avoid=((725, 185, 140, 150), (780, 290, 220, 126), (300, 275, 180, 110), (480, 220, 120, 190)),
    ),
    "grub2-Hortensia-1": Pointed((266, 183, 105, 135)),
    "libjxl-tmshre_riaphotographs_srgb8": Pointed((293, 138, 107, 365), at=((366, 410),), not_at=((331, 364),)),
    "lomiri2004-Kleiber_by_Lukas_Baubkus": Pointed((546, 263, 194, 244), at=((561, 273),)),
    "lxqt-appleflower": Pointed((589, 187, 224, 276)),
    "recipes-big-american": Pointed(
        (313, 107, 332, 259), avoid=((690, 0, 334, 389), (300, 200, 45, 189), (345, 350, 270, 39), (390, 90, 120, 20))
    ),
    "recipes-turkish": Pointed((0, 204, 141, 123)),
    "skimage-astronaut": Pointed((353, 0, 122, 295), at=((388, 64), (447, 178)), grow=12),
    "tuxpaint-reef-back": Pointed((219, 172, 110, 174)),
    "gcompris-monuments-reimsCathedral": Pointed((561, 41, 48, 238), grow=9),
    "libjxl-bicycles_restarts": Pointed(
        (388, 203, 462, 428),
        at=((815, 400), (640, 232)),
        not_at=((393, 467),),
        avoid=((0, 40, 400, 420), (380, 100, 330, 230)),
    ),
}
FREE = {
    stem: POINTED[stem]
    for stem in (
        "avatar-Astronaut",
        "gcompris-world_animals-moose",
        "libjxl-tmshre_riaphotographs_srgb8",
        "skimage-astronaut",
    )
} | {
    "wp24-art-gallery": Pointed((322, 264, 147, 272)),
    "budgie-extreme-desert-hike": Pointed((338, 606, 162, 70), at=((385, 667), (423, 655))),
    "budgie-canyon-wren": Pointed((476, 180, 168, 160)),
    "budgie-oakland-zoo-otters": Pointed((168, 64, 216, 90), grow=18),
    "avatar-Cocktail": Pointed((196, 62, 108, 390)),
    "avatar-Gamepad": Pointed((46, 40, 424, 420)),
    "avatar-Car": Pointed((405, 195, 44, 42)),
    "skimage-rocket": Pointed((164, 120, 42, 286)),
}
"""Objects in photographs under CC0 or in the public domain: those of the sixteen, and eight that were chosen before any
was filled, whose photographs had a part in training."""
COLUMNS, WIDE, HIGH = 2, 240, 200
"""Of the sheet: objects in a row, and the most pixels of a picture."""
RED = np.array([230, 0, 60]) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", default=["inpaint"])
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--sheet", type=Path, default=Path("objects.jpg"))
    options = parser.parse_args()
    fills = {name: method(name) for name in options.methods}
    paths = {path.stem: path for path in options.folder.iterdir()}
    network = SegmentAnything()
    cells = []
    for stem, pointed in (FREE if options.free else POINTED).items():
        photo, hole, avoid = selected(paths[stem], pointed, network)
        marked, started = np.where(hole[..., None], (photo + RED) / 2, photo), time.process_time()
        filled = [fill(photo, hole, **(avoid if name == "inpaint" else {})) for name, fill in fills.items()]
        if pointed.again is not None and "inpaint" in fills:
            holes, avoided = (drawn(corners, hole.shape) for corners in pointed.again)
            place = list(fills).index("inpaint")
            filled[place] = fills["inpaint"](filled[place], holes, avoid=avoided)
        cells.append([marked, *filled])
        print(f"{stem}: {time.process_time() - started:.1f} processor seconds", flush=True)
    sheet(cells).save(options.sheet, quality=75)


Marked = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""A photograph, HxWx3 in [0, 1], its hole, HxW bool, and what else a fill is told."""


def drawn(outlines: tuple[str, ...], size: tuple[int, ...]) -> np.ndarray:
    """What lies within outlines, each its corners "across,down", HxW bool."""
    canvas = Image.new("1", size[::-1])
    for outline in outlines:
        points = [tuple(int(place) for place in corner.split(",")) for corner in outline.split()]
        ImageDraw.Draw(canvas).polygon(points, fill=1)
    return np.array(canvas)


def selected(path: Path, pointed: Pointed, network: SegmentAnything) -> Marked:
    """The photograph, what is selected in it with its rim and shadow, and what is avoided."""
    picture = read_picture(str(path))
    found = Selection(picture, network).select(Prompt.of(pointed.at, pointed.not_at, pointed.box))
    shadow = propose_shadow(picture, found.mask)
    hole = found.hole(pointed.grow, fragments=False) | (found.mask if shadow is None else shadow)
    avoid = np.zeros(picture.size, bool)
    for across, down, width, height in pointed.avoid:
        avoid[down : down + height, across : across + width] = True
    return picture.rgb(), hole, {"avoid": avoid} if pointed.avoid else {}


def sheet(cells: list[list[np.ndarray]]) -> Image.Image:
    """Rows of objects, each with its pictures side by side, on white."""
    across = len(cells[0]) * WIDE
    page = Image.new("RGB", (COLUMNS * across, -(-len(cells) // COLUMNS) * HIGH), "white")
    for number, pictures in enumerate(cells):
        for place, values in enumerate(pictures):
            picture = Image.fromarray((255 * values.clip(0, 1)).round().astype(np.uint8))
            picture.thumbnail((WIDE - 6, HIGH - 6), Image.Resampling.LANCZOS)
            page.paste(picture, (number % COLUMNS * across + place * WIDE, number // COLUMNS * HIGH))
    return page


if __name__ == "__main__":
    main()
