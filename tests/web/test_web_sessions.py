"""Sessions: files of this user alone, bounded in number, size and time, and deleted on request."""

import gc
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support.client import OPAQUE, boxed, client, done, hole, pixels, png, read

from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.tasks import DamageOdds, PreparedFill
from scoreinv.web import sessions
from scoreinv.web.objects import Objects
from scoreinv.web.photo import GoneError, Photo
from scoreinv.web.sessions import ConflictError, Sessions

SOON = 3.0
"""Timeout in seconds, far more than any step needs."""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Sessions()
    yield made
    made.close()


def photo_of(session: str, **kind: type) -> Photo:
    metadata = Metadata(exif=b"Exif\0\0abc", dpi=(300.0, 299.0))
    return Photo(Picture(pixels(**kind), metadata), "a", "TIFF", "a note", session=session)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photograph_comes_back_exactly(kept: Sessions, dtype: type) -> None:
    photo = photo_of(kept.begin(), dtype=dtype)
    kept.keep(photo)
    back = kept.photo(photo.key)
    assert back is not None
    assert (back.picture.pixels == photo.picture.pixels).all()
    assert back.picture.pixels.dtype == dtype
    assert back.picture.metadata == photo.picture.metadata
    assert (back.key, back.stem, back.kind, back.note, back.session) == (
        photo.key,
        "a",
        "TIFF",
        "a note",
        photo.session,
    )


def test_a_forgotten_session_gets_no_room(kept: Sessions) -> None:
    """It would count as one of the sessions that are kept."""
    key = kept.begin()
    kept.forget(key)
    with pytest.raises(GoneError):
        kept.make_room(key, 10)
    assert key not in kept


def test_only_this_user_can_read_the_files(kept: Sessions, tmp_path: Path) -> None:
    assert not list(tmp_path.iterdir())  # nothing is made before the first session
    kept.keep(photo_of(kept.begin()))
    (folder,) = tmp_path.iterdir()
    (session,) = folder.iterdir()
    if os.name == "posix":
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, session)] == [0o700, 0o700]
    kept.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["", ".", "..", "../..", "*", "a/../b", "?" * 16, "\0"])
def test_other_keys_name_no_files(kept: Sessions, key: str) -> None:
    kept.keep(photo_of(kept.begin()))
    assert kept.photo(key) is None
    for call in (kept.state, lambda key: kept.save(key, b"", 0)):
        with pytest.raises(GoneError):
            call(key)
    kept.forget(key)


def test_the_oldest_session_goes_first(kept: Sessions, limit: Callable[..., None]) -> None:
    limit(sessions=2)
    first, second = kept.begin(), kept.begin()
    kept.save(first, b"state", 0)  # used last
    third = kept.begin()
    assert [key in kept for key in (first, second, third)] == [True, False, True]


def test_sessions_end_a_day_after_their_last_use(kept: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = kept.begin(), kept.begin()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + sessions.MOST_AGE - 60)
    kept.save(second, b"state", 0)
    monkeypatch.setattr(time, "time", lambda: now + sessions.MOST_AGE + 60)
    kept.expire()
    assert [key in kept for key in (first, second)] == [False, True]


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = Sessions(most=45_000)
    photos = [photo_of(kept.begin()) for _ in range(3)]  # each counts for 16 kB
    for photo in photos:
        kept.keep(photo)
    more = [photo_of(photos[-1].session or "") for _ in range(20)]
    for photo in more:
        kept.keep(photo)
    assert kept.photo(more[-1].key) is None  # it is in memory only
    assert kept.photo(photos[-1].key) is not None
    kept.close()


def test_a_session_that_takes_a_photograph_is_not_the_one_that_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = Sessions(most=17_000)  # for one photograph
    first, second = kept.begin(), kept.begin()
    kept.keep(photo_of(second))
    taken = photo_of(first)
    kept.keep(taken)
    assert [key in kept for key in (first, second)] == [True, False]
    assert kept.photo(taken.key) is not None
    kept.close()


def test_states_have_versions(kept: Sessions, limit: Callable[..., None]) -> None:
    key = kept.begin()
    with pytest.raises(GoneError):
        kept.state(key)
    kept.save(key, b"first", 0)
    with pytest.raises(ConflictError):
        kept.save(key, b"of another tab", 0)
    kept.save(key, b"second", 1)
    assert kept.state(key) == (b"second", 2)
    limit(state_bytes=3)
    with pytest.raises(sessions.InputError):
        kept.save(key, b"long", 2)


def test_folders_of_killed_servers_are_deleted(kept: Sessions, tmp_path: Path) -> None:
    old, new = tmp_path / "scoreinv-page-old", tmp_path / "scoreinv-page-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    kept.begin()
    assert not old.exists()
    assert new.exists()


def test_the_routes_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Callable[..., None]) -> None:
    """A photograph that memory dropped comes back from its session, and nothing of it after it was forgotten."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limit(album_bytes=1)
    with client() as browser:
        photo = browser.post("/api/photos?keep=true", content=png(pixels()), headers=OPAQUE).json()
        layer = browser.post(f"/api/photos/{photo['key']}/layers", content=boxed(hole()), headers=OPAQUE).json()["key"]
        for _ in range(3):  # these are in memory alone
            other = browser.post("/api/photos", content=png(pixels()), headers=OPAQUE).json()
            assert other["session"] is None
        shown = browser.get(f"/api/photos/{photo['key']}/file?kind=PNG")
        assert (read(shown.content) == pixels()).all()
        assert browser.get(f"/api/photos/{layer}/bits").status_code == 200
        path = f"/api/sessions/{photo['session']}"
        assert browser.get(path).status_code == 404  # nothing was saved yet
        assert browser.post(path, content=b"state", headers=OPAQUE).status_code == 204
        assert browser.post(path, content=b"other", headers=OPAQUE).status_code == 409
        assert (browser.get(path).content, browser.get(path).headers["x-version"]) == (b"state", "1")
        keys = {"key": [photo["session"], "another"]}
        assert browser.get("/api/sessions", params=keys).json() == [photo["session"]]
        small = browser.get(f"{path}/view", params={"photo": photo["key"]})
        assert read(small.content).shape == pixels().shape
        assert browser.get(f"{path}/view", params={"photo": "../a"}).status_code == 404
        for method in ("post", "delete"):  # from another page
            options = {"headers": {"origin": "http://evil.example"}}
            assert getattr(browser, method)(path, **options).status_code == 403
        assert browser.delete(path, headers={"origin": OPAQUE["origin"]}).status_code == 204
        for gone in (path, f"/api/photos/{photo['key']}", f"/api/photos/{layer}/bits"):
            assert browser.get(gone).status_code == 404
        assert browser.get("/api/sessions", params=keys).json() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file whose reading waits")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""),
        *(("post", f"/{path}") for path in ("mask", "layers", "damage", "denoise", "upscale", "deblur")),
        *(("post", f"/{path}?click=1,2,1") for path in ("look", "select", "shadow")),
    ],
)
def test_a_photograph_that_is_being_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Callable[..., None], method: str, path: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limit(album_bytes=1)
    with client(raises=False) as browser, ThreadPoolExecutor() as pool:
        photo = browser.post("/api/photos?keep=true", content=png(pixels()), headers=OPAQUE).json()
        browser.post("/api/photos", content=png(pixels()), headers=OPAQUE)  # drops the first from memory
        (file,) = tmp_path.rglob("*.npy")
        file.unlink()
        os.mkfifo(file)
        content = {} if method == "get" else {"content": png(hole())}
        reading = pool.submit(getattr(browser, method), f"/api/photos/{photo['key']}{path}", headers=OPAQUE, **content)
        try:
            # Opening for writing fails until someone reads.
            end = time.monotonic() + SOON
            while (writing := _opened(file)) is None:
                assert time.monotonic() < end
            others = [
                pool.submit(browser.get, "/api/limits"),
                pool.submit(browser.get, "/api/sessions", params={"key": photo["session"]}),
                pool.submit(browser.post, "/api/batches", headers=OPAQUE),
            ]
            assert [other.result(SOON).status_code for other in others] == [200, 200, 201]
            assert not reading.done()
        finally:
            os.close(writing)
        assert reading.result(SOON).status_code == 500  # the file is empty


def _opened(file: Path) -> int | None:
    with suppress(OSError):
        return os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    time.sleep(0.001)
    return None


def test_nothing_is_left_of_a_photograph_that_was_forgotten() -> None:
    before = _held()
    with client(objects=Objects(lambda picture: [picture])) as browser:
        photo = browser.post("/api/photos?keep=true", content=png(pixels()), headers=OPAQUE).json()
        path = f"/api/photos/{photo['key']}"
        assert done(browser, f"{path}/damage")["state"] == "done"
        assert done(browser, f"{path}/fill", png(hole()))["state"] == "done"
        assert _held() - before
        browser.delete(f"/api/sessions/{photo['session']}", headers={"origin": OPAQUE["origin"]})
        assert not _held() - before


def _held() -> set[int]:
    """The pictures, odds and fills in memory."""
    gc.collect()
    return {id(each) for each in gc.get_objects() if type(each) in (Picture, DamageOdds, PreparedFill)}


def test_the_token_guards_sessions() -> None:
    with client("192.0.2.7") as browser:
        for method, path in (
            ("GET", "a"),
            ("GET", "a/view?photo=b"),
            ("GET", "?key=a"),
            ("POST", "a"),
            ("DELETE", "a"),
        ):
            answer = browser.request(method, f"/api/sessions/{path}", headers=OPAQUE)
            assert answer.status_code == 403
