"""Tools and resources of the MCP server: search the FAQ, ask it, read one entry.

Follows https://modelcontextprotocol.io/specification through the `mcp` SDK. Knows no transport:
who asks is told by `caller`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from api.access.auth import Caller
from api.errors import ApiError, NotFound
from api.events import Delta, ProviderSwitched, Sources, Suggestions, TurnCompleted, TurnFailed
from api.services import Services
from api.turns.start import Question, ask, check_question
from retrieval.corpus.faq import Faq
from retrieval.errors import RetrievalError

_INSTRUCTIONS = (
    "네이버 스마트스토어 판매자 FAQ입니다. 근거 있는 답이 필요하면 ask_faq로 묻고, "
    "관련 항목을 훑으려면 search_faq로 찾은 뒤 get_faq로 전문을 읽으세요."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class FoundFaq(BaseModel):
    """A FAQ that may answer; `score` is the probability that it does."""

    id: str
    question: str
    score: float
    categories: list[str]


class FaqText(BaseModel):
    """One FAQ, whole."""

    id: str
    question: str
    answer: str
    categories: list[str]
    related: list[str]


class AnswerSource(BaseModel):
    """A FAQ that the answer cites as `[n]`."""

    n: int
    faq_id: str
    question: str


class FaqAnswer(BaseModel):
    """An answer with its sources; `verdict` says how sure it is."""

    answer: str = ""
    verdict: str = ""
    sources: list[AnswerSource] = []
    follow_ups: list[str] = []
    session_id: str = Field("", description="넘기면 대화를 이어 갑니다")
    truncated: bool = False


class FaqTools:
    """What an agent may do.

    Args:
        services: open services.
        caller: says who a tool runs for.
    """

    def __init__(self, services: Services, caller: Callable[[Context[Any, Any]], Caller]) -> None:
        self._services, self._caller = services, caller

    async def search_faq(
        self,
        query: Annotated[str, Field(description="찾을 내용")],
        limit: Annotated[int, Field(ge=1, le=20, description="몇 개까지")] = 5,
    ) -> list[FoundFaq]:
        """질문에 답할 만한 FAQ를 확률이 높은 차례로 찾습니다."""
        services = self._services
        with _told(ToolError):
            text = check_question(query, max_chars=services.settings.server.max_question_chars)
            result = await asyncio.to_thread(services.engine.searcher.search, text, limit=limit)
        return [
            FoundFaq(
                id=hit.faq.id,
                question=hit.faq.question,
                score=round(hit.score, 4),
                categories=list(hit.faq.categories),
            )
            for hit in result.hits
        ]

    async def ask_faq(
        self,
        context: Context[Any, Any],
        question: Annotated[str, Field(description="한국어로 된 질문")],
        session_id: Annotated[str | None, Field(description="이어 갈 대화")] = None,
    ) -> FaqAnswer:
        """FAQ를 근거로, 출처와 함께 답합니다. 쓰는 동안의 글은 진행 알림으로 보냅니다."""
        with _told(ToolError):
            asked = Question(question, session_id, channel="mcp")
            return await _answer(self._services, self._caller(context), asked, context)

    async def get_faq(self, faq_id: Annotated[str, Field(max_length=64, description="FAQ의 id")]) -> FaqText:
        """FAQ 하나의 전문을 읽습니다."""
        with _told(ToolError):
            faq = await self._read(faq_id)
        return FaqText(
            id=faq.id,
            question=faq.question,
            answer=faq.answer,
            categories=list(faq.categories),
            related=list(faq.related),
        )

    async def resource(self, faq_id: str) -> str:
        """FAQ 하나를 글로."""
        with _told(ResourceError):
            faq = await self._read(faq_id)
        return f"# {faq.question}\n\n{faq.answer}\n"

    async def _read(self, faq_id: str) -> Faq:
        found = await asyncio.to_thread(self._services.engine.searcher.index.get, [faq_id])
        if faq_id not in found:
            raise NotFound(f"FAQ '{faq_id[:64]}'을(를) 찾을 수 없습니다.")
        return found[faq_id]


def faq_server(services: Services, caller: Callable[[Context[Any, Any]], Caller]) -> MCPServer[Any]:
    """The server over open services."""
    server: MCPServer[Any] = MCPServer(
        "smartstore",
        title="스마트스토어 FAQ",
        instructions=_INSTRUCTIONS,
        version=version("smartstore-chatbot"),
        log_level="WARNING",
    )
    tools = FaqTools(services, caller)
    server.add_tool(tools.search_faq, title="FAQ 검색", annotations=_READS)
    server.add_tool(tools.ask_faq, title="FAQ에 질문", annotations=_READS)
    server.add_tool(tools.get_faq, title="FAQ 읽기", annotations=_READS)
    server.resource("faq://{faq_id}", name="faq", title="FAQ", mime_type="text/markdown")(tools.resource)
    return server


@contextmanager
def _told(kind: type[ToolError | ResourceError]) -> Iterator[None]:
    """Tells our errors in words, as the SDK's own."""
    try:
        yield
    except ApiError as exc:
        raise kind(exc.message) from exc
    except RetrievalError as exc:
        raise kind("FAQ 검색을 지금 사용할 수 없습니다.") from exc


async def _answer(
    services: Services, caller: Caller, question: Question, context: Context[Any, Any]
) -> FaqAnswer:
    """Asks, tells each piece as progress, and returns the whole; a caller who leaves ends the turn."""
    begun = await ask(services, caller, question)
    answer = FaqAnswer(session_id=begun.session_id)
    pieces, over = 0, False
    try:
        async with aclosing(services.follow(begun.turn_id)) as events:
            async for _, event in events:
                match event:
                    case Delta(text=text):
                        answer.answer += text
                        pieces += 1
                        await context.report_progress(pieces, message=text)
                    case ProviderSwitched():
                        answer.answer = ""
                    case Sources(sources=sources):
                        answer.sources = [
                            AnswerSource(n=s.n, faq_id=s.faq_id, question=s.question) for s in sources
                        ]
                    case Suggestions(suggestions=suggestions):
                        answer.follow_ups = [each.question for each in suggestions]
                    case TurnFailed(message=message):
                        over = True
                        raise ToolError(message)
                    case TurnCompleted():
                        over = True
                        cited = set(event.citations)
                        answer.sources = [each for each in answer.sources if each.n in cited]
                        answer.answer, answer.verdict = event.answer, event.verdict
                        answer.truncated = event.truncated
                    case _:
                        pass
    finally:
        if not over:
            with anyio.CancelScope(shield=True):
                await services.runner.stop(begun.turn_id)
    return answer
