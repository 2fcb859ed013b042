"""A client of the application with small models, and pictures to send."""

import io
import json
import time
from typing import Any

import httpx2
import numpy as np
import torch
from fastapi.testclient import TestClient
from PIL import Image

from scoreinv.files.write import picture_bytes
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.prior import ScorePrior
from scoreinv.web.access import Access
from scoreinv.web.app import make_app
from scoreinv.web.jobs import JobQueue
from scoreinv.web.objects import Objects
from scoreinv.web.photo import boxed_bits
from support.analytic import gaussian_colour_prior
from support.formula_detector import FormulaDetector

PORT = 8421
ORIGIN = f"http://127.0.0.1:{PORT}"
OPAQUE = {"content-type": "application/octet-stream", "origin": ORIGIN}


def bright_detector() -> FormulaDetector:
    """Return a detector of pixels brighter than 0.8."""
    return FormulaDetector(lambda pictures: 100 * (pictures.mean(1, keepdim=True) - 0.8))


def quick_prior() -> ScorePrior:
    """Return a prior of independent pixels, a hundred times as fast as a network."""
    return gaussian_colour_prior(torch.zeros(3), 0.25 * torch.eye(3), data_range=(-1.0, 1.0))


def quick_models() -> Models:
    """Models that take no time."""
    prior = quick_prior()
    return Models(damage=bright_detector(), inpaint=prior, denoise=prior, colorize=prior)


def client(
    host: str | None = None, raises: bool = True, models: Models | None = None, objects: Objects | None = None
) -> TestClient:
    """Return a client on the loopback, without a token.

    raises: raise the application's unexpected errors.
    objects: selections; None: photographs are not encoded when they are opened, which takes a second.
    """
    objects = objects or Objects(lambda _: None)
    app = make_app(models or quick_models(), Access.to(host, PORT), JobQueue(prepare=lambda: None), objects)
    return TestClient(app, base_url=ORIGIN, raise_server_exceptions=raises)


def pixels(channels: int = 3, dtype: type = np.uint8, height: int = 24, width: int = 40) -> np.ndarray:
    """A picture without two equal rows or columns; its alpha is nowhere opaque."""
    peak = np.iinfo(dtype).max
    noise = np.random.default_rng(7).random((height, width, channels)) * 0.3
    array: np.ndarray = np.rint(
        (noise + np.linspace(0, 0.7, height * width).reshape(height, width, 1)) * peak * 0.99
    ).astype(dtype)
    return array[..., 0] if channels == 1 else array


def hole(height: int = 24, width: int = 40) -> np.ndarray:
    marked = np.zeros((height, width), dtype=bool)
    marked[8:13, 10:17] = True
    return marked


def png(array: np.ndarray) -> bytes:
    array = array.astype(np.uint8) * np.uint8(255) if array.dtype == bool else array
    return picture_bytes(Picture(array), "test.png")


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def boxed(mask: np.ndarray) -> bytes:
    """Return a mask as the page sends it."""
    return json.dumps(boxed_bits(mask)).encode()


def opened(browser: TestClient, content: bytes, name: str = "photo.png") -> dict[str, Any]:
    """Send a photograph; return its JSON."""
    answer = browser.post("/api/photos", params={"name": name}, content=content, headers=OPAQUE)
    assert answer.status_code == 201, answer.text
    return answer.json()


def asked(browser: TestClient, path: str, mask: bytes = b"", strokes: bytes = b"", **query: Any) -> httpx2.Response:
    """Send a mask and strokes, both as PNG, and request a job with them; return the response."""
    beside: dict[str, str] = {}
    for name, content in {"mask": mask and boxed(read(mask) > 127), "strokes": strokes}.items():
        if content:
            layers = f"{path.rpartition('/')[0]}/layers"
            answer = browser.post(layers, content=content, headers=OPAQUE, params=beside | {"of": name})
            if answer.status_code != 201:
                return answer
            query[name] = beside["beside"] = answer.json()["key"]
    return browser.post(path, headers=OPAQUE, params=query or None)


def done(browser: TestClient, path: str, mask: bytes = b"", strokes: bytes = b"", **query: Any) -> dict[str, Any]:
    """Run a job; return its last report."""
    answer = asked(browser, path, mask, strokes, **query)
    assert answer.status_code == 202, answer.text
    return ended(browser, answer.json()["job"])


def ended(browser: TestClient, key: str) -> dict[str, Any]:
    """Wait for the end of a job; return its last report."""
    end, pause = time.monotonic() + 120, 0.01
    while (report := browser.get(f"/api/jobs/{key}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < end, "timeout"
        time.sleep(pause)
        pause = min(2 * pause, 0.3)  # polling takes as much CPU time as the work
    return report
