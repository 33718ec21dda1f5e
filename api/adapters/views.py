"""What an operator sees of adapters: each one, who answers, the servers, and the moves so far."""

from __future__ import annotations

import structlog
from pydantic import BaseModel, Field

from api.adapters.registries import Registry, looking
from api.insights.models import ModelMeasures
from serving.registry.card import Card
from serving.registry.moves import Action, Move
from serving.registry.pointer import Pointer

log = structlog.get_logger(__name__)


class AdapterView(BaseModel):
    """An adapter of the registry, with what its card says."""

    name: str
    base_model: str
    rank: int
    loss: float | None = Field(description="on the validation questions")
    verdict: str = Field(description="of its evaluation against the base; empty: not evaluated")
    loaded: bool | None = Field(description="by every server; null where one cannot be asked")
    share: float = Field(description="of the sessions that it answers now, 0 to 1")


class ServerView(BaseModel):
    """A server that answers under the alias."""

    url: str
    base: str = Field(description="the name of its base model")
    loaded: list[str] = Field(description="adapters that it has")
    detail: str = Field(description="what is wrong, in Korean; empty where nothing is")


class Answering(BaseModel):
    """Who answers: an empty `model` is the base model, an empty `candidate` no trial."""

    model: str
    candidate: str
    share: float = Field(description="of the sessions that the candidate answers, 0 to 1")

    @classmethod
    def of(cls, pointer: Pointer) -> Answering:
        """The view of a pointer."""
        return cls(model=pointer.model, candidate=pointer.candidate, share=pointer.share)


class MoveView(BaseModel):
    """One line of the audit trail."""

    action: Action
    name: str = Field(description="the adapter; empty: the base model")
    by: str
    at_ms: int
    before: Answering
    after: Answering

    @classmethod
    def of(cls, move: Move) -> MoveView:
        """The view of a move."""
        return cls(
            action=move.action, name=move.name, by=move.by, at_ms=move.at_ms,
            before=Answering(**move.before), after=Answering(**move.after),
        )  # fmt: skip


class Arm(BaseModel):
    """A model that answers sessions, or did, with its measures."""

    model: str = Field(description="an adapter, or the name of the base model")
    share: float = Field(description="of the sessions that it answers now, 0 to 1")
    fell_back: int = Field(description="turns that it began and another provider had to answer")
    measures: ModelMeasures | None = Field(description="null where it answered nothing")


class RegistryView(BaseModel):
    """The adapters of one provider, oldest first, and who answers under its alias."""

    provider: str
    alias: str
    answering: Answering
    back_to: str | None = Field(description="what a rollback puts back; empty: the base; null: nothing")
    servers: list[ServerView]
    adapters: list[AdapterView]
    since_ms: int = Field(0, description="from when on the arms are measured, ms since 1970")
    arms: list[Arm] = []
    moves: list[MoveView] = Field(description="newest first")


def look(registry: Registry) -> tuple[RegistryView, Pointer]:
    """What there is, still without the arms, and the pointer; blocking. Raises `ApiError`."""
    with looking(registry) as adapters:
        pointer, servers = adapters.pointer(), adapters.servers()
        found, moves = adapters.all(), adapters.moves()
    for server in servers:
        if server.error:
            log.warning("adapter_server_away", url=server.url, error=server.error)
    away = any(server.error for server in servers)
    loaded = [server.loaded for server in servers]
    view = RegistryView(
        provider=registry.provider,
        alias=registry.alias,
        answering=Answering.of(pointer),
        back_to=pointer.earlier[-1] if pointer.earlier else None,
        servers=[
            ServerView(
                url=server.url, base=server.base, loaded=sorted(server.loaded),
                detail="vLLM 서버에 연결할 수 없습니다." if server.error else "",
            )
            for server in servers
        ],
        adapters=[
            _adapter(
                each.card,
                loaded=None if away else all(each.name in names for names in loaded),
                share=share_of(pointer, each.name),
            )
            for each in found
        ],
        moves=[MoveView.of(move) for move in moves],
    )  # fmt: skip
    return view, pointer


def share_of(pointer: Pointer, model: str) -> float:
    """The share of the sessions that an adapter answers; an empty name is the base model."""
    if pointer.candidate and model == pointer.candidate:
        return pointer.share
    rest = 1.0 - (pointer.share if pointer.candidate else 0.0)
    return rest if model == pointer.model else 0.0


def _adapter(card: Card, *, loaded: bool | None, share: float) -> AdapterView:
    loss = card.metrics.get("loss", {}).get("validation")
    judged = card.metrics.get("evaluation", {}).get("judgement", {}).get("verdict", "")
    return AdapterView(
        name=card.name, base_model=card.base_model, rank=card.rank, loss=loss, verdict=str(judged),
        loaded=loaded, share=share,
    )  # fmt: skip
