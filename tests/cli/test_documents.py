"""The command lines and Python blocks of README.md and the guide run in their order.

The folder holds only the pictures that a page names. Options appended to a line shorten long work; lines that cannot
run in a test are listed with the reason.
"""

import ast
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scoreinv.cli.main import main
from scoreinv.files.read import read_picture

ROOT = Path(__file__).parents[2]
PAGES = {"README": ROOT / "README.md"}
PAGES |= {page.stem: page for page in sorted((ROOT / "examples").glob("[!R]*.md"))}
pytestmark = pytest.mark.skipif(not PAGES["README"].exists(), reason="the package is installed without its documents")

NOT_RUN = {
    "python3 -m venv .venv": "it needs the network; .ci/run runs the line that fills the photograph",
    "pip install": "it needs the network",
    ".venv/bin/python -m pytest": "these are the tests themselves",
    "scoreinv serve": "it serves until it is interrupted; the tests of `web` run it",
    "scoreinv convert checkpoint.pth": "the published checkpoint is a download of 1.3 GB",
}
"""Beginnings of lines that cannot run in a test, with the reason."""

SHORTENED = {
    "scoreinv sample": "-n 2 --steps 3",
    "scoreinv train --classifier": "--steps 2 --batch-size 2",
    "scoreinv train --resume": "--steps 3",
    "scoreinv train": "--steps 2 --batch-size 2",
}
"""Options added to lines that would take minutes or hours, by their beginnings; the first match counts."""


def noise_level(pixels: np.ndarray) -> float:
    """Standard deviation of white noise, by the median of Haar's diagonal details (Donoho and Johnstone 1994)."""
    values = pixels.astype(float)
    columns = values[:, ::2] - values[:, 1::2]
    return float(np.median(abs(columns[::2] - columns[1::2])) / 2 / 0.6745)


def lacking() -> dict[str, str]:
    """Return words of lines that fail here for want of a package, each with a word of the remedy that they name."""
    found = {}
    try:
        import cv2  # noqa: F401
    except ImportError:
        found["--uncertainty"] = "libgl1"
    if find_spec("onnxruntime") is None:
        found["select"] = "scoreinv[select]"
    return found


EXTRAS = {"deepinv": ["deepinv"], "dask": ["dask"], "ray": ["ray", "pandas", "pyarrow"]}
"""Packages that a block needs and that may be missing, by the package that it imports."""

Typed = tuple[list[str], list[str]]
"""The words of a line, and those of the shortened line."""


def blocks(page: str, *languages: str) -> Iterator[str]:
    for language, text in re.findall(
        r"^```(\w+)\n(.*?)^```$", PAGES[page].read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        if language in languages:
            yield text


def lines(page: str) -> list[str]:
    """Return all lines to type into a shell."""
    shown = [line for text in blocks(page, "console") for line in text.splitlines()]
    assert [line for line in shown if not line.startswith("$ ")] == []  # output is not checked, so there is none
    return [line.removeprefix("$ ") for text in blocks(page, "console", "sh") for line in text.splitlines()]


def typed(line: str) -> Typed | None:
    """Return the arguments of `scoreinv` in a line; None if the line is not run."""
    if any(line.startswith(begin) for begin in NOT_RUN):
        return None
    # One process instead of several: its arguments are the same.
    line = re.sub(r"^torchrun --nproc-per-node \d+ -m ", "", line)
    words = shlex.split(line, comments=True)
    assert words[0] == "scoreinv", line
    more = next((more for begin, more in SHORTENED.items() if line.startswith(begin)), "")
    return words[1:], [*words[1:], *more.split()]


def copied(line: str) -> bool:
    """Follow a line that copies examples, but write them small; return whether it is one."""
    words = shlex.split(line)
    if words[0] != "cp":
        return False
    source, target = ROOT / words[-2], Path(words[-1])
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        into = target / path.name if source.is_dir() else target
        into.parent.mkdir(exist_ok=True)
        image = Image.open(path)
        image.resize((image.width // 4, image.height // 4), Image.Resampling.NEAREST).save(into)
    return True


def picture(name: str, side: int, *, mode: str = "RGB", seed: int = 0) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 200, side)[:, None, None] + np.zeros((side, side, 3))
    noise = np.random.default_rng(seed).normal(0, 15, ramp.shape)
    Image.fromarray((ramp + noise).clip(0, 255).astype("uint8")).convert(mode).save(path)


def marked(name: str, side: int) -> None:
    """Write two white strokes on a transparent layer, for a mask or hints."""
    layer = np.zeros((side, side, 4), "uint8")
    layer[side // 2, 4:-4] = layer[4:-4, side // 3] = 255
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(layer).save(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the pictures that the pages name, and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "scans/one.jpg"):
        picture(name, 64)
    for name in ("gray.jpg", "old.jpg", "old.webp"):
        picture(name, 64, mode="L")
    picture("examples/damaged/astronaut.png", 64)
    for name in ("mask.png", "hints.png", "examples/masks/astronaut.png"):
        marked(name, 64)
    for seed, name in enumerate(["a.png", "b.png", "real/1.png", "real/2.png", "real/3.png"]):
        picture(name, 32, seed=seed)
    for seed in range(8):
        picture(f"PHOTOS/{seed}.jpg", 128, seed=seed)
        picture(f"CLASSES/{('horse', 'ship')[seed % 2]}/{seed}.jpg", 64, seed=seed)
    return tmp_path


@pytest.fixture
def scoreinv(monkeypatch, capsys) -> Callable[[list[str]], tuple[int, str]]:
    """Return a function that runs the command in this process and returns its exit status and stderr."""

    def run(words: list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["scoreinv", *words])
        capsys.readouterr()
        return main(), capsys.readouterr().err

    return run


@pytest.mark.parametrize("page", PAGES)
def test_every_line_is_understood(page, folder, scoreinv):
    """`--dry-run` computes nothing, so the files that earlier lines write are missing."""
    absent = lacking()
    for line in lines(page):
        if not copied(line) and (words := typed(line)) is not None:
            status, said = scoreinv([*words[0], "--dry-run"])
            if remedies := [absent[word] for word in words[0] if word in absent]:
                assert (status, remedies[0] in said) == (1, True), line
                continue
            assert status == 0 or (status == 2 and re.search("drawn/|runs/|kept.png", said)), f"{line}: {said}"


def test_every_exception_matches_a_line():
    every = [line for page in PAGES for line in lines(page)]
    for begin in (*NOT_RUN, *SHORTENED):
        assert any(line.startswith(begin) for line in every), begin


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_lines_run_in_their_order(page, folder, scoreinv):
    absent = lacking()
    for line in lines(page):
        if not copied(line) and (words := typed(line)) is not None:
            status, said = scoreinv(words[1])
            if remedies := [absent[word] for word in words[0] if word in absent]:
                assert (status, remedies[0] in said) == (1, True), line
                continue
            assert status == 0, f"{line}: {said}"
            for promised in re.findall(r"# .*?writes ([\w./]+)", line):
                assert (folder / promised).exists(), line


@contextmanager
def without_ray_after() -> Iterator[None]:
    """Shut Ray down, which ray.data starts, before the next test."""
    try:
        yield
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_run_in_their_order(page, folder):
    names: dict[str, object] = {"__name__": page}
    for line in lines(page):
        copied(line)
    with torch.random.fork_rng([]), without_ray_after():
        for block in blocks(page, "python"):
            if any(f"import {name}" in block and not all(map(find_spec, needed)) for name, needed in EXTRAS.items()):
                continue
            exec(compile(block, page, "exec", dont_inherit=True), names)
    if page == "README":
        assert (folder / "filled_4.png").exists()
        fills = read_picture(folder / "fills.png").pixels
        drawn = [noise_level(fills[:, left : left + 16]) for left in range(16, 128, 32)]
        assert np.mean(drawn) < 5  # grey levels: measured 3.3; the paper's predictor leaves 15
    elif "ray" in names:
        assert {path.name for path in (folder / "clean_by_ray").iterdir()} >= {"astronaut.png", "facade.png"}


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_the_packages_that_their_blocks_import(page):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = PAGES[page].read_text("utf-8")
    for block in blocks(page, "python"):
        imported = {name for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Import) for name in names(node)}
        named = re.findall(r"pip install (?:-e )?'([^']+)'", text[: text.index(block) + len(block)].split("\n## ")[-1])
        extras = [
            need for line in named if line.startswith(".[") for need in project["optional-dependencies"][line[2:-1]]
        ]
        for name in imported - {"numpy", "PIL", "scoreinv", "torch"} - sys.stdlib_module_names:
            package = "ray[data]" if "ray.data" in block and name == "ray" else name
            assert any(each.startswith(package) for each in (*named, *extras)), package


def names(node: ast.Import) -> list[str]:
    return [alias.name.split(".")[0] for alias in node.names]


def documents() -> list[Path]:
    folders = ("examples", "pretrained", "scoreinv", "tests")
    return [*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_no_page_replaces_the_editable_installation_by_one_with_extras():
    """After `pip install '.[web]'` edits of the checkout would silently have no effect."""
    for path in documents():
        assert re.findall(r"pip install [\"']?\.\S*", path.read_text("utf-8")) == [], path


def test_the_readme_is_short_and_its_first_command_leaves_the_checkout_clean(tmp_path):
    assert len(PAGES["README"].read_bytes()) < 7 * 1024
    if not (ROOT / ".gitignore").exists() or shutil.which("git") is None:
        pytest.skip("this is no checkout")
    first = next(blocks("README", "sh"))
    output = shlex.split(first)[-1]
    assert f"/{output}" in (ROOT / ".gitignore").read_text().split()
