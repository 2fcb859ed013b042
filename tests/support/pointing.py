"""What stands for the networks of `select`: things are grey squares within each other, told by their brightness."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from scoreinv.models import load_onnxruntime
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


class Session:
    """Gives what a `Network` does, in the form of a session of onnxruntime."""

    def __init__(self, file: str, *_: object, **__: object) -> None:
        self.network = Network()
        decoder = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
        self.inputs = decoder if Path(file).stem == "decoder" else ("input",)

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.inputs]

    def run(self, _: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        if "input" in given:
            (rgb,) = given["input"].transpose(0, 2, 3, 1)
            return [self.network.embedding(np.where(rgb == 0, 0, 0.2263 * rgb + 0.4493))]  # of nothing but the padding
        embedding, (points,), (labels,), (previous,), _ = given.values()
        return [each[None] for each in self.network.masks(embedding, points, list(labels), previous)]


def session_of_pointing() -> Iterator[None]:
    """Let a stand-in of onnxruntime answer for the networks of `select`; for a fixture."""
    runtime: Any = ModuleType("onnxruntime")
    runtime.SessionOptions, runtime.InferenceSession = MagicMock, Session
    runtime.disable_telemetry_events = MagicMock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", runtime)
        load_onnxruntime.cache_clear()
        yield
        load_onnxruntime.cache_clear()
