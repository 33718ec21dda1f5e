"""Rating an answer and finding a person in the terminal."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator

from rich.console import Console

from api.client.chat_clients import Contact
from api.client.terminal import Terminal
from api.errors import Conflict
from api.events import Delta, TurnCompleted, TurnEvent, TurnStarted, Verdict
from api.history.store import Rating
from api.turns.start import Question
from tests.api.client.test_markdown import screen_of

NOBODY = Contact()


class Scripted:
    """A client whose every answer has one verdict."""

    def __init__(self, verdict: Verdict, contact: Contact = NOBODY) -> None:
        self.rated: list[tuple[str, Rating, str]] = []
        self._verdict, self._contact = verdict, contact
        self.pieces: tuple[str, ...] = ()
        self.truncated = self.stopped = False

    async def providers(self) -> list[str]:
        return ["extractive"]

    async def ask(self, question: Question) -> AsyncGenerator[TurnEvent]:
        yield TurnStarted(turn_id="t_1", session_id="s_1", provider="extractive", model="faq")
        for piece in self.pieces:
            yield Delta(text=piece)
        yield TurnCompleted(answer="", verdict=self._verdict, truncated=self.truncated, stopped=self.stopped)

    async def stop(self, turn_id: str) -> None:
        raise AssertionError("nothing runs")

    async def rate(self, turn_id: str, rating: Rating, comment: str) -> None:
        if comment == "아직":
            raise Conflict("답변이 끝난 뒤에 평가할 수 있습니다.")
        self.rated.append((turn_id, rating, comment))

    async def contact(self) -> Contact:
        return self._contact


async def shown(client: Scripted, *lines: str, tty: bool = False) -> str:
    """What the terminal prints while a person types these lines."""
    screen = io.StringIO()
    console = Console(file=screen, width=200, force_terminal=tty)
    terminal = Terminal(client, console, provider=None, session_id=None)
    for line in lines:
        await terminal.take(line)
    return screen.getvalue()


async def test_answer_is_rated_with_a_comment() -> None:
    client = Scripted("answered")
    text = await shown(client, "/up", "정산은?", "/up", "/down 표가 없어요", "/down 아직")
    assert client.rated == [("t_1", "up", ""), ("t_1", "down", "표가 없어요")]
    assert "평가할 답변이 아직 없습니다." in text
    assert text.count("의견을 남겼습니다.") == 2
    assert "답변이 끝난 뒤에 평가할 수 있습니다." in text


async def test_person_is_named_where_nothing_was_found_or_always() -> None:
    contact = Contact("평일 9~18시", "tel:1588-0000")
    line = "사람에게 문의: 평일 9~18시 tel:1588-0000"
    assert line in await shown(Scripted("not_found", contact), "드론?")
    assert line not in await shown(Scripted("answered", contact), "정산은?")
    assert line in await shown(Scripted("answered", Contact(contact.text, contact.url, True)), "정산은?")
    assert "문의" not in await shown(Scripted("not_found"), "드론?")


async def test_answer_is_laid_out_on_a_terminal_and_left_as_it_is_in_a_pipe() -> None:
    client = Scripted("answered")
    client.pieces = ("**정산**은 ", "[1]\n", "- 하나\n")
    assert "**정산**은 [1]\n- 하나\n" in await shown(client, "정산은?")
    screen = screen_of(await shown(client, "정산은?", tty=True))
    assert "정산은 [1]\n" in screen
    assert "• 하나" in screen
    assert "**" not in screen


async def test_a_cut_answer_says_so_and_one_that_was_stopped_does_not() -> None:
    client = Scripted("answered")
    assert "끊긴 답변" not in await shown(client, "정산은?")
    client.truncated = True
    assert "끊긴 답변" in await shown(client, "정산은?")
    client.stopped = True
    assert "끊긴 답변" not in await shown(client, "정산은?")
