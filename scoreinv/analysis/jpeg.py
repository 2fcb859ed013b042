"""Remove JPEG artefacts that the content of a hole left in the pixels beside it.

A JPEG rounds the cosine coefficients of blocks of 8x8 pixels, for the chroma mostly at half the size. So a blue scratch
colours its neighbours, and its edge rings within its block: a fill that continues these pixels has blue lines. For a
plane z (luma or chroma) before compression, let D be its subsampling (the mean of each cell), C the block transform, q
the quantisation steps and y the rounded coefficients. z equals the scene s outside the hole and its content h inside.
s, extrapolated into the hole, and h minimise

    |(C D z - y) / (q / sqrt(12))|^2 + sum over neighbours v_ij (s_i - s_j)^2 + w_ij (h_i - h_j)^2,

the Gaussian posterior mean if rounding is uniform noise. The weights v are small across edges of the luma. The weights
w are large, since scratches have one colour, but small across steps of the plane, since a mask may be wider than its
scratch. If the picture has no edge at the mask's edge, the rim is left unchanged.

On 12 photographs with drawn scratches at quality 75, the error of the pixels that touch the scratches falls from 9.1 to
6.2 levels in luma and from 11.5 to 3.7 in chroma. Without scratches, the JPEG error there is 5.1 and 3.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice, product

import numpy as np
from scipy import ndimage

from scoreinv.analysis.jpeg_quantisation import (
    COSINES,
    FROM_YCC,
    TO_YCC,
    Coding,
    blocks_of,
    chroma_samples,
    coding_of,
    evidence,
)
from scoreinv.imaging.colour import with_luma
from scoreinv.imaging.picture import Fill, Picture, colour_planes
from scoreinv.imaging.resizing import touched_blocks
from scoreinv.operators.luma import luma

RIM = 8  # width in pixels of the rim: a block's side
_TILE = 64  # side of the tiles; like the margin, a multiple of the largest unit of blocks
_MARGIN = 16  # pixels around a tile that make its border irrelevant
_BATCH = 32  # tiles per batch
_LUMA_STEP, _LUMA_EDGE = 5.0, 15.0
"""Standard deviation between neighbours, and the luma step above which it grows; in levels of 255. These and the next
constants minimise the error on photographs with drawn scratches."""
_CHROMA_STEP, _CHROMA_EDGE = 2.5, 2.5
_LUMA_CONTENT_STEP, _CHROMA_CONTENT_STEP = 2.0, 1.0  # standard deviation between neighbours of the hole's content
_CONTENT_EDGE = 4.0  # step of the hole's content above which its standard deviation grows
_LOOSE = 1
"""Pixels by which a mask may be wider than the object. White scratches 3 pixels wide at 75 and 85: then the chroma
error of the rim falls from 1.3 times that of a JPEG without them to 1.0; with 2 pixels it stays 1.1 to 1.2."""
_EDGE_RATIO = 1.4
"""Minimum ratio of the rms step across a hole's edge to the rms steps on both sides of it, if an object begins there.
It accepts 182 of 183 tiles of drawn scratches, 0 of 183 without damage."""
_EXTENSION = 2  # pixels by which the scene extends into a hole: bridges scratches twice as wide
_HIDDEN_WEIGHT = 0.1  # weights of luma within the hole, where edges are unknown, as a fraction of the largest
_VISIBLE, _VISIBLE_RINGING = 3.0, 2.0
"""Visibility thresholds of chroma smears and of luma ringing, in rms levels in excess of the changes elsewhere."""
_TOLERANCE, _ITERATIONS = 3e-4, 300  # of conjugate gradients, which converge slowly beside a hole
_NEIGHBOURS: tuple[tuple[tuple[slice, ...], ...], ...] = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:, :, :-1], np.s_[:, :, 1:]),
)
"""Indices of planes NxHxW: each pixel and the one below it; each pixel and the one to its right."""


def without_smears(picture: Picture, hole: np.ndarray) -> tuple[Picture, Picture]:
    """Return a JPEG without the artefacts around `hole` (HxW bool): as input of a fill, and as the result.

    In a rim of `RIM` pixels around the hole, the first has the luma and chroma of the scene without the hole's content.
    The second has that chroma, and where ringing is visible also that luma in the 8x8 blocks that contain part of the
    hole, weighted by `_ringing_weight`. It is the original picture if neither ringing nor a chroma smear is visible.
    Both are the original picture if it was not a JPEG, or if the content was painted later.
    """
    if not hole.any() or hole.all() or (coding := coding_of(picture)) is None:
        return picture, picture
    cleaned: list[Fill] = []
    kept: list[Fill] = []
    colours = np.broadcast_to(colour_planes(picture.pixels), (*picture.size, 3))
    chroma_beside = [np.empty((0, 2))]  # changes of chroma beside the hole
    chroma_at_end = [np.empty((0, 2))]  # changes of chroma at the rim's end
    ringing = False
    for tiles in _tiles(hole, coding):
        hidden = np.stack([hole[tile.around] for tile in tiles])
        before = np.stack([colours[tile.around] for tile in tiles]) * (255 / picture.peak)
        for test in (partial(_quantised, steps=coding.luma), _object_begins):
            begins = test(before, hidden)
            tiles, hidden, before = list(compress(tiles, begins)), hidden[begins], before[begins]
        if not tiles:
            continue
        before_ycc = before @ TO_YCC.T
        scene_ycc = _estimate_scene(before_ycc, hidden, coding)
        change, scene = scene_ycc - before_ycc, scene_ycc @ FROM_YCC.T
        beside, middle, rim = (_dilate(hidden, by) & ~hidden for by in (2, RIM - 2, RIM))
        in_touched_block = [touched_blocks(each, 8).repeat(8, 0).repeat(8, 1) for each in hidden]
        for number, tile in enumerate(tiles):
            at = (number, *tile.inside)
            at_end = rim[at] & ~middle[at]
            chroma_beside.append(change[at][beside[at]][:, 1:])
            chroma_at_end.append(change[at][at_end][:, 1:])
            weight = _ringing_weight(change[at][beside[at]][:, 0], change[at][at_end][:, 0])
            ringing |= weight > 0
            kept_luma = luma(before[at]) + weight * in_touched_block[number][tile.inside] * change[at][..., 0]
            box = (tile.place[0].start, tile.place[1].start, *rim[at].shape)
            where, colour = rim[at].copy(), (scene[at] / 255).astype(np.float32)
            cleaned.append(Fill(box, where, colour))
            kept.append(Fill(box, where, with_luma(kept_luma / 255, colour).astype(np.float32)))
    smeared = _is_smeared(np.concatenate(chroma_beside), np.concatenate(chroma_at_end))
    return picture.with_fills(cleaned), picture.with_fills(kept) if smeared or ringing else picture


def _is_smeared(beside: np.ndarray, at_end: np.ndarray) -> bool:
    """Return whether chroma changes visibly more beside a hole than at its rim's end; False without pixels of either.

    Args:
        beside, at_end: changes of chroma in grey levels, Nx2.
    """
    if not len(beside) or not len(at_end):
        return False
    change_beside, usual = (float(np.square(changes).mean()) for changes in (beside, at_end))
    return change_beside - usual > _VISIBLE**2


def _ringing_weight(beside: np.ndarray, at_end: np.ndarray) -> float:
    """Return the weight from 0 to 1 of the estimated luma beside a hole; 0 unless ringing is visible.

    Let c and d be the rms changes of luma beside the hole and at the end of its rim, where nothing rings. At the end,
    picture and estimate have about the same error: the estimate loses as much texture as it removes noise. If beside
    the hole it removes c^2 - d^2 of squared error, the ringing, the error is least at the weight 1 - d^2 / (2 c^2).

    Args:
        beside, at_end: changes of luma in grey levels.
    """
    if not len(beside) or not len(at_end):
        return 0.0
    change_beside, usual = (float(np.square(changes).mean()) for changes in (beside, at_end))
    return 1 - usual / (2 * change_beside) if change_beside - usual > _VISIBLE_RINGING**2 else 0.0


@dataclass(frozen=True)
class _Tile:
    """A part of a picture that is solved separately.

    Attributes:
        place: its rows and columns in the picture.
        around: index of the tile with its margin. Beyond the picture it replicates the border, as encoders do; beyond
            the last units it mirrors them, which preserves their coefficients.
        inside: rows and columns of the tile within `around`.
    """

    place: tuple[slice, slice]
    around: tuple[np.ndarray, ...]
    inside: tuple[slice, slice]


def _tiles(hole: np.ndarray, coding: Coding) -> Iterator[list[_Tile]]:
    """Yield batches of the tiles that contain part of a rim, aligned to units of blocks."""
    lines = []
    for origin, cell, side in zip(coding.origin, coding.cell, hole.shape, strict=True):
        firsts = range(origin - 8 * cell if origin else 0, side, _TILE)
        places = [slice(max(0, first), min(side, first + _TILE)) for first in firsts]
        begin, end = origin - 8 * cell if origin else 0, side + (origin - side) % (8 * cell)
        around = [np.arange(first - _MARGIN, first + _TILE + _MARGIN) for first in firsts]
        around = [np.minimum(np.maximum(at, 2 * begin - 1 - at), 2 * end - 1 - at).clip(0, side - 1) for at in around]
        inside = [slice(p.start - f + _MARGIN, p.stop - f + _MARGIN) for p, f in zip(places, firsts, strict=True)]
        lines.append(list(zip(places, around, inside, strict=True)))
    tiles = (
        _Tile((row[0], column[0]), np.ix_(row[1], column[1]), (row[2], column[2])) for row, column in product(*lines)
    )
    near = slice(_MARGIN - RIM, _MARGIN + _TILE + RIM)
    touched = (tile for tile in tiles if hole[tile.around][near, near].any())
    while some := list(islice(touched, _BATCH)):
        yield some


def _dilate(hole: np.ndarray, by: int) -> np.ndarray:
    """Dilate holes NxHxW by a square."""
    return ndimage.maximum_filter(hole, (1, 2 * by + 1, 2 * by + 1))


def _object_begins(levels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return whether an object in colours NxHxWx3 begins at the hole's edge, or up to `_LOOSE` pixels within it, N.

    Steps are then larger there than in the rim, and than within the object.
    """
    rim, begins = _dilate(hole, RIM) & ~hole, np.zeros(len(hole), dtype=bool)
    for loose in range(_LOOSE + 1):
        own = ~_dilate(~hole, loose) if loose else hole
        sums = np.zeros((3, 2, len(hole)))
        for one, other in _NEIGHBOURS:
            step = np.square(levels[other] - levels[one]).sum(-1)
            kinds = own[one] ^ own[other], rim[one] & rim[other], own[one] & own[other]
            for into, pairs in zip(sums, kinds, strict=True):
                into += (step * pairs).sum((1, 2)), pairs.sum((1, 2))
        across, outside, inside = (total / np.maximum(count, 1) for total, count in sums)
        begins |= across > _EDGE_RATIO**2 * np.maximum(outside, inside)
    return begins


def _quantised(levels: np.ndarray, hole: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return whether the blocks across the edges of holes NxHxW are quantised with these steps: N bool.

    If not, the damage was painted after decompression.

    Args:
        levels: colours NxHxWx3, in levels of 255.
    """
    holes = blocks_of(hole)
    across = np.any(holes, axis=(3, 4)) & ~np.all(holes, axis=(3, 4))
    blocks = blocks_of(np.moveaxis(levels, -1, 0))[:, across]
    clipped = np.any((blocks <= 0) | (blocks >= 255), axis=0)
    ratios = evidence(np.tensordot(TO_YCC[0], blocks, 1) - 128, clipped, steps)
    exact = ratios * ~np.any(clipped, axis=(1, 2))  # projections do not recover blocks with many clipped pixels
    number = across.nonzero()[0]
    return np.maximum(*(np.bincount(number, each, len(hole)) for each in (ratios, exact))) > 0


def _estimate_scene(ycc: np.ndarray, hole: np.ndarray, coding: Coding) -> np.ndarray:
    """Return the estimated scene s for planes of whole units of blocks, NxHxWx3."""
    luma_plane, *chroma = np.moveaxis(ycc.astype(np.float32), -1, 0)
    near = _dilate(~hole, _EXTENSION)
    links = [
        np.where(hole[one] | hole[other], _HIDDEN_WEIGHT * link.max() * (near[one] & near[other]), link)
        for link, (one, other) in zip(_links(luma_plane, near, _LUMA_STEP, _LUMA_EDGE), _NEIGHBOURS, strict=True)
    ]
    found = _estimate_plane(luma_plane, hole, coding.luma, (1, 1), links, _LUMA_CONTENT_STEP)
    links = _links(found, near, _CHROMA_STEP, _CHROMA_EDGE)
    planes = [_estimate_plane(plane, hole, coding.chroma, coding.cell, links, _CHROMA_CONTENT_STEP) for plane in chroma]
    return np.stack([found, *planes], axis=-1)


def _links(guide: np.ndarray, near: np.ndarray, step: float, edge: float) -> list[np.ndarray]:
    """Return the weights v of neighbours: small across changes of a guide, NxHxW, and 0 far from known pixels."""
    return [
        (near[one] & near[other]) / (step**2 * (1 + ((guide[other] - guide[one]) / edge) ** 2))
        for one, other in _NEIGHBOURS
    ]


def _flow(plane: np.ndarray, links: list[np.ndarray]) -> np.ndarray:
    """Return half the gradient of the sum over neighbours of weights times squared differences."""
    out = np.zeros_like(plane)
    for link, (one, other) in zip(links, _NEIGHBOURS, strict=True):
        flow = link * (plane[other] - plane[one])
        out[one] -= flow
        out[other] += flow
    return out


def _estimate_plane(
    plane: np.ndarray,
    hole: np.ndarray,
    steps: np.ndarray,
    cell: tuple[int, int],
    links: list[np.ndarray],
    content_step: float,
) -> np.ndarray:
    """Return the estimated s of decoded planes, NxHxW, from the weights v and the step within the hole's content."""
    from scipy.sparse.linalg import LinearOperator, cg  # slow to import, and few pictures need it

    count, height, width = plane.shape
    down, across = cell
    precision = (12 / steps**2).astype(np.float32)
    within = [
        (hole[one] & hole[other]) / (content_step**2 * (1 + ((plane[other] - plane[one]) / _CONTENT_EDGE) ** 2))
        for one, other in _NEIGHBOURS
    ]

    def reduced(z: np.ndarray) -> np.ndarray:
        return z if cell == (1, 1) else z.reshape(count, height // down, down, width // across, across).mean((2, 4))

    def observed(samples: np.ndarray) -> np.ndarray:
        """Return D^T C^T (12 / q^2) C samples, the data term for s and for h."""
        weighed = COSINES @ blocks_of(samples) @ COSINES.T * precision
        samples = (COSINES.T @ weighed @ COSINES).swapaxes(2, 3).reshape(samples.shape)
        samples = samples.repeat(down, 1).repeat(across, 2) / (down * across)
        return np.stack([samples * ~hole, samples * hole])

    def normal(flat: np.ndarray) -> np.ndarray:
        scene, content = flat.reshape(2, *plane.shape)
        out = observed(reduced(np.where(hole, content, scene)))
        return (out + np.stack([_flow(scene, links), _flow(content, within)])).ravel()

    samples = chroma_samples(plane, cell)
    side = (1, 2 * _EXTENSION + 1, 2 * _EXTENSION + 1)
    beside = ndimage.uniform_filter(plane * ~hole, side) / ndimage.uniform_filter(1e-6 + ~hole, side)
    begin = np.stack([np.where(hole, beside, plane), plane]).ravel()
    operator = LinearOperator((begin.size, begin.size), matvec=normal, dtype=np.float32)
    found, _ = cg(operator, observed(samples).ravel(), x0=begin, rtol=_TOLERANCE, maxiter=_ITERATIONS)
    return found.reshape(2, *plane.shape)[0]
