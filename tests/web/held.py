"""The page served within the test, by a model that is given out when the test wants: a job lasts as long as that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from client import Bright
from scoreinv.models.photo_models import PhotoModels
from small_model import small_prior

from scoreinv.prior import ScorePrior
from scoreinv.web.access import LOOPBACK, Access, listen
from scoreinv.web.app import make_app
from scoreinv.web.jobs import Job, JobQueue

SOON = 90.0
"""Seconds: far more than anything takes here."""


class HeldModel:
    """What fills: whoever asks for it waits until it is `free`, and gets it, or the error."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> ScorePrior:
        assert self.free.wait(SOON)
        if self.error is not None:
            raise self.error
        return small_prior()


@dataclass(frozen=True)
class Served:
    """The page's link, its model, and where its jobs are done."""

    link: str
    model: HeldModel
    queue: JobQueue

    @property
    def jobs(self) -> list[Job]:
        """All that were asked for."""
        return list(self.queue._jobs.values())


@contextmanager
def served() -> Iterator[Served]:
    model, queue = HeldModel(), JobQueue(prepare=lambda: None)
    with listen(LOOPBACK, 0) as listener:
        access = Access.to(None, listener.getsockname()[1])
        app = make_app(PhotoModels(Bright, model, small_prior, small_prior), access, queue)
        server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="on", log_config=None))
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Served(access.link, model, queue)
        finally:
            model.free.set()
            server.should_exit = True
            thread.join(SOON)
