"""Every command of the table of bad input: its exit status, one line, nothing written."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_input import CASES, Case, make_world
from shell import Outcome, start_process


@pytest.fixture(scope="module")
def world(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, model)
    return folder


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """All that is in a folder, and when it was last written."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            written = (status.st_size, status.st_mtime_ns) if path.is_file() else ()
            found[str(path)] = (status.st_mode, status.st_ino, *written)
    return found


@pytest.fixture
def refused(scoreinv, world, monkeypatch):
    """Runs a command in the world, which must be refused without a trace."""

    def run(*words: str) -> Outcome:
        monkeypatch.chdir(world)
        before = state(world)
        outcome = scoreinv(*words)
        assert state(world) == before
        assert outcome.code == 2, outcome.err
        assert outcome.err.startswith("scoreinv: error: ")
        assert outcome.err.count("\n") == 1
        assert outcome.err.endswith("\n")
        assert "Traceback" not in outcome.err
        assert "--debug shows where" not in outcome.err
        return outcome

    return run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input(refused, case: Case):
    outcome = refused(*case.words)
    assert outcome.out == ""
    assert case.said in outcome.err


def test_the_table_is_large_and_has_no_command_twice():
    assert len({case.words for case in CASES}) == len(CASES) >= 300


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "masks"], ids=str)
def test_bad_input_in_json(refused, case: Case):
    outcome = refused(*case.words, "--json")
    record = json.loads(outcome.out)
    assert case.said in record["error"]
    assert outcome.err == f"scoreinv: error: {record['error']}\n"


EARLY_KINDS = {"nothing given", "no such command", "no such choice", "masks", "outputs", "batches", "special files"}
EARLY = [
    case
    for case in CASES
    if case.kind in EARLY_KINDS
    and case.words[0] in ("inpaint", "colorize", "likelihood")
    and "--model" not in " ".join(case.words)
][::8]
"""Some that are told before torch is imported."""


@pytest.fixture(scope="module")
def processes(world: Path) -> dict[Case, Outcome]:
    """Some commands of the table as processes of their own."""

    def run(case: Case) -> Outcome:
        process = start_process(*case.words, cwd=world)
        out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out.decode(), err.decode())

    before = state(world)
    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(EARLY, pool.map(run, EARLY), strict=True))
    assert state(world) == before
    return outcomes


@pytest.mark.parametrize("case", EARLY, ids=str)
def test_bad_input_as_a_process(processes, case: Case):
    outcome = processes[case]
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("scoreinv: error: ")
    assert outcome.err.count("\n") == 1
    assert case.said in outcome.err
