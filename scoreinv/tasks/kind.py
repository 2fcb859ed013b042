"""What a picture is: grey, a print of one tint, or in colours. Every task asks `kind_of`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from scoreinv.analysis.effective_resolution import oversampling
from scoreinv.analysis.kind import Kind, kind_by_colours
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.networks.detector import DamageDetector
from scoreinv.system.options import FOUND_GROW, USUAL_SENSITIVITY
from scoreinv.tasks.find_damage import MOST_FOUND, Odds
from scoreinv.tasks.settings import SURE_SENSITIVITY, ColourSettings

_SCRATCHED = 0.0025
"""Share of a picture, with rims, that is surely damaged, above which it may be a worn print. Of 10 photographs in
colours that only this separates from prints, none has any; the least of three worn prints is 0.0054."""


def kind_of(picture: Picture, look: Callable[[], Odds] | None = None) -> Kind:
    """Classify a picture by its colours without its damage.

    Grain and dirt of a worn print stray from its tones as much as things of a photograph in one hue do. Damage tells
    the two apart. The detector's damage counts and a mask does not: a mask may mark anything, and the answer must not
    depend on its author.

    Args:
        look: returns the odds of damage, for a caller that needs them anyway; called only if the colours do not
            suffice. None: the bundled detector.
    """
    kind = kind_by_colours(picture)
    if kind != "coloured":
        return kind
    odds = Odds.seen(picture, _bundled_detector()) if look is None else look()
    hole = odds.marked(USUAL_SENSITIVITY, 0)
    if not 0 < hole.mean() <= MOST_FOUND:
        return kind
    grow = FOUND_GROW * oversampling(picture, hole)
    worn = dilate(odds.marked(SURE_SENSITIVITY, 0), grow).mean() > _SCRATCHED
    return kind_by_colours(picture, dilate(hole, grow), worn=bool(worn))


def colour_note(kind: Kind | list[Kind], settings: ColourSettings) -> str | None:
    """Return what colorization does to the colours of a picture that is not grey, as a predicate; None if nothing."""
    if kind == "coloured" and not settings.keep_color:
        return "has colours already, which are replaced"
    if kind == "tinted" and not settings.whiten:
        return "is a tinted print, as sepia is: its tint is removed"
    return None


@lru_cache(maxsize=1)
def _bundled_detector() -> DamageDetector:
    return load_damage_detector("damage")
