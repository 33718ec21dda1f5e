"""Who can answer: names and models, how each is doing and what it has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal, NamedTuple

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.errors import NotFound, StateUnavailable
from api.providers.base import ChatProvider
from api.providers.breaker import Position, Reading
from api.providers.health import Health
from api.providers.openai.upstreams import Server
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


class ServerModel(BaseModel):
    """One of several servers of a provider."""

    address: str
    healthy: bool = Field(description="answered when last asked, and its breaker is not open")
    detail: str = Field(description="what is wrong, in Korean; empty where nothing is")
    breaker: Literal["closed", "open", "half_open"]
    retry_after_s: float = Field(description="until an open breaker lets a probe through")
    outstanding: int = Field(description="requests of this process that it is answering")


class ProviderModel(BaseModel):
    """One provider; counts are of all processes together, absent while the state store is away."""

    name: str
    model: str
    llm: bool = Field(description="follows instructions; false for the FAQ's own sentences")
    third_party: bool = Field(description="text leaves the operator's machines")
    healthy: bool = Field(
        description="answered when last asked, and its breaker is not open; of several, one"
    )
    detail: str = Field(description="what is wrong, in Korean; empty where nothing is")
    breaker: Literal["closed", "open", "half_open"]
    retry_after_s: float = Field(description="until an open breaker lets a probe through")
    servers: list[ServerModel] = Field([], description="where the provider has several")
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
    several = {name: each.servers for name, each in found.upstreams.items() if each.several}
    keys = [*found.names, *(server.key for servers in several.values() for server in servers)]
    readings = await found.breaker.readings(keys) if found.breaker else {}
    records: dict[str, Record] = {}
    if found.stats is not None:
        try:
            records = await found.stats.read(found.names)
        except StateUnavailable:
            records = {}
    models = []
    for name in found.names:
        servers = [_server(each, health, readings) for each in several.get(name, ())]
        state = _joined(servers) if servers else _standing(name, health, readings)
        models.append(_model(found.get(name), state, servers, records.get(name)))
    return ProviderList(default=found.default, fallback=list(found.fallback), providers=models)


class _Standing(NamedTuple):
    """How a provider or a server is doing."""

    healthy: bool
    detail: str
    breaker: Position
    retry_after_s: float


def _standing(key: str, health: Mapping[str, Health], readings: Mapping[str, Reading]) -> _Standing:
    probed, reading = health.get(key, Health()), readings.get(key, Reading())
    resting = "여러 번 실패해 잠시 쉬고 있습니다." if reading.position == "open" else ""
    return _Standing(
        probed.healthy and not resting, probed.detail or resting, reading.position, reading.wait_s
    )


def _joined(servers: Sequence[ServerModel]) -> _Standing:
    """A provider of several servers does as well as the best of them."""
    best = min(servers, key=lambda each: (not each.healthy, each.breaker == "open", each.retry_after_s))
    detail = " ".join(f"{each.address}: {each.detail}" for each in servers if each.detail)
    return _Standing(best.healthy, detail, best.breaker, best.retry_after_s)


def _server(server: Server, health: Mapping[str, Health], readings: Mapping[str, Reading]) -> ServerModel:
    state = _standing(server.key, health, readings)
    return ServerModel(address=server.address, outstanding=server.outstanding, **state._asdict())


def _model(
    provider: ChatProvider, state: _Standing, servers: list[ServerModel], record: Record | None
) -> ProviderModel:
    return ProviderModel(
        name=provider.name,
        model=provider.model,
        llm=provider.llm,
        third_party=provider.third_party,
        **state._asdict(),
        servers=servers,
        answers=dict(record.outcomes) if record else {},
        prompt_tokens=record.prompt_tokens if record else 0,
        completion_tokens=record.completion_tokens if record else 0,
        cost_usd=record.cost_usd if record else 0.0,
        first_token=LatencyModel.of(record.first_token) if record else None,
        total=LatencyModel.of(record.total) if record else None,
    )
