"""Work that takes long: one job at a time, the others in a queue, each told how far it is and stopped when asked."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Literal

from scoreinv.system.errors import Cancelled, ScoreinvError
from scoreinv.system.reporting import reporting
from scoreinv.system.time_left import ETA
from scoreinv.tasks.results import TaskCallback, tell
from scoreinv.web.album import GoneError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

MOST_WAITING = 8
PATIENCE = 300.0
"""Seconds that a job goes on without being looked at: its page may be in the background, or on a locked phone."""
SHORT_PATIENCE = 20.0
"""The same once its page has ended: one that is loaded anew comes back, a closed one does not."""
_ON_THE_WAY = 2.0  # seconds that a look may take to come here
_KEPT = 64  # jobs that are remembered after their end
_log = logging.getLogger(__name__)


class BusyError(ScoreinvError):
    """The queue is full."""


class Job:
    """A piece of work, from when it is asked for until its result is fetched.

    Args:
        work: reports how far it is, and returns what the page is told of the result.

    Attributes:
        state: waiting, running, and one of three ends.
        done: the share of the work that is done.
        left: seconds that it still takes; None if nothing tells it.
        made: what the page is told of the result of one that is done.
        error: why one failed, without its traceback, which would hold the pictures that were worked on.
        abandoned: it was cancelled since nobody looked at it for too long.
    """

    def __init__(self, work: Callable[[TaskCallback], dict[str, Any]]) -> None:
        self.key = secrets.token_urlsafe(12)
        self.state: State = "waiting"
        self.done = 0.0
        self.left: float | None = None
        self.made: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.abandoned = False
        self._work: Callable[[TaskCallback], dict[str, Any]] | None = work
        self._pace = ETA()
        self._stopped = threading.Event()
        self._seen, self._patience = time.monotonic(), SHORT_PATIENCE
        self._left_at = -math.inf
        self._begins = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.state not in ("waiting", "running")

    def is_unwanted(self) -> bool:
        """Find out whether it is to be stopped; one that nobody looked at for too long is abandoned from now on."""
        self.abandoned |= not self.over and time.monotonic() - self._seen > self._patience
        return self.abandoned or self._stopped.is_set()

    def cancel(self) -> None:
        """Stop the work at its next report."""
        self._stopped.set()

    def look(self) -> None:
        """Somebody looks at it. A look just after a page has gone is that page's last, and does not count."""
        now = time.monotonic()
        if now - self._left_at > _ON_THE_WAY:
            self._seen, self._patience = now, PATIENCE

    def leave(self) -> None:
        """Who looked at it has gone."""
        self._left_at = self._seen = time.monotonic()
        self._patience = SHORT_PATIENCE

    def drop(self) -> None:
        """Let go of the work, and of the pictures that it holds, unless it has begun: it was cancelled before."""
        with self._begins:
            if self.state == "waiting":
                self._work, self.state = None, "cancelled"

    def run(self) -> None:
        """Do the work, once, unless nobody wants it any more."""
        with self._begins:
            work, self._work = self._work, None  # a job that is remembered holds no pictures
            if work is None or self.is_unwanted():
                self.state = "cancelled"
                return
            self.state = "running"
        try:
            with reporting(lambda _: tell(self._report, self.done)):
                self.made = work(self._report)
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            if not isinstance(error, ScoreinvError):
                _log.exception("a job failed")
            # bare of what came before it and where: tracebacks hold the variables of the functions that failed
            error.__cause__ = error.__context__ = None
            self.error = error.with_traceback(None)
            self.state = "failed"
        else:
            self.state = "done"

    def _report(self, done: float) -> bool:
        self.done = done
        self.left = self._pace.left(time.monotonic(), done)
        return not self.is_unwanted()


class JobQueue:
    """The one place where jobs are done, by a thread of its own.

    Args:
        prepare: what takes long and the first job needs: done while nobody waits yet, once `expect` is called.
    """

    def __init__(self, prepare: Callable[[], object]) -> None:
        self._prepare: Callable[[], object] | None = prepare  # None: it is done, or not needed
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._turns: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._take_turns, name="scoreinv-jobs", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[TaskCallback], dict[str, Any]]) -> Job:
        """A job for the work, done when its turn comes; BusyError where too many wait already."""
        job = Job(work)
        with self._lock:
            if sum(each.state == "waiting" for each in self._unfinished()) >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} jobs are waiting already: try again in a few minutes.")
            self._jobs[job.key] = job
            for key in [key for key, old in self._jobs.items() if old.over][:-_KEPT]:
                del self._jobs[key]
            self._prepare = None  # the job does it
            self._turns.put(job.run)
        return job

    def expect(self) -> None:
        """A job will come soon."""
        self._turns.put(self._get_ready)

    def get(self, key: str) -> Job:
        """The job of a key; GoneError where there is none."""
        with self._lock:
            if key not in self._jobs:
                raise GoneError("This job is no longer known here: start it again.")
            return self._jobs[key]

    def ahead(self, job: Job) -> int:
        """How many jobs come before one."""
        with self._lock:
            unfinished = self._unfinished()
            return unfinished.index(job) if job in unfinished else 0

    def cancel(self, job: Job) -> None:
        """Stop a job: at once if it waits, at its next report if it runs."""
        job.cancel()
        with self._lock:
            self._unfinished()

    def close(self, seconds: float = 10.0) -> None:
        """Stop all jobs, and wait so long for the one that runs; nothing more is prepared."""
        with self._lock:
            self._prepare = None
            for job in self._unfinished():
                job.cancel()
        self._turns.put(None)
        self._thread.join(seconds)

    def _unfinished(self) -> list[Job]:
        """The jobs that run or wait, in order, without those whose page has gone; called with the lock."""
        for job in self._jobs.values():
            if job.state == "waiting" and job.is_unwanted():
                job.drop()
        return [job for job in self._jobs.values() if not job.over]

    def _get_ready(self) -> None:
        with self._lock:
            prepare, self._prepare = self._prepare, None
        if prepare is not None:
            prepare()

    def _take_turns(self) -> None:
        for turn in iter(self._turns.get, None):
            with suppress(Exception):  # what cannot be prepared will fail the first job, too, which says so
                turn()
