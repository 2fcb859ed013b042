"""Makes tests/data/parity: small networks of random weights, and what the reference implementation computes of them.

    python tests/data/make_parity.py CHECKOUT    # of github.com/yang-song/score_sde_pytorch (Apache-2.0)

Each folder has its `config.json`. Made are `checkpoint.pth` in the reference's format (model, ema, step) and
`io.safetensors`, computed with the EMA weights by the reference's own code, in float64: `x`, `t` and `score`; of
networks with a continuous VP or sub-VP SDE also `data`, `eps` (the probe), `bpd`, `z` and `ode_sample` by RK45 at 1e-7.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.utils.cpp_extension
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "parity"
PICTURES = 3
SPREAD = {"vesde": 0.1, "vpsde": 0.1, "likelihood": 0.006}
"""Deviation of what is added to the weights that a network starts from, of which many are 0."""


class Section(dict):
    """The reference reads its configuration by attributes."""

    __getattr__ = dict.__getitem__


def reference(checkout: str) -> dict[str, ModuleType]:
    """The reference's modules, with float64 in place of float32 and without kernels compiled for CUDA."""
    torch.utils.cpp_extension.load = lambda *args, **kwargs: None
    copy = Path(tempfile.mkdtemp())
    for path in Path(checkout).rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("float32", "float64").replace(".float()", ".double()")
        (copy / path.relative_to(checkout)).parent.mkdir(parents=True, exist_ok=True)
        (copy / path.relative_to(checkout)).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(copy))
    names = ["sde_lib", "likelihood", "sampling", "models.utils", "models.ncsnpp", "models.ddpm"]
    return {name: importlib.import_module(name) for name in names}


def make_sde(config: Section, modules: dict[str, ModuleType]) -> Any:
    sdes, model = modules["sde_lib"], config.model
    if config.training.sde == "vesde":
        return sdes.VESDE(model.sigma_min, model.sigma_max, model.num_scales)
    kind = sdes.VPSDE if config.training.sde == "vpsde" else sdes.subVPSDE
    return kind(model.beta_min, model.beta_max, model.num_scales)


def write_checkpoint(network: nn.Module, spread: float, path: Path) -> None:
    """Draw weights and their average, write both as the reference does, and leave the average in the network."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data.add_(spread * torch.randn_like(parameter))
    raw = {f"module.{name}": value.float() for name, value in network.state_dict().items()}
    average = [(value + 0.05 * spread * torch.randn_like(value)).float() for value in (p.detach() for p in trained)]
    ema = {"decay": 0.999, "num_updates": 10, "shadow_params": average}
    torch.save({"optimizer": {}, "model": raw, "ema": ema, "step": 10}, path)
    for parameter, value in zip(trained, average, strict=True):
        parameter.data = value.double()


def scores(network: nn.Module, sde: Any, config: Section, modules: dict[str, ModuleType]) -> dict[str, Tensor]:
    """Pictures noised to three times, and their scores: discrete models are asked at points of their grid."""
    continuous = config.training.continuous
    t = torch.tensor([1.0, 0.41, 0.01]).float().double() if continuous else torch.tensor([999, 500, 20]) / 999
    side = config.data.image_size
    clean = torch.rand(PICTURES, 3, side, side) * (2 if config.data.centered else 1) - int(config.data.centered)
    mean, std = sde.marginal_prob(clean, t)
    x = (mean + std[:, None, None, None] * torch.randn_like(clean)).float().double()
    with torch.no_grad():
        score = modules["models.utils"].get_score_fn(sde, network, train=False, continuous=continuous)(x, t.clone())
    return {"x": x, "t": t, "score": score}


def likelihoods(network: nn.Module, sde: Any, config: Section, modules: dict[str, ModuleType]) -> dict[str, Tensor]:
    """Bits per dimension, latent codes, and what the probability flow makes of these, picture by picture."""
    side = config.data.image_size
    data = (2 * torch.rand(PICTURES, 3, side, side) - 1).float().double()
    precise = {"rtol": 1e-7, "atol": 1e-7}
    likelihood = modules["likelihood"].get_likelihood_fn(sde, lambda x: (x + 1) / 2, **precise)
    make_sampler = modules["sampling"].get_ode_sampler
    sampler = make_sampler(sde, (1, 3, side, side), lambda x: x, eps=1e-3, device="cpu", **precise)
    found: dict[str, list[Tensor]] = {"eps": [], "bpd": [], "z": [], "ode_sample": []}
    for number, picture in enumerate(data.split(1)):
        torch.manual_seed(number)
        found["eps"].append(torch.randint_like(picture, low=0, high=2) * 2 - 1)
        torch.manual_seed(number)  # the same probe is drawn within
        bpd, z, _ = likelihood(network, picture)
        sample, _ = sampler(network, z)
        for name, value in {"bpd": bpd, "z": z, "ode_sample": sample}.items():
            found[name].append(value)
    return {"data": data} | {name: torch.cat(values) for name, values in found.items()}


def main(checkout: str) -> None:
    modules = reference(checkout)
    torch.set_default_dtype(torch.float64)
    for folder in sorted(FOLDER.iterdir()):
        options = json.loads((folder / "config.json").read_text())
        config = Section({name: Section(part) if isinstance(part, dict) else part for name, part in options.items()})
        sde = make_sde(config, modules)
        with_likelihood = config.training.sde != "vesde" and config.training.continuous
        torch.manual_seed(0)
        network = modules["models.utils"].get_model(config.model.name)(config).double().eval()
        write_checkpoint(
            network, SPREAD["likelihood" if with_likelihood else config.training.sde], folder / "checkpoint.pth"
        )
        io = scores(network, sde, config, modules)
        if with_likelihood:
            io |= likelihoods(network, sde, config, modules)
        save_file({name: value.float().contiguous() for name, value in io.items()}, folder / "io.safetensors")
        print(folder.name, io["score"].square().mean(dim=(1, 2, 3)).sqrt().tolist(), io.get("bpd"), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
