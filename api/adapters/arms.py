"""How each side of a trial fares: the measures of the models that answer under an alias.

Both sides are measured from when the trial began, as they answer sellers of the same days then. Knows views
and the history; asks no server.
"""

from __future__ import annotations

import time

from api.adapters.views import Arm, RegistryView, share_of
from api.history.store import History
from api.insights.models import measures
from serving.registry.pointer import Pointer


async def with_arms(view: RegistryView, pointer: Pointer, history: History, *, days: float) -> RegistryView:
    """The view with its arms: who answers now first, then who answered within `days` days.

    Raises:
        HistoryUnavailable: the measures cannot be read.
    """
    since_ms = max(_trial_began(view), int((time.time() - days * 86_400) * 1000))
    bases = [name for name in (pointer.base, *(server.base for server in view.servers), view.alias) if name]
    # The base model goes by its alias until the alias has been moved.
    base = bases[0]
    measured = await measures(history, since_ms=since_ms, called=dict.fromkeys(bases, base))
    asked = {each.model for each in measured}
    known = [base, *(each.name for each in view.adapters)]
    models = [pointer.model or base, pointer.candidate, *(name for name in known if name in asked)]
    arms = [
        Arm(
            model=model,
            share=share_of(pointer, "" if model == base else model),
            fell_back=sum(
                each.turns for each in measured if each.model == model and each.provider != view.provider
            ),
            measures=next(
                (each for each in measured if (each.provider, each.model) == (view.provider, model)), None
            ),
        )
        for model in dict.fromkeys(models)
        if model
    ]
    return view.model_copy(update={"since_ms": since_ms, "arms": arms})


def _trial_began(view: RegistryView) -> int:
    """When the trial under way began, ms since 1970; 0 where there is none, or nobody wrote it down."""
    answering = view.answering
    began = 0
    for move in view.moves:
        if not answering.candidate or move.after != answering:
            break
        began = move.at_ms
    return began
