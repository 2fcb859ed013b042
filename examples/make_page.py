"""Rebuild readme/page_*.jpg, the pictures of the page of `scoreinv serve`, from the page itself.

Run `python examples/make_page.py` where the extra `web`, playwright and Chromium are installed.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
PHOTO, BOX = "moose.jpg", "60, 60, 550, 420"
OLD = "tree.webp"
WINDOW = {"width": 1200, "height": 700}
PATIENCE = 1_200_000
"""Milliseconds that a fill may take."""


def keep(page: Page, name: str) -> None:
    """Write what the window shows."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(HERE / "readme" / f"{name}.jpg", quality=88, optimize=True)


def reached(page: Page, state: str) -> None:
    page.wait_for_selector(f'body[data-state="{state}"]', state="attached", timeout=PATIENCE)


def paint(page: Page) -> None:
    """Open a photograph, point at what to remove, and mark it."""
    page.set_input_files("#file", HERE / "photos" / PHOTO)
    reached(page, "painting")
    page.click("#tools [data-tool=object]")
    page.fill("#place", BOX)
    page.press("#place", "Enter")
    page.click("#object-add:enabled", timeout=PATIENCE)
    page.wait_for_selector("#mask-save:enabled")
    page.wait_for_timeout(300)
    keep(page, "page_paint")


def compare(page: Page) -> None:
    """Open an old photograph, and restore it."""
    page.set_input_files("#file", HERE / "old" / OLD)
    reached(page, "painting")
    page.click("label:has([name=task][value=restore])")
    page.click("#restore")
    reached(page, "comparing")
    page.click("label:has([name=compare][value=divider])")
    page.mouse.move(5, 5)
    page.wait_for_timeout(300)
    keep(page, "page_compare")


def main() -> None:
    words = [sys.executable, "-m", "scoreinv", "serve", "--port", "0", "--json"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        link = json.loads(server.stdout.readline())["link"]
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            for show in (paint, compare):
                page = browser.new_page(viewport=WINDOW)
                page.goto(link)
                show(page)
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
