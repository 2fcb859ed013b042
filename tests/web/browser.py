"""Chromium, driven by playwright, and a person's hands on the page.

The browser is the system's: `TESTS_BROWSER` names another than the first of `CHROMIUM` that is here. Where there is
none a test fails, unless `TESTS_WITHOUT_BROWSER=1` says that there need be none.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-sandbox"),  # which root has to do without
]
SOON = 90_000
"""Milliseconds: far more than anything takes here."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where none is wanted, and fails it where none is found."""
    if os.environ.get("TESTS_WITHOUT_BROWSER") == "1":
        pytest.skip("TESTS_WITHOUT_BROWSER=1")
    path = os.environ.get("TESTS_BROWSER") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path is not None, "no browser: apt-get install chromium, or set TESTS_WITHOUT_BROWSER=1"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """A person with the page open in a window of their own."""

    def __init__(self, browser: Any, link: str, **window: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | window))
        self.context.set_default_timeout(SOON)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.questions: list[str] = []
        self.link = link
        self.page = self.tab()

    def tab(self) -> Any:
        """Another tab with the page."""
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self.answer)
        self.meter = self.context.new_cdp_session(page)
        self.meter.send("Performance.enable", {"timeDomain": "threadTicks"})  # else the clock's time
        page.goto(self.link)
        return page

    def answer(self, dialog: Any) -> None:
        """Yes, whatever the page asks."""
        self.questions.append(dialog.message)
        dialog.accept()

    @property
    def hosts(self) -> set[str]:
        """Whom the page has asked."""
        return {urlsplit(url).netloc for url in self.asked if not url.startswith(("blob:", "data:"))}

    def open(self, path: Path) -> None:
        """A photograph, to be painted on: the page's first tool points at objects."""
        self.page.set_input_files("#file", path)
        self.wait("painting")
        if self.page.evaluate("document.body.dataset.tool") == "object":
            self.page.click("[data-tool=mask]")

    def open_painted(self, path: Path, y: float = 0.5) -> np.ndarray:
        """A photograph, with a line through it; returns the mask."""
        self.open(path)
        self.paint((0.2, y), (0.8, y))
        return self.mask()

    def fill(self) -> None:
        """What is painted, until the result is there."""
        self.page.click("#fill")
        self.wait("comparing")

    def keep(self) -> None:
        """The result that is shown."""
        self.page.click("#keep")
        self.wait("painting")

    def error(self) -> str:
        """What the page says, once it has something to complain of."""
        self.page.wait_for_selector("#error")
        return self.text("#error span")

    def drawn(self) -> str:
        """The picture as it is on the screen after the next frames."""
        frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        return self.page.evaluate(f"{frames}.then(() => document.querySelector('#base').toDataURL())")

    def slide(self, sensitivity: str) -> None:
        """How readily damage is found."""
        self.page.evaluate("value => (document.getElementById('sensitivity').value = value)", sensitivity)
        self.page.dispatch_event("#sensitivity", "input")

    def wait(self, state: str) -> None:
        self.until("state => document.body.dataset.state === state", state)

    def until(self, expression: str, argument: object = None) -> None:
        """Until an expression holds in the page. (Playwright's own waiting needs `eval`, which the page forbids.)"""
        end = time.monotonic() + SOON / 1000
        while not self.page.evaluate(expression, argument):
            told = "body => `${body.dataset.state}: ${body.innerText}`"
            assert time.monotonic() < end, (
                f"waited in vain for {expression}: {self.page.eval_on_selector('body', told)}"
            )
            time.sleep(0.05)

    def computed(self) -> float:
        """Seconds that the newest tab's main thread has computed, whatever else computed beside it."""
        metrics = self.meter.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}["TaskDuration"]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the photograph, in shares of its width and height, is in the window."""
        x, y = self.page.evaluate(
            """async ([x, y]) => {
                const { stage } = await import("/static/page.js");
                const { left, top } = stage.element.getBoundingClientRect();
                const { photo } = stage.shown;
                return [left + stage.view.x + x * photo.width * stage.view.scale,
                        top + stage.view.y + y * photo.height * stage.view.scale];
            }""",
            [x, y],
        )
        return x, y

    def paint(self, *places: tuple[float, float], steps: int = 5) -> None:
        """A stroke of the mouse through places of the photograph."""
        self.page.mouse.move(*self.place(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.place(*place), steps=steps)
        self.page.mouse.up()

    def mask(self) -> np.ndarray:
        """The mask that the page saves."""
        return read(self.saved("#mask-save")) > 127

    def saved(self, button: str) -> bytes:
        """The file that a button gives."""
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()

    def text(self, element: str) -> str:
        return self.page.inner_text(element)


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))
