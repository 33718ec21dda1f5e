"""Simulates a server's prefix cache over dialogues: how much of each prompt need not be computed again.

    python -m finetune.judging.prefix_cache --dialogues ../shared/eval/dialogues.jsonl \\
        --index var/index/faq.db [--tokenizer DIR] [--sessions 5]

Compares the layout of `retrieval.prompt` (instructions, history, passages, question) with one that puts the
instructions after the passages. Blocks of 16 tokens are found again only where everything before them is
the same, as in vLLM's automatic prefix caching; the cache is unbounded. Knows prompts; knows no server.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune.errors import DataError, FinetuneError
from retrieval.errors import RetrievalError
from retrieval.prompt import Exchange, GroundedPrompt, Message, ground, load_system_prompt
from retrieval.quoting.compose import compose
from retrieval.search import Searcher

BLOCK = 16
_PIECE = re.compile(r"[가-힣]{1,2}|[A-Za-z]{1,4}|\d|\s+|.", re.DOTALL)

Tokenize = Callable[[str], Sequence[Any]]


def reusable_share(prompts: Iterable[Sequence[Any]], *, block: int = BLOCK) -> float:
    """Share of the prompts' tokens that lie in blocks seen before behind the same prefix.

    Args:
        prompts: tokens (anything hashable) of each prompt, in the order of requests.
        block: tokens per block; only whole blocks are kept.
    """
    known: set[int] = set()
    reused = total = 0
    for tokens in prompts:
        total += len(tokens)
        chain, hit = 0, True
        for start in range(0, len(tokens) - block + 1, block):
            chain = hash((chain, *tokens[start : start + block]))
            hit = hit and chain in known
            reused += block * hit
            known.add(chain)
    return reused / total if total else 0.0


def naive_messages(prompt: GroundedPrompt) -> list[Message]:
    """The same prompt as one would write it first: passages, history, then instructions and question."""
    *history, user = prompt.messages()[1:]
    context, _, asked = user["content"].rpartition("\n\n")
    earlier = "\n".join(message["content"] for message in history)
    text = "\n\n".join(part for part in (context, earlier, prompt.system, asked) if part)
    return [Message(role="user", content=text)]


def rough_tokens(text: str) -> list[str]:
    """Cuts text about as finely as Qwen's tokenizer cuts Korean, where there is no tokenizer."""
    return _PIECE.findall(text)


def as_text(messages: Sequence[Message]) -> str:
    """The messages in Qwen's chat format, thinking off."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n<think>\n\n</think>\n\n"


def dialogue_prompts(
    dialogues: Sequence[dict[str, Any]], searcher: Searcher, *, passages: int = 4, sessions: int = 5
) -> list[GroundedPrompt]:
    """The run-time prompts of all turns, `sessions` dialogues at a time taking turns."""
    system = load_system_prompt()
    streams = [_dialogue(dialogue["turns"], searcher, system, passages) for dialogue in dialogues]
    prompts: list[GroundedPrompt] = []
    for start in range(0, len(streams), sessions):
        running = streams[start : start + sessions]
        while running:
            still = []
            for stream in running:
                if prompt := next(stream, None):
                    prompts.append(prompt)
                    still.append(stream)
            running = still
    return prompts


def _dialogue(
    turns: Sequence[dict[str, Any]], searcher: Searcher, system: str, passages: int
) -> Iterator[GroundedPrompt]:
    history: list[Exchange] = []
    for turn in turns:
        asked, standalone = str(turn["user"]), str(turn.get("standalone") or turn["user"])
        faqs = [hit.faq for hit in searcher.search(standalone, limit=passages).hits]
        prompt = ground(asked, faqs, system=system, history=history, standalone=standalone)
        yield prompt
        answer = "".join(compose(standalone, prompt.passages, searcher.tokenizer))
        history.append(Exchange(asked, answer))


def compare(prompts: Sequence[GroundedPrompt], tokenize: Tokenize) -> dict[str, float]:
    """Reusable shares of both layouts, their ratio, and the mean prompt length in tokens."""
    ours = [tokenize(as_text(prompt.messages())) for prompt in prompts]
    naive = [tokenize(as_text(naive_messages(prompt))) for prompt in prompts]
    share, other = reusable_share(ours), reusable_share(naive)
    return {
        "prompts": len(prompts),
        "mean_tokens": sum(map(len, ours)) / max(1, len(ours)),
        "reusable_share": share,
        "naive_share": other,
        "ratio": share / other if other else float("inf"),
    }


def _read_dialogues(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        if all(turn["user"] for row in rows for turn in row["turns"]):
            return rows
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path}: must hold dialogues with turns ({exc!r})") from exc
    raise DataError(f"{path}: holds a turn without a question")


def _open_searcher(index: str) -> Searcher:
    from retrieval.embedders.factory import open_embedder
    from retrieval.index.opening import open_index
    from retrieval.ranking.ranker import Ranker
    from retrieval.tokenizer import KoreanTokenizer

    embedder, tokenizer = open_embedder("e5-small"), KoreanTokenizer()
    found = open_index(index, embedder=embedder.name, tokenizer=tokenizer.version)
    return Searcher(found, embedder, tokenizer, Ranker.load(embedder=embedder.name))


def main(argv: list[str] | None = None) -> int:
    """Prints both shares as JSON; returns 1 where ours is not twice the naive one."""
    parser = argparse.ArgumentParser(prog="python -m finetune.judging.prefix_cache", description=__doc__)
    parser.add_argument("--dialogues", type=Path, required=True)
    parser.add_argument("--index", required=True)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--passages", type=int, default=4)
    parser.add_argument("--sessions", type=int, default=5)
    given = parser.parse_args(argv)
    tokenize: Tokenize = rough_tokens
    try:
        if given.tokenizer is not None:
            from finetune.base_model import open_tokenizer

            tokenizer = open_tokenizer(str(given.tokenizer))
            tokenize = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
        dialogues = _read_dialogues(given.dialogues)
        searcher = _open_searcher(given.index)
        prompts = dialogue_prompts(dialogues, searcher, passages=given.passages, sessions=given.sessions)
    except (FinetuneError, RetrievalError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    found = compare(prompts, tokenize)
    print(json.dumps(found, indent=1))
    return 0 if found["ratio"] >= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
