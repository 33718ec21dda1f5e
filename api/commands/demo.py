"""`smartstore demo`: replays written conversations and writes down what the software says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.client.replay import ReplayedTurn
    from api.settings import Settings


def demo(
    out: Annotated[
        Path | None, typer.Option(help="the Markdown file to write; docs/demo.md by default")
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option(help="the conversations; configs/demo/scenarios.yaml by default")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="who answers, by name")] = None,
    url: Annotated[str, typer.Option(help="a running server; by default the settings' one if it runs")] = "",
    key: Annotated[str, typer.Option(help="API key of that server")] = "",
) -> None:
    """Replay at least four conversations and write questions, answers, sources and timings as Markdown.

    Asks the running server, or opens everything in this process where none runs. The file is written
    only when every turn was answered. It quotes the FAQ: publish it only if you may publish that.
    """
    import asyncio
    from datetime import UTC, datetime

    from rich.console import Console

    from api.client.chat_clients import HttpChat, open_chat
    from api.client.demo_document import Played, Setting, render
    from api.client.replay import read_scenarios, replay
    from api.observability.logs import configure_logs
    from api.settings import CONFIGS, ROOT, LogSettings, load_settings

    configure_logs(LogSettings(level="error", format="console"))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    settings = load_settings()
    written = read_scenarios(scenarios or CONFIGS / "demo" / "scenarios.yaml")

    async def play() -> tuple[list[Played], bool]:
        played: list[Played] = []
        async with open_chat(settings, url=url, key=key) as client:
            for scenario in written:
                turns = await replay(scenario, client, provider=provider)
                played.append((scenario, turns))
                console.print(f"{scenario.title}: {len(turns)} turns", markup=False)
            return played, isinstance(client, HttpChat)

    played, over_http = asyncio.run(play())
    turns = [turn for _, replayed in played for turn in replayed]
    bundled, corpus = _corpus(settings, turns)
    if not bundled:
        console.print("these answers quote your own FAQ: mind who may read the document", style="yellow")
    setting = Setting(corpus, _stack(turns, over_http=over_http), datetime.now(UTC).date().isoformat())
    target = out or ROOT / "docs" / "demo.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(played, setting), encoding="utf-8")
    console.print(f"{len(played)} scenarios, {len(turns)} turns: {target}", markup=False)


def _corpus(settings: Settings, turns: Iterable[ReplayedTurn]) -> tuple[bool, str]:
    """Whether the answers come from the sample that is bundled, and what FAQ that is, in words."""
    from api.settings import CONFIGS, ROOT
    from retrieval.corpus.faq import read_corpus

    shown = {id for turn in turns for id in turn.faq_ids}
    sample = CONFIGS / "faq" / "sample.jsonl"
    for file in dict.fromkeys((sample, settings.path(settings.corpus.faq))):
        corpus = read_corpus(file)
        if shown <= set(corpus.by_id):
            if file == sample:
                name = file.relative_to(ROOT).as_posix()
                return (
                    True,
                    f"저장소에 든 표본 `{name}` ({len(corpus.faqs)}개, 이 프로젝트를 위해 지어낸 내용)",
                )
            return False, f"`{file.name}` ({len(corpus.faqs)}개)"
    return False, "서버가 색인한 FAQ"


def _stack(turns: Iterable[ReplayedTurn], *, over_http: bool) -> str:
    """Who answered and where, in words."""
    from os import cpu_count

    names = dict.fromkeys(f"`{turn.end.provider}` ({turn.model})" for turn in turns)
    where = "실행 중인 서버에 HTTP로 물음" if over_http else "서버 없이 한 프로세스에서 물음"
    return f"{', '.join(names)}, {where}, CPU {cpu_count()}개"
