"""The loop over the pictures of a plan, in this process or in several. A repeated run skips finished pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from scoreinv.batch.plan import Job, Plan, Row
from scoreinv.batch.work import Work, process
from scoreinv.files.urls import is_url
from scoreinv.system.files import STREAM, remove_leftovers
from scoreinv.system.progress import reporting

Progress = Callable[..., None]
"""Called with the finished fraction of the batch, the seconds left (None: unknown), and the current picture's path:
empty for a single picture, and with several processes."""


def run(plan: Plan, work: Work, progress: Progress = lambda *_: None) -> Generator[Row, None, None]:
    """Process the pictures of a plan, and yield the row of each when it finishes.

    A batch continues after a failed picture.

    Args:
        progress: see `Progress`.

    Raises:
        CheckpointError: a model cannot be used.
        ScoreinvError, OSError: any other failure outside a batch, or of the whole batch, such as a missing cluster.
    """
    rows = {job: plan.row_if_skipped(job, overwrite=work.options.overwrite) for job in plan.jobs}
    wanted = [job for job, row in rows.items() if row is None]
    workers: int | str = 1
    if work.dry_run or (plan.batch and wanted):
        work.check()  # before the pictures, since each would fail
    if plan.batch and wanted and not work.dry_run:
        from scoreinv.batch.workers import choose_workers

        workers = choose_workers(wanted, work)
    written = [path for job in plan.jobs for path in (*job.outputs, *job.auxiliary) if path != STREAM]
    for folder in {Path(path).parent for path in written if not (work.dry_run or is_url(path))}:
        remove_leftovers(folder)
    done = 0
    for job, row in rows.items():
        if row is not None:
            yield row
        elif workers == 1:
            name = job.source if len(wanted) > 1 else ""

            def forward(share: float, done: int = done, name: str = name) -> None:
                progress((done + share) / len(wanted), None, name)

            forward(0.0)
            with reporting(forward):
                finished = process(job, work)
            yield finished
            done += 1
    if workers != 1:
        yield from _run_parallel(wanted, work, workers, progress)


def _run_parallel(wanted: list[Job], work: Work, workers: int | str, progress: Progress) -> Generator[Row, None, None]:
    """Process pictures in several processes, or on a Ray cluster (`ray`)."""
    if workers == "ray":
        from scoreinv.batch.cluster import process_on_ray

        parallel = process_on_ray(wanted, work)
    else:
        from scoreinv.batch.workers import process_in_workers

        parallel = process_in_workers(wanted, work, int(workers))
    begun = time.monotonic()
    with closing(parallel) as finished:
        for done, row in enumerate(finished, 1):
            yield row
            pace = (time.monotonic() - begun) / done  # of all pictures, because they finish in bursts
            progress(done / len(wanted), (len(wanted) - done) * pace, "")
