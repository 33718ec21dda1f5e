"""Fits prompts into a model's context window: the oldest history goes first, then the last passages.

Counts by an estimate; near the bound it asks the server for its own (`POST /tokenize` of vLLM).
Knows prompts and windows; not how an answer is asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic_core import from_json

from api.errors import ProviderError
from api.providers.base import Trimmed
from api.providers.openai.upstreams import Server, Upstreams
from api.settings import Endpoint
from retrieval.prompt import GroundedPrompt, Message

log = structlog.get_logger(__name__)
_ASK_S = 2.0
_ASK_AGAIN_S = 30.0
_LONGEST_REPLY = 2**23
# Roles and marks of a chat template: Qwen's takes five tokens a message.
_MESSAGE_TOKENS = 8
# Each aims at what the one before has measured.
_ROUNDS = 4
_TOO_LONG = re.compile(r"context.length|maximum model length|max_model_len", re.IGNORECASE)
# `maximum context length is 2048 tokens` (OpenAI and vLLM), `greater than max_model_len=2048` (vLLM).
_SAID = re.compile(
    r"(?:context length|maximum model length|max_model_len)(?: is | of |=)(\d{1,8})\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits, and the room that is left for the answer, in tokens."""

    prompt: GroundedPrompt
    max_tokens: int

    def trimmed_from(self, whole: GroundedPrompt) -> Trimmed | None:
        """What `whole` has lost; None where it is as it was."""
        exchanges = len(whole.history) - len(self.prompt.history)
        left = len(self.prompt.passages)
        return None if self.prompt == whole else Trimmed(exchanges, len(whole.passages) - left)


class ContextWindow:
    """The context window of one endpoint's model, and what its servers count.

    Attributes:
        tokens: its size, prompt and answer together; None while nobody has said it.

    Args:
        endpoint: `context_tokens` of the settings goes before what the server lists.
        upstreams: the servers.
    """

    def __init__(self, endpoint: Endpoint, upstreams: Upstreams) -> None:
        self._endpoint, self._upstreams = endpoint, upstreams
        self.tokens = endpoint.context_tokens
        self._counts, self._ask_at = True, 0.0

    async def fit(self, prompt: GroundedPrompt, max_tokens: int, *, model: str) -> Fitted:
        """`prompt` without what the window of `model` has no room for beside `max_tokens` of answer.

        Instructions and question always stay; the answer gets at most half of the window.
        """
        if self.tokens is None:
            await self._learn(model)
        if self.tokens is None:
            return Fitted(prompt, max_tokens)
        max_tokens = min(max_tokens, self.tokens // 2)
        for round_ in range(_ROUNDS):
            guess = estimate(prompt.messages())
            if guess <= self.tokens - max_tokens:
                break
            count = await self._count(prompt, model) or guess
            room = self.tokens - max_tokens
            if count <= room:
                break
            # What the server counts is no fixed multiple of the estimate: a little less in each round.
            prompt = trimmed(prompt, int(guess * room / count * (1 - 0.02 * round_)))
        return Fitted(prompt, max_tokens)

    async def fit_after(
        self, refusal: str, fitted: Fitted, prompt: GroundedPrompt, *, model: str
    ) -> Fitted | None:
        """What to send after the server found `fitted` too long; None where it told nothing new.

        A window that the refusal names is remembered, and `prompt` fitted to it.
        """
        if (said := _SAID.search(refusal)) is None or int(said[1]) == self.tokens:
            return None
        self.tokens = int(said[1])
        log.info("context_window", provider=self._upstreams.name, tokens=self.tokens)
        again = await self.fit(prompt, fitted.max_tokens, model=model)
        return None if again == fitted else again

    def half(self, fitted: Fitted) -> Fitted:
        """Half of the prompt, and half of the room for the answer: what fits where nobody can count."""
        prompt = trimmed(fitted.prompt, estimate(fitted.prompt.messages()) // 2)
        return Fitted(prompt, max(fitted.max_tokens // 2, 1))

    async def _learn(self, model: str) -> None:
        """Looks for `max_model_len` in the server's list of models, once."""
        if time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + _ASK_AGAIN_S
        status, listed = await self._ask("GET", "/models")
        if status == 0 or status >= 500:
            return
        self._ask_at = float("inf")
        self.tokens = _listed_window(listed, model)
        log.info("context_window", provider=self._upstreams.name, tokens=self.tokens)

    async def _count(self, prompt: GroundedPrompt, model: str) -> int | None:
        """The prompt's tokens as the server counts them; None where it does not."""
        if not self._counts:
            return None
        body: dict[str, Any] = {"model": model, "messages": prompt.messages()}
        if kwargs := self._endpoint.extra_body.get("chat_template_kwargs"):
            body["chat_template_kwargs"] = kwargs
        status, reply = await self._ask("POST", "/tokenize", json.dumps(body, ensure_ascii=False).encode())
        # Whatever it is that answers so, it has no such route; 5xx and silence may pass.
        self._counts = status in (0, 200, 429) or status >= 500
        if status != 200 or not isinstance(reply, dict) or type(count := reply.get("count")) is not int:
            return None
        window = reply.get("max_model_len")
        if self._endpoint.context_tokens is None and type(window) is int and window > 0:
            self.tokens = window
        return count

    async def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Status and JSON of a server's reply; status 0 where there was none."""
        pool = _some_server(self._upstreams.servers).pool
        try:
            async with asyncio.timeout(_ASK_S):
                response = await pool.send(method, path, body=body, at_root=method == "POST")
                with response:
                    text = await response.read_up_to(_LONGEST_REPLY)
            return response.status, from_json(text) if response.status == 200 else None
        except (TimeoutError, ProviderError):
            return 0, None
        except ValueError:
            return 200, None


def is_too_long(status: int, said: str) -> bool:
    """Whether a refusal is for the length of prompt and answer."""
    return status in (400, 413, 422) and _TOO_LONG.search(said) is not None


def estimate(messages: Sequence[Message]) -> int:
    """Tokens of `messages`, rather too many: one for each Korean syllable, and for two letters of ASCII."""
    return sum(_MESSAGE_TOKENS + _tokens(message["content"]) for message in messages)


def trimmed(prompt: GroundedPrompt, most: int) -> GroundedPrompt:
    """`prompt` in at most so many tokens, by the estimate.

    The oldest exchanges go first, then the last passages, and of the one passage that is left its end.
    Instructions and question stay, even where they are more.
    """
    excess = estimate(prompt.messages()) - most
    history, passages = list(prompt.history), list(prompt.passages)
    while history and excess > 0:
        oldest = history.pop(0)
        excess -= 2 * _MESSAGE_TOKENS + _tokens(oldest.question) + _tokens(oldest.answer)
    while len(passages) > 1 and excess > 0:
        excess -= _tokens(passages[-1].faq.question) + _tokens(passages.pop().faq.answer)
    if passages and excess > 0:
        faq = passages[0].faq
        share = 1 - excess / max(_tokens(faq.answer), 1)
        passages = [
            replace(passages[0], faq=replace(faq, answer=faq.answer[: int(len(faq.answer) * share)]))
            for _ in range(share > 0)
        ]
    return replace(prompt, history=tuple(history), passages=tuple(passages))


def _tokens(text: str) -> int:
    # Of it Qwen2.5's tokenizer counts 0.81 in the median of 679 prompts of four FAQs each, 0.95 at most.
    ascii_ = sum(map(str.isascii, text))
    return len(text) - ascii_ // 2


def _some_server(servers: Sequence[Server]) -> Server:
    return next((server for server in servers if not server.rests), servers[0])


def _listed_window(listed: Any, model: str) -> int | None:
    """`max_model_len` of `model`; of its base where it is an adapter, for which vLLM lists none."""
    try:
        windows = {str(each["id"]): each.get("max_model_len") for each in listed["data"]}
    except (TypeError, KeyError, AttributeError):
        return None
    known = [window for window in windows.values() if type(window) is int and window > 0]
    own = windows.get(model)
    return own if own in known else min(known, default=None)
