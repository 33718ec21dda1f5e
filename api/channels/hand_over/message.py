"""What a hand-over says: the conversation so far, personal data masked. Knows no HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from api.masking import mask_personal_data
from api.turns.saved import SavedTurn, now


def hand_over_id(session_id: str, turns: Sequence[SavedTurn]) -> str:
    """The same for the same state of a conversation: who presses twice is handed over once."""
    digest = hashlib.sha256(f"{session_id}:{turns[-1].turn_id}".encode())
    return f"h_{digest.hexdigest()[:24]}"


def hand_over_body(id: str, session_id: str, turns: Sequence[SavedTurn], *, contact: str, note: str) -> str:
    """The JSON that the webhook gets.

    Args:
        id: of the hand-over.
        session_id: the conversation's.
        turns: oldest first.
        contact: where the person asks to be reached; the one thing that is not masked.
        note: what the person adds.
    """
    conversation = [
        {
            "turn_id": turn.turn_id,
            "at": turn.started_at.isoformat(),
            "question": mask_personal_data(turn.question),
            "answer": mask_personal_data(turn.answer),
            "verdict": turn.verdict,
            "sources": [source.question for source in turn.sources if source.n in turn.citations],
        }
        for turn in turns
    ]
    message = {
        "type": "hand_over",
        "id": id,
        "timestamp": now().isoformat(),
        "data": {
            "session_id": session_id,
            "contact": contact,
            "note": mask_personal_data(note),
            "conversation": conversation,
        },
    }
    return json.dumps(message, ensure_ascii=False)
