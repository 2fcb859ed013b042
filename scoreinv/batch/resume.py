"""Resuming a batch: rows of pictures that are not processed, since their results exist or the plan leaves them out."""

from __future__ import annotations

from typing import Any

from scoreinv.batch.plan import Job, Plan
from scoreinv.files.urls import exists

Row = dict[str, Any]
"""The result or failure of a picture, as `--json` prints it and the manifest records it; its keys are in `work`."""
EXISTS = "exists"
"""Value of `skipped` if the results existed before the run."""
BY_ANOTHER = "by another process"
"""Value of `skipped` if another process wrote the results during the run."""


def row_if_skipped(job: Job, plan: Plan, *, overwrite: bool) -> Row | None:
    """Return the row of a picture that is finished, or that the plan leaves out; None if it must be processed."""
    if plan.batch and not overwrite and plan.has_results(job):
        return finished_row(job, EXISTS)
    if job.source not in plan.left_out:
        return None
    return {"input": job.source, "skipped": plan.left_out[job.source], "finished": plan.has_results(job)}


def outputs_to_write(job: Job, *, keep: bool) -> list[str]:
    """Return the paths of the results to write: all, or with `keep` those that do not exist."""
    return [path for path in job.outputs if not (keep and exists(path))]


def finished_row(job: Job, reason: str) -> Row:
    """Return the row of a picture that is skipped because its results exist, for a reason such as `EXISTS`."""
    outputs = {"output": job.outputs[0], "outputs": list(job.outputs)}
    return {"input": job.source, **outputs, "skipped": reason, "finished": True}
