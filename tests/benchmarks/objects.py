"""Sixteen objects in the photographs held out by name, marked before any was filled: a contact sheet of their fills.

    python tests/benchmarks/objects.py FOLDER [--methods inpaint gmic] [--selected] [--free] [--sheet FILE.jpg]

The photographs are reduced to a shorter side of 512 pixels, as in `deep_holes.py`, whose methods these are. With
`--selected` they have their own size, the marks are what `select` makes of `POINTED`, with a shadow where one is
proposed, and the fills are ours; `--free` does so with the objects of `FREE`. The sheet has each object marked in red,
and beside it each fill. To be looked at: how many would a customer take without a second try?
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from deep_holes import SHORTER, method, reduced
from PIL import Image, ImageDraw

from scoreinv.imaging.read import read_picture
from scoreinv.imaging.shadows import propose_shadow
from scoreinv.models.segment_anything import SegmentAnything
from scoreinv.tasks.select import Prompt, Selection, with_rim

OBJECTS = {
    "avatar-Astronaut": (
        "168,20 318,20 322,120 372,175 362,230 345,260 350,350 385,430 365,448 300,445 285,350 262,345 "
        "255,440 190,452 188,340 150,325 152,180 170,120"
    ),
    "gcompris-erase-goat": (
        "130,160 260,105 430,110 620,130 690,110 690,40 730,50 770,100 790,70 815,90 800,150 815,230 790,290 "
        "700,300 660,330 640,380 630,490 580,490 560,430 360,440 350,480 290,478 280,430 220,440 210,465 "
        "150,455 165,350 130,260"
    ),
    "gcompris-erase-penguin": (
        "410,30 510,30 515,100 540,180 590,260 575,310 535,290 535,380 525,500 450,500 440,455 390,450 "
        "375,490 335,470 335,380 320,330 350,240 335,225 230,225 230,190 300,160 390,155 410,110"
    ),
    "gcompris-farm_animals-duck": (
        "325,100 400,100 445,200 430,230 425,380 360,420 340,465 250,465 245,430 190,455 140,440 140,390 "
        "95,330 55,290 60,240 200,210 320,220"
    ),
    "gcompris-world_animals-moose": (
        "95,390 190,345 310,330 320,260 220,250 185,150 215,110 330,180 420,190 400,110 470,110 500,160 "
        "570,60 625,95 600,170 500,235 540,400 520,440 340,460 100,480"
    ),
    "gcompris-world_music-ireland": "755,150 890,145 955,230 935,300 950,430 770,430 765,320 735,310 755,230",
    "grub2-Hortensia-1": "280,200 330,165 385,190 400,260 385,340 340,350 280,300",
    "libjxl-tmshre_riaphotographs_srgb8": (
        "288,150 345,130 408,150 412,290 385,312 395,420 410,512 382,512 368,420 358,312 310,300"
    ),
    "lomiri2004-Kleiber_by_Lukas_Baubkus": "358,165 385,170 430,250 500,320 490,335 420,335 385,345 358,290",
    "lxqt-appleflower": (
        "385,160 440,115 480,125 510,190 480,210 500,235 555,250 545,275 505,270 480,295 395,280 400,240 "
        "425,220 435,195 390,190"
    ),
    "recipes-big-american": "395,220 430,150 520,125 640,115 760,140 840,230 830,400 740,470 560,480 450,450 405,350",
    "recipes-turkish": "0,240 60,215 130,215 170,260 160,350 90,395 0,400",
    "skimage-astronaut": "370,10 470,10 470,200 480,285 345,285 345,210 370,180",
    "tuxpaint-reef-back": "300,240 340,225 425,230 440,340 440,420 400,470 290,470 300,380 310,330",
    "gcompris-monuments-reimsCathedral": "378,20 396,20 412,120 416,186 362,186 372,110",
    "libjxl-bicycles_restarts": (
        "330,400 350,330 410,300 430,240 470,190 540,165 580,190 580,230 620,270 640,320 690,350 690,420 "
        "600,430 540,410 480,430 470,500 400,515 340,490"
    ),
}
"""Corners of a polygon around each, "across,down" where the shorter side is 512, by the stem of the photograph."""


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
    parser.add_argument("--selected", action="store_true")
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--sheet", type=Path, default=Path("objects.jpg"))
    options = parser.parse_args()
    pointed = FREE if options.free else POINTED if options.selected else None
    fills = [method(name) for name in (options.methods if pointed is None else ["inpaint"])]
    paths = {path.stem: path for path in options.folder.iterdir()}
    network = SegmentAnything()
    cells = []
    for stem in pointed or OBJECTS:
        by = None if pointed is None else pointed[stem]
        photo, hole, avoid = outlined(paths[stem], OBJECTS[stem]) if by is None else selected(paths[stem], by, network)
        marked, started = np.where(hole[..., None], (photo + RED) / 2, photo), time.process_time()
        filled = [fill(photo, hole, **avoid) for fill in fills]
        if by is not None and by.again is not None:
            holes, avoided = (drawn(corners, hole.shape) for corners in by.again)
            filled = [fill(first, holes, avoid=avoided) for fill, first in zip(fills, filled, strict=True)]
        cells.append([marked, *filled])
        print(f"{stem}: {time.process_time() - started:.1f} processor seconds", flush=True)
    sheet(cells).save(options.sheet, quality=75)


Marked = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
"""A photograph, HxWx3 in [0, 1], its hole, HxW bool, and what else a fill is told."""


def outlined(path: Path, corners: str) -> Marked:
    """The reduced photograph, and a polygon in it."""
    photo = reduced(path)
    return photo, drawn((corners,), photo.shape[:2], min(photo.shape[:2]) / SHORTER), {}


def drawn(outlines: tuple[str, ...], size: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """What lies within outlines, each its corners "across,down" before they are scaled, HxW bool."""
    canvas = Image.new("1", size[::-1])
    for outline in outlines:
        points = [tuple(scale * int(place) for place in corner.split(",")) for corner in outline.split()]
        ImageDraw.Draw(canvas).polygon(points, fill=1)
    return np.array(canvas)


def selected(path: Path, pointed: Pointed, network: SegmentAnything) -> Marked:
    """The photograph, what is selected in it with its rim and shadow, and what is avoided."""
    picture = read_picture(str(path))
    mask = Selection(picture, network).select(Prompt.of(pointed.at, pointed.not_at, pointed.box)).mask
    shadow = propose_shadow(picture, mask)
    hole = with_rim(picture, mask, pointed.grow) | (mask if shadow is None else shadow)
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
