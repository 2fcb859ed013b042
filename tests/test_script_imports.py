"""Tests run no benchmarks, examples and makers of models: what these import from the package must be there."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/benchmarks", "examples", "pretrained", "pretrained/*")
SCRIPTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_imports_of_scripts_exist(script: Path) -> None:
    for statement in ast.walk(ast.parse(script.read_text())):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] == "scoreinv":
            try:
                module = importlib.import_module(statement.module)
            except ModuleNotFoundError as error:
                if (error.name or "").startswith("scoreinv"):
                    raise
                continue  # a peer that is not installed
            for name in statement.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{statement.module}.{name.name}")
        if isinstance(statement, ast.Import):
            for name in statement.names:
                if name.name.partition(".")[0] == "scoreinv":
                    importlib.import_module(name.name)
