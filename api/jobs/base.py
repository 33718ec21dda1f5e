"""The job runner seam: who carries out a job. Knows no HTTP and no kind of job."""

from __future__ import annotations

from typing import Protocol


class JobRunner(Protocol):
    """Runs jobs; their progress appears in the records."""

    async def start(self, job_id: str) -> None:
        """Sees to it that the recorded job is run. Raises `Overloaded`, `QueueUnavailable`."""
        ...
