"""One FAQ added, changed or retired: kept in the audit trail and patched into the index in service.

The file stays as it is; a rollback of the index takes the last edit out of service, an undo takes
any of them back. Knows edits and patches; no HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog

from api.errors import Conflict, NotFound
from api.history.edits import Action, Edits
from api.indexing.edited import Served, file_corpus
from api.indexing.refresh import refresh, tell
from api.settings import Settings
from api.state.connection import State
from retrieval.edits.overlay import Entry, Overlay, entry_of, merged, new_id
from retrieval.edits.patch import make_patch, read_known, write_patch
from retrieval.index.opening import index_info
from retrieval.index.prepare import Known
from retrieval.index.rows import BuildInfo, fingerprint
from retrieval.search import Searcher

log = structlog.get_logger(__name__)
_LOCK_MS = 60_000
_LOCK_WAIT_S = 20.0
_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
Change = Callable[[Entry | None], Entry | None]


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit that is live: its number, the FAQ and the build that has it."""

    edit: int
    faq_id: str
    entry: Entry | None
    build: str


class Curation:
    """The FAQ of a running process, to be edited."""

    def __init__(self, settings: Settings, searcher: Searcher, edits: Edits, state: State) -> None:
        self.edits = edits
        self._settings, self._searcher, self._state = settings, searcher, state
        self._unlock = state.script(_UNLOCK)
        self._known: Known | None = None

    async def add(self, entry: Entry, *, by: str, turn_id: str = "") -> Edited:
        """A new FAQ. Raises `Conflict` where one with this question is there."""
        entry = entry.cleaned()
        corpus, _ = await asyncio.to_thread(file_corpus, self._settings)
        overlay = await self.edits.overlay()
        live = merged(corpus, {}, overlay)[0].find_question(entry.question)
        if live is not None:
            raise Conflict(
                f"같은 질문의 FAQ '{live.id}'이(가) 이미 있습니다. 그 FAQ를 고쳐 주세요.",
                english=f"there is a FAQ of the same question, {live.id}",
            )
        id = new_id(entry.question, {**corpus.by_id, **overlay})
        return await self._edit(id, "add", lambda _: entry, by=by, turn_id=turn_id)

    async def change(self, faq_id: str, entry: Entry, *, by: str, turn_id: str = "") -> Edited:
        """Another question, answer or categories. Raises `NotFound`."""
        return await self._edit(faq_id, "change", lambda _: entry.cleaned(), by=by, turn_id=turn_id)

    async def expand(self, faq_id: str, wordings: tuple[str, ...], *, by: str, turn_id: str = "") -> Edited:
        """More ways of asking. Raises `NotFound`."""

        def with_wordings(now: Entry | None) -> Entry:
            assert now is not None
            return replace(now, expansions=now.expansions + wordings).cleaned()

        return await self._edit(faq_id, "expand", with_wordings, by=by, turn_id=turn_id)

    async def retire(self, faq_id: str, *, by: str) -> Edited:
        """Takes a FAQ out. Raises `NotFound`."""

        def retired(now: Entry | None) -> Entry:
            assert now is not None
            return replace(now, retired=True)

        return await self._edit(faq_id, "retire", retired, by=by)

    async def undo(self, number: int, *, by: str) -> Edited:
        """Takes an edit back, if nobody has edited that FAQ since. Raises `NotFound`, `Conflict`."""
        edit = await self.edits.get(number)
        if edit is None:
            raise NotFound(f"편집 {number}번을 찾을 수 없습니다.")
        [newest] = await self.edits.latest(limit=1, faq_id=edit["faq_id"])
        if newest["id"] != number:
            raise Conflict(f"이 FAQ는 그 뒤에 다시 편집되었습니다. {newest['id']}번부터 되돌려 주세요.")
        before = Entry.from_json(edit["before"]) if edit["before"] else None
        if before is None and edit["action"] == "add":
            before = replace(Entry.from_json(edit["after"]), retired=True)
        return await self._edit(edit["faq_id"], "undo", lambda _: before, by=by, undoes=number)

    async def publish(self, entries: Mapping[str, Entry], *, by: str) -> str:
        """Many FAQs at once, each an edit of its own; returns the build that has them."""
        async with self._alone():
            overlay = await self.edits.overlay()
            served = await asyncio.to_thread(file_corpus, self._settings)
            cleaned = {id: entry.cleaned() for id, entry in entries.items()}
            build = await asyncio.to_thread(self._publish, served, overlay, {**overlay, **cleaned})
            for id, entry in cleaned.items():
                known = id in overlay or id in served[0].by_id
                action: Action = "retire" if entry.retired else "change" if known else "add"
                await self.edits.add(id, action, overlay.get(id), entry, by=by)
        await tell(self._state, build)
        return build

    async def _edit(
        self, faq_id: str, action: Action, change: Change, *, by: str, undoes: int | None = None,
        turn_id: str = "",
    ) -> Edited:  # fmt: skip
        async with self._alone():
            overlay = await self.edits.overlay()
            served = await asyncio.to_thread(file_corpus, self._settings)
            before = overlay.get(faq_id)
            old = served[0].by_id.get(faq_id)
            now = before or (entry_of(old) if old else None)
            if action not in ("add", "undo") and (now is None or now.retired):
                raise NotFound(f"FAQ '{faq_id[:40]}'을(를) 찾을 수 없습니다.")
            after = change(now)
            build = await asyncio.to_thread(self._publish, served, overlay, {**overlay, faq_id: after})
            number = await self.edits.add(
                faq_id, action, before, after, by=by, undoes=undoes, turn_id=turn_id
            )
        await tell(self._state, build)
        log.info("faq_edited", edit=number, faq_id=faq_id, action=action, by=by, build=build)
        return Edited(number, faq_id, after, build)

    def _publish(self, served: Served, before: Overlay, after: Overlay) -> str:
        """Makes the index one of the files with `after` over them; returns its fingerprint. Blocking."""
        settings, searcher = self._settings, self._searcher
        token = settings.index.token.get_secret_value()
        current = index_info(settings.index_uri, token=token)
        names = {"embedder": searcher.embedder.name, "tokenizer": searcher.tokenizer.version}
        faqs, wordings = merged(*served, before)
        if current.fingerprint != fingerprint(faqs.faqs, wordings, **names):
            raise Conflict(
                "색인이 FAQ 파일과 지금까지의 편집에 맞지 않습니다"
                "(파일이 바뀌었거나 색인을 되돌린 뒤입니다). "
                "'smartstore index build'로 맞춘 뒤에 편집해 주세요.",
                english="the index is not of the FAQ file and the edits so far; run `smartstore index build`",
            )
        faqs, wordings = merged(*served, after)
        models = (searcher.embedder, searcher.tokenizer)
        if self._known is None:
            self._known = read_known(settings.index_uri, *models, token=token)
        patch = make_patch(
            faqs, wordings, after, _base(current), embedder=models[0], tokenizer=models[1], known=self._known
        )
        self._known = patch.known()
        if patch.info.fingerprint != current.fingerprint:
            write_patch(patch, settings.index_uri, token=token)
            refresh(searcher, settings)
        return patch.info.fingerprint

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One edit at a time, over all processes. Raises `Conflict` where another one takes long."""
        key, mine = self._state.key("index", "edit"), secrets.token_hex(8)
        redis: Any = self._state.redis
        try:
            async with asyncio.timeout(_LOCK_WAIT_S):
                # Another process cannot set an event here: its lock is asked for again.
                while not await self._state.call(redis.set(key, mine, nx=True, px=_LOCK_MS)):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError as exc:
            raise Conflict(
                "다른 편집이 진행 중입니다. 잠시 후 다시 시도해 주세요.",
                english="another edit is under way",
                retry_after=1,
            ) from exc
        try:
            yield
        finally:
            await self._unlock(keys=[key], args=[mine])


def _base(current: BuildInfo) -> BuildInfo:
    """The build whose rows the collection of a patch leans on."""
    if not current.base:
        return current
    return replace(
        current, fingerprint=current.base, rows=current.base_rows, base="", base_rows=0, removed=""
    )
