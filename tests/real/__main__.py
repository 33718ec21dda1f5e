"""`make real-eval`: a real small Qwen's answers, beside the extractive ones, on fixed samples.

    python -m tests.real --model 0.5b [--sample 40] [--adapter faq-…]

Wants `make real-model` in another terminal. Each turn is kept in `var/real-eval/MODEL/`: a run that was
ended, or whose server died, is started again and goes on. Nobody stands in for the model. Writes
docs/llm-quality.md. What is kept belongs to one model, prompt, index and bounds; after another change of
what makes a turn, delete it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx

from api.conversation.opening import Engine, open_engine
from api.errors import ApiError
from api.evaluation.play import PlayedTurn
from api.evaluation.rows import CasesError
from api.evaluation.scope import LABELS
from api.evaluation.scorecard import measure_file
from api.evaluation.searching import measured
from api.observability.logs import configure_logs
from api.settings import LogSettings, Settings, load_settings
from retrieval.prompt import load_system_prompt
from tests.bench.report import conditions, write_section
from tests.real.kept import KeptPlayer
from tests.real.page import comparisons, costs
from tests.real.refusals import measure_refusals, unjudged
from tests.real.sample import FILES, REFUSALS, WHOLE, Row, draw_files, draw_unanswerable, turns

ROOT = Path(__file__).resolve().parents[2]
EVAL = Path(os.environ.get("SMARTSTORE_EVAL_DIR", ROOT.parent / "shared/eval"))
KEPT = ROOT / "var" / "real-eval"
PAGE = ROOT / "docs" / "llm-quality.md"
NAMES = {"0.5b": "Qwen2.5-Coder-0.5B-Instruct", "1.5b": "Qwen2.5-Coder-1.5B-Instruct"}
# Who is measured, the plainest first, and its provider in configs/evaluate-cpu.yaml.
PROVIDERS = {"extractive": "extractive", "base": "vllm-base", "adapter": "vllm"}


def open_settings(model: str, adapter: str, cases: Path) -> Settings:
    """The settings of configs/evaluate-cpu.yaml for this model, on the FAQ that lies beside the cases."""
    os.environ["SMARTSTORE_CONFIG"] = str(ROOT / "configs" / "evaluate-cpu.yaml")
    os.environ.setdefault("SMARTSTORE_CORPUS__FAQ", str(cases.parent / "data" / "final_result.pkl"))
    os.environ["SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM-BASE__MODEL"] = f"qwen2.5-{model}"
    if adapter:
        os.environ["SMARTSTORE_PROVIDERS__ENDPOINTS__VLLM__MODEL"] = adapter
    return load_settings()


def require_served(settings: Settings, provider: str) -> None:
    """Raises `CasesError` where the provider's server does not list its model."""
    endpoint = settings.providers.endpoints[provider]
    url = f"{endpoint.base_urls[0]}/models"
    try:
        listed = [each["id"] for each in httpx.get(url, timeout=10).json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        raise CasesError(f"{url}: no answer ({exc!r}); start `make real-model` in another terminal") from exc
    if endpoint.model not in listed:
        raise CasesError(
            f"{url}: serves {', '.join(listed)}, not {endpoint.model}; `make real-model MODEL=…` serves a "
            "base, `smartstore adapters load NAME` an adapter"
        )


async def measure(
    engine: Engine, player: KeptPlayer, files: Mapping[str, Path], folder: Path
) -> dict[str, str]:
    """Measures each file and writes its reports under `folder`; returns how each was measured, by name."""
    measures = {}
    for name, file in files.items():
        kind, _ = FILES[name]
        report = await measure_file(engine, player, kind, file)
        for part, rows in split_rows(name, kind, report["per_case"]).items():
            write_report(folder, part, rows)
            measures[part] = kind
    return measures


def write_report(folder: Path, part: str, rows: Sequence[Row]) -> None:
    """Writes what was measured of each case, for the page to compare."""
    text = json.dumps({"per_case": rows}, ensure_ascii=False, indent=1)
    (folder / f"{part}.json").write_text(text + "\n", encoding="utf-8")


def split_rows(name: str, kind: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The cases by their label where they have one: to answer and to refuse are measured apart."""
    if kind != "scope":
        return {name: list(rows)}
    split = {f"{name}, {label}": [row for row in rows if row["label"] == label] for label in LABELS}
    return {part: _of_answers(chosen, part) for part, chosen in split.items() if chosen}


def _of_answers(rows: list[Row], part: str) -> list[Row]:
    """Only what the FAQ answers can be answered from a gold FAQ."""
    if part.endswith("in_scope"):
        return rows
    return [{name: value for name, value in row.items() if name != "from_gold"} for row in rows]


async def measure_all(
    settings: Settings,
    model: str,
    adapter: str,
    files: Mapping[str, Path],
    unanswerable: Sequence[Row],
) -> tuple[dict[str, str], dict[str, list[PlayedTurn]]]:
    """Has every contender play the cases.

    Returns:
        how each report was measured, by its name; the turns of each contender.
    """
    parts, played = dict[str, str](), dict[str, list[PlayedTurn]]()
    async with open_engine(settings) as engine:
        index = engine.searcher.search("정산").fingerprint
        alone = unjudged(engine, settings.conversation)
        with closing(alone.lanes):
            for contender in contenders(adapter):
                provider = PROVIDERS[contender]
                told = conditions_of(settings, provider, index)
                file = KEPT / model / f"{adapter if contender == 'adapter' else contender}.jsonl"
                folder = folders(model, adapter)[contender]
                player = KeptPlayer(engine.conversation, provider, file, conditions=told, turns=turns(files))
                parts = await measure(engine, player, files, folder)
                refusing = KeptPlayer(
                    alone, provider, file, conditions=told | {"judged": False}, turns=len(unanswerable)
                )
                write_report(folder, REFUSALS, await measure_refusals(refusing, unanswerable))
                parts[REFUSALS] = "refusals"
                played[contender] = [*player.turns, *refusing.turns]
    return parts, played


def conditions_of(settings: Settings, provider: str, index: str) -> dict[str, object]:
    """What the provider's answers depend on besides the question and the turns before it."""
    endpoint = settings.providers.endpoints.get(provider)
    return {
        "model": endpoint.model_dump(mode="json", include={"model", "extra_body"}) if endpoint else "",
        "prompt": load_system_prompt() if endpoint else "",
        "bounds": settings.conversation.model_dump(mode="json"),
        "index": index,
    }


def contenders(adapter: str) -> tuple[str, ...]:
    """Who is measured."""
    return tuple(PROVIDERS) if adapter else ("extractive", "base")


def folders(model: str, adapter: str) -> dict[str, Path]:
    """Where the reports of each contender lie."""
    found = {name: KEPT / model / "reports" / name for name in contenders(adapter)}
    for folder in found.values():
        folder.mkdir(parents=True, exist_ok=True)
    return found


def heading(model: str, adapter: str, sample: int, asked: int) -> str:
    """What was measured, and how to measure it again."""
    command = f"make real-eval MODEL={model}"
    command += f" SAMPLE={sample}" if sample != WHOLE else ""
    command += f" ADAPTER={adapter}" if adapter else ""
    decides = "what is not in bold decides nothing" if sample >= 10 else "it shows that the command runs"
    small = f" **A sample of {sample} instead of {WHOLE}: {decides}.**"
    return (
        f"## {NAMES[model]}\n\n`{command}`: {asked} turns of the real FAQ's cases each, vLLM on the CPU in "
        f"float32, temperature 0, no fallback.{small if sample < WHOLE else ''} In brackets 95% intervals of "
        "the paired bootstrap; a difference in bold is outside chance (of ten cases or more). Of "
        "`forbidden`, `uncited`, `announced_missing` and `begins_in_middle` less is better."
    )


def main() -> int:
    """Measures, and writes the page; 1 with one line where it cannot go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=sorted(NAMES), default="1.5b")
    parser.add_argument("--adapter", default="", help="name of an adapter that the server has loaded")
    parser.add_argument("--sample", type=int, default=WHOLE, help="cases of each file, fewer dialogues")
    parser.add_argument("--cases", type=Path, default=EVAL, help="folder of the case files")
    given = parser.parse_args()
    configure_logs(LogSettings(level="error", format="console"))
    try:
        settings = open_settings(given.model, given.adapter, given.cases.resolve())
        for contender in contenders(given.adapter)[1:]:
            require_served(settings, PROVIDERS[contender])
        files = draw_files(given.cases, KEPT / given.model / "cases", given.sample)
        settings = measured(settings, progress=_progress).settings
        unanswerable = draw_unanswerable(given.cases, given.sample)
        parts, played = asyncio.run(measure_all(settings, given.model, given.adapter, files, unanswerable))
    except (ApiError, CasesError) as exc:
        print(f"error: {exc}; what was answered is kept: start again to go on", file=sys.stderr)
        return 1
    text = "\n\n".join(
        [
            heading(given.model, given.adapter, given.sample, turns(files) + len(unanswerable)),
            comparisons(parts, folders(given.model, given.adapter)),
            costs(played),
            f"{conditions()} A turn's seconds are those of the hour in which it was played.",
        ]
    )
    print(text)
    write_section(given.model, text, path=PAGE, title="Answers of a real language model")
    return 0


def _progress(step: str, done: int, total: int) -> None:
    if total and done % 4096 == 0:
        print(f"{step}: {done} of {total}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
