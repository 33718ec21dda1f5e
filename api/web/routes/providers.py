"""Who can answer: names and models, how each is doing and what it has cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.errors import NotFound, StateUnavailable
from api.providers.breaker import Reading
from api.providers.choice import Providers
from api.providers.health import Health
from api.providers.stats import Latency, Record
from api.web.routes.dependencies import CallerDep, ServicesDep

router = APIRouter(tags=["providers"])


class LatencyModel(BaseModel):
    """Percentiles of the last one to two hours, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, latency: Latency | None) -> LatencyModel | None:
        """The model of `latency`, None where nothing was measured."""
        return cls(**asdict(latency)) if latency else None


class ProviderModel(BaseModel):
    """One provider; counts are of all processes together, absent while the state store is away."""

    name: str
    model: str
    llm: bool = Field(description="follows instructions; false for the FAQ's own sentences")
    third_party: bool = Field(description="text leaves the operator's machines")
    healthy: bool = Field(description="answered when last asked, and its breaker is not open")
    detail: str = Field(description="what is wrong, in Korean; empty where nothing is")
    breaker: Literal["closed", "open", "half_open"]
    retry_after_s: float = Field(description="until an open breaker lets a probe through")
    answers: dict[str, int] = Field(description="how answers ended: answered, failed, rejected, left")
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = Field(0.0, description="so far, at the prices of the settings")
    first_token: LatencyModel | None = None
    total: LatencyModel | None = None


class ProviderList(BaseModel):
    """Every provider a request may name."""

    default: str
    fallback: list[str] = Field(description="who stands in for one that fails, in order")
    providers: list[ProviderModel]


@router.get("/providers")
async def providers(services: ServicesDep, caller: CallerDep) -> ProviderList:
    """Tells who can answer. Health is asked at most every ten seconds."""
    if caller.visits and not services.settings.public.choose_provider:
        raise NotFound("찾을 수 없습니다.")
    found = services.providers
    health = await found.health.read()
    readings = await found.breaker.readings(found.names) if found.breaker else {}
    records: dict[str, Record] = {}
    if found.stats is not None:
        try:
            records = await found.stats.read(found.names)
        except StateUnavailable:
            records = {}
    models = [
        _model(found, name, health.get(name, Health()), readings.get(name, Reading()), records.get(name))
        for name in found.names
    ]
    return ProviderList(default=found.default, fallback=list(found.fallback), providers=models)


def _model(
    found: Providers, name: str, health: Health, reading: Reading, record: Record | None
) -> ProviderModel:
    provider = found.get(name)
    resting = "여러 번 실패해 잠시 쉬고 있습니다." if reading.position == "open" else ""
    return ProviderModel(
        name=name,
        model=provider.model,
        llm=provider.llm,
        third_party=provider.third_party,
        healthy=health.healthy and not resting,
        detail=health.detail or resting,
        breaker=reading.position,
        retry_after_s=reading.wait_s,
        answers=dict(record.outcomes) if record else {},
        prompt_tokens=record.prompt_tokens if record else 0,
        completion_tokens=record.completion_tokens if record else 0,
        cost_usd=record.cost_usd if record else 0.0,
        first_token=LatencyModel.of(record.first_token) if record else None,
        total=LatencyModel.of(record.total) if record else None,
    )
