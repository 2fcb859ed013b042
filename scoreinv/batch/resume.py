"""Which pictures of a batch need no work: their results exist, from an earlier run or from another process."""

from __future__ import annotations

from typing import Any

from scoreinv.batch.plan import Job, Plan
from scoreinv.files.urls import exists

Row = dict[str, Any]
"""What `--json` prints of a picture, and the manifest records."""
EXISTS = "exists"
"""Reason of a row whose results were there before the run."""
BY_ANOTHER = "by another process"
"""Reason of a row whose results another process wrote during the run."""


def unneeded(job: Job, jobs: Plan, *, overwrite: bool) -> Row | None:
    """Return the row of a picture without work: finished before, or left out; else None."""
    if jobs.batch and not overwrite and jobs.has(job):
        return skipped(job, EXISTS)
    if job.source not in jobs.left_out:
        return None
    return {"input": job.source, "skipped": jobs.left_out[job.source], "finished": jobs.has(job)}


def missing(job: Job, *, keep: bool) -> list[str]:
    """Return the results to write; those that exist are left out if `keep`."""
    return [path for path in job.outputs if not (keep and exists(path))]


def skipped(job: Job, reason: str) -> Row:
    """Return the row of a picture whose results exist."""
    outputs = {"output": job.outputs[0], "outputs": list(job.outputs)}
    return {"input": job.source, **outputs, "skipped": reason, "finished": True}
