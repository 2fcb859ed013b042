"""The queue of jobs: order, cancelling, timeouts, and memory; the album's limit."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from support.processes import wait_for

from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import Cancelled
from scoreinv.system.progress import report
from scoreinv.web import jobs
from scoreinv.web.album import Album
from scoreinv.web.jobs import BusyError, JobQueue
from scoreinv.web.photo import GoneError, Photo


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    made = JobQueue(prepare=lambda: None)
    yield made
    made.close()


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made.monotonic)
    return made


class Work:
    """Work that runs until the test frees it, or it is stopped."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        self.stopped = False
        self.reports = 0

    def __call__(self) -> dict[str, int]:
        self.begun.set()
        try:
            while not self.free.wait(0.01):
                report(0.5)
                self.reports += 1
        except Cancelled:
            self.stopped = True
            raise
        return {"answer": 42}


def test_one_after_the_other(queue):
    works = [Work() for _ in range(3)]
    first, second, third = (queue.submit(work) for work in works)
    works[0].begun.wait(60)
    wait_for(lambda: first.done == 0.5)
    assert [job.state for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert [queue.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    works[0].free.set()
    works[1].begun.wait(60)
    assert (first.state, first.result, queue.ahead(third)) == ("done", {"answer": 42}, 1)
    assert not works[2].begun.is_set()
    works[1].free.set()
    works[2].free.set()
    wait_for(lambda: third.over)
    assert queue.get(third.key) is third


def test_cancel(queue):
    """Whoever does it has not abandoned the job."""
    works = [Work() for _ in range(3)]
    running, waiting, last = (queue.submit(work) for work in works)
    works[0].begun.wait(60)
    queue.cancel(waiting)
    assert waiting.state == "cancelled"
    queue.cancel(running)
    wait_for(lambda: running.over)
    assert (running.state, works[0].stopped) == ("cancelled", True)
    works[2].free.set()
    wait_for(lambda: last.over)
    assert (last.state, works[1].begun.is_set()) == ("done", False)
    queue.cancel(last)
    assert last.state == "done"
    assert not running.abandoned
    assert not waiting.abandoned


def test_a_job_without_polls_is_stopped(clock, queue):
    """As after its page was closed; a reloaded page polls again in time."""

    def goes_on(work: Work) -> None:
        before = work.reports
        wait_for(lambda: work.reports > before + 1)

    looked_at, left, never = Work(), Work(), Work()
    job, queued = queue.submit(looked_at), queue.submit(Work())
    job.poll()
    clock.now += 0.9 * jobs.TIMEOUT
    goes_on(looked_at)
    job.poll()
    clock.now += 0.9 * jobs.TIMEOUT
    goes_on(looked_at)
    assert job.state == "running"
    clock.now += 0.2 * jobs.TIMEOUT
    wait_for(lambda: job.over and queued.over)
    assert (job.state, queued.state, looked_at.stopped) == ("cancelled", "cancelled", True)
    job = queue.submit(left)
    job.poll()
    job.leave()
    job.poll()  # was on its way
    clock.now += 0.9 * jobs.SHORT_TIMEOUT
    goes_on(left)
    job.poll()
    clock.now += 0.9 * jobs.TIMEOUT
    goes_on(left)
    job.leave()
    job.poll()
    clock.now += 1.1 * jobs.SHORT_TIMEOUT
    wait_for(lambda: job.over)
    assert (job.state, job.abandoned, left.stopped) == ("cancelled", True, True)
    job = queue.submit(never)
    goes_on(never)
    clock.now += 1.1 * jobs.SHORT_TIMEOUT
    wait_for(lambda: job.over)
    assert job.abandoned


def test_the_queue_has_an_end(queue):
    works = [Work() for _ in range(jobs.MOST_WAITING + 1)]
    queue.submit(works[0])
    works[0].begun.wait(60)
    for work in works[1:]:
        queue.submit(work)
    with pytest.raises(BusyError, match="jobs are waiting already"):
        queue.submit(Work())


def test_jobs_whose_pages_have_gone_hold_no_places(clock, queue):
    works = [Work() for _ in range(jobs.MOST_WAITING + 1)]
    first, *waiting = (queue.submit(work) for work in works[:-1])
    works[0].begun.wait(60)
    for job in (first, waiting[-1]):
        job.poll()
    assert queue.ahead(waiting[-1]) == len(waiting)
    clock.now += 1.1 * jobs.SHORT_TIMEOUT
    assert queue.ahead(waiting[-1]) == 1
    assert [job.state for job in waiting] == [*["cancelled"] * (len(waiting) - 1), "waiting"]
    waiting[-1].leave()
    clock.now += 1.1 * jobs.SHORT_TIMEOUT
    for _ in range(jobs.MOST_WAITING):
        queue.submit(Work())
    assert waiting[-1].state == "cancelled"


def test_old_jobs_are_forgotten(queue, limit):
    limit(finished_jobs=2)
    made = []
    for _ in range(5):
        made.append(queue.submit(lambda: {}))
        wait_for(lambda: made[-1].over)
    for job in made[2:]:  # the last, and two that were over before it
        queue.get(job.key)
    for job in made[:2]:
        with pytest.raises(GoneError):
            queue.get(job.key)


def test_the_end_stops_what_is_done():
    queue, work, never = JobQueue(prepare=lambda: None), Work(), Work()
    running, waiting = queue.submit(work), queue.submit(never)
    work.begun.wait(60)
    queue.close()
    assert (running.state, waiting.state, never.begun.is_set()) == ("cancelled", "cancelled", False)


def test_a_job_is_dropped_or_has_begun(queue):
    """Whoever cancels it in the moment in which it begins stops it; it is not over before."""
    work = Work()
    job = queue.submit(work)
    work.begun.wait(60)
    job.cancel()
    job.drop()  # of one that was seen waiting just before
    assert job.state == "running"
    wait_for(lambda: job.over)
    assert (job.state, work.stopped) == ("cancelled", True)


def test_preparation_is_done_once_and_only_when_a_job_is_expected():
    calls = []

    def prepare() -> None:
        calls.append(1)
        raise RuntimeError("no such model")

    queue = JobQueue(prepare)
    try:
        job = queue.submit(lambda: {})
        wait_for(lambda: job.over)
        queue.expect()
        time.sleep(0.1)
        assert calls == []  # the job has done it
    finally:
        queue.close()
    queue = JobQueue(prepare)
    try:
        queue.expect()
        wait_for(lambda: calls == [1])
        queue.expect()
        job = queue.submit(lambda: {})
        wait_for(lambda: job.over)
        assert (job.state, calls) == ("done", [1])
    finally:
        queue.close()


def test_work_that_has_made_no_progress_is_stopped(queue):
    """As of a model that is loaded, or a photograph that is looked at before the first window."""
    begun, free = threading.Event(), threading.Event()

    def work() -> dict[str, int]:
        begun.set()
        while not free.wait(0.01):
            report()
        return {}

    job = queue.submit(work)
    begun.wait(60)
    queue.cancel(job)
    wait_for(lambda: job.over)
    free.set()
    assert (job.state, job.done) == ("cancelled", 0)


def test_a_job_that_is_done_before_it_is_stopped_has_its_result(clock, queue):
    def work() -> dict[str, int]:
        clock.now += 1.1 * jobs.SHORT_TIMEOUT
        with suppress(Cancelled):
            report(1.0)
        return {"answer": 42}

    job = queue.submit(work)
    wait_for(lambda: job.over)
    assert job.abandoned
    assert (job.state, job.done, job.result) == ("done", 1.0, {"answer": 42})


def test_photographs_that_were_not_used_for_the_longest_go_first(limit):
    photos = [Photo(Picture(np.zeros((200, 200), np.uint8)), str(number), "PNG") for number in range(5)]
    limit(album_bytes=120_000)
    album = Album()
    for photo in photos[:3]:
        album.add(photo)
    assert album.get(photos[0].key) is photos[0]
    album.add(photos[3])
    with pytest.raises(GoneError, match="open it again"):
        album.get(photos[1].key)
    assert [album.get(photos[number].key).stem for number in (0, 2, 3)] == ["0", "2", "3"]
    large = Photo(Picture(np.zeros((500, 500), np.uint8)), "large", "PNG")
    album.add(large)
    assert album.get(large.key) is large
    with pytest.raises(GoneError):
        album.get(photos[3].key)
    assert len({photo.key for photo in photos}) == 5
