"""A conversation on a terminal: prompts, streams answers, shows sources and numbered follow-ups.

Knows how a turn looks to a person; asks through a `ChatClient`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from rich.console import Console

from api.client.chat_clients import ChatClient, Contact
from api.client.markdown import MarkdownStream
from api.errors import ApiError
from api.events import (
    Delta,
    ProviderSwitched,
    QuestionRewritten,
    Sources,
    Suggestion,
    Suggestions,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
)
from api.history.store import Rating
from api.turns.start import Question

HELP = (
    "번호: 제안된 질문하기 · /provider 이름: 답변 방식 바꾸기 · /up, /down [의견]: 답변 평가 · "
    "/new: 새 대화 · /quit: 끝내기"
)


class Terminal:
    """One conversation with one person."""

    def __init__(
        self, client: ChatClient, console: Console, *, provider: str | None, session_id: str | None
    ) -> None:
        self._client, self._console = client, console
        self._provider, self.session_id = provider, session_id
        self._offers: tuple[Suggestion, ...] = ()
        self._choosing = False
        self._sources = Sources(sources=())
        self._turn_id = ""
        self._contact: Contact | None = None
        # Into a file or a pipe, an answer goes as it is.
        self._answer = MarkdownStream(console) if console.is_terminal else None

    async def converse(self) -> None:
        """Reads and answers lines until the person leaves."""
        self._console.print(HELP, style="dim")
        while True:
            try:
                line = (await asyncio.to_thread(self._console.input, "\n[bold]질문>[/bold] ")).strip()
            except (EOFError, KeyboardInterrupt):
                return
            if line in ("/quit", "/exit"):
                return
            if line:
                await self.take(line)

    async def take(self, line: str) -> None:
        """Carries out a command, a follow-up's number, or a question."""
        word, _, rest = line.partition(" ")
        if word == "/new":
            self.session_id, self._offers = None, ()
            self._console.print("새 대화를 시작합니다.", style="dim")
        elif word == "/provider":
            await self._switch(rest.strip())
        elif word in ("/up", "/down"):
            await self._rate("up" if word == "/up" else "down", rest.strip())
        elif word.startswith("/"):
            self._console.print(HELP, style="dim")
        elif line.isdigit() and 1 <= int(line) <= len(self._offers):
            question = self._offers[int(line) - 1].question
            self._console.print(question, style="italic", markup=False)
            await self.ask(question)
        else:
            await self.ask(line)

    async def _rate(self, rating: Rating, comment: str) -> None:
        if not self._turn_id:
            self._console.print("평가할 답변이 아직 없습니다.", style="yellow")
            return
        try:
            await self._client.rate(self._turn_id, rating, comment)
        except ApiError as exc:
            self._console.print(exc.message, style="red", markup=False)
        else:
            self._console.print("의견을 남겼습니다. 고맙습니다.", style="dim")

    async def _switch(self, name: str) -> None:
        names = await self._client.providers()
        if name not in names:
            self._console.print(f"사용할 수 있는 provider: {', '.join(names)}", style="yellow")
            return
        self._provider = name
        self._console.print(f"이제 {name}이(가) 답합니다.", style="dim")

    async def ask(self, text: str) -> bool:
        """Asks and shows the answer as it comes; True when it was completed. Ctrl+C stops it."""
        completed = False
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            question = Question(text, self.session_id, self._provider, channel="terminal")
            async for event in self._client.ask(question):
                self._show(event)
                if isinstance(event, TurnCompleted):
                    completed = True
                    await self._offer_person(event)
        except ApiError as exc:
            self._console.print(exc.message, style="red", markup=False)
        finally:
            if self._answer:
                self._answer.close()
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)
        return completed

    async def _offer_person(self, event: TurnCompleted) -> None:
        """Names who answers what the FAQ cannot."""
        if self._contact is None:
            self._contact = await self._client.contact()
        contact = self._contact
        lost = event.verdict == "not_found" or getattr(event, "intent", "") == "person"
        if (contact.text or contact.url) and (lost or contact.always):
            told = " ".join(filter(None, (contact.text, contact.url)))
            self._console.print(f"  사람에게 문의: {told}", style="green", markup=False, soft_wrap=True)

    def _interrupt(self) -> None:
        self._stopping = asyncio.create_task(self._client.stop(self._turn_id))

    def _show(self, event: TurnEvent) -> None:
        show = self._console.print
        match event:
            case TurnStarted(turn_id=turn_id, session_id=session_id):
                self._turn_id, self.session_id = turn_id, session_id
                self._sources, self._offers = Sources(sources=()), ()
            case QuestionRewritten(standalone=standalone):
                show(f"→ {standalone}", style="dim", markup=False)
            case Sources():
                self._sources = event
            case Delta(text=text) if self._answer:
                self._answer.feed(text)
            case Delta(text=text):
                show(text, end="", markup=False, soft_wrap=True)
            case ProviderSwitched(to=to, reason=reason):
                if self._answer:
                    self._answer.close(void=True)
                show(f"\n({reason}: {to}이(가) 처음부터 다시 답합니다)", style="yellow", markup=False)
            case Suggestions(kind=kind, suggestions=offers):
                self._offers, self._choosing = offers, kind == "choices"
            case TurnCompleted(citations=cited, truncated=truncated, stopped=stopped):
                self._close(cited, cut=truncated and not stopped)
            case TurnFailed(message=message):
                if self._answer:
                    self._answer.close()
                show(f"\n{message}", style="red", markup=False)

    def _close(self, cited: tuple[int, ...], *, cut: bool) -> None:
        """That it is cut, the cited sources and the follow-ups, below the answer."""
        show = self._console.print
        if self._answer:
            self._answer.close()
        else:
            show()
        if cut:
            show("(끝까지 오지 못하고 끊긴 답변입니다)", style="yellow")
        for source in self._sources.sources:
            if source.n in cited:
                show(f"  [{source.n}] {source.question}", style="dim", markup=False, soft_wrap=True)
        if self._choosing and self._offers:
            show("  혹시 이 중에 찾으시는 질문이 있나요?", style="dim")
        for n, offer in enumerate(self._offers, start=1):
            show(f"  {n}) {offer.text}", style="cyan", markup=False, soft_wrap=True)
