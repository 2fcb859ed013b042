"""`scoreinv gimp install`: where the plug-in goes, and what is said where GIMP is not there or old."""

import ast
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from scoreinv.cli import gimp

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the GIMP of these tests is a script of a shell")


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What stands for installed GIMPs: their versions by the names of the programs."""
    monkeypatch.setattr(gimp, "_PLACES", ())
    monkeypatch.delenv("GIMP3_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")  # of the shell
    monkeypatch.setattr(gimp, "_NAMES", ("gimp-of-a-test", "gimp-3-of-a-test"))
    return {}


@pytest.fixture
def install(versions: dict[str, str], scoreinv, tmp_path: Path):
    """Runs the command with the versions that are installed."""

    def run(*words: str):
        for name, version in versions.items():
            program = tmp_path / "programs" / name
            program.write_text(f"#!/bin/sh\necho 'GNU Image Manipulation Program version {version}'\n")
            program.chmod(0o755)
        return scoreinv("gimp", "install", *words)

    return run


def test_the_newest_gimp_gets_a_plug_in_that_calls_this_scoreinv(install, versions, tmp_path):
    versions |= {"gimp-of-a-test": "2.10.38", "gimp-3-of-a-test": "3.0.4"}
    path = tmp_path / "settings" / "GIMP" / "3.0" / "plug-ins" / "scoreinv" / "scoreinv.py"
    told = install("--dry-run")
    assert (told.code, told.out, path.parent.exists()) == (0, f"would write {path}\n", False)
    told = install("--json")
    assert (told.code, json.loads(told.out)) == (0, {"output": str(path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o755  # else GIMP does not run it
    tree = ast.parse(path.read_text("utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(assigned["COMMAND"]) == [sys.executable, "-m", "scoreinv"]
    system = sys.platform == "linux" and Path("/usr/bin/python3").exists()
    assert path.read_text("utf-8").startswith("#!/usr/bin/python3\n" if system else "#!/usr/bin/env python3\n")


def test_what_exists_is_replaced_when_it_may_be(install, versions, tmp_path):
    versions["gimp-of-a-test"] = "3.2.0"
    path = tmp_path / "settings" / "GIMP" / "3.2" / "plug-ins" / "scoreinv" / "scoreinv.py"
    path.parent.mkdir(parents=True)
    path.write_text("of the user")
    for words in ([], ["--dry-run"]):
        told = install(*words)
        assert (told.code, told.out, path.read_text()) == (2, "", "of the user")
        assert str(path) in told.err
        assert "--overwrite" in told.err
    assert install("--overwrite").code == 0
    assert path.read_text("utf-8") == gimp.plugin()


@pytest.mark.parametrize(
    ("installed", "words"), [({}, "GIMP was not found"), ({"gimp-of-a-test": "2.10.38"}, "GIMP 2.10 is installed")]
)
def test_gimp_is_not_there_or_old(install, versions, installed, words):
    versions |= installed
    told = install()
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert words in told.err
    assert "install GIMP 3" in told.err
    assert "Flatpak" in told.err


def test_without_the_web_server(install, versions, monkeypatch):
    versions["gimp-of-a-test"] = "3.0.4"
    monkeypatch.setattr("scoreinv.cli.serve.find_spec", lambda name: None)
    told = install()
    assert (told.code, "pip install 'scoreinv[web]'" in told.err) == (2, True)


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CONFIG_HOME": ""}, "HOME/.config/GIMP/3.0"),
        ("linux", {"XDG_CONFIG_HOME": "/conf"}, "/conf/GIMP/3.0"),
        ("linux", {"GIMP3_DIRECTORY": "own"}, "HOME/own"),
        ("darwin", {}, "HOME/Library/Application Support/GIMP/3.0"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/GIMP/3.0"),
    ],
)
def test_the_folder_of_settings(monkeypatch, tmp_path, platform, variables, folder):
    monkeypatch.delenv("GIMP3_DIRECTORY", raising=False)
    for name, value in {"HOME": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert str(gimp._settings((3, 0))) == folder.replace("HOME", str(tmp_path))
