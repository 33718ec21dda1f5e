"""Messages in, token ids and labels out: exactly what the model reads at run time, then its answer.

The prompt is rendered by the tokenizer's own chat template, ending where a server with
`enable_thinking: false` begins to generate; the answer and the end-of-turn token follow, and they alone
bear the loss. Earlier answers of a conversation bear none: their passages are no longer in the prompt, so
learning them would teach answering from memory. Knows no model, no packing and no files but JSONL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import DataError
from retrieval.prompt import Message

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as ids; `labels` are the ids where there is loss and `IGNORED` elsewhere."""

    input_ids: list[int]
    labels: list[int]

    @property
    def learnt(self) -> int:
        """How many tokens bear loss."""
        return sum(label != IGNORED for label in self.labels)


def prompt_text(tokenizer: Any, messages: Sequence[Mapping[str, object]]) -> str:
    """The text a server makes of a prompt's messages, thinking switched off."""
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return text


def encode(tokenizer: Any, messages: Sequence[Message]) -> Encoded:
    """Encodes a conversation whose last message is the answer to learn.

    Raises:
        DataError: the last message is not an assistant's.
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise DataError("an example must end with an assistant message; build the data again")
    ids: list[int] = tokenizer.encode(prompt_text(tokenizer, messages[:-1]), add_special_tokens=False)
    answer: list[int] = tokenizer.encode(messages[-1]["content"], add_special_tokens=False)
    answer = [*answer, tokenizer.eos_token_id]
    return Encoded(ids + answer, [IGNORED] * len(ids) + answer)


def encode_all(
    tokenizer: Any, examples: Iterable[Sequence[Message]], *, max_length: int
) -> tuple[list[Encoded], int]:
    """Encodes what fits into `max_length` tokens; returns it and how many examples did not fit.

    Nothing is cut: half an answer would teach to stop in the middle.
    """
    encoded = [encode(tokenizer, messages) for messages in examples]
    kept = [example for example in encoded if len(example.input_ids) <= max_length]
    return kept, len(encoded) - len(kept)


def read_examples(path: Path) -> list[list[Message]]:
    """Reads a `messages` JSONL file.

    Raises:
        DataError: it is missing, empty or faulty; the message names the line and the command.
    """
    hint = "run `python -m finetune.dataset --config …`"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        examples: list[list[Message]] = [json.loads(line)["messages"] for line in lines if line]
    except OSError as exc:
        raise DataError(f"{path}: cannot be read ({exc.strerror}); {hint}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path}: holds a line without messages ({exc!r}); {hint}") from exc
    if not examples:
        raise DataError(f"{path}: is empty; {hint}")
    return examples


def fill_share(lengths: Iterable[int], rows: int, max_length: int) -> float:
    """Share of tokens that are no padding, were `rows` rows padded to `max_length`."""
    return sum(lengths) / (rows * max_length) if rows else 0.0
