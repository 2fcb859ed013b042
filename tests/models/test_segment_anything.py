"""The bundled networks of `select`, as onnxruntime runs them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.models.segment_anything import CORNER, INSIDE, NO_POINT, OTHER_CORNER, SegmentAnything
from scoreinv.system.errors import CheckpointError
from scoreinv.system.files import PRETRAINED
from scoreinv.tasks.select import Prompt, Selection

pytest.importorskip("onnxruntime", exc_type=ImportError)
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_an_object_in_a_photograph_is_selected_by_a_box_and_by_a_click():
    selection = Selection(read_picture(str(EXAMPLES / "photos" / "moose.jpg")), SegmentAnything(threads=1))
    generous = np.asarray(Image.open(EXAMPLES / "masks" / "moose.png").convert("L")) > 0
    rows, columns = np.flatnonzero(generous.any(axis=1)), np.flatnonzero(generous.any(axis=0))
    box = (columns[0], rows[0], columns[-1] - columns[0], rows[-1] - rows[0])
    boxed = selection.select(Prompt.of(box=box))
    assert (boxed.mask & generous).sum() > 0.9 * boxed.mask.sum()
    assert boxed.mask.sum() > 0.5 * generous.sum()
    y, x = np.argwhere(boxed.mask)[boxed.mask.sum() // 2]
    clicked = selection.select(Prompt.of(at=(x, y)), "large").mask
    assert (clicked & boxed.mask).sum() > 0.7 * (clicked | boxed.mask).sum()


def test_prompts_of_any_number_of_points_and_a_mask():
    network = SegmentAnything(threads=1)
    embedding = np.zeros((1, 256, 64, 64), np.float32)
    logits, iou = network.masks(embedding, np.array([(300, 200), (0, 0)]), [INSIDE, NO_POINT])
    assert (logits.shape, iou.shape) == ((4, 256, 256), (4,))
    corners = np.array([(300, 200), (250, 100), (400, 300)])
    again, _ = network.masks(embedding, corners, [INSIDE, CORNER, OTHER_CORNER], logits[0])
    assert again.shape == logits.shape
    assert not np.array_equal(again, logits)


def test_a_file_that_is_missing_or_damaged_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"encoder\.onnx: no such model file"):
        Selection(Picture(np.zeros((4, 4), np.uint8)), SegmentAnything(folder=tmp_path))
    shutil.copy(PRETRAINED / "select" / "decoder.onnx", tmp_path / "encoder.onnx")
    with pytest.raises(CheckpointError, match=r"encoder\.onnx: is not this network"):
        Selection(Picture(np.zeros((4, 4), np.uint8)), SegmentAnything(folder=tmp_path))
    (tmp_path / "encoder.onnx").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"encoder\.onnx: is damaged"):
        Selection(Picture(np.zeros((4, 4), np.uint8)), SegmentAnything(folder=tmp_path))
