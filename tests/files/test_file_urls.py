"""Files of object stores: buckets, lengths and errors."""

import sys
from pathlib import Path

import pytest

from scoreinv.files.urls import check_bucket, exists, is_url, list_files, read_url
from scoreinv.system.errors import InputError, ScoreinvError

fsspec = pytest.importorskip("fsspec")


class Store:
    """A store of one bucket, with files of ten bytes."""

    def exists(self, path: str) -> bool:
        return path in ("scans", "scans/a.png")

    def find(self, folder: str) -> list[str]:
        return [f"{folder}/a.png", f"{folder}/deep/b.png"]

    def size(self, path: str) -> int | None:
        return None if path.endswith("unknown") else 10

    def cat_file(self, path: str) -> bytearray:
        if path.endswith("gone"):
            raise KeyError(path)
        return bytearray(10)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec, "url_to_fs", lambda url: (Store(), url.partition("://")[2]))


def test_the_bucket_of_results_exists() -> None:
    check_bucket("s3://scans/clean")
    with pytest.raises(InputError, match="no bucket photos"):
        check_bucket("s3://photos/clean")
    check_bucket("s3:///clean")  # a store without buckets


def test_files_are_named_within_their_folder(tmp_path: Path) -> None:
    assert list_files("s3://scans/in") == ["a.png", "deep/b.png"]
    assert [exists(f"s3://scans/{name}") for name in ("a.png", "b.png")] == [True, False]
    assert [exists(str(path)) for path in (tmp_path, tmp_path / "a.png")] == [True, False]


def test_a_file_is_read_up_to_its_limit() -> None:
    assert read_url("s3://scans/a.png", 10) == bytes(10)
    assert read_url("s3://scans/unknown", 5) == bytes(10)
    with pytest.raises(InputError, match="is longer than 0 GB"):
        read_url("s3://scans/a.png", 9)


def test_errors_name_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScoreinvError, match="s3://scans/gone: KeyError") as caught:
        read_url("s3://scans/gone", 10)
    assert not isinstance(caught.value, InputError)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"s3://scans/a.png: .*fsspec"):
        read_url("s3://scans/a.png", 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://a", True), ("memory://a/b", True), ("s3://", False), ("c:/a", False), ("a.png", False), ("x://a", False)],
)
def test_which_texts_are_urls(text: str, expected: bool) -> None:
    assert bool(is_url(text)) == expected
