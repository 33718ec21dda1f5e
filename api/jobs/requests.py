"""What may be asked of a job. Knows no store and no queue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from api.text import RequestBody


class _Request(RequestBody):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reindex(_Request):
    """Builds the index of the settings' corpus beside the current one, then switches to it."""

    kind: Literal["reindex"]


class Rollback(_Request):
    """Puts the build before the current one back into service."""

    kind: Literal["rollback"]


class Expand(_Request):
    """Has a model write other ways of asking into `data_dir/expansions/<provider>.jsonl`."""

    kind: Literal["expand"]
    provider: str = Field(description="who writes; needs a model")
    limit: int | None = Field(None, ge=1, description="so many FAQs at most")
    concurrency: int = Field(8, ge=1, le=64)


class Evaluate(_Request):
    """Measures the service on a case file that lies in `data_dir/cases`."""

    kind: Literal["evaluate"]
    measure: Literal["retrieval", "answers"] = "retrieval"
    cases: str = Field(pattern=r"^[\w-]+(\.[\w-]+)*\.jsonl$", description="file name in data_dir/cases")
    provider: str | None = Field(None, description="who answers; the settings' default")


JobRequest = Annotated[Reindex | Rollback | Expand | Evaluate, Field(discriminator="kind")]
JOB_REQUEST: TypeAdapter[Reindex | Rollback | Expand | Evaluate] = TypeAdapter(JobRequest)
