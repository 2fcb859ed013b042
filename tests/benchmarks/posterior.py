"""Samples of each conditional method against the exact posterior of a mixture of Gaussians made of image patches.

    python tests/benchmarks/posterior.py [--observations 64] [--training-minutes 4] [--network FILE] [--only TEXT]

The prior is a mixture in 192 dimensions, fitted to patches of 8x8 pixels of the built-in photographs: its score, and
its posterior for a linear observation, are known in closed form. Truths are drawn from it and observed; each method
draws samples for each observation: of half of the pixels, a quarter of them, the luma, the means of 2x2 pixels, and a
blurred picture with noise. The network of `conditioned` is trained on the mixture's own draws, and kept in
FILE for the next time.

- distance: sliced Wasserstein distance to exact posterior samples, over that between two sets of exact ones (1 is
  perfect), mean over observations.
- coverage: how often the true value lies in the samples' central 90 % interval (exact samples show what is possible).
- evaluations of the network, and vector-Jacobian products, for one sample.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn

from scoreinv import kernels
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.errors import InputError
from scoreinv.guidance import DDNM, DPS, MMPS, Conditioned, ConstrainedPC, DiffPIR, PiGDM
from scoreinv.networks.blocks import FourierEmbedding
from scoreinv.operators import Blur, LinearOperator, ObservedComponents, downsampling, gray, mask
from scoreinv.prior import Prior, ScorePrior
from scoreinv.samplers import DDRM, PC, Ancestral, AnnealedLangevin, DPMpp2M, Sampler, resampling_times
from scoreinv.sdes import VE
from scoreinv.tasks.colorize_settings import COLOUR_STEPS
from scoreinv.tasks.inpaint_settings import FILL_STEPS
from scoreinv.training.config import DataConfig
from scoreinv.training.ema import update_average
from scoreinv.training.pictures import BUILTIN
from scoreinv.training.presets import conditional_training
from scoreinv.training.score_matching import draw_times, per_image_loss

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from mixture import BatchStream, Mixture

SIDE = 8
SHAPE = (3, SIDE, SIDE)
VE_SDE = VE(0.01, 20.0)


def image_mixture(components: int = 8) -> Mixture:
    """Clusters of 8x8 patches of photographs, each as a Gaussian, in [-1, 1]."""
    patches = []
    for path in sorted(BUILTIN.glob("*.jpg")):
        image = Image.open(path).convert("RGB")
        image = image.resize((image.width // 4, image.height // 4), Image.Resampling.BOX)
        pixels = np.asarray(image, np.float32) / 127.5 - 1
        rows, columns = pixels.shape[0] // SIDE * SIDE, pixels.shape[1] // SIDE * SIDE
        blocks = pixels[:rows, :columns].reshape(rows // SIDE, SIDE, columns // SIDE, SIDE, 3)
        patches.append(blocks.transpose(0, 2, 4, 1, 3).reshape(-1, 3 * SIDE * SIDE))
    points = np.concatenate(patches).astype(np.float64)
    _, labels = kmeans2(points, components, seed=0, minit="++")
    weights, means, variances, axes = [], [], [], []
    for label in range(components):
        members = points[labels == label]
        values, vectors = np.linalg.eigh(np.cov(members.T) + 1e-3 * np.eye(points.shape[1]))
        weights.append(len(members) / len(points))
        means.append(members.mean(0).reshape(SHAPE))
        variances.append(values)
        axes.append(vectors)
    return Mixture(VE_SDE, *(torch.from_numpy(np.stack(part)) for part in (weights, means, variances, axes)))


def components() -> dict[str, ObservedComponents]:
    """What a conditional network is given: the left half, a quarter of the pixels, the luma."""
    half = (torch.arange(SIDE) < SIDE // 2).expand(1, 1, SIDE, SIDE)
    scattered = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.25
    return {"half": mask(half.double()), "drop75": mask(scattered.double()), "gray": gray("rec601", SIDE, SIDE)}


def observations() -> dict[str, tuple[LinearOperator, float]]:
    """What is observed, and the standard deviation of the noise in it."""
    blur = Blur(torch.from_numpy(kernels.gaussian(0.75)), SIDE, SIDE)
    others = {"means of 2x2": (downsampling(2, SIDE, SIDE, "area"), 0.0), "blur": (blur, 0.1)}
    return {name: (operator, 0.0) for name, operator in components().items()} | others


class Dense(nn.Module):
    """A residual network on whole patches, which are too small for convolutions to say much of."""

    channels, stride = 3, 1

    def __init__(self, width: int = 768, blocks: int = 3) -> None:
        super().__init__()
        features = (3 + ResidualPreconditioning().condition_channels) * SIDE**2
        self.embedding = FourierEmbedding(64, 1.0)
        self.level = nn.Linear(self.embedding.features, 128)
        self.whitening = nn.Linear(features, features).requires_grad_(False)
        self.dense_in = nn.Linear(features, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.dense_out = nn.Linear(width, 3 * SIDE**2)
        nn.init.zeros_(self.dense_out.weight)

    def whiten(self, features: Tensor) -> None:
        """Fix the transform of the inputs that brings such features (N, D) to about unit covariance.

        The faint detail that tells one component of the mixture from another is else drowned by the mean colour.
        """
        values, vectors = torch.linalg.eigh(torch.cov(features.T.double()))
        scales = (values.clamp(min=0) + 0.01 * values.mean()).rsqrt()
        self.whitening.weight.copy_(scales[:, None] * vectors.T)
        self.whitening.bias.copy_(-self.whitening.weight @ features.mean(0))

    def forward(self, x: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        condition = (
            x.new_zeros(len(x), ResidualPreconditioning().condition_channels, SIDE, SIDE)
            if condition is None
            else condition
        )
        embedding = F.silu(self.level(self.embedding(level).float()))
        with torch.autocast("cpu", enabled=False):
            h = self.whitening(torch.cat([x, condition], 1).flatten(1).float())
        h = self.dense_in(h)
        for block in self.blocks:
            h = block(h, embedding)
        return self.dense_out(h).unflatten(1, SHAPE)


class _Block(nn.Module):
    """norm, dense, scaled and shifted by the noise level, gated, dense; + shortcut.

    Gates (Shazeer 2020, SwiGLU) are products, and so are what log densities of Gaussians are made of.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dense_in, self.dense_out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.modulation = nn.Linear(128, 4 * width)
        for layer in (self.modulation, self.dense_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding).chunk(2, 1)
        gate, value = (self.dense_in(self.norm(h)) * (1 + scale) + shift).chunk(2, 1)
        return h + self.dense_out(F.silu(gate) * value)


def conditional_network(prior: Mixture, minutes: float, path: Path | None) -> ScorePrior | None:
    """A conditional network: that of the file where there is one, else trained and kept there; None without minutes."""
    torch.manual_seed(0)
    model = ConditionalPrior(Dense(), VE_SDE, ResidualPreconditioning(), image_size=SIDE)
    if path is not None and path.exists():
        model.network.load_state_dict(load_file(path))
        return model.eval()
    if not minutes:
        return None
    train(model.train(), prior, minutes)
    if path is not None:
        save_file(model.network.state_dict(), path)
    return model.eval()


def train(model: ScorePrior, prior: Mixture, minutes: float) -> None:
    """Denoising score matching on draws of the mixture, of which one of the observations is shown."""
    network, rate, batch = model.network, 8e-4, 512
    objective = conditional_training(VE_SDE, DataConfig()).objective
    operators = [operator.observed.expand(1, *SHAPE) for operator in components().values()]
    draws, generator = torch.Generator().manual_seed(1), np.random.default_rng(2)

    def losses() -> Tensor:
        x0, z = prior.sample(batch, draws).float(), torch.randn(batch, *SHAPE, generator=draws)
        observed = torch.cat([operators[k] for k in generator.integers(len(operators), size=batch)]).float()
        t = draw_times(objective, VE_SDE, (-1.0, 1.0), batch, generator)
        return per_image_loss(objective, model, x0, t, z, model.initial_estimate(x0, observed))

    features: list[Tensor] = []
    handle = network.whitening.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        for _ in range(40):
            losses()
    handle.remove()
    network.whiten(torch.cat(features))

    average = copy.deepcopy(network)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate, fused=True)
    begin, count = time.monotonic(), 0
    while (fraction := (time.monotonic() - begin) / (60 * minutes)) < 1:
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + np.cos(np.pi * fraction)) * min(1, count / (200 * batch))
        with torch.autocast("cpu", torch.bfloat16):
            loss = losses().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        count += batch
        update_average(average, network, count // batch, 0.9995)
    print(f"conditioned: network of {sum(p.numel() for p in network.parameters()):,} weights, {count:,} draws")
    network.load_state_dict(average.state_dict())


Method = Callable[[Mixture, LinearOperator, Tensor, float], tuple[Prior, Sampler]]
"""How the posterior of an observation with noise is sampled: what wraps the prior, and the sampler at its steps."""


def methods(network: ScorePrior | None, variance: float, steps: int) -> dict[str, Method]:
    """Those to compare; `steps` of the conditioned network, as the tasks take them."""
    repaint = resampling_times(VE_SDE, 100, jump=10, repeats=10)
    half, some, many = (DPMpp2M(1.0, steps=count) for count in (50, 100, 400))
    constrained = PC(Ancestral(), AnnealedLangevin(), steps=200)
    jumping = PC(Ancestral(), corrector_steps=0, times=repaint)
    found: dict[str, Method] = {
        "exact score": lambda p, a, y, s: (p.conditional(a, y[:1], s), half),
        "constrained PC": lambda p, a, y, s: (ConstrainedPC(p, _exact(a, s), y), constrained),
        "RePaint": lambda p, a, y, s: (ConstrainedPC(p, _exact(a, s), y), jumping),
        "DDNM": lambda p, a, y, s: (DDNM(p, a, y, s), some),
        "DDRM": lambda p, a, y, s: (p, DDRM(a, y, s, eta=1.0, steps=50)),
        "DiffPIR": lambda p, a, y, s: (DiffPIR(p, a, y, s), half),
        "DPS": lambda p, a, y, s: (DPS(p, a, y, max(s, 0.3)), many),
        "PiGDM": lambda p, a, y, s: (PiGDM(p, a, y, s, variance=variance), half),
        "MMPS": lambda p, a, y, s: (MMPS(p, a, y, s, iterations=3), half),
    }
    if network is not None:
        conditioned = DPMpp2M(1.0, steps=steps)
        found["conditioned"] = lambda p, a, y, s: (Conditioned(network, _components(a), y.float()), conditioned)
    return found


def _exact(operator: LinearOperator, noise: float) -> LinearOperator:
    if noise:
        raise InputError("takes an observation for exact")
    return operator


def _components(operator: LinearOperator) -> ObservedComponents:
    if not isinstance(operator, ObservedComponents):
        raise InputError("is trained for components of the picture")
    return operator


def distance(drawn: list[Tensor], exact: list[Tensor], directions: Tensor) -> float:
    """Sliced Wasserstein-2 distance on unit vectors (D, P), mean over observations."""
    distances = []
    for a, b in zip(drawn, exact, strict=True):
        first, second = (torch.sort(values.flatten(1) @ directions, dim=0).values for values in (a, b))
        distances.append((first - second).square().mean().sqrt())
    return float(torch.stack(distances).mean())


def coverage(drawn: list[Tensor], truths: Tensor, operator: LinearOperator) -> float:
    """Share of the values not wholly observed where the truth is within the samples' 5 and 95 % quantiles."""
    hidden = torch.ones(SHAPE, dtype=torch.bool)
    if isinstance(operator, ObservedComponents):
        hidden = operator.adjoint(operator(torch.ones(1, *SHAPE).double()))[0] != 1
    inside = []
    for values, truth in zip(drawn, truths, strict=True):
        low, high = torch.quantile(values, torch.tensor([0.05, 0.95]).double(), dim=0)
        inside.append(((truth >= low) & (truth <= high))[hidden].double().mean())
    return float(torch.stack(inside).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=64)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--training-minutes", type=float, default=4)
    parser.add_argument("--network", type=Path, help="where the trained network is kept, and taken from")
    parser.add_argument("--observed", nargs="*", metavar="TEXT", default=[""], help="kinds whose name contains one")
    parser.add_argument("--only", nargs="*", metavar="TEXT", default=[""], help="methods whose name contains one")
    options = parser.parse_args()
    prior, count = image_mixture(), options.samples
    directions = torch.randn(3 * SIDE**2, 256, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    directions /= directions.norm(dim=0)
    network = conditional_network(prior, options.training_minutes, options.network)
    variance = float(prior.moments()[1].diagonal().mean())
    truths = prior.sample(options.observations, torch.Generator().manual_seed(4))
    print(f"{options.observations} observations of {truths[0].numel()} dimensions, {count} samples of each")
    print(f"{'observed':<14}{'method':<16}{'distance':>9}{'coverage':>10}{'NFE':>6}{'VJP':>6}{'s':>8}")
    for kind, (operator, noise) in observations().items():
        if not any(text in kind for text in options.observed):
            continue
        steps = (COLOUR_STEPS if kind == "gray" else FILL_STEPS)["conditioned"]
        chosen = {
            name: method
            for name, method in methods(network, variance, steps).items()
            if any(text in name for text in options.only)
        }
        y = operator(truths)
        y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=y.dtype)
        exact = [prior.conditional(operator, y[i : i + 1], noise) for i in range(len(y))]
        first, second = (
            [posterior.sample(count, torch.Generator().manual_seed(seed)) for posterior in exact] for seed in (5, 6)
        )
        unit = distance(second, first, directions)
        print(f"{kind:<14}{'exact samples':<16}{1:>9.2f}{100 * coverage(second, truths, operator):>9.0f}%", flush=True)
        for name, method in chosen.items():
            start, drawn = time.perf_counter(), []
            try:
                for i in range(len(y)):
                    observed = y[i : i + 1].expand(count, -1, -1, -1)
                    condition, sampler = method(prior, operator, observed, noise)
                    result = sampler.sample(condition, (count, *SHAPE), rng=BatchStream(100 + i, count))
                    drawn.append(result.x0.double())
            except InputError as error:
                print(f"{kind:<14}{name:<16} not for this: {error}", flush=True)
                continue
            seconds = (time.perf_counter() - start) / len(y)
            print(
                f"{kind:<14}{name:<16}{distance(drawn, first, directions) / unit:>9.2f}"
                f"{100 * coverage(drawn, truths, operator):>9.0f}%"
                f"{int(result.nfe[0]):>6}{int(result.vjps[0]):>6}{seconds:>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
