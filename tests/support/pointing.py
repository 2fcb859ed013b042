"""What stands for the networks of `select`: things are grey squares within each other, told by their brightness."""

import numpy as np
from PIL import Image

from scoreinv.models.segment_anything import CELL, CORNER, INSIDE, SIDE

LEVELS = {"small": 0.8, "middle": 0.55, "large": 0.3}
"""Brightness from which on a square is seen, by its size; `square_picture` draws them."""
LEFT = {"small": 70, "middle": 50, "large": 20}
"""Where the squares of a `square_picture` begin, across and down; each goes as far from the other end."""
LENGTH = 160


def square_picture(height: int = LENGTH) -> np.ndarray:
    """Squares within each other on black, HxWx3 uint8; below the large one is a bright speck."""
    pixels = np.zeros((height, LENGTH, 3), np.uint8)
    for size, shade in (("large", 100), ("middle", 170), ("small", 240)):
        left = LEFT[size]
        pixels[left : LENGTH - left, left : LENGTH - left] = shade
    pixels[150:154, 75:79] = 240
    return pixels


class Network:
    """Sees a brightness of `LEVELS` and more as a thing: all of a picture for a click, that in the box for a box."""

    def __init__(self, threads: int | None = None) -> None:
        self.looks = 0
        self.asked: list[tuple[list[int], bool]] = []
        """The labels of the points that the decoder was given, and whether a mask was among them."""

    def embedding(self, rgb: np.ndarray) -> np.ndarray:
        assert max(rgb.shape[:2]) == SIDE
        self.looks += 1
        square = np.zeros((SIDE, SIDE), np.float32)
        square[: rgb.shape[0], : rgb.shape[1]] = rgb.mean(axis=-1)
        return np.asarray(Image.fromarray(square).resize((SIDE // CELL, SIDE // CELL), Image.Resampling.BOX))

    def masks(
        self, embedding: np.ndarray, points: np.ndarray, labels: list[int], previous: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((labels, previous is not None))
        logits = np.stack([30 * (embedding - level) for level in (LEVELS["middle"], *LEVELS.values())])
        for (x, y), label in zip(points // CELL, labels, strict=True):
            if label not in (INSIDE, CORNER):  # beside it: nothing as bright as that
                continue
            if label == CORNER:
                far_x, far_y = points[-1] // CELL
                outside = np.ones(embedding.shape, bool)
                outside[int(y) : int(far_y) + 1, int(x) : int(far_x) + 1] = False
                logits[:, outside] = -9
        return logits.astype(np.float32), np.array([0.9, 0.8, 0.95, 0.7], np.float32)
