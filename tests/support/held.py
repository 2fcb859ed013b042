"""The page served within the test. Its jobs wait for the model until the test frees it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn

from scoreinv.models.loading import Models
from scoreinv.prior import ScorePrior
from scoreinv.web.access import LOOPBACK, Access, listen
from scoreinv.web.app import make_app
from scoreinv.web.jobs import Job, JobQueue
from scoreinv.web.objects import Objects
from support.client import bright_detector
from support.small_model import small_prior

SOON = 90.0
"""Timeout in seconds, far more than any step needs."""


class HeldModel:
    """A model that is available, or raises its error, once it is `free`."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> ScorePrior:
        assert self.free.wait(SOON)
        if self.error is not None:
            raise self.error
        return small_prior()


@dataclass(frozen=True)
class HeldModels(Models):
    """Models whose filler is held."""

    held: HeldModel = field(default_factory=HeldModel)

    def filler(self) -> ScorePrior:
        return self.held()


@dataclass(frozen=True)
class Served:
    """A running server: the page's link, its model, its queue and its objects."""

    link: str
    model: HeldModel
    queue: JobQueue
    objects: Objects

    @property
    def jobs(self) -> list[Job]:
        """All jobs so far."""
        return list(self.queue._jobs.values())


@contextmanager
def served() -> Iterator[Served]:
    model, queue, objects = HeldModel(), JobQueue(prepare=lambda: None), Objects(lambda _: None)
    with listen(LOOPBACK, 0) as listener:
        access = Access.to(None, listener.getsockname()[1])
        prior = small_prior()
        models = HeldModels(damage=bright_detector(), inpaint=prior, denoise=prior, colorize=prior, held=model)
        app = make_app(models, access, queue, objects)
        server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="on", log_config=None))
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Served(access.link, model, queue, objects)
        finally:
            model.free.set()
            server.should_exit = True
            thread.join(SOON)
