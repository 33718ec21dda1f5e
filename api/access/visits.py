"""What holds for visitors without a key besides their address's limits: conversation, provider, budget."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from api.access.auth import Caller
from api.access.budget import DailyBudget
from api.errors import Forbidden

if TYPE_CHECKING:
    from api.services import Services

_WITHOUT_LLM = "extractive"


async def check_visit(
    services: Services, caller: Caller, *, session_id: str | None, provider: str | None
) -> None:
    """Raises `TooMany` for one question too many in a conversation, `Forbidden` for a choice of provider."""
    visitors, public = services.access.visitors, services.settings.public
    if not caller.visits or visitors is None:
        return
    if provider not in (None, services.providers.default) and not public.choose_provider:
        raise Forbidden("이 서버에서는 답변 모델을 고를 수 없습니다.")
    if session_id is not None:
        await services.access.rates.take(visitors.of_session(session_id))


async def within_budget(services: Services, caller: Caller, provider: str) -> str:
    """Who answers: the provider, or no LLM once visitors have used up the day's answers of it."""
    if not caller.visits or not services.providers.get(provider).llm:
        return provider
    budget = DailyBudget(services.state, answers=services.settings.public.daily_answers)
    return provider if await budget.spend(provider) else _WITHOUT_LLM


def own_repeat(caller: Caller, idempotency_key: str) -> str:
    """The Idempotency-Key, told apart from the same one of another visitor."""
    if not caller.visits or caller.key is None or not idempotency_key:
        return idempotency_key
    return hashlib.sha256(f"{caller.key.id}:{idempotency_key}".encode()).hexdigest()
