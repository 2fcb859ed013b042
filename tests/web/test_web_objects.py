"""Objects that are pointed at on the page: looked at once, selected by clicks and boxes, and what is not installed."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from support.client import OPAQUE, client, opened, pixels, png

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.system.errors import Cancelled, ScoreinvError
from scoreinv.system.progress import report
from scoreinv.tasks.select import MOST_CLICKS, Prompt, Selected, Size, usual_grow
from scoreinv.web.objects import Objects
from scoreinv.web.photo import Photo, unboxed

SOON = 30.0
"""Timeout in seconds, far more than any step needs."""


class Squares:
    """Selects a square around the last click, the larger the size, or the box itself."""

    looks = 0

    def __init__(self, picture: Picture) -> None:
        Squares.looks += 1
        self.size, self.picture = picture.size, picture

    def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
        mask = np.zeros(self.size, bool)
        if prompt.box is not None:
            x, y, wide, high = map(int, prompt.box)
            mask[y : y + high, x : x + wide] = True
            return Selected(mask, mask, None, 1.0, np.zeros_like(mask))
        for x, y, inside in prompt.clicks:
            if x < 0:
                raise ScoreinvError("nothing is found there")
            reach = {None: 2, "small": 1, "middle": 2, "large": 4}[size]
            mask[int(y) - reach : int(y) + reach, int(x) - reach : int(x) + reach] = inside
        tip = np.zeros_like(mask)
        tip[:2, :3] = size == "large"
        return Selected(mask, mask, size or "middle", 1.0, tip)

    def next_size(self, prompt: Prompt, size: Size | None) -> Size | None:
        return "large" if size == "middle" else "small"


@pytest.fixture
def browser() -> Iterator[TestClient]:
    Squares.looks = 0
    with client(objects=Objects(Squares)) as made:
        yield made


def selected(answer: dict[str, Any]) -> np.ndarray:
    """The mask of an answer, for a picture of 24 x 40."""
    return unboxed(answer, (24, 40))


def asked(browser: TestClient, photo: dict[str, Any], what: str = "select", **query: Any) -> Any:
    return browser.post(f"/api/photos/{photo['key']}/{what}", params=query, headers=OPAQUE)


def square(x: int, y: int, reach: int) -> np.ndarray:
    mask = np.zeros((24, 40), bool)
    mask[y - reach : y + reach, x - reach : x + reach] = True
    return mask


def test_clicks_and_boxes_select(browser):
    photo = opened(browser, png(pixels()))
    first = asked(browser, photo, click="10,8,1").json()
    assert first["size"] == "middle"
    assert (selected(first) == square(10, 8, 2)).all()
    again = asked(browser, photo, click="10,8,1", size="middle", another=True).json()
    assert again["size"] == "large"
    assert (selected(again) == square(10, 8, 4)).all()
    less = asked(browser, photo, click=["10,8,1", "30,8,1", "30,8,0"]).json()
    assert (selected(less) == square(10, 8, 2)).all()
    assert (selected(first["hole"]) == dilate(square(10, 8, 2), usual_grow((24, 40)))).all()
    box = asked(browser, photo, box="3,4,10,5").json()
    assert box["box"] == [3, 4, 10, 5]
    assert selected(box).sum() == 50
    assert Squares.looks == 1  # when it was opened


def test_fragments_are_proposed_and_taken_in(browser):
    photo = opened(browser, png(pixels()))
    none = asked(browser, photo, click="10,8,1").json()
    assert none["fragments"]["box"] is None
    proposed = asked(browser, photo, click="10,8,1", size="large").json()
    assert (selected(proposed) == square(10, 8, 4)).all()
    tip = selected(proposed["fragments"])
    assert proposed["fragments"]["box"] == [0, 0, 3, 2]
    whole = asked(browser, photo, click="10,8,1", size="large", fragments=True).json()
    assert (selected(whole) == square(10, 8, 4) | tip).all()
    hole, without = selected(whole["hole"]), selected(proposed["hole"])
    assert (hole[tip].all(), without[tip].any()) == (True, False)
    assert hole.sum() > without.sum() > square(10, 8, 4).sum()


def test_a_photograph_in_which_nothing_is_selected_is_not_looked_at(browser):
    assert browser.post("/api/photos?look=false", content=png(pixels()), headers=OPAQUE).status_code == 201
    opened(browser, png(pixels()))
    assert Squares.looks == 1


def test_the_last_photographs_are_held(browser, monkeypatch):
    photos = [opened(browser, png(pixels())) for _ in range(3)]
    for photo, looks in ((photos[2], 3), (photos[1], 3), (photos[0], 4)):
        assert asked(browser, photo, click="10,8,1").status_code == 200
        assert Squares.looks == looks


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"click": "a,b,1"}, "A click is"),
        ({"click": "1,2"}, "A click is"),
        ({"box": "1,2,x,4"}, "A click is"),
        ({"box": "1,2,0,4"}, "Box must h"),
        ({"box": "1,2,3"}, "Box must b"),
    ],
)
def test_wrong_prompts_are_refused(browser, query, error):
    photo = opened(browser, png(pixels()))
    answer = asked(browser, photo, **query)
    assert (answer.status_code, answer.json()["error"][:10]) == (422, error)


def test_where_nothing_is_found(browser):
    photo = opened(browser, png(pixels()))
    answer = asked(browser, photo, click="-1,2,1")
    assert answer.json()["error"] == "Nothing is found there."


def test_too_many_clicks_are_refused(browser):
    photo = opened(browser, png(pixels()))
    answer = asked(browser, photo, click=["10,8,1"] * (MOST_CLICKS + 1))
    assert (answer.status_code, str(MOST_CLICKS) in answer.json()["error"]) == (422, True)


class Endless(Squares):
    """Selects until it is cancelled or `enough` is set."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(picture)
        self.began, self.stopped, self.enough = threading.Event(), threading.Event(), threading.Event()

    def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
        self.began.set()
        end = time.monotonic() + SOON
        while time.monotonic() < end and not self.enough.wait(0.01):
            try:
                report(0.5)
            except Cancelled:
                self.stopped.set()
                raise
        return super().select(prompt, size)


@pytest.fixture
def endless() -> Endless:
    return Endless(Picture(pixels()))


def test_long_selections_block_no_other_request(endless):
    # The requests end before the client: Starlette's would close their streams outside its event loop.
    with ThreadPoolExecutor() as pool, client(objects=Objects(lambda _: endless)) as browser:
        photo = opened(browser, png(pixels()))
        selections = [pool.submit(asked, browser, photo, click="10,8,1") for _ in range(3)]
        try:
            assert endless.began.wait(SOON)
            view = pool.submit(browser.get, f"/api/photos/{photo['key']}/view")
            assert view.result(SOON).status_code == 200
            assert not any(selection.done() for selection in selections)
        finally:
            endless.enough.set()
        assert [selection.result(SOON).status_code for selection in selections] == [200, 200, 200]


def test_a_photograph_is_encoded_again_after_a_failure():
    def encode(picture: Picture) -> Squares:
        raise MemoryError

    objects = Objects(encode)
    with client(raises=False, objects=objects) as browser:
        photo = opened(browser, png(pixels()))
        assert asked(browser, photo, click="10,8,1").status_code == 500
        objects.encoder = Squares
        assert asked(browser, photo, click="10,8,1").status_code == 200


def test_selections_end_with_the_server(endless):
    held, prompt = Objects(lambda _: endless), Prompt(clicks=((10, 8, True),))
    photo = Photo.read("a.png", png(pixels()))

    async def ended() -> list[Any]:
        running = [asyncio.create_task(held.select(photo, prompt, None)) for _ in range(3)]
        await asyncio.to_thread(endless.began.wait, SOON)
        held.close()
        return await asyncio.gather(*running, return_exceptions=True)

    # The running selection ends at its next click, and those that wait are cancelled.
    errors = [type(error) for error in asyncio.run(ended())]
    assert errors == [Cancelled, asyncio.CancelledError, asyncio.CancelledError]
    assert endless.stopped.is_set()
    held = Objects(Squares)
    with client(objects=held) as browser:
        opened(browser, png(pixels()))
    with pytest.raises(RuntimeError, match="after shutdown"):
        held.encode(Photo.read("b.png", png(pixels())))


def test_a_missing_package_has_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with client(objects=Objects()) as browser:
        photo = opened(browser, png(pixels()))
        answer = asked(browser, photo, click="10,8,1")
        assert (answer.status_code, "pip install 'scoreinv[select]'" in answer.json()["error"]) == (422, True)
        assert browser.get("/api/limits").json()["objects"] == answer.json()["error"].rstrip(".")
