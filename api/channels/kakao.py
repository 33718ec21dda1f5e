"""KakaoTalk: a skill of the chatbot admin centre, version 2.0.

Follows https://kakaobusiness.gitbook.io/main/tool/chatbot/skill_guide: an answer within five
seconds, or `useCallback` and one call of the callback URL within a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog

from api.channels.messenger import RATINGS, ChannelReply, Messenger, SecondsLeft, event_id_of, send_once
from api.channels.settings import KakaoSettings
from api.channels.talktalk import shortened
from api.errors import ApiError

log = structlog.get_logger(__name__)
MOST_TEXT = 1000
MOST_BUTTONS, MOST_LABEL = 10, 14
SHOW = "답변 보기"
_CALLBACK_S = 55.0
_WAIT = "답변을 쓰고 있어요. 잠시만 기다려 주세요."


class Kakao:
    """One KakaoTalk channel."""

    def __init__(self, messenger: Messenger, settings: KakaoSettings, http: httpx.AsyncClient) -> None:
        self._messenger, self._settings, self._http = messenger, settings, http

    async def receive(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The skill's response."""
        seconds = SecondsLeft(self._settings.reply_s)
        request = body.get("userRequest")
        request = request if isinstance(request, dict) else {}
        user = request.get("user")
        user_id = str(user.get("id") or "") if isinstance(user, dict) else ""
        text = str(request.get("utterance") or "").strip()
        if not user_id or not text:
            return _response(ChannelReply("글로 질문해 주세요."))
        callback = self._callback(request.get("callbackUrl"))
        # Its callback URL is what an event has of its own; one without is answered as often as it comes.
        event = event_id_of({"id": callback})
        if (thanks := await self._messenger.rate(user_id, text)) is not None:
            return _response(thanks)
        try:
            turn_id = await self._messenger.kept_for(user_id) if text == SHOW else None
            turn_id = turn_id or await self._messenger.begin(user_id, text, event=event)
        except ApiError as exc:
            return _response(ChannelReply(exc.message))
        waiting = asyncio.ensure_future(self._messenger.reply(turn_id))
        done, _ = await asyncio.wait({waiting}, timeout=seconds.left())
        if done:
            return _response(waiting.result())
        if not callback:
            await self._messenger.keep_for(user_id, turn_id, waiting)
            return _response(ChannelReply(_WAIT, offers=(SHOW,)))
        if await self._messenger.is_first(event):
            self._messenger.later(self._call_back(callback, waiting))
        else:
            waiting.cancel()
        return {"version": "2.0", "useCallback": True, "data": {"text": _WAIT}}

    async def _call_back(self, url: str, waiting: asyncio.Future[ChannelReply]) -> None:
        """Calls the one-time URL once, in its minute."""
        done, _ = await asyncio.wait({waiting}, timeout=_CALLBACK_S - self._settings.reply_s)
        late = ChannelReply("답변이 늦어지고 있습니다. 잠시 후 다시 질문해 주세요.")
        reply = waiting.result() if done else late
        if not done:
            waiting.cancel()
        try:
            response = await send_once(self._http, url, json=_response(reply), timeout=5.0)
        except httpx.HTTPError as exc:
            log.error("kakao.callback_failed", error=repr(exc))
            return
        if response.status_code != 200:
            log.error("kakao.callback_refused", status=response.status_code)

    def _callback(self, url: Any) -> str:
        """The callback URL, where it is Kakao's: nobody else can have this server call something."""
        if not isinstance(url, str):
            return ""
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            return ""
        return url if host in self._settings.callback_hosts else ""


def _response(reply: ChannelReply) -> dict[str, Any]:
    template: dict[str, Any] = {"outputs": [{"simpleText": {"text": reply.shown(MOST_TEXT)}}]}
    offers = (*reply.offers, *(RATINGS if reply.rateable else ()))
    if offers:
        template["quickReplies"] = [
            {"label": shortened(offer, MOST_LABEL), "action": "message", "messageText": offer}
            for offer in offers[:MOST_BUTTONS]
        ]
    return {"version": "2.0", "template": template}
