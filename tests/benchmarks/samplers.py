"""The paper's Table 1 in small: distance to real pictures against evaluations, for each sampler of one prior.

    python tests/benchmarks/samplers.py --model NAME --classifier NAME --reference FOLDER [-n 500]

Fréchet distance in the features of a classifier of clean pictures (at its smallest noise level) between the reference
and `n` draws, and the share of the classes that gets the fewest and the most draws. The row `real` is of `n`
real pictures against the others: no sampler can be expected to be below it.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from models import load_fast

from scoreinv.files.read import read_picture
from scoreinv.inputs.arrays import picture_from_array
from scoreinv.models.catalogue import load_classifier
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.prior import ScorePrior
from scoreinv.samplers import (
    DDIM,
    ODE,
    PC,
    Ancestral,
    DPMpp2M,
    Heun,
    NoPredictor,
    ReverseDiffusion,
    Sampler,
    karras_times,
)
from scoreinv.sdes import VE, SubVP
from scoreinv.tasks.evaluate import PictureFeatures, evaluate, frechet_distance, picture_features
from scoreinv.tasks.generate import generate

SNR = {"ve": (0.16, 0.22), "vp": (0.01, 0.27)}
"""Of the corrector, after a predictor and alone (Song et al. 2021, table 5, for 1000 and 2000 steps)."""


def samplers(prior: ScorePrior, evaluations: list[int]) -> list[tuple[str, Sampler]]:
    """Each kind of sampler at each budget of evaluations; the adaptive one at several tolerances."""
    both, alone = SNR["ve" if isinstance(prior.sde, VE) else "vp"]
    chosen: list[tuple[str, Sampler]] = []
    for budget in evaluations:
        chosen.append(("reverse diffusion", PC(ReverseDiffusion(), corrector_steps=0, steps=budget)))
        if not isinstance(prior.sde, SubVP):
            chosen.append(("ancestral", PC(Ancestral(), corrector_steps=0, steps=budget)))
        chosen.append(("probability flow", PC(ReverseDiffusion(eta=0.0), corrector_steps=0, steps=budget)))
        chosen.append(("corrector only", PC(NoPredictor(), snr=alone, steps=budget)))
        chosen.append(("predictor and corrector", PC(ReverseDiffusion(), snr=both, steps=budget // 2)))
        chosen.append(("multistep", DPMpp2M(steps=budget)))
        chosen.append(("DDIM", PC(DDIM(), corrector_steps=0, steps=budget, spacing=karras_times)))
        chosen.append(("Heun", Heun(steps=(budget + 1) // 2)))
    chosen += [("adaptive ODE", ODE(rtol=tolerance, atol=tolerance)) for tolerance in (1e-1, 1e-2, 1e-3)]
    return chosen


def array_features(images: np.ndarray, classifier: NoiseClassifier) -> PictureFeatures:
    names = map(str, range(len(images)))
    return picture_features(
        ((name, picture_from_array(image.clip(0, 1), name)) for name, image in zip(names, images, strict=True)),
        classifier,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--classifier", required=True)
    parser.add_argument("--reference", type=Path, required=True, help="folder of real pictures of the model's size")
    parser.add_argument("-n", type=int, default=500, help="draws of each sampler")
    parser.add_argument(
        "--reference-n", type=int, default=5000, help="real pictures to compare with, from all of the folder"
    )
    parser.add_argument("--evaluations", type=int, nargs="*", default=[10, 20, 50, 100])
    options = parser.parse_args()
    prior, classifier = load_fast(options.model), load_classifier(options.classifier)
    paths = sorted(path for path in options.reference.rglob("*") if path.suffix.lower() in {".png", ".jpg"})
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[: options.reference_n + options.n]]
    seen = picture_features(((str(path), read_picture(path)) for path in paths), classifier)
    held = PictureFeatures(seen.features[: options.n], seen.labels[: options.n])
    real = PictureFeatures(seen.features[options.n :], seen.labels[options.n :])
    floor = frechet_distance(held.features, real.features)
    print(f"{options.n} draws, {len(real.labels)} real pictures, {torch.get_num_threads()} threads")
    print(f"{'sampler':<26}{'NFE':>6}{'distance':>10}{'least':>8}{'most':>7}{'s/picture':>11}")
    print(f"{'real':<26}{'':>6}{floor:>10.2f}")
    for name, sampler in samplers(prior, options.evaluations):
        start = time.perf_counter()
        drawn = generate(prior, options.n, sampler=sampler)
        seconds = (time.perf_counter() - start) / options.n
        result = evaluate(array_features(drawn.images, classifier), real, classifier.classes)
        distance, shares = result["frechet_distance"], result["class_shares"].values()
        print(
            f"{name:<26}{drawn.nfe:>6}{distance:>10.2f}{min(shares):>8.1%}{max(shares):>7.1%}{seconds:>11.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
