"""Lets a teacher model rewrite answers, and accepts only what the source supports.

The endpoint is OpenAI-compatible. What was accepted or rejected is kept in a JSONL file next to the data,
so that a run that was broken off goes on where it was, and the same question is never paid twice. Knows
drafts and their sources; knows no corpus and no splitting.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import httpx

from finetune.config import Teacher
from finetune.data.overlap import grams
from finetune.errors import ConfigError, ServiceError
from retrieval.quoting.citations import CITATION, cited_numbers, strip_citations

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MENU = re.compile(r"\[([^\[\]]*[>＞][^\[\]]*)\]")
_LINE_MARK = re.compile(r"^\s*(?:\d{1,2}\)|[·※-])\s*", re.MULTILINE)
_GRAM = 4
_INSTRUCTIONS = """\
FAQ 상담 답변의 초안을 더 자연스럽고 간결한 한국어 존댓말로 고칩니다.
- 초안과 FAQ 원문에 있는 내용만 씁니다. 새 사실, 숫자, 링크를 더하지 않습니다.
- 메뉴 경로([상품관리 > 상품등록]), 숫자, 기한, 금액은 그대로 둡니다.
- 모든 문장 끝의 [번호] 인용을 그대로 유지합니다.
- 고친 답변만 출력합니다."""


def fault(rewritten: str, draft: str, source: str, *, support: float) -> str | None:
    """Says why a rewriting is not accepted, None where it is.

    Args:
        rewritten: what the teacher wrote.
        draft: what it was given.
        source: the FAQ's question and answer.
        support: least share of each sentence's character 4-grams that occur in the source.
    """
    if not rewritten.strip():
        return "empty"
    if set(cited_numbers(rewritten)) != set(cited_numbers(draft)):
        return "citations differ"
    if _menus(draft) - _menus(rewritten):
        return "a menu path is missing"
    if _menus(rewritten) - _menus(draft) - _menus(source):
        return "a menu path is new"
    if _numbers(draft) - _numbers(rewritten):
        return "a number is missing"
    if _numbers(rewritten) - _numbers(source) - _numbers(draft):
        return "a number is new"
    known = grams(source, _GRAM)
    for sentence, cited in _sentences(rewritten):
        found = grams(sentence, _GRAM)
        if len(found) > 2 and len(found & known) < support * len(found):
            return "a sentence has no support in the source"
        if not cited and not sentence.endswith(":"):
            return "a sentence has no citation"
    return None


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    """What stands before each citation, and the rest of each line; with whether it is cited."""
    for line in text.splitlines():
        parts = CITATION.split(line)[::2]
        for n, part in enumerate(parts):
            if part.strip(" ."):
                yield part.strip(), n < len(parts) - 1


class Rewriter:
    """Rewrites drafts with a teacher; use as a context manager.

    Attributes:
        accepted, rejected: how many drafts were rewritten, and how many stayed as they were.
    """

    def __init__(self, teacher: Teacher, store: Path, *, client: httpx.Client | None = None) -> None:
        """Opens the store; `client` replaces the HTTP client.

        Raises:
            ConfigError: the key's file cannot be read.
        """
        self._teacher, self._store = teacher, store
        self._client = client or httpx.Client(timeout=teacher.timeout_s)
        self._key = ""
        if teacher.api_key_file is not None:
            try:
                self._key = teacher.api_key_file.read_text(encoding="utf-8").strip()
            except OSError as exc:
                reason = f"cannot be read ({exc.strerror}); it must hold the teacher's API key"
                raise ConfigError(teacher.api_key_file, reason) from exc
        self.accepted = self.rejected = 0
        self._known = _read_store(store)

    def __enter__(self) -> Rewriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def rewrite(self, question: str, draft: str, source: str) -> str:
        """Returns the teacher's wording, or the draft where that is not acceptable.

        Raises:
            ServiceError: the teacher does not answer; run again to go on from here.
        """
        key = hashlib.sha256("\0".join((self._teacher.model, question, draft, source)).encode()).hexdigest()
        text = self._known.get(key)
        if text is None:
            text = self._ask(question, draft, source)
            self._known[key] = text
            with self._store.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "text": text}, ensure_ascii=False) + "\n")
        if fault(text, draft, source, support=self._teacher.support):
            self.rejected += 1
            return draft
        self.accepted += 1
        return text

    def _ask(self, question: str, draft: str, source: str) -> str:
        url = f"{self._teacher.base_url.rstrip('/')}/chat/completions"
        user = f"FAQ 원문:\n{source}\n\n질문: {question}\n\n초안:\n{draft}"
        messages = [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": user}]
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        body = {"model": self._teacher.model, "messages": messages, "temperature": 0}
        try:
            answer = self._client.post(url, json=body, headers=headers)
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["message"]["content"] or "").strip()
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as exc:
            raise ServiceError(url, f"the teacher failed ({exc}); run the command again to go on") from exc


def _read_store(store: Path) -> dict[str, str]:
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        return {}
    known: dict[str, str] = {}
    for line in store.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            known[row["key"]] = row["text"]
        except (ValueError, KeyError):
            continue  # the half line of a run that was killed
    return known


def _menus(text: str) -> set[str]:
    return {"".join(menu.split()) for menu in _MENU.findall(text)}


def _numbers(text: str) -> set[str]:
    return set(_NUMBER.findall(_LINE_MARK.sub("", strip_citations(text))))
