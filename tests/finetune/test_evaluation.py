"""Cases played against a real HTTP server, their measures, and the verdict with its intervals."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from finetune.errors import DataError, ServiceError
from finetune.evaluate import evaluate
from finetune.judging.served import Case, Turn, measure, play, read_cases
from finetune.judging.verdict import judge


class Api(BaseHTTPRequestHandler):
    """Speaks the API's events; what it answers depends on the provider."""

    protocol_version = "HTTP/1.0"
    answers: ClassVar[dict[str, str]] = {
        "좋은": "정산은 다음 영업일에 됩니다. [1]", "나쁜": "정산은 언젠가 됩니다.",
    }  # fmt: skip

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        provider = body["provider"]
        if provider == "없는":
            self.send_response(422)
            self.end_headers()
            self.wfile.write("그런 제공자는 없습니다".encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        off_topic = "날씨" in body["question"]
        text = "거절" if off_topic else self.answers.get(provider, "")
        final = {
            "answer": text, "verdict": "off_topic" if off_topic else "answered",
            "provider": "대신" if provider == "죽은" else provider,
            "citations": [1] if "[1]" in text else [], "dropped_citations": 0,
        }  # fmt: skip
        events: list[tuple[str, Any]] = [("turn.started", {}), ("delta", {"text": text})]
        events.append(
            ("error", {"code": "x", "message": "고장"}) if provider == "고장" else ("turn.completed", final)
        )
        for kind, data in events:
            frame = f": keep-alive\n\nid: 1\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
            self.wfile.write(frame.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


ANSWER = Case("a1", "정산은 언제 되나요?", "answered", facts=(("re:영업일", "평일"),), forbidden=("언젠가",))
CASES = [ANSWER, Case("s1", "내일 날씨 어때요?", "off_topic")]


def test_play_measures_answers_over_http(url: str) -> None:
    turns, measures = play(url, "좋은", CASES)
    assert measures == [{"scope": 1.0, "answers": 1.0, "citations": 1.0}, {"scope": 1.0}]
    assert turns[0].total_ms >= turns[0].first_ms > 0


@pytest.mark.parametrize(
    ("provider", "message"), [("없는", "422"), ("고장", "고장"), ("죽은", "in place of")]
)
def test_play_refuses_to_measure_what_did_not_answer(url: str, provider: str, message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        play(url, provider, CASES)


def test_measure_counts_uncited_lines_and_dropped_citations() -> None:
    def cited(text: str, dropped: int = 0) -> float:
        return measure(ANSWER, Turn(text, "answered", "p", 1, dropped, 1, 2))["citations"]

    assert cited("영업일입니다. [1]\n순서:\n1) 누릅니다. [1]") == 1
    assert cited("영업일입니다. [1]\n1) 누릅니다.") == 0
    assert cited("영업일입니다. [1]", dropped=1) == 0


def test_evaluate_compares_three_and_judges_against_the_one_in_service(url: str) -> None:
    cases = [*CASES, *(Case(f"a{n}", "정산은?", "answered", (("영업일",),)) for n in range(2, 12))]
    losses = {"base": [3.0, 3.1], "current": [2.0, 2.0], "candidate": [1.0, 1.2]}
    providers = {"base": "나쁜", "current": "나쁜", "candidate": "좋은"}
    report = evaluate(providers, url, cases, losses)
    assert report["against"] == "current"
    assert (report["current"]["answers"], report["candidate"]["answers"]) == (0, 1)
    assert report["candidate"]["loss"] == pytest.approx(1.1)
    assert report["judgement"]["verdict"] == "promote"
    assert set(report["judgement"]["differences"]) == {"answers", "scope", "citations", "loss"}


def test_judge_keeps_what_is_not_surely_better() -> None:
    even = [1.0, 0.0] * 10
    assert judge({"answers": even}, {"answers": even})["verdict"] == "keep"
    slightly = [1.0, *even[1:]]
    assert judge({"answers": even}, {"answers": slightly})["verdict"] == "keep"


def test_judge_keeps_what_is_surely_worse_at_anything() -> None:
    better, worse = [0.0] * 20, [1.0] * 20
    judged = judge({"answers": better, "scope": worse}, {"answers": worse, "scope": better})
    assert judged["verdict"] == "keep"
    assert "scope" in judged["reason"]
    assert judge({"answers": better}, {"answers": worse})["verdict"] == "promote"


def test_read_cases_understands_both_files(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(
        '{"id": "1", "query": "가", "gold": [1], "facts": [["나", "re:다"]], "forbidden": ["라"]}',
        encoding="utf-8",
    )
    (tmp_path / "scope.jsonl").write_text('{"id": "2", "text": "마", "label": "injection"}', encoding="utf-8")
    answer, scope = read_cases(tmp_path)
    assert (answer.facts, answer.verdict) == ((("나", "re:다"),), "answered")
    assert scope.verdict == "off_topic"
    with pytest.raises(DataError, match="neither"):
        read_cases(tmp_path / "leer")
