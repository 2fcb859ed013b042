"""Sixteen objects in photographs, selected by a box or at most three clicks: IoU with masks drawn along their outlines.

    python tests/benchmarks/selection.py FOLDER [--sheet FILE.jpg] [--large]

The objects are those of `objects.py`, whole: an animal with all its legs, a bicycle with helmet and spokes, a piper
with his pipes. They were outlined by hand, before any was selected, and without the help of a program; an outline is
wrong by a pixel or two of what is looked at. Measured is what `scoreinv.select` gives with `grow=0`:

- box: the box of the mask, one per cent larger on each side, as one is drawn;
- clicks: one, two and three, the first in the middle of the object, each further one in that
  of what is most wrong;
- box and a click: the box, and such a click.

On the sheet the outline is green, and what the box, and the box with a click, selects is red. `--large` also measures
seconds, processor seconds and memory on a photograph of 12 megapixels.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.models.segment_anything import SegmentAnything
from scoreinv.tasks.select import Prompt, Selection

OUTLINES = {
    "avatar-Astronaut": (
        "180,44 177,57 179,70 180,99 174,122 173,138 176,148 169,177 164,210 162,243 158,264 159,285 159,311 "
        "167,324 179,330 187,322 193,319 192,295 193,269 199,251 205,259 205,272 209,275 206,301 204,321 205,353 "
        "204,392 207,407 205,422 201,435 201,448 216,449 232,446 237,438 239,428 244,418 245,402 250,396 254,370 "
        "257,353 262,330 268,314 268,304 275,304 278,321 288,344 298,360 300,379 309,397 316,402 317,412 327,425 "
        "330,438 346,443 369,438 368,425 359,414 355,396 354,376 345,350 340,321 335,295 327,272 324,256 325,233 "
        "322,225 337,223 350,216 358,203 359,190 355,174 345,155 333,135 320,125 304,117 308,109 307,73 304,60 "
        "301,39 286,29 268,31 252,30 226,32 200,37 192,35 185,39",
    ),
    "gcompris-erase-goat": (
        "252,250 225,288 213,320 225,359 221,395 240,391 263,413 272,359 296,347 308,391 296,447 292,518 272,550 "
        "248,601 252,661 280,681 304,677 304,637 313,629 308,589 324,613 336,589 355,617 391,589 411,589 431,597 "
        "443,637 429,665 463,689 494,704 518,707 528,689 514,653 490,621 482,597 526,600 558,585 597,591 653,581 "
        "669,609 651,633 653,689 685,700 697,689 701,621 724,617 764,601 804,621 843,649 863,613 866,653 873,685 "
        "895,704 897,726 927,734 943,724 939,700 907,661 899,613 919,589 950,526 962,478 1002,474 1018,431 1034,435 "
        "1050,474 1065,485 1089,474 1113,447 1105,403 1121,415 1149,415 1165,395 1184,395 1191,343 1184,296 "
        "1208,304 1200,272 1214,263 1184,255 1196,244 1165,228 1173,161 1180,131 1195,125 1178,118 1165,125 "
        "1149,185 1121,121 1089,90 1054,79 1042,86 1073,94 1105,133 1117,169 1119,213 1105,205 1058,199 1050,220 "
        "1010,232 970,247 935,240 891,236 859,223 812,210 748,209 693,205 645,205 617,195 582,185 526,181 494,173 "
        "447,178 407,197 367,224 340,244 308,240 296,250",
    ),
    "gcompris-erase-penguin": (
        "688,49 712,54 730,66 739,84 742,102 753,135 769,177 781,214 792,262 796,301 818,313 842,346 860,376 "
        "864,403 857,439 845,453 831,450 824,433 808,409 793,397 790,436 781,490 769,545 765,593 751,635 736,671 "
        "733,695 760,725 781,731 784,738 742,736 712,737 687,728 688,710 697,707 695,677 691,671 652,674 610,666 "
        "574,658 565,665 567,683 559,689 551,698 550,708 538,707 532,692 524,696 517,695 514,665 509,605 505,587 "
        "493,557 490,539 502,490 518,442 529,394 544,355 561,325 538,321 490,315 435,317 405,325 378,335 360,333 "
        "357,322 369,298 399,274 435,261 477,251 538,250 592,247 607,226 622,205 634,180 635,150 628,123 630,93 "
        "637,72 655,56",
    ),
    "gcompris-farm_animals-duck": (
        "101,371 132,373 149,381 165,369 187,366 204,371 228,362 253,353 283,337 321,330 376,328 442,331 472,339 "
        "502,347 505,344 498,321 491,291 491,263 498,231 513,198 532,179 557,168 579,169 598,179 612,200 618,225 "
        "617,247 639,280 658,307 650,318 623,315 603,302 582,279 568,275 571,296 584,321 603,346 628,373 642,406 "
        "650,450 649,493 642,532 623,565 606,589 573,608 535,614 508,608 480,597 442,599 414,607 409,614 410,641 "
        "425,650 458,653 499,663 491,671 475,674 486,685 447,689 414,689 395,686 386,666 383,647 370,651 384,617 "
        "360,614 327,608 283,606 253,597 245,595 253,619 272,641 276,663 256,666 242,671 226,652 216,625 213,597 "
        "212,574 190,566 171,551 163,532 154,499 152,463 124,455 105,439 99,422 107,414 101,400",
    ),
    "gcompris-world_animals-moose": (
        "128,626 127,596 146,559 176,523 213,499 243,486 285,481 328,472 376,464 412,460 439,457 441,442 444,408 "
        "454,381 466,360 471,345 480,330 448,334 406,342 370,339 343,333 321,315 308,291 318,291 291,266 267,242 "
        "255,206 260,202 267,224 284,245 276,209 278,179 286,164 291,167 288,188 294,224 302,220 312,233 328,254 "
        "343,260 337,236 335,227 341,226 352,251 369,260 370,236 379,235 381,240 388,232 393,236 389,263 403,259 "
        "412,256 419,269 425,272 421,251 433,243 454,248 479,269 506,291 521,285 551,280 572,283 587,272 598,265 "
        "596,254 575,230 554,200 547,176 552,172 566,197 593,227 604,233 604,203 607,158 611,155 616,194 627,211 "
        "639,200 644,176 650,172 650,200 644,230 644,250 663,239 678,212 693,179 705,149 708,155 699,188 681,228 "
        "705,209 720,179 741,143 763,100 769,99 766,118 744,161 729,196 750,167 775,138 779,138 775,149 755,182 "
        "778,144 782,147 769,182 790,167 811,130 817,132 811,152 805,161 817,155 821,159 814,176 802,200 775,224 "
        "750,242 726,263 690,280 648,297 605,308 602,324 624,348 645,378 657,414 663,445 684,463 696,481 702,511 "
        "699,547 672,547 654,566 636,559 618,566 593,578 569,556 557,559 533,575 506,590 473,599 436,596 406,590 "
        "385,602 340,599 303,605 273,602 249,611 219,620 189,617 158,629 140,638",
        "410,309 427,297 439,306 479,313 448,318 412,321",
    ),
    "gcompris-world_music-ireland": (
        "684,123 691,126 697,133 704,140 705,144 705,149 702,153 700,160 702,167 718,168 730,172 740,181 747,188 "
        "753,202 759,218 761,226 761,239 754,245 748,249 747,256 750,264 760,273 760,357 755,358 757,372 760,385 "
        "759,391 745,390 741,382 738,365 734,355 733,327 731,302 721,292 711,288 700,293 695,299 692,309 692,339 "
        "681,339 684,314 678,300 677,314 675,342 677,355 678,365 680,379 678,384 661,380 668,371 671,361 665,357 "
        "661,334 657,319 647,302 643,292 642,284 641,279 629,284 614,290 600,300 579,311 572,310 574,307 592,295 "
        "600,287 620,276 628,269 646,258 651,253 631,253 624,251 621,242 623,234 628,229 629,211 634,200 646,188 "
        "661,181 673,174 671,167 667,158 665,153 665,142 668,133 676,126",
    ),
    "grub2-Hortensia-1": (
        "319,184 326,188 339,195 345,204 349,216 354,222 361,226 369,231 369,238 364,244 363,253 355,260 358,262 "
        "362,267 361,277 359,284 354,286 354,292 346,301 339,308 330,311 317,315 313,308 302,305 297,298 292,289 "
        "295,283 293,278 282,276 275,270 270,267 270,259 273,256 267,250 267,243 270,237 274,232 282,226 285,220 "
        "279,220 278,213 282,209 288,209 288,200 296,193 306,186 314,187",
    ),
    "libjxl-tmshre_riaphotographs_srgb8": (
        "294,187 303,177 313,164 324,156 324,144 334,142 342,145 353,144 361,149 365,147 372,146 380,155 382,164 "
        "389,161 395,170 398,189 398,236 396,266 387,285 373,299 358,305 360,335 365,379 373,420 380,458 381,500 "
        "379,500 371,464 364,425 356,379 347,332 345,306 332,299 316,287 305,272 300,258 301,225 299,206",
    ),
    "lomiri2004-Kleiber_by_Lukas_Baubkus": (
        "555,265 558,265 567,280 576,293 588,317 595,324 608,338 617,351 628,371 641,389 650,404 657,421 666,432 "
        "671,441 682,446 694,458 701,469 707,475 722,483 737,491 720,491 699,486 689,484 671,492 651,500 638,503 "
        "621,503 595,500 583,493 574,486 566,474 563,481 561,478 560,468 555,453 552,432 553,404 555,387 557,376 "
        "549,375 548,367 556,356 566,353 566,341 564,326 566,298 563,284 557,275",
    ),
    "lxqt-appleflower": (
        "666,190 676,196 681,195 685,206 685,214 696,210 702,209 708,228 701,239 704,243 693,255 698,258 708,252 "
        "720,249 734,254 739,263 736,276 723,278 707,281 687,281 682,291 683,299 683,315 687,314 693,318 701,321 "
        "708,319 715,311 723,309 730,312 738,312 748,325 749,340 742,355 732,363 738,367 752,358 758,364 764,370 "
        "775,367 791,368 801,373 810,386 802,388 778,382 761,384 738,386 734,393 723,397 723,403 724,407 717,414 "
        "723,424 735,460 722,460 712,435 701,415 687,409 683,409 676,415 655,420 625,420 608,415 610,403 625,392 "
        "638,388 657,390 675,394 660,389 653,382 655,370 646,367 634,355 634,345 637,334 652,329 666,333 675,337 "
        "664,329 662,318 666,315 659,303 656,288 651,286 637,284 634,278 611,274 600,263 591,248 610,247 622,249 "
        "637,256 630,244 625,220 636,220 646,220 653,224 651,213 655,203",
    ),
    "recipes-big-american": (
        "460,111 483,110 524,110 551,113 572,121 589,131 601,145 616,170 630,197 640,223 637,240 628,262 632,274 "
        "630,294 619,312 600,320 582,317 570,314 558,329 542,340 512,352 483,360 456,363 423,363 400,354 373,340 "
        "349,320 334,300 324,271 317,238 316,206 321,191 334,173 349,160 382,142 409,130 438,118",
    ),
    "recipes-turkish": (
        "0,275 7,272 5,268 11,261 13,255 19,249 29,243 29,237 33,233 48,226 47,221 60,219 81,214 100,205 104,207 "
        "110,205 119,205 127,206 134,214 138,224 138,235 135,251 127,250 127,237 127,227 121,217 116,214 121,224 "
        "126,239 127,252 126,266 122,285 119,300 110,307 98,315 74,321 60,325 43,325 36,323 27,316 15,312 0,306",
        "116,214 121,217 127,227 127,237 126,239 121,224",
    ),
    "skimage-astronaut": (
        "406,0 401,13 396,32 396,59 391,48 388,40 384,51 380,68 381,96 379,119 378,149 379,180 367,195 356,208 "
        "354,221 356,230 375,232 380,235 368,261 367,271 369,273 367,279 368,286 375,290 397,291 418,286 439,283 "
        "460,281 473,277 471,274 456,273 454,268 460,263 456,255 456,236 456,225 454,212 455,85 454,62 449,45 "
        "444,39 440,46 438,53 437,28 432,11 426,0",
        "426,239 437,239 435,259 439,269 427,272",
        "374,271 385,254 391,260 389,270",
        "406,269 415,255 416,271",
    ),
    "tuxpaint-reef-back": (
        "251,174 259,174 264,181 266,176 271,175 278,180 283,188 284,196 287,200 289,195 287,189 287,181 293,180 "
        "299,183 299,195 302,199 303,213 307,216 310,228 314,231 314,239 311,242 311,252 314,258 310,266 305,275 "
        "313,279 322,281 327,288 325,290 327,298 325,307 319,314 317,328 304,332 297,338 284,343 271,344 267,343 "
        "259,338 254,344 246,344 242,338 235,334 227,327 231,321 238,317 238,308 240,299 238,291 228,288 228,278 "
        "230,269 237,266 220,259 220,251 226,242 226,232 231,216 232,208 238,203 236,195 236,185 239,178 246,175",
        "288,206 294,206 294,219 290,221 294,236 288,241 287,248 280,248 279,238 286,233 287,221",
    ),
    "gcompris-monuments-reimsCathedral": (
        "572,43 578,43 577,53 579,61 580,66 578,71 582,100 583,100 587,126 591,155 594,169 596,193 599,189 602,197 "
        "603,226 607,238 604,242 604,263 606,275 600,272 586,272 572,274 565,265 566,238 561,237 562,196 566,203 "
        "567,177 570,173 571,144 574,110 574,83 577,73 573,65 575,59",
    ),
    "libjxl-bicycles_restarts": (
        "393,434 401,423 424,415 453,409 487,402 491,384 495,402 516,401 528,404 545,398 512,384 508,380 524,354 "
        "495,351 470,347 474,336 516,325 553,307 570,302 576,300 570,271 568,234 553,238 552,229 599,221 600,209 "
        "624,207 626,219 641,221 678,220 691,211 720,217 726,230 711,240 699,248 697,265 701,282 720,325 745,332 "
        "763,329 761,336 753,340 778,340 807,348 828,367 843,400 845,438 836,475 815,504 791,519 766,521 741,508 "
        "720,488 707,467 695,467 687,454 686,404 701,367 722,352 703,348 678,413 666,434 664,454 666,479 657,506 "
        "624,525 578,542 574,558 557,592 528,619 495,626 462,612 437,583 420,546 415,504 417,490 408,488 416,463 "
        "437,448 406,450 395,442",
        "570,425 591,454 576,461 560,446",
        "582,250 599,234 616,232 639,234 641,257 666,263 678,271 670,277 678,300 657,384 645,409 624,421 599,427 "
        "574,400 574,394 595,384 612,363 619,334 612,313 595,301 587,298 578,271",
    ),
}
"""By the stem of the photograph, in its pixels, "across,down": the outline, and then holes in it."""
DRAWN = 0.01
"""Of its sides, by how much a box is drawn too large."""
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
    print("| object | box | one click | two | three | box and a click |\n|---|---|---|---|---|---|")
    for stem, rings in OUTLINES.items():
        picture = read_picture(str(paths[stem]))
        truth = drawn(rings, picture.size)
        selection = Selection(picture, network)
        boxed = prompts(selection, truth, Prompt(box=box_around(truth)), 1)
        masks = [boxed[0], *prompts(selection, truth, Prompt(), 3)[1:], boxed[1]]
        rows.append([iou(mask, truth) for mask in masks])
        shown += [marked(picture, truth, masks[0]), marked(picture, truth, masks[-1])]
        print(f"| {stem} | {' | '.join(f'{value:.3f}' for value in rows[-1])} |", flush=True)
    means, enough = np.mean(rows, axis=0), (np.array(rows) >= WANTED).sum(axis=0)
    print(f"| mean | {' | '.join(f'{value:.3f}' for value in means)} |")
    print(f"| at least {WANTED} | {' | '.join(f'{count} of {len(rows)}' for count in enough)} |")
    best = np.array(rows)[:, [0, 3, 4]].max(axis=1)
    print(f"{(best >= WANTED).sum()} of {len(rows)} by a box, a box and a click, or three clicks")
    if options.sheet is not None:
        sheet(shown).save(options.sheet, quality=80)
    if options.large:
        large(paths["gcompris-erase-goat"])


def drawn(rings: tuple[str, ...], size: tuple[int, int]) -> np.ndarray:
    """The mask of outlines, HxW bool."""
    canvas = Image.new("1", size[::-1])
    for number, ring in enumerate(rings):
        points = [tuple(map(int, corner.split(","))) for corner in ring.split()]
        ImageDraw.Draw(canvas).polygon(points, fill=number == 0)
    return np.array(canvas)


def box_around(mask: np.ndarray) -> tuple[float, float, float, float]:
    (rows, columns) = ndimage.find_objects(mask.astype(int))[0]
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    left, top = columns.start - DRAWN * wide, rows.start - DRAWN * high
    return left, top, (1 + 2 * DRAWN) * wide, (1 + 2 * DRAWN) * high


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
