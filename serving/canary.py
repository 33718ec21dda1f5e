"""Whether a loaded adapter is in effect, and is the one that was trained.

Asks a prompt of which training kept both answers, base's and adapter's. A server can load an adapter and
then ignore it, wholly or in part (module names that match nothing), or hold another base than the one it
was trained on: then the answers tell. Knows one server and one card.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from serving.errors import CanaryFailed
from serving.registry.adapter import Adapter
from serving.vllm_api import Vllm

# Another engine or precision may choose another word in the middle of an answer, and go on from there.
_ALIKE = 0.7


@dataclass(frozen=True, slots=True)
class Sung:
    """What the canary found; likenesses are 0 to 1 (`difflib`'s ratio).

    Attributes:
        reference: how much the adapter's answer is like the one kept at training.
        base: how much it is like what the base model answers here.
    """

    answer: str
    reference: float
    base: float


def check_canary(server: Vllm, adapter: Adapter, *, model: str = "") -> Sung:
    """Asks base and adapter.

    Args:
        server: has the adapter loaded.
        adapter: with its card.
        model: what the server calls the adapter, its own name by default.

    Raises:
        CanaryFailed: it answers like the base, or unlike itself.
        ServerFailed: the server does not answer.
    """
    kept = adapter.card.canary
    base = server.answer(server.base()["id"], kept.messages, max_tokens=kept.max_tokens)
    answer = server.answer(model or adapter.name, kept.messages, max_tokens=kept.max_tokens)
    found = Sung(answer, _likeness(answer, kept.reference), _likeness(answer, base))
    if answer.strip() == base.strip():
        raise CanaryFailed(
            adapter.name, f"{server.url} answers as its base model does: the adapter is loaded and ignored"
        )
    if found.reference < _ALIKE:
        raise CanaryFailed(
            adapter.name,
            f"{server.url} answers {found.reference:.0%} like the reference of training, {_ALIKE:.0%} are "
            "needed: another base model, or only part of the adapter is in effect",
        )
    return found


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.strip(), other.strip(), autojunk=False).ratio()
