"""The expansion job against a real OpenAI-compatible server, in process and as a command."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.errors import ProviderError
from api.expansion.writing import FAILURES_IN_A_ROW, ExpansionReport, estimate, write_expansions
from api.providers.openai.chunks import Price
from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import Faq, faq_id, read_corpus
from tests.api.live import ROOT, SMARTSTORE, environment, wait_until
from tests.api.providers.provider_kit import provider
from tests.api.providers.upstream import MODEL, Upstream, upstream, upstream_in_thread

TITLES = [f"{what} 어디에서 바꾸나요?" for what in ("정산 계좌는", "출고지는", "스토어 이름은", "비밀번호는")]


def faqs(titles: list[str]) -> list[Faq]:
    return [Faq(faq_id(t), t, "판매자정보에서 바꿉니다.", (), (), t) for t in titles]


def title_of(body: dict[str, Any]) -> str:
    """The title in the request: the line that begins with `[1]`."""
    text: str = body["messages"][-1]["content"]
    return next(line[4:] for line in text.split("\n") if line.startswith("[1] "))


def queries_for(title: str) -> tuple[str, str]:
    return f"혹시 {title[:-6]} 고치려면 무슨 메뉴로 가죠?", f"{title.split()[0]} 수정"


def write(body: dict[str, Any]) -> str:
    return json.dumps({"queries": queries_for(title_of(body))}, ensure_ascii=False)


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with upstream(reply=write) as running:
        yield running


async def run(
    server: Upstream, wanted: list[Faq], *path: str, concurrency: int = 2
) -> tuple[dict[str, tuple[str, str]], ExpansionReport]:
    saved: dict[str, tuple[str, str]] = {}
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 2.0}

    def save(faq: Faq, queries: tuple[str, str]) -> None:
        saved[faq.id] = queries

    async with provider(server, *path, **prices) as small:
        report = await write_expansions(wanted, small, save, concurrency=concurrency, progress=lambda: None)
    return saved, report


async def test_each_faq_gets_its_own_two_queries_and_the_usage_is_summed(server: Upstream) -> None:
    saved, report = await run(server, faqs(TITLES))
    assert saved == {faq_id(title): queries_for(title) for title in TITLES}
    assert (report.written, report.skipped) == (4, [])
    assert (report.usage.prompt_tokens, report.usage.completion_tokens) == (4000, 800)
    assert report.usage.cost_usd == pytest.approx(4000e-6 + 2 * 800e-6)
    body = server.requests[0].body
    assert "판매자정보에서 바꿉니다." in body["messages"][-1]["content"]
    assert '{"queries": [' in body["messages"][0]["content"]


async def test_bad_reply_is_asked_for_again_with_its_fault(server: Upstream) -> None:
    def second_time(body: dict[str, Any]) -> str:
        again = "쓸 수 없었습니다" in body["messages"][-1]["content"]
        return write(body) if again else json.dumps({"queries": [title_of(body), "수정"]})

    server.reply = second_time
    saved, report = await run(server, faqs(TITLES[:1]))
    assert list(saved.values()) == [queries_for(TITLES[0])]
    assert (report.written, len(server.requests)) == (1, 2)
    assert "첫째 질문이 제목과 같습니다" in server.requests[1].body["messages"][-1]["content"]


async def test_faq_whose_replies_stay_bad_is_reported_and_the_others_are_written(server: Upstream) -> None:
    bad = TITLES[1]
    server.reply = lambda body: "모르겠습니다" if title_of(body) == bad else write(body)
    saved, report = await run(server, faqs(TITLES))
    assert set(saved) == {faq_id(t) for t in TITLES if t != bad}
    assert [(faq.question, "JSON" in str(reason)) for faq, reason in report.skipped] == [(bad, True)]
    assert len(server.requests) == 5


async def test_no_more_requests_run_at_once_than_allowed(server: Upstream) -> None:
    most = 0

    def count(body: dict[str, Any]) -> str:
        nonlocal most
        most = max(most, server.streaming)
        return write(body)

    server.reply, server.piece_s = count, 0.05
    await run(server, faqs([f"{n}번째 설정은 어디에서 바꾸나요?" for n in range(100, 112)]), concurrency=3)
    assert most == 3


async def test_server_that_keeps_failing_ends_the_job(server: Upstream) -> None:
    wanted = faqs([f"{n}번째 설정은 어디에서 바꾸나요?" for n in range(100, 140)])
    with pytest.raises(ProviderError, match="500"):
        await run(server, wanted, "500")
    assert len(server.requests) <= FAILURES_IN_A_ROW + 1


def test_estimate_grows_with_the_faqs_and_their_price() -> None:
    one, four = (estimate(faqs(TITLES[:n]), "지시문", Price(1.0, 2.0)) for n in (1, 4))
    assert four.completion_tokens == 4 * one.completion_tokens
    assert 3.5 < four.prompt_tokens / one.prompt_tokens < 4.5
    assert four.cost_usd == pytest.approx((four.prompt_tokens + 2 * four.completion_tokens) / 1e6)
    assert four.estimated


def test_long_answers_are_cut_before_they_cost_money() -> None:
    long = Faq("0123456789ab", "긴 글", "가" * 50_000, (), (), "긴 글")
    assert estimate([long], "", Price()).prompt_tokens < 1000


@pytest.fixture
def small() -> Iterator[Upstream]:
    with upstream_in_thread(reply=write) as running:
        yield running


@pytest.fixture
def start(small: Upstream, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    endpoint = {
        "base_url": small.url(), "model": MODEL, "third_party": False,
        "usd_per_million_input": 1.0, "usd_per_million_output": 2.0,
    }  # fmt: skip
    settings = environment(tmp_path, SMARTSTORE_PROVIDERS__ENDPOINTS=json.dumps({"small": endpoint}))
    titles = [f"{n}번째 설정은 어디에서 바꾸나요?" for n in range(100, 130)]
    faq = tmp_path / "faq.csv"
    faq.write_text("question,answer\n" + "".join(f"{t},설정 화면에서 바꿉니다.\n" for t in titles), "utf-8")

    def run_command(*arguments: str) -> subprocess.Popen[str]:
        command = [*SMARTSTORE, "expand", "--faq", str(faq), "--out", str(tmp_path / "out.jsonl"), *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=settings, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return run_command


def test_command_goes_on_after_a_kill_and_asks_for_nothing_twice(
    small: Upstream, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    out = tmp_path / "out.jsonl"
    small.piece_s = 0.2
    first = start("-p", "small", "--yes", "--concurrency", "2")
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 4, seconds=60)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    kept = read_expansions(out)
    assert 4 <= len(kept) < 30
    small.piece_s, before = 0.0, len(small.requests)
    second = start("-p", "small", "--yes")
    _, told = second.communicate(timeout=60)
    assert second.returncode == 0, told
    assert len(small.requests) - before == 30 - len(kept)
    corpus = read_corpus(tmp_path / "faq.csv")
    written = read_expansions(out)
    assert written == {faq.id: queries_for(faq.question) for faq in corpus.faqs}
    assert out.read_bytes().count(b"\n") == 30
    assert f"{30 - len(kept)} to write" in told
    assert "USD" in told


def test_command_asks_before_it_spends_and_refuses_who_cannot_write(
    small: Upstream, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    asking, quoting = start("-p", "small"), start("-p", "extractive", "--yes")
    _, told = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert "tokens in" in told
    assert "go on?" in told
    _, refused = quoting.communicate(timeout=60)
    assert quoting.returncode == 1
    assert "'extractive' cannot write" in refused
    assert "small" in refused
    assert "Traceback" not in told + refused
    assert small.requests == []
    assert not (tmp_path / "out.jsonl").exists()
