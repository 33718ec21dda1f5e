"""Renders conversations with a model's chat template, for vLLM's bench, which sends plain prompts.

    python -m serving.launch.render_prompts --tokenizer DIR --out prompts.jsonl var/finetune/data/train.jsonl

Runs with the interpreter that has vLLM (and so `transformers`). Reads lines of `{"messages": […]}`, as
`finetune.dataset` writes them in the API's own prompt format; a last message of the assistant is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def render(tokenizer: str, conversations: list[list[dict[str, str]]]) -> list[str]:
    """The prompts, thinking switched off, ready for an answer."""
    from transformers import AutoTokenizer

    template = AutoTokenizer.from_pretrained(tokenizer)
    return [
        str(
            template.apply_chat_template(
                messages[:-1] if messages[-1]["role"] == "assistant" else messages,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )
        for messages in conversations
    ]


def main() -> int:
    """Writes one `{"prompt": …}` a line."""
    parser = argparse.ArgumentParser(prog="python -m serving.launch.render_prompts", description=__doc__)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("conversations", type=Path)
    given = parser.parse_args()
    lines = given.conversations.read_text(encoding="utf-8").splitlines()[: given.limit]
    prompts = render(given.tokenizer, [json.loads(line)["messages"] for line in lines])
    given.out.write_text(
        "".join(json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n" for prompt in prompts),
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
