"""Distilled Segment Anything: the bundled encoder and decoder of `scoreinv.select` (Kirillov et al., ICCV 2023).

The encoder computes the image embedding of a picture once. The decoder maps the embedding and a prompt (points, a box)
to four masks and their predicted IoU. The first mask is for unambiguous prompts; the other three are for a single
point, which may mean a part, a larger part or the whole.

The networks are ONNX files, run by onnxruntime. Imports no torch.
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
"""Side of the encoder's input in pixels; a picture's longer side is resized to it, and the rest is padded."""
CELL = 4  # pixels of the input per cell of the decoder's masks (256x256)

INSIDE, OUTSIDE, CORNER, OTHER_CORNER, NO_POINT = 1, 0, 2, 3, -1
"""Labels of the points of a prompt; `NO_POINT` pads a prompt without a box."""

REMEDY = "pip install 'scoreinv[select]'"
_INPUTS = {
    "encoder": {"input"},
    "decoder": {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input"},
}
_MEAN = np.array([123.675, 116.28, 103.53], np.float32) / 255
_STD = np.array([58.395, 57.12, 57.375], np.float32) / 255


class SegmentAnything:
    """Encoder and decoder, each loaded on first use.

    Args:
        threads: number of CPU threads; None: OMP_NUM_THREADS, else all processors of the container.
        folder: contains `encoder.onnx` and `decoder.onnx`.
    """

    def __init__(self, threads: int | None = None, folder: Path = PRETRAINED / "select") -> None:
        self.folder = folder
        given = os.environ.get(OPENMP, "")
        self.threads = threads or (int(given) if given.isdigit() else 0) or processors()
        self._sessions: dict[str, Any] = {}

    def embedding(self, rgb: np.ndarray) -> np.ndarray:
        """Return the image embedding (1, 256, 64, 64) of colours hxwx3 in [0, 1] whose longer side is `SIDE`."""
        height, width = rgb.shape[:2]
        square = np.zeros((1, 3, SIDE, SIDE), np.float32)
        square[0, :, :height, :width] = ((rgb - _MEAN) / _STD).transpose(2, 0, 1)
        (embedding,) = self._session("encoder").run(None, {"input": square})
        return np.asarray(embedding)

    def masks(
        self, embedding: np.ndarray, points: np.ndarray, labels: Sequence[int], previous: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the masks of a prompt.

        Args:
            points: (N, 2), x and y in pixels of the encoder's input.
            labels: N labels, such as `INSIDE`.
            previous: logits of the previous mask, (256, 256).

        Returns:
            Logits of the masks, (4, 256, 256), and their predicted IoU. The first mask is for several points or a box,
            the others for a single point.
        """
        inputs = {
            "image_embeddings": embedding,
            "point_coords": np.asarray(points, np.float32)[None],
            "point_labels": np.asarray(labels, np.float32)[None],
            "mask_input": np.zeros((1, 1, SIDE // CELL, SIDE // CELL), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        if previous is not None:
            inputs |= {"mask_input": previous[None, None], "has_mask_input": np.ones(1, np.float32)}
        logits, iou = self._session("decoder").run(["logits", "iou"], inputs)
        return logits[0], iou[0]

    def _session(self, name: str) -> Any:
        if name not in self._sessions:
            self._sessions[name] = _load(self.folder / f"{name}.onnx", _INPUTS[name], self.threads)
        return self._sessions[name]


def _load(file: Path, inputs: set[str], threads: int) -> Any:
    """Return the session of a network; raise CheckpointError if the file is missing, damaged, or of another network."""
    runtime = load_onnxruntime()
    if not file.is_file():
        raise CheckpointError(f"{file}: no such model file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # the arena would keep the encoder's memory
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # weights are stored as int8, computed in float
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the CPU to others
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # errors of onnxruntime share no base class
        raise CheckpointError(f"{file}: is damaged ({type(error).__name__})") from error
    if {node.name for node in session.get_inputs()} != inputs:
        raise CheckpointError(f"{file}: is not this network: its inputs must be {', '.join(sorted(inputs))}")
    return session


@cache
def load_onnxruntime() -> Any:
    """Return the `onnxruntime` module; raise ScoreinvError with the remedy if it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ScoreinvError(f"selecting needs onnxruntime, which cannot be loaded ({error}): {REMEDY}") from error
    onnxruntime.disable_telemetry_events()  # some versions send telemetry by default
    return onnxruntime
