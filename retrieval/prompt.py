"""What a model sees: the one place where passages and a question become messages.

Used for answering and for making training data alike, so both are byte-equal.
Layout, for prefix caching: the stable instructions first, then the history, then
the passages and the question of this turn. Knows no provider and no index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from retrieval.corpus.faq import Faq

Role = Literal["system", "user", "assistant"]
PROMPTS = Path(__file__).resolve().parent.parent / "configs" / "prompts"
# The two fixed answers: the conversation gives them, the instructions quote them (a test ties both), training
# teaches them.
REFUSAL = "저는 스마트 스토어 FAQ를 위한 챗봇입니다. 스마트 스토어에 대한 질문을 부탁드립니다."
NOT_FOUND = "죄송하지만 FAQ에서 이 질문에 대한 답을 찾지 못했습니다."
# An extractive answer that shows a part ends so; asked for more, it begins so, or says that there is none.
LEFT_OUT = "나머지 내용은 출처에 이어집니다."
ALL_SHOWN = "이 FAQ의 내용은 앞에서 모두 안내해 드렸습니다."
CONTINUED = "이어서 안내해 드립니다."


class Message(TypedDict):
    """One chat message in the OpenAI shape."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A finished turn of the conversation."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A numbered FAQ given to the model; `n` is what the answer cites as `[n]`."""

    n: int
    faq: Faq


@dataclass(frozen=True, slots=True)
class GroundedPrompt:
    """Everything a provider needs for one answer.

    Attributes:
        system: the instructions (stable: the same for every turn).
        history: earlier exchanges, oldest first, already bounded.
        passages: the FAQs to answer from, best first, numbered from 1.
        question: what the seller typed.
        standalone: the same question, readable without the history.
        detail: the seller asked for more than the last answer gave (`더 자세히`): its FAQ is the first
            passage, what was shown of it the last exchange of `history`.
    """

    system: str
    history: tuple[Exchange, ...]
    passages: tuple[Passage, ...]
    question: str
    standalone: str
    detail: bool = False

    def messages(self) -> list[Message]:
        """The chat messages: system, history, then passages with the question."""
        rendered: list[Message] = [{"role": "system", "content": self.system}]
        for exchange in self.history:
            rendered.append({"role": "user", "content": exchange.question})
            rendered.append({"role": "assistant", "content": exchange.answer})
        rendered.append({"role": "user", "content": self._user_message()})
        return rendered

    def _user_message(self) -> str:
        blocks = [f"[{p.n}] {p.faq.question}\n{p.faq.answer}" for p in self.passages]
        context = "\n\n".join(blocks) if blocks else "(찾은 FAQ 없음)"
        return f"<faq>\n{context}\n</faq>\n\n질문: {self.standalone}"


def load_system_prompt(path: Path = PROMPTS / "answer.ko.md") -> str:
    """Reads the answering instructions (UTF-8), stripped of trailing blank space."""
    return path.read_text(encoding="utf-8").strip()


def ground(
    question: str,
    faqs: Sequence[Faq],
    *,
    system: str,
    history: Sequence[Exchange] = (),
    standalone: str | None = None,
    detail: bool = False,
) -> GroundedPrompt:
    """Numbers `faqs` from 1 in the order given and puts the prompt together."""
    passages = tuple(Passage(n, faq) for n, faq in enumerate(faqs, start=1))
    return GroundedPrompt(system, tuple(history), passages, question, standalone or question, detail)
