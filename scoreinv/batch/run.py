"""The loop over the pictures of a plan: in this process or in several, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from scoreinv.batch.outputs import STREAM
from scoreinv.batch.plan import Plan
from scoreinv.batch.resume import Row, unneeded
from scoreinv.batch.work import Work, process
from scoreinv.files.urls import is_url
from scoreinv.system.files import remove_leftovers

Progress = Callable[..., None]
"""Called with the share of the batch that is done, the seconds left (None: unknown), and the current picture."""


def run(jobs: Plan, work: Work, progress: Progress = lambda *_: None) -> Generator[Row, None, None]:
    """Process the pictures of a plan, and yield each row.

    A batch goes on after a failed picture. Rows come in the order in which pictures finish.

    Args:
        progress: see `Progress`.

    Raises:
        CheckpointError: a model cannot be used.
        ScoreinvError, OSError: outside a batch, whatever fails.
    """
    rows = {job: unneeded(job, jobs, overwrite=work.options.overwrite) for job in jobs.jobs}
    wanted = [job for job, row in rows.items() if row is None]
    workers: int | str = 1
    if work.dry_run or (jobs.batch and wanted):
        work.check()  # else every picture fails
    if jobs.batch and wanted and not work.dry_run:
        from scoreinv.batch.workers import choose_workers

        workers = choose_workers(wanted, work)
    if not work.dry_run:
        written = {path for job in jobs.jobs for path in (*job.outputs, *job.beside) if path != STREAM}
        for folder in {Path(path).parent for path in written if not is_url(path)}:
            remove_leftovers(folder)
    done = 0

    def share(part: float) -> None:
        progress((done + part) / len(wanted), None, job.source if len(wanted) > 1 else "")

    for job, row in rows.items():
        if row is not None:
            yield row
        elif workers == 1:
            yield process(job, work, share)
            done += 1
    if workers == 1:
        return
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
            pace = (time.monotonic() - begun) / done  # of all pictures: they finish in bursts
            progress(done / len(wanted), (len(wanted) - done) * pace, "")
