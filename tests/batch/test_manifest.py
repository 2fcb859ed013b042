"""Tables that grow by a line, cut at any place, and by several processes."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from scoreinv.cli.options import Common
from scoreinv.cli.plan import Plan
from scoreinv.cli.record import BY_ANOTHER, EXISTS, MANIFEST, Record, Table
from scoreinv.cli.record import COLUMNS as MANIFEST_COLUMNS
from scoreinv.system.errors import InputError

COLUMNS = ("input", "said", "more")
RECORDS = [
    {"input": "a.png", "said": "plain", "more": 1},
    {"input": 'quotes "in" it, and commas', "said": "", "more": None},
    {"input": "ends\nof\r\nlines", "said": "two\nlines", "more": "x"},
    {"input": "sc\udce9ne.png", "said": "no UTF-8", "more": ""},
    {"input": "é\n", "said": '"\n"', "more": "\n"},
]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


def expected(records: list[dict]) -> list[list[str]]:
    return [list(COLUMNS), *([str("" if row[name] is None else row[name]) for name in COLUMNS] for row in records)]


def test_lines_are_added(tmp_path):
    for number, record in enumerate(RECORDS, 1):
        Table(tmp_path / "t.csv", COLUMNS).add(record | {"no column": 1})
        assert rows(tmp_path / "t.csv") == expected(RECORDS[:number])


@pytest.mark.parametrize("text", ["other,columns\n", "input,said\n", "input,said,more,x\n", "hello", "\n", '"input"'])
def test_a_table_of_other_columns_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="move it away"):
        Table(path, COLUMNS)
    assert path.read_text() == text


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InputError, match="it is no file"):
        Table(tmp_path / "t.csv", COLUMNS)
    if Path("/dev/zero").exists():
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        with pytest.raises(InputError, match="it is no file"):
            Table(tmp_path / "zero.csv", COLUMNS)


def test_one_waits_for_the_other(tmp_path):
    path = tmp_path / "t.csv"
    with FileLock(tmp_path / ".t.csv.lock"):
        adding = threading.Thread(target=Table(path, COLUMNS).add, args=(RECORDS[0],))
        adding.start()
        adding.join(0.3)
        assert not path.exists()
    adding.join()
    assert rows(path) == expected(RECORDS[:1])


def test_a_row_that_was_cut_is_removed_before_the_next(tmp_path):
    """At each byte of the last row, and of the names of the columns: what was whole stays, and nothing else."""
    path = tmp_path / "t.csv"
    for before in ([], RECORDS[:1]):
        path.unlink(missing_ok=True)
        for record in before:
            Table(path, COLUMNS).add(record)
        whole = path.read_bytes() if before else b""
        Table(path, COLUMNS).add(RECORDS[1])
        after = path.read_bytes()
        for length in range(len(whole), len(after)):
            path.write_bytes(after[:length])
            Table(path, COLUMNS).add(RECORDS[3])
            assert rows(path) == expected([*before, RECORDS[3]]), length


def test_what_is_found_done_is_noted_where_a_run_was_killed_before_it_could(tmp_path):
    """And not once more, nor where another run is about to note it."""
    names = ("noted", "killed", "failed before", "by another")
    plan = Plan([], [], batch=True, folders=set(), folder=tmp_path, passed_over=0, common=Common(quiet=True))
    for _ in range(2):
        table = Table(tmp_path / MANIFEST, MANIFEST_COLUMNS)
        if not table.finished:
            table.add({"input": "noted", "output": "noted.png"})
            table.add({"input": "failed before", "error": "no memory"})
        record = Record(plan, Table(tmp_path / MANIFEST, MANIFEST_COLUMNS), 0)
        for name in names:
            done = {"input": name, "output": f"{name}.png", "outputs": [f"{name}.png"]}
            record.add(done | {"skipped": BY_ANOTHER if name == "by another" else EXISTS})
    lines = [(row[0], row[1]) for row in rows(tmp_path / MANIFEST)[1:]]
    expected = ["noted", "failed before", "killed", "failed before"]
    assert lines == [(name, "" if number == 1 else f"{name}.png") for number, name in enumerate(expected)]
