"""The provider without a model: answers with the FAQ's own sentences, cited.

Knows how to stream a composed answer; choosing and laying out sentences is `retrieval/quoting/compose.py`'s.
Follows no instructions, invents nothing and asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from api.events import FinishReason, Usage
from api.providers.base import Chunk, GenerationOptions
from retrieval.prompt import GroundedPrompt
from retrieval.quoting.compose import compose
from retrieval.tokenizer import KoreanTokenizer

NOTHING_FOUND = "죄송하지만 FAQ에서 이 질문에 대한 답을 찾지 못했습니다."
_CHARS_PER_TOKEN = 2


class Extractive:
    """Quotes the sentences of the passages that answer the question; the offline default.

    Of the options only `max_tokens` applies: whole sentences up to about that length, at least one.

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
        """Streams the answer a sentence or line at a time; the last chunk carries an estimated usage."""
        pieces = await asyncio.to_thread(compose, prompt.standalone, prompt.passages, self._tokenizer)
        spent = 0
        finish: FinishReason = "stop"
        for number, piece in enumerate(pieces or [NOTHING_FOUND]):
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
