"""Segment Anything, distilled: the bundled networks by which `scoreinv.select` finds what is pointed at.

An encoder looks at a picture once, which gives its image embedding. A decoder takes the embedding and a prompt, points
and a box, and gives four masks with what it takes their quality (IoU) for: one to be used where the prompt is plain,
and three for what a single point may mean, a part, more, or the whole (Kirillov et al., ICCV 2023).

The networks are ONNX files, and onnxruntime runs them: nothing else loads it, nor does this load torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scoreinv.system.errors import CheckpointError, ScoreinvError
from scoreinv.system.files import PRETRAINED
from scoreinv.system.threads import OPENMP, processors

SIDE = 1024
"""Pixels of the square that the encoder sees: a picture's longer side is resized to it, and the rest is padded."""
CELL = 4  # pixels of the square for each of the decoder's masks, which are of 256x256

INSIDE, OUTSIDE, CORNER, OTHER_CORNER, NO_POINT = 1, 0, 2, 3, -1
"""Labels of the points of a prompt; `NO_POINT` pads a prompt without a box."""

REMEDY = "pip install 'scoreinv[select]'"
_MEAN = np.array([123.675, 116.28, 103.53], np.float32) / 255
_STD = np.array([58.395, 57.12, 57.375], np.float32) / 255


class SegmentAnything:
    """The two networks, each loaded on first use.

    Args:
        threads: that compute; None for what the user has given to OpenMP, else all that the container allows.
        folder: of `encoder.onnx` and `decoder.onnx`.
    """

    def __init__(self, threads: int | None = None, folder: Path = PRETRAINED / "select") -> None:
        self.folder = folder
        self.threads = threads or _usable_threads()
        self._sessions: dict[str, Any] = {}

    def embedding(self, rgb: np.ndarray) -> np.ndarray:
        """The image embedding, 1x256x64x64 float32, of colours hxwx3 in [0, 1] whose longer side is `SIDE`."""
        height, width = rgb.shape[:2]
        square = np.zeros((1, 3, SIDE, SIDE), np.float32)
        square[0, :, :height, :width] = ((rgb - _MEAN) / _STD).transpose(2, 0, 1)
        (found,) = self._session("encoder").run(None, {"input": square})
        return np.asarray(found)

    def masks(
        self, embedding: np.ndarray, points: np.ndarray, labels: Sequence[int], previous: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The masks of a prompt.

        Args:
            points: Nx2, across and down in pixels of the square.
            labels: N, what each point is.
            previous: logits of a mask to begin with, 256x256.

        Returns:
            Log odds of each mask, 4x256x256 for the square, and the IoU that each is taken to have. The first is for
            prompts of several points or a box, the others for what one point may mean.
        """
        given = {
            "image_embeddings": embedding,
            "point_coords": np.asarray(points, np.float32)[None],
            "point_labels": np.asarray(labels, np.float32)[None],
            "mask_input": np.zeros((1, 1, SIDE // CELL, SIDE // CELL), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        if previous is not None:
            given |= {"mask_input": previous[None, None], "has_mask_input": np.ones(1, np.float32)}
        logits, iou = self._session("decoder").run(["logits", "iou"], given)
        return logits[0], iou[0]

    def _session(self, name: str) -> Any:
        if name not in self._sessions:
            self._sessions[name] = _load(self.folder / f"{name}.onnx", self.threads)
        return self._sessions[name]


def _usable_threads() -> int:
    given = os.environ.get(OPENMP, "")
    return int(given) if given.isdigit() and int(given) else processors()


def _load(file: Path, threads: int) -> Any:
    """The session of a network; ScoreinvError with the remedy where onnxruntime cannot be imported."""
    runtime = load_onnxruntime()
    if not file.is_file():
        raise CheckpointError(f"{file}: no such model file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it would keep what the encoder took
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # int8 is how the weights are stored, no more
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # beside other work threads sleep
    try:
        return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class
        raise CheckpointError(f"{file}: is damaged ({type(error).__name__})") from error


@cache
def load_onnxruntime() -> Any:
    """The `onnxruntime` module; ScoreinvError with the remedy where it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ScoreinvError(f"selecting needs onnxruntime, which cannot be loaded ({error}): {REMEDY}") from error
    onnxruntime.disable_telemetry_events()  # where a user has a version that sends any
    return onnxruntime
