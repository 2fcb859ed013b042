"""A drawn shake of a camera, and a scene for it."""

import numpy as np

SHAKE = np.zeros((13, 13))
"""The path of a hand that turns, and slows down at its end."""
SHAKE[3, 1:8] = 1
SHAKE[np.arange(3, 11), 8 + np.arange(8) // 2] = np.linspace(1, 2, 8)
SHAKE /= SHAKE.sum()


def leaves(side: int) -> np.ndarray:
    """Dead leaves (side, side): disks of many sizes that hide each other, with the spectrum of photographs."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.5)
    for radius in np.sort(2 + 4 * random.pareto(2, 900))[::-1]:
        top, left = random.uniform(-10, side + 10, 2)
        picture[np.hypot(rows - top, columns - left) < radius] = random.uniform(0.05, 0.95)
    return picture
