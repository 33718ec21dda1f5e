"""`/v1/rerank`: any texts, ordered as the search orders FAQs."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import httpx
import pytest

from retrieval.ranking.remote import RemoteReranker
from tests.api.live import Live

QUERY = "반품 배송비는 누가 내나요?"
TEXTS = [
    "상표권 침해 신고\n상표권이 침해되면 신고 센터로 접수해 주세요.",
    "반품 배송비는 누가 부담하나요?\n구매자의 단순 변심이면 구매자가, 상품 하자면 판매자가 부담합니다.",
    "정산 예정일 확인\n정산 예정일은 정산 관리 메뉴에서 볼 수 있습니다.",
]
BODY = {"model": "faq-ranker", "query": QUERY, "documents": TEXTS}


def ranked(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = client.post(
        "/v1/rerank", json={"model": "faq-ranker", "query": QUERY, "documents": TEXTS} | fields
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_texts_are_ordered_by_how_well_they_answer(client: httpx.Client) -> None:
    body = ranked(client)
    scores = [each["relevance_score"] for each in body["results"]]
    assert body["results"][0]["index"] == 1
    assert sorted(each["index"] for each in body["results"]) == [0, 1, 2]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] < 0.5 < scores[0] <= 1
    assert "document" not in body["results"][0]
    assert body["usage"]["total_tokens"] > 0


def test_a_few_are_returned_with_their_text(client: httpx.Client) -> None:
    documents = [{"text": text} for text in TEXTS]
    body = ranked(client, documents=documents, top_n=1, return_documents=True)
    assert [each["document"]["text"] for each in body["results"]] == [TEXTS[1]]


def test_one_line_is_question_and_answer(client: httpx.Client) -> None:
    lines = ["주차장 위치", "반품 배송비는 구매자가 냅니다."]
    assert ranked(client, documents=lines)["results"][0]["index"] == 1


def test_the_ranker_is_listed(live: Live, client: httpx.Client) -> None:
    assert "faq-ranker" in [model["id"] for model in client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"documents": []}, 400),
        ({"documents": [" "]}, 400),
        ({"documents": ["가"] * 129}, 400),
        ({"documents": ["가" * 20_001]}, 400),
        ({"query": " "}, 400),
        ({"top_n": 0}, 400),
        ({"model": "jina"}, 404),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_ranked_is_refused(client: httpx.Client, fields: dict[str, Any], status: int) -> None:
    response = client.post(
        "/v1/rerank", json={"model": "faq-ranker", "query": QUERY, "documents": TEXTS} | fields
    )
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_our_own_reranker_client_reads_it(live: Live) -> None:
    with closing(RemoteReranker(f"{live.url}/v1", model="faq-ranker")) as reranker:
        scores = reranker.probabilities(QUERY, TEXTS)
    assert scores[1] == max(scores)
    assert min(scores) < 0.5 < max(scores)
