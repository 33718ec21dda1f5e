"""`smartstore eval`: measures of search, dialogues, scope and answers on case files.

Each kind is one command over one module of `api/evaluation`; all take the same options and end in `_show`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from api.conversation.opening import Engine
    from api.evaluation.play import Player
    from api.evaluation.searching import Measured
    from api.settings import Settings

app = typer.Typer(
    help="Measure search, dialogues, scope, answers and follow-ups on case files.", no_args_is_help=True
)
Cases = Annotated[Path, typer.Option("--cases", help="case file (JSON lines)")]
Faq = Annotated[Path | None, typer.Option("--faq", help="FAQ file; the settings' one by default")]
Expansions = Annotated[Path | None, typer.Option(help="file or folder; the settings' one by default")]
Provider = Annotated[str | None, typer.Option(help="who answers; the settings' default by default")]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]
MaxFallback = Annotated[
    float, typer.Option(min=0, max=1, help="share of turns that another provider may have answered")
]
Out = Annotated[Path | None, typer.Option(help="also write the JSON report to this file")]


@app.command()
def retrieval(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Measure what single questions find (no provider takes part)."""
    from api.evaluation.retrieval import (
        DEPTH,
        check_gold,
        rank_cases,
        read_retrieval_cases,
        summarize_retrieval,
    )
    from api.evaluation.tables import print_retrieval
    from api.indexing.opening import open_searcher

    rows = read_retrieval_cases(cases)
    under_test = _measured(faq, expansions)
    check_gold(rows, under_test.corpus.by_id, cases)
    searcher = open_searcher(under_test.settings)
    searcher.search(rows[0].query)  # loads the models, so that the first case is not slower
    report = summarize_retrieval(rank_cases(rows, lambda query: searcher.search(query, limit=DEPTH)))
    _show(report, print_retrieval, as_json=as_json, out=out)


@app.command()
def answers(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
    max_fallback: MaxFallback = 0.0,
) -> None:
    """Measure what answers say: facts, forbidden statements, length, citations."""
    from api.evaluation.answers import judge_answers, read_answer_cases, summarize_answers
    from api.evaluation.tables import print_answers

    rows = read_answer_cases(cases)

    async def measure(engine: Engine, player: Player) -> dict[str, Any]:
        async def answer(query: str) -> str:
            return (await player(query)).answer

        return summarize_answers([one async for one in judge_answers(rows, answer)])

    report = _play(_measured(faq, expansions).settings, provider, measure)
    _show(report, print_answers, as_json=as_json, out=out, max_fallback=max_fallback)


@app.command()
def dialogues(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
    max_fallback: MaxFallback = 0.0,
) -> None:
    """Measure what follow-ups find, each with the real conversation before it."""
    import asyncio

    from api.conversation.context import ContextResolver, Resolution
    from api.conversation.memory import Memory, RememberedTurn
    from api.evaluation.dialogues import rank_dialogues, read_dialogues, summarize_dialogues
    from api.evaluation.tables import print_dialogues

    rows = read_dialogues(cases)

    async def measure(engine: Engine, player: Player) -> dict[str, Any]:
        context = ContextResolver(engine.searcher)

        async def resolve(question: str, memory: Memory) -> Resolution:
            return await asyncio.to_thread(context.resolve, question, memory)

        async def remember(question: str, memory: Memory) -> RememberedTurn:
            return (await player(question, memory)).remembered()

        return summarize_dialogues(await rank_dialogues(rows, resolve, remember))

    report = _play(_measured(faq, expansions).settings, provider, measure)
    _show(report, print_dialogues, as_json=as_json, out=out, max_fallback=max_fallback)


@app.command()
def scope(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
    max_fallback: MaxFallback = 0.0,
) -> None:
    """Measure what is answered, refused and not found; rows with a `query` count as in_scope."""
    from api.evaluation.scope import judge_scope, read_scope_cases, summarize_scope
    from api.evaluation.tables import print_scope

    rows = read_scope_cases(cases)

    async def measure(engine: Engine, player: Player) -> dict[str, Any]:
        return summarize_scope([one async for one in judge_scope(rows, player)])

    report = _play(_measured(faq, expansions).settings, provider, measure)
    _show(report, print_scope, as_json=as_json, out=out, max_fallback=max_fallback)


@app.command("all")
def scorecard(
    cases: Annotated[Path, typer.Option("--cases", help="folder of case files, such as ../shared/eval")],
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
    max_fallback: MaxFallback = 0.0,
) -> None:
    """Measure everything a folder holds cases for, and print the whole scorecard."""
    from api.evaluation.scorecard import measure_all
    from api.evaluation.tables import print_scorecard

    async def measure(engine: Engine, player: Player) -> dict[str, Any]:
        return await measure_all(engine, player, cases)

    report = _play(_measured(faq, expansions).settings, provider, measure)
    _show(report, print_scorecard, as_json=as_json, out=out, max_fallback=max_fallback)


@app.command()
def followups(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    provider: Provider = None,
    as_json: AsJson = False,
    out: Out = None,
    max_fallback: MaxFallback = 0.0,
) -> None:
    """Measure the follow-ups offered, on case files of any kind; a dialogue is one session."""
    import asyncio

    from api.evaluation.followups import offer_followups, read_followup_cases, summarize_followups
    from api.evaluation.tables import print_followups

    sessions = read_followup_cases(cases)

    async def measure(engine: Engine, player: Player) -> dict[str, Any]:
        async def finder(question: str) -> str:
            hits = (await asyncio.to_thread(engine.searcher.search, question)).hits
            return hits[0].faq.id if hits else ""

        return summarize_followups(await offer_followups(sessions, player, finder))

    report = _play(_measured(faq, expansions).settings, provider, measure)
    _show(report, print_followups, as_json=as_json, out=out, max_fallback=max_fallback)


@app.command()
def ablation(
    cases: Cases,
    faq: Faq = None,
    expansions: Expansions = None,
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="the Markdown file whose table is replaced")] = Path(
        "docs/quality.md"
    ),
) -> None:
    """Measure each part of the search and what each step adds; writes the table of docs/quality.md."""
    from rich.console import Console

    from api.evaluation.ablation import as_json as steps_json
    from api.evaluation.ablation import measure_ablation, table, write_section
    from api.evaluation.retrieval import check_gold, read_retrieval_cases
    from api.indexing.build import corpus_embedder
    from api.indexing.corpus import open_corpus
    from api.settings import load_settings
    from retrieval.embedders.adapter import AdaptedEmbedder
    from retrieval.ranking.ranker import Ranker
    from retrieval.tokenizer import KoreanTokenizer
    from retrieval.training.data import corpus_views

    rows, settings = read_retrieval_cases(cases), load_settings()
    corpus, known = open_corpus(settings, faq, expansions)
    check_gold(rows, corpus.by_id, cases)
    with corpus_embedder(settings) as embedder:
        base, adapter = (
            (embedder.inner, embedder.adapter) if isinstance(embedder, AdaptedEmbedder) else (embedder, None)
        )
        views = corpus_views(corpus, known, base, KoreanTokenizer(), progress=_progress)
        vectors = base.embed_queries([case.query for case in rows]).dense
        steps = measure_ablation(
            rows, corpus, views, vectors, adapter=adapter, ranker=Ranker.load(embedder=embedder.name)
        )
    heading = (
        f"## What each part of the search adds\n\n`smartstore eval ablation --cases {cases.name}`: "
        f"{len(rows)} questions, {len(corpus.faqs)} FAQs, embedder {embedder.name}. In brackets 95% "
        "bootstrap intervals; a change in bold is outside chance."
    )
    write_section(settings.path(out), heading, table(steps))
    _show(
        {"cases": len(rows), "steps": steps_json(steps)}, lambda c, _: c.print(table(steps)), as_json=as_json
    )
    Console(stderr=True).print(f"written to {out}", style="dim")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="JSON report before")],
    b: Annotated[Path, typer.Argument(help="JSON report after, of the same cases")],
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Compare two reports case by case, with paired bootstrap intervals."""
    from api.evaluation.compare import compare as compared
    from api.evaluation.compare import read_report
    from api.evaluation.tables import print_differences

    differences = compared(read_report(a), read_report(b))
    report = {"a": str(a), "b": str(b), "differences": [one.as_json() for one in differences]}
    _show(report, lambda console, _: print_differences(console, differences), as_json=as_json, out=out)


def _measured(faq: Path | None, expansions: Path | None) -> Measured:
    from api.evaluation.searching import measured
    from api.settings import load_settings

    return measured(load_settings(), progress=_progress, faq=faq, expansions=expansions)


def _play(
    settings: Settings,
    provider: str | None,
    measure: Callable[[Engine, Player], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Opens the engine, has `measure` play its cases with the provider; the report says who answered."""
    import asyncio

    from api.conversation.opening import open_engine
    from api.evaluation.play import Player
    from api.observability.logs import configure_logs
    from api.settings import LogSettings

    configure_logs(LogSettings(level="error", format="console"))

    async def run() -> dict[str, Any]:
        async with open_engine(settings) as engine:
            player = Player(engine.conversation, provider)
            report = await measure(engine, player)
            return player.report() | report

    return asyncio.run(run())


def _progress(step: str, done: int, total: int) -> None:
    from rich.console import Console

    if total and done % 512 == 0:
        Console(stderr=True).print(f"{step}: {done} of {total}", style="dim")


def _show(
    report: Mapping[str, Any],
    print_table: Callable[[Console, Mapping[str, Any]], None],
    *,
    as_json: bool,
    out: Path | None = None,
    max_fallback: float = 1.0,
) -> None:
    """Prints the report, as JSON or as a table, and writes the JSON where asked.

    Raises:
        FallbackAnswered: another provider answered more than `max_fallback` of the turns.
    """
    import json

    from rich.console import Console

    from api.evaluation.play import check_fallback
    from api.evaluation.tables import print_answered_by

    text = json.dumps(report, ensure_ascii=False, indent=1)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    else:
        print_table(Console(highlight=False), report)
        if "answered_by" in report:
            print_answered_by(Console(highlight=False), report)
    check_fallback(report, max_fallback)
