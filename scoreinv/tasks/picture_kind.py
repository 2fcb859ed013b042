"""Classify pictures as grey, tinted or coloured. Every task calls `kind_of`."""

from __future__ import annotations

from collections.abc import Callable

from scoreinv.analysis.effective_resolution import oversampling
from scoreinv.analysis.kind import Kind, kind_by_colours
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.system.options import FOUND_GROW, USUAL_SENSITIVITY
from scoreinv.tasks.damage import MOST_FOUND, DamageOdds
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.requests import SURE_SENSITIVITY, ColorizeRequest

_SCRATCHED = 0.0025
"""Fraction of clearly damaged pixels, with rims, above which a picture may be a worn print. Ten colour photographs that
only this separates from prints have 0, three worn prints at least 0.0054."""


def kind_of(picture: Picture, odds: Callable[[], DamageOdds]) -> Kind:
    """Classify a picture by its colours without its damage.

    Grain and dirt of a worn print deviate from its tint as much as objects in a photograph of one hue. Damage
    distinguishes the two. Only detected damage counts, since a user's mask may mark anything.

    Args:
        odds: returns the odds of damage; called only if the colours do not suffice.
    """
    kind = kind_by_colours(picture)
    if kind != "coloured":
        return kind
    damage = odds()
    hole = damage.marked(USUAL_SENSITIVITY, 0)
    if not 0 < hole.mean() <= MOST_FOUND:
        return kind
    grow = FOUND_GROW * oversampling(picture, hole)
    worn = dilate(damage.marked(SURE_SENSITIVITY, 0), grow).mean() > _SCRATCHED
    return kind_by_colours(picture, dilate(hole, grow), worn=bool(worn))


def color_notes(kind: Kind, request: ColorizeRequest) -> list[Note]:
    """Return the notes about what colorization does to a picture that is not grey."""
    if kind == "coloured":
        return [info("colors_kept") if request.keep_color else warning("colors_replaced")]
    return [warning("tint_removed", whiten=request.whiten)] if kind == "tinted" else []
