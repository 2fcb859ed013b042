"""Tables that grow by a line, cut at any place, and by several processes."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scoreinv.cli import table
from scoreinv.cli.table import Log, Table
from scoreinv.errors import InputError, ScoreinvError

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


@pytest.mark.parametrize("last", range(len(RECORDS)))
def test_a_row_that_was_cut_is_mended_before_the_next(tmp_path, last):
    """At each byte of the last row, the names of the columns for one: what was whole stays, and nothing else."""
    path = tmp_path / "t.csv"
    table = Table(path, COLUMNS)
    for record in RECORDS[:last]:
        table.add(record)
    before = path.read_bytes() if last else b""
    table.add(RECORDS[last])
    after = path.read_bytes()
    for length in range(len(before), len(after)):
        path.write_bytes(after[:length])
        table.check()
        table.add(RECORDS[0])
        assert rows(path) == expected([*RECORDS[:last], RECORDS[0]]), length


def test_what_others_left_of_a_row_since_is_mended_and_what_is_known_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    one, other = Table(path, COLUMNS), Table(path, COLUMNS)
    seen = []

    def looked_at(tail: bytes) -> int:
        seen.append(len(tail))
        return cut_bytes(tail)

    cut_bytes = table._cut_bytes
    monkeypatch.setattr(table, "_cut_bytes", looked_at)
    one.add(RECORDS[1])
    one.add(RECORDS[2])
    assert seen[1:] == [0]
    before = path.stat().st_size
    other.add(RECORDS[3])
    with path.open("ab") as file:
        file.write(b'cut,"of\n')
    one.add(RECORDS[4])
    assert seen[-1] < path.stat().st_size - before + 20
    assert rows(path) == expected(RECORDS[1:])
    path.unlink()
    one.add(RECORDS[0])
    assert rows(path) == expected(RECORDS[:1])


def test_what_others_wrote_is_kept(tmp_path):
    path = tmp_path / "t.csv"
    for text in ("input,said,more\na,b,c\na line by hand\n", 'input,said,more\r\nstray " quote,b,c\r\n'):
        path.write_text(text, newline="")
        table = Table(path, COLUMNS)
        table.check()
        table.add(RECORDS[0])
        assert path.read_text().startswith(text.replace("\r\n", "\n"))
    path.write_bytes(b"x" * 3_000_000)  # no row, no end
    with pytest.raises(InputError, match="has columns of another version"):
        Table(path, COLUMNS).check()


@pytest.mark.parametrize("text", ["other,columns\n", "input,said\n", "input,said,more,x\n", "hello", "\n", '"input"'])
def test_a_table_of_other_columns_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="move it away"):
        Table(path, COLUMNS).check()
    assert path.read_text() == text


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InputError, match="it is no file"):
        Table(tmp_path / "t.csv", COLUMNS).check()
    if Path("/dev/zero").exists():
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        with pytest.raises(InputError, match="it is no file"):
            Table(tmp_path / "zero.csv", COLUMNS).check()


@pytest.mark.parametrize("locks", [True, False])
def test_several_processes_add_to_one(tmp_path, locks):
    """From its beginning, which each of them finds; without locks, as some file systems of clusters are, too."""
    code = (
        "import sys, time; from pathlib import Path; from scoreinv.cli.table import Table\n"
        "if sys.argv[2] == 'False': sys.modules['fcntl'] = None\n"
        "while time.time() < float(sys.argv[3]): pass\n"
        "table = Table(Path('t.csv'), ('input', 'said', 'more'))\n"
        "for number in range(60): table.add({'input': f'{sys.argv[1]} {number}', 'said': 'x' * 9000, 'more': 'a\\nb'})"
    )
    names, begin = "abcdefgh", str(time.time() + 2)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name, str(locks), begin], cwd=tmp_path) for name in names
    ]
    assert {process.wait(60) for process in processes} == {0}
    found = rows(tmp_path / "t.csv")
    assert found.count(list(COLUMNS)) == 1
    assert found[0] == list(COLUMNS)
    assert sorted(row[0] for row in found[1:]) == sorted(f"{name} {n}" for name in names for n in range(60))
    assert {tuple(row[1:]) for row in found[1:]} == {("x" * 9000, "a\nb")}
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_one_waits_for_the_other(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "t.csv"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        adding = threading.Thread(target=Table(path, COLUMNS).add, args=(RECORDS[0],))
        adding.start()
        adding.join(0.3)
        assert path.read_bytes() == b""
        fcntl.flock(other, fcntl.LOCK_UN)
        adding.join()
    assert rows(path) == expected(RECORDS[:1])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_told_once(tmp_path, capsys):
    (tmp_path / "t.csv").symlink_to("/dev/full")
    log = Log(Table(tmp_path / "t.csv", COLUMNS))
    with pytest.raises(ScoreinvError, match=r"t\.csv: cannot be written to"):
        log.table.add(RECORDS[0])
    for record in RECORDS:
        log.add(record)
    assert log.lost == len(RECORDS)
    assert capsys.readouterr().err.count("t.csv: cannot be written to") == 1
