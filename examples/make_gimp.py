"""Rebuild readme/gimp.jpg, a selection in GIMP and the layer that fills it, from GIMP itself.

Run `python examples/make_gimp.py` on Debian 13 with gimp, xvfb, openbox, xdotool and imagemagick. Where things are in
the window is that of GIMP 3.0.4.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

HERE = Path(__file__).resolve().parent
DISPLAY = ":77"
LASSO = (92, 93)
AROUND = (
    (432, 150), (592, 150), (602, 240), (646, 330), (612, 400), (654, 575), (560, 612), (490, 642), (335, 642),
    (420, 585), (462, 565), (462, 472), (418, 465), (428, 330), (440, 250), (432, 150),
)  # fmt: skip
MENU = ((440, 500), (457, 510), (560, 510), (680, 515))
"""From Filters to Scoreinv, and into its menu."""
PATIENCE = 300
"""Seconds that the fill may take."""


def act(*words: object, wait: float = 0.5) -> None:
    """Let xdotool do what these words say, and wait."""
    subprocess.run(["xdotool", *map(str, words)], check=True)
    time.sleep(wait)


def shot(path: Path) -> Image.Image:
    """What the display shows."""
    subprocess.run(["import", "-window", "root", path], check=True)
    return Image.open(path).convert("RGB")


def main() -> None:
    with TemporaryDirectory() as folder:
        os.environ |= {"DISPLAY": DISPLAY, "GIMP3_DIRECTORY": folder, "PATH": f"/usr/bin:{os.environ['PATH']}"}
        subprocess.run([sys.executable, "-m", "scoreinv", "gimp", "install"], check=True)
        started = [subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", "1100x720x24"])]
        time.sleep(2)
        try:
            started.append(subprocess.Popen(["openbox"]))
            started.append(subprocess.Popen(["gimp", "--no-splash", HERE / "photos" / "moonwalk.jpg"]))
            time.sleep(60)
            act("mousemove", 669, 613, "click", 1, wait=20)  # closes the welcome
            act("search", "--onlyvisible", "--name", "GIMP", "windowmove", 0, 0, "windowsize", 1096, 696, wait=4)
            act("mousemove", *LASSO, "click", 1, wait=2)
            for place in AROUND:
                act("mousemove", *place)
                act("click", 1)
            act("key", "Return", wait=3)
            act("mousemove", 900, 655, wait=2)
            before = shot(Path(folder) / "before.png")
            act("mousemove", 427, 32, "click", 1, wait=2)
            for place in MENU:
                act("mousemove", *place)
            act("mousemove", 717, 560, "click", 1, wait=8)
            act("mousemove", 689, 406, "click", 1)  # OK
            act("mousemove", 900, 655, wait=PATIENCE)
            after = shot(Path(folder) / "after.png")
        finally:
            for process in reversed(started):
                process.kill()
    left, right = before.crop((196, 0, 862, 664)), after.crop((196, 0, 1098, 664))
    both = Image.new("RGB", (left.width + 10 + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 10, 0))
    both.thumbnail((1060, 1060))
    both.save(HERE / "readme" / "gimp.jpg", quality=76, optimize=True)


if __name__ == "__main__":
    main()
