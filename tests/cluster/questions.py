"""Questions for the drills: the titles of the bundled sample, over and over."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from tests.cluster.stack import ROOT

SAMPLE = ROOT / "configs" / "faq" / "sample.jsonl"


def questions() -> Iterator[str]:
    """Endless questions that the sample answers."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    titles = [re.sub(r"^(\[[^\]]*\]\s*)+", "", json.loads(line)["question"]) for line in lines]
    return itertools.cycle(titles)
