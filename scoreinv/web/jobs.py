"""A queue of long jobs, run one at a time. Clients poll a job's progress and can cancel it."""

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
from scoreinv.system.limits import limits
from scoreinv.system.progress import reported_to
from scoreinv.system.progress_bar import ETA
from scoreinv.web.photo import GoneError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

MOST_WAITING = 8
TIMEOUT = 300.0
"""Seconds without a poll before a job is abandoned: its page may be in the background, or on a locked phone."""
SHORT_TIMEOUT = 20.0
"""Timeout after the page was closed or reloaded, in seconds: a reloaded page polls again."""
_IN_FLIGHT = 2.0  # seconds that a poll may take to arrive
_log = logging.getLogger(__name__)


class BusyError(ScoreinvError):
    """The queue is full."""


class Job:
    """A job, from its request until its result is fetched.

    Args:
        work: the function to run; it returns the JSON of the result.

    Attributes:
        state: waiting, running, done, failed or cancelled.
        done: the fraction of the work that is done.
        left: estimated seconds left; None if unknown.
        result: JSON of the result of a job that is done.
        error: why the job failed, without its traceback, which would hold pictures.
        abandoned: the job was cancelled because no client polled it.
    """

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self.key = secrets.token_urlsafe(12)
        self.state: State = "waiting"
        self.done = 0.0
        self.left: float | None = None
        self.result: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.abandoned = False
        self._work: Callable[[], dict[str, Any]] | None = work
        self._eta = ETA()
        self._cancelled = threading.Event()
        self._polled_at, self._timeout = time.monotonic(), SHORT_TIMEOUT
        self._left_at = -math.inf
        self._starting = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state not in ("waiting", "running")

    def should_stop(self) -> bool:
        """Return whether the job was cancelled or abandoned; mark it as abandoned after its timeout."""
        self.abandoned |= not self.over and time.monotonic() - self._polled_at > self._timeout
        return self.abandoned or self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop the work at its next report."""
        self._cancelled.set()

    def poll(self) -> None:
        """Keep the job alive. A poll just after `leave` was sent by the page that left, and does not count."""
        now = time.monotonic()
        if now - self._left_at > _IN_FLIGHT:
            self._polled_at, self._timeout = now, TIMEOUT

    def leave(self) -> None:
        """Shorten the timeout: the page was closed, or is being reloaded."""
        self._left_at = self._polled_at = time.monotonic()
        self._timeout = SHORT_TIMEOUT

    def drop(self) -> None:
        """Cancel the job if it has not started, and release its pictures."""
        with self._starting:
            if self.state == "waiting":
                self._work, self.state = None, "cancelled"

    def run(self) -> None:
        """Do the work, unless the job was cancelled or abandoned."""
        with self._starting:
            work, self._work = self._work, None  # a job that is remembered holds no pictures
            if work is None or self.should_stop():
                self.state = "cancelled"
                return
            self.state = "running"
        try:
            with reported_to(self._progress):
                self.result = work()
        except Cancelled:
            self.state = "cancelled"
        except Exception as error:
            if not isinstance(error, ScoreinvError):
                _log.exception("a job failed")
            # Tracebacks, also those of causes, hold the variables of the functions that failed.
            error.__cause__ = error.__context__ = None
            self.error = error.with_traceback(None)
            self.state = "failed"
        else:
            self.state = "done"

    def _progress(self, done: float) -> bool:
        self.done = done
        self.left = self._eta.left(time.monotonic(), done)
        return not self.should_stop()


class JobQueue:
    """Runs jobs one after another, in one thread.

    Args:
        prepare: slow preparation for the first job, such as loading a model. `expect` runs it if no job has come.
    """

    def __init__(self, prepare: Callable[[], object]) -> None:
        self._prepare: Callable[[], object] | None = prepare  # None: done, or not needed
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_calls, name="scoreinv-jobs", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], dict[str, Any]]) -> Job:
        """Return a queued job for the work; raise BusyError if too many jobs are waiting."""
        job = Job(work)
        with self._lock:
            if sum(each.state == "waiting" for each in self._unfinished()) >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} jobs are waiting already: try again in a few minutes.")
            self._jobs[job.key] = job
            for key in [key for key, old in self._jobs.items() if old.over][: -limits().finished_jobs]:
                del self._jobs[key]
            self._prepare = None  # the job loads its own model
            self._calls.put(job.run)
        return job

    def expect(self) -> None:
        """Prepare for a job that is expected soon."""
        self._calls.put(self._run_prepare)

    def get(self, key: str) -> Job:
        """Return the job of a key; raise GoneError if there is none."""
        with self._lock:
            if key not in self._jobs:
                raise GoneError("This job is no longer known here: start it again.")
            return self._jobs[key]

    def ahead(self, job: Job) -> int:
        """Return the number of jobs before this one."""
        with self._lock:
            unfinished = self._unfinished()
            return unfinished.index(job) if job in unfinished else 0

    def cancel(self, job: Job) -> None:
        """Stop a job: at once if it is waiting, at its next report if it is running."""
        job.cancel()
        with self._lock:
            self._unfinished()

    def close(self, seconds: float = 10.0) -> None:
        """Cancel all jobs, and wait at most this long for the running one."""
        with self._lock:
            self._prepare = None
            for job in self._unfinished():
                job.cancel()
        self._calls.put(None)
        self._thread.join(seconds)

    def _unfinished(self) -> list[Job]:
        """Drop waiting jobs that should stop; return the others that have not ended, in order. Needs the lock."""
        for job in self._jobs.values():
            if job.state == "waiting" and job.should_stop():
                job.drop()
        return [job for job in self._jobs.values() if not job.over]

    def _run_prepare(self) -> None:
        with self._lock:
            prepare, self._prepare = self._prepare, None
        if prepare is not None:
            prepare()

    def _run_calls(self) -> None:
        for call in iter(self._calls.get, None):
            with suppress(Exception):  # if the preparation fails, so does the first job, with a message
                call()
