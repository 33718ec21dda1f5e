"""Does the work of one job in a process of its own, and tells of it in JSON lines.

    python -m api.jobs.process '{"kind": "reindex"}'

Each line is `{"step", "done", "total"}`; the last one `{"result": …}`, or `{"error": …}` for who asked
with the `reason` for the log. A process of its own keeps the turns of the worker beside it fast, can be
ended at any moment, and takes no one down with it. Knows neither state store nor queue.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from threading import Thread
from typing import Any

from api.errors import ApiError, CommandError, InvalidRequest
from api.jobs.requests import JOB_REQUEST, Evaluate, Expand, Reindex, Rollback
from api.settings import Settings, load_settings
from retrieval.errors import RetrievalError

_EVERY_S = 0.5


class _Lines:
    """Prints progress, at most twice a second and step."""

    def __init__(self) -> None:
        self._step, self._at = "", 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        if step == self._step and done < total and time.monotonic() - self._at < _EVERY_S:
            return
        self._step, self._at = step, time.monotonic()
        _print({"step": step, "done": done, "total": total})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _reindex(settings: Settings) -> dict[str, Any]:
    from api.indexing.build import build_from_settings

    _, report = build_from_settings(settings, progress=_Lines())
    made = {"unchanged": report.unchanged, "embedded": report.embedded, "reused": report.reused}
    return asdict(report.info) | made


def _rollback(settings: Settings) -> dict[str, Any]:
    from retrieval.index.build import rollback

    return asdict(rollback(settings.index_uri, token=settings.index.token.get_secret_value()))


async def _expand(request: Expand, settings: Settings) -> dict[str, Any]:
    from api.expansion.file import ExpansionFile
    from api.expansion.writing import write_expansions
    from api.indexing.corpus import corpus_of
    from api.providers.factory import open_providers
    from retrieval.tokenizer import KoreanTokenizer

    if request.provider not in settings.providers.endpoints:
        raise InvalidRequest(
            f"provider '{request.provider}'에는 질문을 쓸 모델이 없습니다.",
            english=f"provider {request.provider!r} has no model to write with",
        )
    corpus = corpus_of(settings)
    out = settings.path(settings.data_dir) / "expansions" / f"{request.provider}.jsonl"
    lines = _Lines()
    with ExpansionFile(out) as file:
        todo = [faq for faq in corpus.faqs if faq.id not in file.done][: request.limit]
        begun = time.monotonic()
        count = iter(range(1, len(todo) + 1))
        lines("expand", 0, len(todo))
        async with open_providers(settings, KoreanTokenizer()) as providers:
            report = await write_expansions(
                todo,
                providers.get(request.provider),
                lambda faq, queries: file.add(faq.id, queries),
                concurrency=request.concurrency,
                progress=lambda: lines("expand", next(count), len(todo)),
            )
    return {
        "file": str(out), "written": report.written, "seconds": round(time.monotonic() - begun, 1),
        "skipped": [{"id": faq.id, "reason": fault.message} for faq, fault in report.skipped],
        "usage": report.usage.model_dump(),
    }  # fmt: skip


async def _evaluate(request: Evaluate, settings: Settings) -> dict[str, Any]:
    from api.conversation.opening import open_engine
    from api.evaluation import answers, retrieval
    from api.evaluation.play import Player

    path = settings.path(settings.data_dir) / "cases" / request.cases
    if not path.is_file():
        raise InvalidRequest(
            f"평가 파일이 없습니다: {request.cases}. 데이터 폴더의 cases에 두어 주세요.",
            english=f"there are no cases {path}",
        )
    lines = _Lines()
    async with open_engine(settings) as engine:
        if request.measure == "retrieval":
            cases = retrieval.read_retrieval_cases(path)
            ranked = []
            for n, case in enumerate(cases, start=1):
                ranked += retrieval.rank_cases(
                    [case], lambda query: engine.searcher.search(query, limit=retrieval.DEPTH)
                )
                lines("retrieval", n, len(cases))
            return retrieval.summarize_retrieval(ranked)
        asked = answers.read_answer_cases(path)
        player = Player(engine.conversation, request.provider)

        async def answer(query: str) -> str:
            return (await player(query)).answer

        judged = []
        async for one in answers.judge_answers(asked, answer):
            judged.append(one)
            lines("answers", len(judged), len(asked))
        return player.report() | answers.summarize_answers(judged)


def work(text: str) -> dict[str, Any]:
    """Does what the request asks and returns the result.

    Raises:
        ApiError, CommandError, RetrievalError: it cannot be done; the message says why.
    """
    request, settings = JOB_REQUEST.validate_json(text), load_settings()
    match request:
        case Reindex():
            return _reindex(settings)
        case Rollback():
            return _rollback(settings)
        case Expand():
            return asyncio.run(_expand(request, settings))
        case Evaluate():
            return asyncio.run(_evaluate(request, settings))


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone: who takes the job up again must not find two at work."""
    while os.getppid() == parent:
        time.sleep(_EVERY_S)
    os._exit(1)


def main() -> None:
    """Prints the result or the error as the last line; turns and searches go first on this machine."""
    os.nice(10)
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        _print({"result": work(sys.argv[1])})
    except ApiError as exc:
        _print({"error": exc.message, "reason": str(exc)})
        sys.exit(1)
    except (CommandError, RetrievalError, OSError) as exc:
        _print({"error": f"작업을 끝내지 못했습니다: {exc}", "reason": str(exc)})
        sys.exit(1)


if __name__ == "__main__":
    main()
