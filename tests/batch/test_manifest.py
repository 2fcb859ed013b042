"""Tables that grow by a line, cut at any place, and by several processes."""

import csv
import errno
import fcntl
import json
import threading
from pathlib import Path

import pytest

from scoreinv.batch.manifest import MANIFEST, Manifest, Table
from scoreinv.system.errors import InputError
from scoreinv.tasks.notes import command_line_text, info

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


@pytest.mark.parametrize("text", ["other,columns\n", "input,said,more,x\n", "hello", "\n"])
def test_a_table_of_other_columns_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="move it away"):
        Table(path, COLUMNS)
    assert path.read_text() == text


def test_manifests_that_are_no_files_are_refused(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        Table(tmp_path / "t.csv", COLUMNS)
    if Path("/dev/zero").exists():
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        with pytest.raises(InputError, match="is not a file"):
            Table(tmp_path / "zero.csv", COLUMNS)


def test_one_waits_for_the_other(tmp_path):
    path = tmp_path / "t.csv"
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        adding = threading.Thread(target=Table(path, COLUMNS).add, args=(RECORDS[0],))
        adding.start()
        adding.join(0.3)
        assert not path.read_bytes()
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


def test_a_table_is_written_on_a_file_system_without_locks(tmp_path, monkeypatch):
    def unable(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", unable)
    table = Table(tmp_path / "t.csv", COLUMNS)
    table.add(RECORDS[0])
    assert (table.lost, rows(table.path)) == (0, expected(RECORDS[:1]))


def test_a_table_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    Table(path, COLUMNS).add(RECORDS[0])

    def closed(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(InputError):
        Table(path, COLUMNS)


def test_notes_have_sentences_too(tmp_path):
    notes = [info("tone_not_faded").row(), info("damage_given", share=0.02).row()]
    Manifest(tmp_path / MANIFEST).add({"input": "a.png", "output": "b.png", "notes": notes})
    header, row = rows(tmp_path / MANIFEST)
    found = dict(zip(header, row, strict=True))
    assert json.loads(found["notes"]) == notes
    assert found["findings"] == "; ".join(map(command_line_text, notes))


def test_a_manifest_of_an_earlier_version_keeps_its_columns(tmp_path):
    path = tmp_path / MANIFEST
    path.write_text("input,output,error\na.png,b.png,\n")
    Manifest(path).add({"input": "c.png", "output": "d.png", "notes": [{"code": "filled"}]})
    assert rows(path) == [["input", "output", "error"], ["a.png", "b.png", ""], ["c.png", "d.png", ""]]
