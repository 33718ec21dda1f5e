"""Naver TalkTalk: webhook events in, answers in the response or pushed to the event endpoint.

Follows the TalkTalk chatbot API v1 (https://github.com/navertalk/chatbot-api): events `open`, `send`,
`leave`, `friend`, `echo`, `action`, `handover`; a response within five seconds, else 200 and a push.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import structlog

from api.channels.messenger import RATINGS, ChannelReply, Messenger, SecondsLeft, event_id_of, send_once
from api.channels.settings import TalkTalkSettings
from api.errors import ApiError

log = structlog.get_logger(__name__)
MOST_TEXT = 10_000
MOST_BUTTONS, MOST_TITLE, MOST_CODE = 10, 18, 1000
HAND_OVER = "상담원 연결"
_GREETING = "안녕하세요! 스토어를 운영하며 궁금한 점을 물어보세요."
_PUSH_S = 10.0


class TalkTalk:
    """One TalkTalk account."""

    def __init__(self, messenger: Messenger, settings: TalkTalkSettings, http: httpx.AsyncClient) -> None:
        self._messenger, self._settings, self._http = messenger, settings, http

    async def receive(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """What to answer an event with; None for nothing (200 with an empty body)."""
        event, user = body.get("event"), body.get("user")
        # While a person has the thread, the bot listens and says nothing.
        if body.get("standby") is True or not isinstance(user, str) or not user:
            return None
        match event:
            case "open":
                return self._message(ChannelReply(self._settings.greeting or _GREETING))
            case "send":
                return await self._asked(user, body)
            case "leave":
                await self._messenger.forget(user)
                return None
            case _:
                # friend, echo, action, handover: nothing to say.
                return None

    async def _asked(self, user: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        content = body.get("textContent")
        text = str(content.get("text") or "") if isinstance(content, dict) else ""
        code = str(content.get("code") or "") if isinstance(content, dict) else ""
        event, seconds = event_id_of(body), SecondsLeft(self._settings.reply_s)
        if not await self._messenger.is_first(event):
            return None
        if HAND_OVER in (text.strip(), code):
            return await self._hand_over(user)
        if not text.strip():
            return self._message(ChannelReply("글로 질문해 주세요. 사진이나 파일은 읽을 수 없습니다."))
        if (thanks := await self._messenger.rate(user, code or text)) is not None:
            return self._message(thanks)
        try:
            # A button's title is short; the whole question is in its code.
            turn_id = await self._messenger.begin(user, code or text, event=event)
        except ApiError as exc:
            return self._message(ChannelReply(exc.message))
        waiting = asyncio.ensure_future(self._messenger.reply(turn_id))
        done, _ = await asyncio.wait({waiting}, timeout=seconds.left())
        if done:
            return self._message(waiting.result())
        self._messenger.later(self._push_late(user, waiting))
        return None

    async def _push_late(self, user: str, waiting: asyncio.Future[ChannelReply]) -> None:
        await self._push({"event": "action", "user": user, "options": {"action": "typingOn"}})
        reply = await waiting
        await self._push({**self._message(reply), "user": user})

    async def _hand_over(self, user: str) -> dict[str, Any] | None:
        """Passes the thread to a person."""
        options = {"control": "passThread", "targetId": self._settings.hand_over_to}
        if self._settings.hand_over_to is None or not await self._push(
            {"event": "handover", "user": user, "options": options}
        ):
            return self._message(
                ChannelReply("지금은 상담원에게 연결할 수 없습니다. 잠시 후 다시 시도해 주세요.")
            )
        return self._message(ChannelReply("상담원에게 연결했습니다. 잠시만 기다려 주세요."))

    async def _push(self, event: dict[str, Any]) -> bool:
        """Sends one event; True where it was taken. Never sent again: a message must not come twice."""
        head = {"Authorization": self._settings.authorization.get_secret_value()}
        try:
            response = await send_once(
                self._http, self._settings.endpoint, json=event, headers=head, timeout=_PUSH_S
            )
            taken = response.status_code == 200 and response.json().get("success") is True
        except (httpx.HTTPError, ValueError) as exc:
            log.error("talktalk.push_failed", event_kind=event["event"], error=repr(exc))
            return False
        if not taken:
            log.error("talktalk.push_refused", event_kind=event["event"], status=response.status_code)
        return taken

    def _message(self, reply: ChannelReply) -> dict[str, Any]:
        content: dict[str, Any] = {"text": reply.shown(MOST_TEXT)}
        titles = [(offer, offer) for offer in reply.offers]
        if reply.wants_person and self._settings.hand_over_to is not None:
            titles.append((HAND_OVER, HAND_OVER))
        if reply.rateable:
            titles += [(word, word) for word in RATINGS]
        if titles:
            buttons = [
                {"type": "TEXT", "data": {"title": shortened(title, MOST_TITLE), "code": code[:MOST_CODE]}}
                for title, code in titles[:MOST_BUTTONS]
            ]
            content["quickReply"] = {"buttonList": buttons}
        return {"event": "send", "textContent": content}


def shortened(text: str, most: int) -> str:
    """The text in at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
