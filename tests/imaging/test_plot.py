"""Plots of figures: where their points lie."""

import numpy as np

from scoreinv.imaging.plot import line_plots

NAVY, WHITE = (0, 0, 128), (255, 255, 255)


def test_points_lie_between_the_ends_of_both_axes() -> None:
    """Panels of 480x240 pixels have a margin of 32; values that are missing have no point, equal ones lie below."""
    shown = line_plots([0, 5, 10], {"loss": [3.0, None, 1.0], "rate": [2.0, 2.5, 4.0], "still": [7.0, 7.0, 7.0]})
    assert (shown.shape, shown.dtype) == ((720, 480, 3), np.uint8)
    points = {0: [(32, 32), (448, 208)], 1: [(32, 208), (240, 164), (448, 32)], 2: [(32, 208), (240, 208), (448, 208)]}
    for panel, places in points.items():
        top = 240 * panel
        for across, down in places:
            inner = shown[top + down - 2 : top + down + 3, across - 2 : across + 3].reshape(-1, 3)
            assert (inner == NAVY).all(axis=1).mean() > 0.8
            beyond = max(0, across - 5)
            assert tuple(shown[top + down, beyond]) != NAVY or panel == 2 or across == 240
    # The line from one point to the next, and nothing elsewhere within the frame.
    assert tuple(shown[120, 240]) == NAVY
    assert tuple(shown[60, 400]) == tuple(shown[200, 60]) == WHITE
    frame = [shown[32, 100:400], shown[208, 100:400], shown[100:200, 32], shown[100:200, 448]]
    assert all((line == 128).all() for line in frame)
    words = shown[: 240 - 208], shown[209:240]
    assert all((part < 100).any() for part in words)
    assert not np.array_equal(shown[:30], shown[240:270])  # names and ranges
