"""Makes tests/data/parity/ve_ncsnpp_unconditional: a small random NCSN++ that is not told the noise level.

    python tests/data/make_unconditional.py CHECKOUT    # of github.com/yang-song/score_sde_pytorch

The reference's blocks have the layer for the noise level all the same, unused. Beside the checkpoint in its format
stands `io.safetensors`: x, t and the score by the EMA weights, computed in float64.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "parity" / "ve_ncsnpp_unconditional"


class Section(dict):
    """The reference reads its configuration by attributes."""

    __getattr__ = dict.__getitem__


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    sys.modules["op"] = SimpleNamespace(upfirdn2d=None)  # compiled for CUDA at import; not used without FIR filters
    from models.ncsnpp import NCSNpp

    options = json.loads((FOLDER.parent / "ve_cifar10_ncsnpp_continuous" / "config.json").read_text())
    options["model"] |= {"conditional": False, "fir": False, "nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1}
    config = Section({name: Section(part) if isinstance(part, dict) else part for name, part in options.items()})
    torch.manual_seed(0)
    network = NCSNpp(config)
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    raw = {f"module.{name}": value.clone() for name, value in network.state_dict().items()}
    average = [value + 0.02 * torch.randn_like(value) for value in network.parameters() if value.requires_grad]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "config.json").write_text(json.dumps(options, indent=1))
    ema = {"decay": 0.999, "num_updates": 10, "shadow_params": [value.detach() for value in average]}
    torch.save({"optimizer": {}, "model": raw, "ema": ema, "step": 10}, FOLDER / "checkpoint.pth")

    for parameter, value in zip([p for p in network.parameters() if p.requires_grad], average, strict=True):
        parameter.data = value.detach()
    network = network.double().eval()
    t = torch.tensor([1.0, 0.41, 0.01], dtype=torch.float64)
    sigma = 0.01 * (options["model"]["sigma_max"] / 0.01) ** t
    x = 0.5 + sigma[:, None, None, None] * torch.randn(3, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        score = network(x, sigma)
    io = {"x": x, "t": t, "score": score}
    save_file({name: value.float() for name, value in io.items()}, FOLDER / "io.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
