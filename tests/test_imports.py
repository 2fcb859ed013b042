"""The rooms of the house: imports run downwards only, and the core knows nothing of files, tasks or training."""

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import scoreinv
import scoreinv.imaging
import scoreinv.models
import scoreinv.tasks
import scoreinv.training

HOUSE = Path(scoreinv.__file__).parent

ROOMS = (
    "cli",
    "gimp",
    "web",
    "batch",
    "tasks",
    "training",
    "models",
    "inputs",
    "interop",
    "files",
    "analysis",
    "imaging",
    "texture",
    "likelihood",
    "guidance",
    "conditional",
    "samplers",
    "windows",
    "operators",
    "networks",
    "prior",
    "preconditioning",
    "sdes",
    "system",
)
"""From top to bottom: each may import those below it."""

CORE = ROOMS[ROOMS.index("likelihood") :]

PICTURE_ROOMS = ("imaging", "analysis", "files", "inputs")

DOORS = ("scoreinv", "scoreinv.__main__")
"""What is imported from outside: they lead to every room."""


def module_name(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}


def imported(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the modules of the package that a module imports; `at_import`: outside of functions alone.

    Imports for type checkers count in the core alone, and with `at_import` everywhere.
    """
    names = set()
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if for_types and not at_import and room(module_name(path)) not in CORE:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        pending += ast.iter_child_nodes(node)
    return names & MODULES.keys()


def room(module: str) -> str:
    """The package or module below `scoreinv`."""
    return module.split(".")[1]


@cache
def arrows() -> list[tuple[str, str]]:
    """(importing, imported) modules, those of one room and the doors left out."""
    found = [(name, other) for name, path in MODULES.items() for other in imported(path)]
    inside = [(name, other) for name, other in found if name not in DOORS and other not in DOORS]
    return [(name, other) for name, other in inside if room(name) != room(other)]


def test_every_module_is_in_a_room() -> None:
    assert {room(name) for name in MODULES if name not in DOORS} == set(ROOMS)


def test_imports_run_downwards() -> None:
    upwards = [arrow for arrow in arrows() if ROOMS.index(room(arrow[1])) < ROOMS.index(room(arrow[0]))]
    assert not upwards


def test_the_core_is_closed() -> None:
    assert {room(other) for name, other in arrows() if room(name) in CORE} <= set(CORE)


def test_pictures_need_no_core() -> None:
    torch_free = {
        "operators",
        "operators.luma",
        "operators.kernels",
        "operators.tones",
        "windows",
        "windows.boxes",
        "windows.placement",
    }
    core = {other for name, other in arrows() if room(name) in PICTURE_ROOMS and room(other) in CORE}
    assert {other for other in core if room(other) != "system"} <= {f"scoreinv.{name}" for name in torch_free}


def test_pictures_need_neither_torch_nor_opencv() -> None:
    modules = [name for name in MODULES if name not in DOORS and room(name) in PICTURE_ROOMS]
    unwanted = {"torch", "cv2", "tifffile"}
    code = f"import sys, {', '.join(modules)}; sys.exit(not {unwanted}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: imported(path, at_import=True) - {name} for name, path in MODULES.items() if name not in DOORS}
    # A package is imported before its modules are, and imports some of them: only theirs count.
    leaves = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in graph.items()}
    TopologicalSorter(leaves).prepare()


def test_no_module_of_the_page_imports_itself_through_others() -> None:
    scripts = sorted((HOUSE / "web" / "static").glob("*.js"))
    graph = {path.name: re.findall(r'^import .*"\./(.+)"', path.read_text(), re.MULTILINE) for path in scripts}
    assert "views.js" in graph["main.js"]
    TopologicalSorter(graph).prepare()


def test_rooms_have_what_their_doors_name() -> None:
    for offered in (scoreinv.imaging, scoreinv.models, scoreinv.tasks, scoreinv.training):
        assert offered.__all__
        assert all(hasattr(offered, name) for name in offered.__all__)


def test_errors_are_importable_from_the_package() -> None:
    assert importlib.import_module("scoreinv.errors") is importlib.import_module("scoreinv.system.errors")


@pytest.mark.parametrize(("module", "near"), [(scoreinv, "inpaint"), (scoreinv.training, "train")])
def test_an_absent_attribute_names_the_nearest(module, near):
    program = f"import {module.__name__} as module\nmodule.{near}t"
    failed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith(f"Did you mean: '{near}'?")
