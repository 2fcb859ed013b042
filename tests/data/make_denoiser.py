"""Put the published weights of FFDNet into pretrained/denoiser: `python tests/data/make_denoiser.py ffdnet_color.pth`.

The file is of KAIR's model zoo (github.com/cszn/KAIR, MIT), and holds what models/FFDNet_color.mat of
github.com/cszn/FFDNet does: its first and last convolutions take and give the four shifts of a channel side by side.
"""

from __future__ import annotations

import sys
from pathlib import Path

import scoreinv
from scoreinv.models.config import ModelConfig
from scoreinv.models.pickled import plain_tensors, read_pickled
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.preconditioning import DataPrediction
from scoreinv.sdes import VE

SOURCE = "FFDNet_color by Kai Zhang (github.com/cszn/FFDNet), as ffdnet_color.pth of github.com/cszn/KAIR"
LICENCE = "MIT"

INFLATION = 1.06
"""With it samples of noisy photographs (15 to 50 grey levels, held out) vary as much as they err."""


def main() -> None:
    path = Path(sys.argv[1])
    published = plain_tensors(path, read_pickled(path))
    prior = ModelConfig(FFDNetConfig(), VE(0.002, 80.0), DataPrediction(), image_size=64, inflation=INFLATION).build()
    prior.network.load_state_dict(dict(zip(prior.network.state_dict(), published.values(), strict=True)))
    folder = Path(__file__).parents[2] / "pretrained" / "denoiser"
    scoreinv.save(prior, folder / "model.safetensors", notes={"source": SOURCE, "licence": LICENCE})


if __name__ == "__main__":
    main()
