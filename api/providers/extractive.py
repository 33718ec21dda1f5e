"""The provider without a model: answers with the FAQ's own words, cited.

Knows how to stream a composed answer; choosing and laying out blocks is `retrieval/quoting/compose.py`'s.
Follows no instructions, invents nothing and asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from api.events import FinishReason, Usage
from api.providers.base import Chunk, GenerationOptions
from retrieval.prompt import NOT_FOUND, GroundedPrompt
from retrieval.quoting.compose import compose
from retrieval.tokenizer import KoreanTokenizer

_CHARS_PER_TOKEN = 2


class Extractive:
    """Shows the FAQ that answers the question, or the blocks of it that do; the offline default.

    Of the options only `max_tokens` applies: whole blocks up to about that length, at least one. A prompt
    with `detail` gets what the answers in its history left out of the best passage.

    Args:
        tokenizer: the search's own, so that the model is not loaded twice.
        name: what settings and requests call it.
    """

    llm = False
    third_party = False

    def __init__(self, tokenizer: KoreanTokenizer | None = None, *, name: str = "extractive") -> None:
        self.name, self.model = name, "extractive-v1"
        self._tokenizer = tokenizer or KoreanTokenizer()

    async def stream(self, prompt: GroundedPrompt, options: GenerationOptions) -> AsyncGenerator[Chunk]:
        """Streams the answer a block at a time; the last chunk carries an estimated usage."""
        shown = "\n".join(exchange.answer for exchange in prompt.history)
        pieces = await asyncio.to_thread(
            compose, prompt.standalone, prompt.passages, self._tokenizer, rest=prompt.detail, shown=shown
        )
        spent = 0
        finish: FinishReason = "stop"
        for number, piece in enumerate(pieces or [NOT_FOUND]):
            cost = _tokens(piece)
            if number and options.max_tokens is not None and spent + cost > options.max_tokens:
                finish = "length"
                break
            spent += cost
            yield Chunk(piece)
            await asyncio.sleep(0)
        read = sum(_tokens(message["content"]) for message in prompt.messages())
        usage = Usage(prompt_tokens=read, completion_tokens=spent, estimated=True)
        yield Chunk(usage=usage, finish=finish)


def _tokens(text: str) -> int:
    """A rough count: there is no model whose tokens could be counted."""
    return -(-len(text) // _CHARS_PER_TOKEN)
