"""Files that take their place in one step, under any name, and never the place of what is no file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from scoreinv.errors import InputError
from scoreinv.files import atomic_write


@pytest.mark.parametrize("letter", ["a", "ä", "写"])
def test_a_name_at_the_limit_of_the_file_system(tmp_path: Path, letter: str) -> None:
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / (letter * (limit // len(letter.encode())))
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path.name, b"new")]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pipes among its files")
def test_a_pipe_a_device_and_a_folder_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for path in before:
        with pytest.raises(InputError, match="never replaced"), atomic_write(path):
            pass
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
