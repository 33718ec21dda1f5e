"""Loss of a model on encoded examples, per learnt token. Knows no trainer and no files.

Unlike a trainer's mean over batches it does not depend on how examples are put into rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from finetune.data.encoding import IGNORED, Encoded


def token_loss(model: Any, examples: Sequence[Encoded], *, pack_to: int = 0) -> float:
    """Mean negative log-likelihood over all learnt tokens, in nats.

    Args:
        model: a causal model; its mode is restored.
        examples: at least one.
        pack_to: rows of up to so many tokens, positions restarting at each example so that none sees
            another; 0: one example a row.
    """
    import torch

    training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row in _rows(examples, pack_to):
            ids = torch.tensor([[i for e in row for i in e.input_ids]], device=model.device)
            labels = torch.tensor(
                [label for e in row for label in (IGNORED, *e.labels[1:])], device=model.device
            )
            places = torch.tensor([[p for e in row for p in range(len(e.input_ids))]], device=model.device)
            logits = model(input_ids=ids, position_ids=places, use_cache=False).logits[0, :-1]
            learnt = labels[1:] != IGNORED
            total += float(
                torch.nn.functional.cross_entropy(logits[learnt].float(), labels[1:][learnt], reduction="sum")
            )
            count += int(learnt.sum())
    model.train(training)
    return total / max(1, count)


def _rows(examples: Sequence[Encoded], pack_to: int) -> Iterator[list[Encoded]]:
    row: list[Encoded] = []
    size = 0
    for example in examples:
        if row and size + len(example.input_ids) > pack_to:
            yield row
            row, size = [], 0
        row.append(example)
        size += len(example.input_ids)
    if row:
        yield row
