"""Files that take their place in one step, under any name, and never the place of what is no file."""

import errno
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import atomic_write, remove_leftovers


@pytest.mark.parametrize("letter", ["a", "ä", "写"])
def test_a_name_at_the_limit_of_the_file_system(tmp_path: Path, letter: str) -> None:
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / (letter * (limit // len(letter.encode())))
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path.name, b"new")]


def test_a_name_that_is_taken_meanwhile_stays_so_without_hard_links(tmp_path, monkeypatch) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", unable)
    for text in ("first", "second"):
        with suppress(ExistsError), atomic_write(tmp_path / "a.txt", overwrite=False) as temporary:
            temporary.write_text(text)
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"a.txt": "first"}
    with pytest.raises(InputError, match="there is no folder"), atomic_write(tmp_path / "gone/a.txt"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes among its files")
def test_a_pipe_a_device_and_a_folder_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for path in before:
        with pytest.raises(InputError, match="cannot be replaced"), atomic_write(path):
            pass
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_abandoned_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that is no more, or of any machine after a day."""
    monkeypatch.setattr(time, "time", lambda: 25 * 3600.0)
    with atomic_write(tmp_path / "a.png") as temporary:
        own = temporary.name
        temporary.touch()
        other, old = (f".a.png.scoreinv-elsewhere-{number}-01234567.part" for number in (5, 6))
        gone = own.replace(f"-{os.getpid()}-", f"-{2**40}-")
        for name in (gone, other, old, ".a.png.part"):
            (tmp_path / name).touch()
        os.utime(tmp_path / other, (7200, 7200))
        os.utime(tmp_path / old, (0, 0))
        os.utime(tmp_path / ".a.png.part", (0, 0))
        remove_leftovers(tmp_path)
        assert {entry.name for entry in tmp_path.iterdir()} == {own, other, ".a.png.part"}


@pytest.mark.skipif(os.name != "posix", reason="asks processes by signals")
def test_files_of_another_users_process_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_write(tmp_path / "a.png") as temporary:
        temporary.touch()
        for error, left in ((PermissionError, True), (ProcessLookupError, False)):

            def kill(*_: object, error: type[OSError] = error) -> None:
                raise error

            monkeypatch.setattr(os, "kill", kill)
            remove_leftovers(tmp_path)
            assert temporary.exists() == left
        temporary.touch()
