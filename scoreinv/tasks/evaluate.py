"""The task `evaluate`: distances between generated and real pictures in the feature space of a classifier.

Frechet distance   |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))   of the features' means and covariances
                   (Heusel et al. 2017, eq. 6; FID when the features are Inception's)
kernel distance    unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3
                   (Binkowski et al. 2018; KID when the features are Inception's)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from scipy import linalg

from scoreinv.imaging.picture import Picture
from scoreinv.models.noise_classifier import NoiseClassifier
from scoreinv.sdes import TRAINING_START
from scoreinv.system.errors import InputError
from scoreinv.tasks.common import colours_for, to_tensor

_BATCH = 64
_ROWS = 1024  # rows of the kernel matrix per block; the whole matrix of 50,000 pictures would need 20 GB


@dataclass(frozen=True)
class PictureFeatures:
    """Features of N pictures by a classifier.

    Attributes:
        features: (N, D) float64.
        labels: (N,), predicted classes.
    """

    features: np.ndarray
    labels: np.ndarray


def evaluate(generated: PictureFeatures, real: PictureFeatures, classes: Sequence[str]) -> dict[str, Any]:
    """Return the distances of two sets, 0 being best, and the fraction of generated pictures in each class.

    Raises InputError if a set has fewer than two pictures.
    """
    if min(len(generated.features), len(real.features)) < 2:
        raise InputError("distances need at least two pictures in each set")
    counts = np.bincount(generated.labels, minlength=len(classes))
    return {
        "frechet_distance": frechet_distance(generated.features, real.features),
        "kernel_distance": kernel_distance(generated.features, real.features),
        "class_shares": dict(zip(classes, (counts / counts.sum()).tolist(), strict=True)),
    }


@torch.no_grad()
def picture_features(pictures: Iterable[tuple[str, Picture]], classifier: NoiseClassifier) -> PictureFeatures:
    """Return the classifier's features of pictures, each averaged over the picture and its mirror image.

    Args:
        pictures: pairs of a name, for error messages, and a picture of the classifier's size.

    Raises InputError if a picture has another size, or if there are no pictures.
    """
    features, labels, side, rest = [], [], classifier.image_size, iter(pictures)
    while batch := list(islice(rest, _BATCH)):
        for name, picture in batch:
            if picture.size != (side, side):
                raise InputError(f"{name}: is {picture.width}x{picture.height}, but the classifier needs {side}x{side}")
        colours = [colours_for(picture, classifier.network.channels) for _, picture in batch]
        x = to_tensor(colours, next(classifier.parameters()).device)
        low, high = classifier.data_range
        both = classifier.features(low + (high - low) * torch.cat([x, x.flip(-1)]), TRAINING_START)
        averaged = both.unflatten(0, (2, len(x))).mean(0)
        features.append(averaged.cpu().double().numpy())
        labels.append(classifier.network.head(averaged).argmax(1).cpu().numpy())
    if not features:
        raise InputError("there are no pictures to evaluate")
    return PictureFeatures(np.concatenate(features), np.concatenate(labels))


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Frechet distance of features (N, D) and (M, D), at least 0."""
    gap = a.mean(0) - b.mean(0)
    first, second = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (a, b))
    # The symmetric C1^(1/2) C2 C1^(1/2) has the eigenvalues of C1 C2.
    values, vectors = linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return max(0.0, float(gap @ gap + np.trace(first) + np.trace(second) - 2 * cross))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the unbiased kernel distance of features (N, D) and (M, D); it may be slightly negative."""

    def total(x: np.ndarray, y: np.ndarray) -> float:
        rows = (x[i : i + _ROWS] for i in range(0, len(x), _ROWS))
        return sum(float(((some @ y.T / x.shape[1] + 1) ** 3).sum()) for some in rows)

    def within(x: np.ndarray) -> float:
        diagonal = ((np.square(x).sum(1) / x.shape[1] + 1) ** 3).sum()
        return (total(x, x) - diagonal) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b)))
