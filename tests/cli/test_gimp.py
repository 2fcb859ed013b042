"""`scoreinv gimp install`: where the plug-in goes, and what is said where GIMP is not there or old."""

import ast
import json
import stat
import sys
from pathlib import Path

import pytest

from scoreinv.cli import gimp


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the settings of all GIMPs."""
    monkeypatch.delenv("GIMP3_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings" / "GIMP"


@pytest.fixture
def install(scoreinv, settings: Path):
    """Runs the command with settings of some versions."""

    def run(*words: str, versions: tuple[str, ...] = ()):
        for version in versions:
            (settings / version).mkdir(parents=True, exist_ok=True)
        return scoreinv("gimp", "install", *words)

    return run


def test_the_newest_gimp_gets_a_plug_in_that_calls_this_scoreinv(install, settings):
    path = settings / "3.10" / "plug-ins" / "scoreinv" / "scoreinv.py"
    told = install("--dry-run", versions=("2.10", "3.0", "3.10", "3.2", "3.x"))
    assert (told.code, told.out, path.parent.exists()) == (0, f"would write {path}\n", False)
    told = install("--json")
    assert (told.code, json.loads(told.out)) == (0, {"output": str(path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o755  # else GIMP does not run it
    tree = ast.parse(path.read_text("utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(assigned["COMMAND"]) == [sys.executable, "-m", "scoreinv"]
    system = sys.platform == "linux" and Path("/usr/bin/python3").exists()
    assert path.read_text("utf-8").startswith("#!/usr/bin/python3\n" if system else "#!/usr/bin/env python3\n")


def test_an_existing_plug_in_is_replaced_with_overwrite(install, settings):
    path = settings / "3.2" / "plug-ins" / "scoreinv" / "scoreinv.py"
    path.parent.mkdir(parents=True)
    path.write_text("of the user")
    for words in ([], ["--dry-run"]):
        told = install(*words)
        assert (told.code, told.out, path.read_text()) == (2, "", "of the user")
        assert str(path) in told.err
        assert "--overwrite" in told.err
    assert install("--overwrite").code == 0
    assert path.read_text("utf-8") == gimp.plugin()


@pytest.mark.parametrize("versions", [(), ("2.10",)])
def test_gimp_is_not_there_or_old(install, versions):
    told = install(versions=versions)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "GIMP 3 has no settings here" in told.err
    assert "Flatpak" in told.err


def test_without_the_web_server(install, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    told = install(versions=("3.0",))
    assert (told.code, "pip install 'scoreinv[web]'" in told.err) == (2, True)
