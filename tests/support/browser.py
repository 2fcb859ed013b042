"""Chromium, driven by Playwright, and a visitor who uses the page.

`TESTS_BROWSER` names the browser; the default is the first of `CHROMIUM` that is installed. Without a browser a test
fails, or is skipped if `TESTS_WITHOUT_BROWSER=1`.
"""

import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from support.processes import wait_for

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-sandbox"),  # which root cannot use
]
SOON = 90_000
"""Timeout in milliseconds, far more than any step needs."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; skip or fail the test if there is none."""
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
    """A user with the page in a window of its own."""

    def __init__(self, browser: Any, link: str, **window: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | window))
        self.context.set_default_timeout(SOON)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.questions: list[str] = []
        self.link = link
        self.page = self.tab()

    def tab(self) -> Any:
        """Open another tab with the page."""
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self.answer)
        self.meter = self.context.new_cdp_session(page)
        self.meter.send("Performance.enable", {"timeDomain": "threadTicks"})  # otherwise wall-clock time
        page.goto(self.link)
        return page

    def answer(self, dialog: Any) -> None:
        """Confirm every question of the page."""
        self.questions.append(dialog.message)
        dialog.accept()

    def codes(self) -> list[str]:
        """Return the codes of the last job's notes."""
        job = next(url for url in reversed(self.asked) if re.search(r"/api/jobs/[\w-]+$", url))
        report = self.page.evaluate("url => fetch(url).then(answer => answer.json())", job)
        return [note["code"] for note in report["notes"]]

    @property
    def hosts(self) -> set[str]:
        """Hosts that the page has sent requests to."""
        return {urlsplit(url).netloc for url in self.asked if not url.startswith(("blob:", "data:"))}

    def open(self, path: Path) -> None:
        """Open a photograph, and choose the brush if the first tool selects objects."""
        self.page.set_input_files("#file", path)
        self.wait("painting")
        if self.page.evaluate("document.body.dataset.tool") == "object":
            self.page.click("#tools [data-tool=mask]")

    def open_another(self, path: Path) -> None:
        """Open another photograph, of another name."""
        self.page.set_input_files("#file", path)
        self.until("name => document.title.startsWith(name)", path.stem)

    def open_painted(self, path: Path, y: float = 0.5) -> np.ndarray:
        """Open a photograph, and paint a line; return the mask."""
        self.open(path)
        self.paint((0.2, y), (0.8, y))
        return self.mask()

    def fill(self) -> None:
        """Fill the mask, and wait for the result."""
        self.page.click("#fill")
        self.wait("comparing")

    def click(self, *elements: str, then: str = "") -> None:
        """Click one element after the other; wait for the state `then`."""
        for element in elements:
            self.page.click(element)
        if then:
            self.wait(then)

    def press(self, *keys: str, on: str = "", then: str = "") -> None:
        """Press one key after the other, on the element `on` if given; wait for the state `then`."""
        if on:
            self.page.focus(on)
        for key in keys:
            self.page.keyboard.press(key)
        if then:
            self.wait(then)

    def choose(self, name: str, value: str) -> None:
        """Click one of several buttons of which one is pressed."""
        self.click(f"label:has([name={name}][value='{value}'])")

    def run(self, button: str, results: int | None = None) -> None:
        """Click a button, and wait until a result is shown and so many are in the gallery."""
        self.click(button)
        if results is not None:
            self.results(results)
        self.wait("comparing")

    def results(self, count: int) -> None:
        """Wait until so many results are in the gallery, and one is shown."""
        self.until("count => document.querySelectorAll('#thumbs button').length === count", count)
        self.wait("comparing")

    def shown_result(self) -> str:
        """Return the label of the current result's thumbnail."""
        return self.text("#thumbs button[aria-pressed=true]")

    def result(self) -> np.ndarray:
        """Return the pixels of the picture that is downloaded."""
        return read(self.saved("#download"))

    def idle(self) -> None:
        """Wait until no task runs."""
        self.until("!document.body.hasAttribute('data-working')")

    def reload(self, state: str) -> None:
        """Load the page anew, and wait for its state."""
        self.page.reload()
        self.wait(state)

    def begins(self, element: str, words: str) -> None:
        """Wait until the text of an element begins so."""
        self.until("([id, words]) => document.getElementById(id).textContent.startsWith(words)", [element, words])

    def queries(self, task: str) -> list[dict[str, list[str]]]:
        """Return the queries of the requests for a task."""
        return [parse_qs(urlsplit(url).query) for url in self.asked if f"/{task}?" in url]

    def held_back(self, pattern: str, act: Callable[[], object]) -> Any:
        """Act, and return the first request of these addresses that the page then sends; it waits for `continue_()`."""
        held: list[Any] = []
        self.page.route(pattern, lambda route: route.continue_() if held else held.append(route))
        act()
        wait_for(lambda: self.page.evaluate("1") and held)  # the browser's events come while it is asked for something
        return held[0]

    def keep(self) -> None:
        """Keep the current result."""
        self.page.click("#keep")
        self.wait("painting")

    def error(self) -> str:
        """Wait for an error; return its text."""
        self.page.wait_for_selector("#error")
        return self.text("#error span")

    def drawn(self) -> str:
        """Return the picture on the screen after the next frames."""
        frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        return self.page.evaluate(f"{frames}.then(() => document.querySelector('#base').toDataURL())")

    def slide(self, control: str, value: float, event: str = "input") -> None:
        """Move a slider to a value."""
        self.page.evaluate("([id, value]) => (document.getElementById(id).value = value)", [control, value])
        self.page.dispatch_event(f"#{control}", event)

    def wait(self, state: str) -> None:
        self.until("state => document.body.dataset.state === state", state)

    def until(self, expression: str, argument: object = None) -> None:
        """Wait until an expression is true in the page, without the `eval` of Playwright's method."""
        end = time.monotonic() + SOON / 1000
        while not self.page.evaluate(expression, argument):
            state = "body => `${body.dataset.state}: ${body.innerText}`"
            assert time.monotonic() < end, f"timeout: {expression}: {self.page.eval_on_selector('body', state)}"
            time.sleep(0.05)

    def computed(self) -> float:
        """Return the CPU seconds of the newest tab's main thread."""
        metrics = self.meter.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}["TaskDuration"]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the window position of a point of the photograph, given as fractions of its width and height."""
        x, y = self.page.evaluate(
            """async ([x, y]) => {
                const { stage } = await import("/static/page.js");
                const { left, top } = stage.element.getBoundingClientRect();
                const { photo } = stage.picture;
                return [left + stage.view.x + x * photo.width * stage.view.scale,
                        top + stage.view.y + y * photo.height * stage.view.scale];
            }""",
            [x, y],
        )
        return x, y

    def paint(self, *places: tuple[float, float], steps: int = 5, keys: tuple[str, ...] = ()) -> None:
        """Paint a stroke through points of the photograph; `keys` are pressed at the second point."""
        self.page.mouse.move(*self.place(*places[0]))
        self.page.mouse.down()
        for number, place in enumerate(places[1:]):
            self.page.mouse.move(*self.place(*place), steps=steps)
            self.press(*keys if number == 0 else ())
        self.page.mouse.up()

    def mask(self) -> np.ndarray:
        """Return the mask that the page saves."""
        return read(self.saved("#mask-save")) > 127

    def saved(self, button: str) -> bytes:
        """Return the file that a button downloads."""
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()

    def text(self, element: str) -> str:
        return self.page.inner_text(element)


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))
