"""Tests bind to public names: they neither patch names of scoreinv nor read private ones.

A test replaces what it needs by an argument (`prior=`, `network=`, `Models(...)`, `make_app(...)`), by the limits and
extras of `scoreinv.system`, or by a library's name. `reaching_in.txt` lists the files that do not yet; it only shrinks.
`pytest tests/test_seams.py -rP` prints the share of such tests.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PATCHES = ("setattr", "delattr")
DOCUMENTED = ("_replace", "_asdict", "_fields", "_make", "_exit")  # of named tuples, and of os

MOST = 0.05
"""Largest share of tests that reach in. Lower it as files leave the list."""


def is_private(name: str) -> bool:
    """Whether a name is private."""
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def is_ours(module: str | None) -> bool:
    """Whether a module is one of the package."""
    return (module or "").partition(".")[0] == "scoreinv"


def imported(nodes: list[ast.AST]) -> set[str]:
    """The names that a file imports from the package."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and is_ours(node.module)):
            names = [name for name in node.names if isinstance(node, ast.ImportFrom) or is_ours(name.name)]
            found |= {(name.asname or name.name).partition(".")[0] for name in names}
    return found


def reaches_in(node: ast.AST, ours: set[str]) -> bool:
    """Whether code patches a name of the package, or imports or reads a private one.

    Args:
        node: the code.
        ours: the names imported from the package.
    """
    match node:
        case ast.Call(func=ast.Attribute(attr=name), args=[target, *_]) if name in PATCHES:
            if isinstance(target, ast.Constant):
                return is_ours(str(target.value))
            if name == "setattr" and len(node.args) == 2:  # a name that is computed
                return True
            while isinstance(target, ast.Attribute | ast.Call | ast.Subscript):
                target = target.func if isinstance(target, ast.Call) else target.value
            return isinstance(target, ast.Name) and target.id in ours
        case ast.Attribute(value=owner, attr=name):
            return is_private(name) and not (isinstance(owner, ast.Name) and owner.id in ("self", "cls"))
        case ast.ImportFrom(module=module, names=names):
            return is_ours(module) and any(is_private(part) for name in names for part in (module or "", name.name))
        case ast.Name(id=name):
            return name in ours and is_private(name)
    return False


def reaching(source: str) -> tuple[bool, dict[str, bool]]:
    """Whether a file reaches in; and the same of each of its tests, also through a fixture or a helper of the file."""
    nodes = list(ast.walk(ast.parse(source)))
    ours = imported(nodes)
    lines = {node.lineno for node in nodes if reaches_in(node, ours)}  # type: ignore[attr-defined]
    functions = {node.name: range(node.lineno, (node.end_lineno or 0) + 1) for node in nodes
                 if isinstance(node, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
    named = [(node.id if isinstance(node, ast.Name) else node.arg, node.lineno) for node in nodes
             if isinstance(node, ast.Name | ast.arg)]  # fmt: skip
    inner = {name for name, body in functions.items() if lines & set(body)}
    size = -1
    while size != (size := len(inner)):
        users = {line for name, line in named if name in inner}
        inner |= {name for name, body in functions.items() if users & set(body)}
    return bool(lines), {name: name in inner for name in functions if name.startswith("test_")}


def test_only_listed_files_reach_in() -> None:
    paths = [path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] not in ("benchmarks", "data")]
    found = {path.relative_to(TESTS).as_posix(): reaching(path.read_text()) for path in paths}
    inner = {name for name, (reaches, _) in found.items() if reaches}
    listed = set((TESTS / "reaching_in.txt").read_text().split())
    assert sorted(inner - listed) == [], "these files patch or read inner names: use a public one"
    assert sorted(listed - inner) == [], "these files no longer do: remove them from reaching_in.txt"
    tests = [reaches for _, tests in found.values() for reaches in tests.values()]
    print(f"{sum(tests)} of {len(tests)} tests in {len(inner)} files patch or read inner names")
    assert sum(tests) <= MOST * len(tests)


@pytest.mark.parametrize(
    ("body", "reaches"),
    [
        ("patch.setattr('scoreinv.sdes.VE', None)", True),
        ("patch.setattr(sdes.VE, 'sigma', None)", True),
        ("from scoreinv.sdes import _Marginal", True),
        ("sdes.VE()._marginal", True),
        ("patch.setattr(f'scoreinv.{name}', None)", True),
        ("patch.setattr('time.time', None)", False),
        ("from scoreinv.sdes import VE", False),
        ("sdes.VE().sigma", False),
    ],
)
def test_patches_and_private_names_reach_in(body: str, reaches: bool) -> None:
    source = f"from scoreinv import sdes\ndef helper(patch):\n    {body}\ndef test_a(patch):\n    helper(patch)\n"
    assert reaching(source) == (reaches, {"test_a": reaches})
