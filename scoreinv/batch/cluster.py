"""A Ray cluster: pictures are rows of a Ray dataset, processed wherever there is room. All machines share the files."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from scoreinv.batch.plan import Job
from scoreinv.batch.work import Row, Work, process


class Processor:
    """Processes one picture of a row after another; its models are loaded once."""

    def __init__(self, jobs: list[Job], work: Work) -> None:
        self._jobs, self._work = jobs, work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"row": json.dumps(process(self._jobs[row["number"]], self._work))}


def process_on_ray(jobs: list[Job], work: Work) -> Generator[Row, None, None]:
    """Process pictures on the cluster at RAY_ADDRESS, else on this machine; yield their rows as they finish."""
    import ray

    numbers = ray.data.from_items([{"number": number} for number in range(len(jobs))])
    rows = numbers.map(Processor, fn_constructor_args=(jobs, work), concurrency=(1, len(jobs)))  # type: ignore[arg-type]
    for row in rows.iter_rows():
        yield json.loads(row["row"])
