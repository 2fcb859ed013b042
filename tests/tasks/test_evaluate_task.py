"""Distances between sets of pictures against closed forms."""

import numpy as np
import pytest
from scipy import linalg

from scoreinv.imaging.picture import Picture
from scoreinv.models.config import ClassifierConfig
from scoreinv.networks.classifiers import WideResNetConfig
from scoreinv.sdes import VP
from scoreinv.system.errors import InputError
from scoreinv.tasks.evaluate import evaluate, frechet_distance, kernel_distance, picture_features

CONFIG = ClassifierConfig(
    WideResNetConfig(channels=3, classes=2, depth=10, width=1), VP(), ("bright", "dark"), image_size=8
)


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Random features that have exactly these moments."""
    x = np.random.default_rng(seed).standard_normal((count, len(mean)))
    x = x - x.mean(0)
    whitened = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + whitened @ np.linalg.cholesky(covariance).T


def test_frechet_distance_is_the_closed_form_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    means = rng.standard_normal((2, 5))
    a, b = (factor @ factor.T + 0.1 * np.eye(5) for factor in rng.standard_normal((2, 5, 5)))
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    first, second = with_moments(means[0], a, 40, 1), with_moments(means[1], b, 60, 2)
    assert frechet_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    # Fewer pictures than features: the covariance is singular.
    assert np.isfinite(frechet_distance(first[:3], second[:4]))
    assert all(0 <= frechet_distance(few, few) < 1e-9 for few in rng.standard_normal((20, 3, 40)))


def test_kernel_distance_is_unbiased() -> None:
    """For x ~ N(0, 1) and y ~ N(m, 1) in one dimension: E (x y + 1)^3 by the moments."""
    m = 0.5
    moments = [np.array([1, 0, 1, 0]), np.array([1, m, m**2 + 1, m**3 + 3 * m])]

    def expected(p: np.ndarray, q: np.ndarray) -> float:
        return float((np.array([1, 3, 3, 1]) * p * q).sum())

    truth = expected(moments[0], moments[0]) + expected(moments[1], moments[1]) - 2 * expected(*moments)
    rng = np.random.default_rng(0)
    estimates = [kernel_distance(rng.standard_normal((50, 1)), m + rng.standard_normal((30, 1))) for _ in range(2000)]
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - truth) < 4 * error


def test_features_are_those_of_the_picture_and_its_mirror_image() -> None:
    ramp = np.add.outer(np.arange(8) * 8, np.arange(8) * 20).astype(np.uint8)
    pixels = np.repeat(ramp[..., None], 3, 2)
    classifier = CONFIG.build()
    turned = {"no": pixels, "across": pixels[:, ::-1], "down": pixels[::-1]}
    features = [
        picture_features([(name, Picture(np.ascontiguousarray(each)))], classifier).features
        for name, each in turned.items()
    ]
    np.testing.assert_allclose(features[1], features[0], rtol=1e-5, atol=1e-6)
    assert np.abs(features[2] - features[0]).max() > 1e-4


def test_sets_of_pictures() -> None:
    rng = np.random.default_rng(0)

    def pictures(level: float, count: int) -> list[tuple[str, Picture]]:
        return [
            (f"{i}.png", Picture((level + rng.normal(0, 9, (8, 8, 3))).clip(0, 255).astype(np.uint8)))
            for i in range(count)
        ]

    classifier = CONFIG.build()
    bright, again, dark = (picture_features(pictures(*what), classifier) for what in ((200, 70), (200, 70), (50, 70)))
    assert bright.features.shape == (70, 64)
    same, other = evaluate(bright, again, CONFIG.classes), evaluate(dark, again, CONFIG.classes)
    assert same["frechet_distance"] < other["frechet_distance"]
    assert same["kernel_distance"] < other["kernel_distance"]
    assert sum(same["class_shares"].values()) == pytest.approx(1)
    assert list(same["class_shares"]) == ["bright", "dark"]
    with pytest.raises(InputError, match="at least two"):
        evaluate(picture_features(pictures(0, 1), classifier), again, CONFIG.classes)
    with pytest.raises(InputError, match="no pictures"):
        picture_features([], classifier)
    with pytest.raises(InputError, match=r"x\.png: is 9x8"):
        picture_features([("x.png", Picture(np.zeros((8, 9, 3), np.uint8)))], classifier)
