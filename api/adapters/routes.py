"""Adapters over HTTP, for operators: which there are, how they fare, try, promote, roll back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import structlog
from fastapi import APIRouter, Path, Query

from api.adapters.arms import with_arms
from api.adapters.registries import Change, Registry, looking, move, registries, registry_of
from api.adapters.views import Answering, RegistryView, look
from api.errors import Conflict, HistoryUnavailable, NotFound
from api.web.routes.dependencies import AdminDep, ServicesDep

if TYPE_CHECKING:
    from serving.registry.pointer import Pointer

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/adapters", tags=["adapters"])
Name = Annotated[str, Path(max_length=64)]
ProviderName = Annotated[str, Query(max_length=128, description="whose alias; empty: the only one's")]


@router.get("")
async def list_adapters(
    services: ServicesDep,
    _caller: AdminDep,
    days: Annotated[float, Query(gt=0, le=366, description="how far back the arms are measured")] = 30,
) -> list[RegistryView]:
    """The adapters of each provider that has some, who answers, and how each side of a trial fares."""
    found: list[RegistryView] = []
    for registry in registries(services.settings):
        view, pointer = await asyncio.to_thread(look, registry)
        if services.history is not None:
            # A history that is away must not keep anybody from rolling back.
            with suppress(HistoryUnavailable):
                view = await with_arms(view, pointer, services.history, days=days)
        found.append(view)
    return found


@router.post("/{name}/promote")
async def promote(
    name: Name, services: ServicesDep, caller: AdminDep, provider: ProviderName = ""
) -> Answering:
    """Loads an adapter, asks its canary, then lets it answer everybody."""
    registry = registry_of(services.settings, provider)
    await asyncio.to_thread(_known, registry, name)
    return await _move(registry, lambda adapters: adapters.promote(name), by=caller.id)


@router.post("/{name}/trial")
async def begin_trial(
    name: Name,
    services: ServicesDep,
    caller: AdminDep,
    share: Annotated[float, Query(ge=0.001, lt=1, description="of the sessions")] = 0.1,
    provider: ProviderName = "",
) -> Answering:
    """Loads an adapter, asks its canary, then lets it answer a share of the sessions."""
    registry = registry_of(services.settings, provider)
    pointer = await asyncio.to_thread(_known, registry, name)
    if name == pointer.model:
        raise Conflict(f"어댑터 {name}이(가) 이미 모든 대화에 답하고 있어 시험할 것이 없습니다.")
    return await _move(registry, lambda adapters: adapters.promote(name, share=share), by=caller.id)


@router.delete("/trial")
async def end_trial(services: ServicesDep, caller: AdminDep, provider: ProviderName = "") -> Answering:
    """Ends the trial: what answers the other sessions answers them all; asks no server."""
    registry = registry_of(services.settings, provider)
    if not (await asyncio.to_thread(_pointer, registry)).candidate:
        raise Conflict("지금 시험하고 있는 어댑터가 없습니다.")
    return await _move(registry, lambda adapters: adapters.end_trial(), by=caller.id)


@router.post("/rollback")
async def roll_back(services: ServicesDep, caller: AdminDep, provider: ProviderName = "") -> Answering:
    """Ends the trial; without one, puts back what answered before the last promotion."""
    registry = registry_of(services.settings, provider)
    pointer = await asyncio.to_thread(_pointer, registry)
    if not (pointer.candidate or pointer.earlier):
        raise Conflict("되돌릴 것이 없습니다. 아직 아무 어댑터도 올린 적이 없습니다.")
    return await _move(registry, lambda adapters: adapters.rollback(), by=caller.id)


async def _move(registry: Registry, change: Change, *, by: str) -> Answering:
    """Moves the alias, to the end even where the caller leaves. Raises `ApiError`."""
    after = Answering.of(await asyncio.to_thread(move, registry, change, by=by))
    log.info("alias_moved", provider=registry.provider, by=by, **after.model_dump())
    return after


def _pointer(registry: Registry) -> Pointer:
    with looking(registry) as adapters:
        return adapters.pointer()


def _known(registry: Registry, name: str) -> Pointer:
    """The pointer, where the adapter is in the registry. Raises `NotFound`."""
    with looking(registry) as adapters:
        if all(each.name != name for each in adapters.all()):
            raise NotFound(f"어댑터 '{name[:64]}'을(를) {registry.folder}에서 찾을 수 없습니다.")
        return adapters.pointer()
