"""What clients of OpenAI's SDK say of an answer, in the metadata: kept, and seen by the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.api.live import Live, wait_until

MINORS = "미성년자도 판매 회원 등록이 가능한가요?"
ASKED: list[Any] = [{"role": "user", "content": MINORS}]


@pytest.fixture
def sdk(live: Live) -> Iterator[OpenAI]:
    """The SDK's client."""
    with OpenAI(base_url=f"{live.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def seen(client: httpx.Client, turn_id: str) -> tuple[str, str, str]:
    """Rating, reason and comment as the console reads them."""

    def turn() -> dict[str, Any] | None:
        response = client.get(f"/history/turns/{turn_id}")
        return response.json() if response.status_code == 200 else None

    row = wait_until(turn)
    return row["rating"], row["reason"], row["comment"]


def test_a_completion_is_rated_as_sdks_update_one(sdk: OpenAI, client: httpx.Client) -> None:
    answer = sdk.chat.completions.create(model="faq", messages=ASKED)
    said = {
        "smartstore_rating": "down",
        "smartstore_reason": "incomplete",
        "smartstore_comment": "표가 없어요",
    }
    updated = sdk.chat.completions.update(answer.id, metadata=said)
    assert updated.choices[0].message.content == answer.choices[0].message.content
    assert updated.id == answer.id
    assert seen(client, answer.id.removeprefix("chatcmpl-")) == ("down", "incomplete", "표가 없어요")


def test_the_next_completion_rates_the_one_before(sdk: OpenAI, client: httpx.Client) -> None:
    first = sdk.chat.completions.create(model="faq", messages=ASKED)
    said = {"smartstore_rating": "up", "smartstore_rating_of": first.id}
    sdk.chat.completions.create(model="faq", messages=ASKED, metadata=said)
    assert seen(client, first.id.removeprefix("chatcmpl-"))[0] == "up"


def test_the_next_response_rates_the_previous_one(sdk: OpenAI, client: httpx.Client) -> None:
    first = sdk.responses.create(model="faq", input=MINORS)
    said = {"smartstore_rating": "down", "smartstore_reason": "wrong"}
    sdk.responses.create(
        model="faq", input="그럼 서류는 뭐가 필요해?", previous_response_id=first.id, metadata=said
    )
    assert seen(client, first.id.replace("resp_", "t_"))[:2] == ("down", "wrong")


@pytest.mark.parametrize(
    ("metadata", "refused"),
    [
        ({"smartstore_rating": "great", "smartstore_rating_of": "chatcmpl-t_x"}, openai.BadRequestError),
        ({"smartstore_rating": "up", "smartstore_reason": "so"}, openai.BadRequestError),
        ({"smartstore_rating": "up"}, openai.BadRequestError),
        ({"smartstore_rating": "up", "smartstore_rating_of": "chatcmpl-t_x"}, openai.NotFoundError),
    ],
    ids=["word", "reason", "of nothing", "of another"],
)
def test_a_rating_that_cannot_be_kept_is_refused(
    sdk: OpenAI, metadata: dict[str, str], refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        sdk.chat.completions.create(model="faq", messages=ASKED, metadata=metadata)


def test_other_metadata_changes_nothing(sdk: OpenAI) -> None:
    sdk.chat.completions.create(model="faq", messages=ASKED, metadata={"mine": "1"})
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.update("chatcmpl-t_x", metadata={"mine": "1"})
