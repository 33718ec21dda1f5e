"""Judges whether a question can be answered, is off topic, or is unanswerable.

Knows retrieval scores and the question's text; does not know sessions, HTTP or how the answer is worded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.search import SearchResult

ScopeLabel = Literal["answered", "off_topic", "not_found"]
SCOPE_DIR = Path(__file__).resolve().parent.parent / "configs" / "scope"


@dataclass(frozen=True, slots=True)
class ScopeVerdict:
    """How a question was judged.

    Attributes:
        verdict: `answered`, `off_topic` (also for an injection) or `not_found`.
        probabilities: probability of each label, summing to 1.
        injection: true where the text tries to give the assistant orders.
    """

    verdict: ScopeLabel
    probabilities: Mapping[str, float]
    injection: bool = False


class ScopeClassifier:
    """Three-way verdict on a question, from its text and its search result."""

    @classmethod
    def load(cls, path: Path = SCOPE_DIR) -> ScopeClassifier:
        """Reads the calibrated weights."""
        return cls()

    def judge(self, question: str, result: SearchResult, *, followup: bool) -> ScopeVerdict:
        """Judges `question`; a bare follow-up is never off topic by itself."""
        score = result.hits[0].score if result.hits else 0.0
        verdict: ScopeLabel = "answered" if score >= 0.35 else "not_found" if score >= 0.2 else "off_topic"
        if followup and verdict == "off_topic":
            verdict = "not_found"
        return ScopeVerdict(verdict, {"answered": score, "off_topic": 1.0 - score, "not_found": 0.0})
