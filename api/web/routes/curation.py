"""The FAQ over HTTP, to be edited: add, change, retire, more wordings, audit trail, undo, preview."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.errors import InvalidRequest
from api.indexing.curation import Curation, Edited
from api.indexing.preview import Preview, in_memory, preview
from api.services import Services
from api.text import RequestBody
from api.web.routes.dependencies import AdminDep, HistoryDep, ServicesDep
from retrieval.corpus.origin import read_date, read_link
from retrieval.edits.overlay import Entry

router = APIRouter(prefix="/faqs", tags=["curation"])
_MAX_ANSWER = 15_000
FaqId = Annotated[str, Path(max_length=64)]
Wording = Annotated[str, Field(min_length=1, max_length=300)]


class FaqBody(RequestBody):
    """A FAQ as it shall be."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=300)
    answer: str = Field(min_length=1, max_length=_MAX_ANSWER)
    categories: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=10)
    expansions: list[Wording] = Field([], max_length=50, description="other ways of asking")
    link: str = Field("", max_length=500, description="where it is published: http or https")
    date: str = Field("", max_length=40, description="the day of its last change, 2026-03-02")
    turn_id: str = Field("", max_length=64, description="the question that made you edit")

    def entry(self) -> Entry:
        """The FAQ. Raises `InvalidRequest` where nothing is left of it."""
        try:
            link, date = read_link(self.link), read_date(self.date)
        except ValueError as exc:
            raise InvalidRequest("link는 http(s) 주소, date는 2026-03-02 같은 날짜여야 합니다.") from exc
        lists = (tuple(self.categories), tuple(self.expansions))
        entry = Entry(self.question, self.answer, *lists, link=link, date=date).cleaned()
        if not entry.question or not entry.answer:
            raise InvalidRequest("질문과 답변에 글자가 있어야 합니다.")
        return entry


class WordingsBody(RequestBody):
    """Other ways of asking."""

    model_config = ConfigDict(extra="forbid")

    expansions: list[Wording] = Field(min_length=1, max_length=50)
    turn_id: str = Field("", max_length=64)


class PreviewBody(FaqBody):
    """A FAQ as it would be, and what to try it with."""

    faq_id: str = Field("", max_length=64, description="which one it replaces; empty: a new one")
    questions: list[Wording] = Field([], max_length=20, description="to be searched, before and after")
    replay: int = Field(
        200, strict=True, ge=0, le=500, description="so many answered turns are searched again"
    )


class EditView(BaseModel):
    """An edit that is live."""

    edit: int
    faq_id: str
    build: str

    @classmethod
    def of(cls, edited: Edited) -> EditView:
        """The view of an edit."""
        return cls(edit=edited.edit, faq_id=edited.faq_id, build=edited.build)


class FaqList(BaseModel):
    """FAQs in service."""

    total: int
    faqs: list[dict[str, Any]]


@router.get("")
async def list_faqs(
    services: ServicesDep,
    _caller: AdminDep,
    q: Annotated[str, Query(max_length=200, description="part of question or answer")] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FaqList:
    """FAQs in service, by title; edited ones say so."""
    overlay = await services.curation.edits.overlay() if services.curation else {}
    part = q.casefold()
    faqs = in_memory(services.engine.searcher.index).faqs()
    found = [faq for faq in faqs if part in f"{faq.question}\n{faq.answer}".casefold()]
    found.sort(key=lambda faq: (faq.id not in overlay, faq.question))
    page = [
        {
            "id": faq.id,
            "question": faq.question,
            "categories": list(faq.categories),
            "edited": faq.id in overlay,
        }
        for faq in found[offset : offset + limit]
    ]
    return FaqList(total=len(found), faqs=page)


@router.post("", status_code=201)
async def add(body: FaqBody, services: ServicesDep, caller: AdminDep, _history: HistoryDep) -> EditView:
    """Adds a FAQ; it answers when this returns."""
    edited = await _curation(services).add(body.entry(), by=caller.id, turn_id=body.turn_id)
    return EditView.of(edited)


@router.post("/preview")
async def show_preview(
    body: PreviewBody, services: ServicesDep, _caller: AdminDep, history: HistoryDep
) -> Preview:
    """Tells what a change would do: questions and the last answered turns, searched before and after."""
    asked = tuple(body.questions)
    return await preview(
        services, history, body.entry(), faq_id=body.faq_id, questions=asked, replay=body.replay
    )


@router.get("/edits")
async def edits(
    services: ServicesDep,
    _caller: AdminDep,
    _history: HistoryDep,
    faq_id: Annotated[str, Query(max_length=64)] = "",
    before: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> list[dict[str, Any]]:
    """The audit trail: who changed what, when, from what to what; newest first."""
    return await _curation(services).edits.latest(limit=limit, before=before, faq_id=faq_id)


@router.post("/edits/{number}/undo")
async def undo(
    number: Annotated[int, Path(ge=1, le=2**31)],
    services: ServicesDep,
    caller: AdminDep,
    _history: HistoryDep,
) -> EditView:
    """Takes an edit back."""
    return EditView.of(await _curation(services).undo(number, by=caller.id))


@router.put("/{faq_id}")
async def change(
    faq_id: FaqId, body: FaqBody, services: ServicesDep, caller: AdminDep, _history: HistoryDep
) -> EditView:
    """Changes a FAQ; the new one answers when this returns."""
    edited = await _curation(services).change(faq_id, body.entry(), by=caller.id, turn_id=body.turn_id)
    return EditView.of(edited)


@router.post("/{faq_id}/expansions", status_code=201)
async def expand(
    faq_id: FaqId, body: WordingsBody, services: ServicesDep, caller: AdminDep, _history: HistoryDep
) -> EditView:
    """Adds ways of asking; they are searched, never shown."""
    wordings = tuple(body.expansions)
    return EditView.of(await _curation(services).expand(faq_id, wordings, by=caller.id, turn_id=body.turn_id))


@router.delete("/{faq_id}")
async def retire(faq_id: FaqId, services: ServicesDep, caller: AdminDep, _history: HistoryDep) -> EditView:
    """Takes a FAQ out of service; the audit trail keeps it."""
    return EditView.of(await _curation(services).retire(faq_id, by=caller.id))


def _curation(services: Services) -> Curation:
    assert services.curation is not None  # there is one wherever there is a history
    return services.curation
