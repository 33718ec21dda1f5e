"""`smartstore train-ranker` and `smartstore calibrate`: fit search and verdicts to a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from api.settings import Settings
    from retrieval.corpus.faq import Corpus
    from retrieval.index.rows import IndexRows
    from retrieval.training.held_out import HeldOut
    from retrieval.training.scope import Trained

FaqFile = Annotated[Path | None, typer.Option("--faq", help="FAQ file; the settings' one by default")]
ExpansionFile = Annotated[Path | None, typer.Option(help="file or folder; the settings' one by default")]
_QUERIES = Path("configs/ranking/queries.jsonl")
# Questions in sellers' words, under all FAQs that answer them.
_SELLERS = Path("configs/expansions/written.jsonl")
_SAMPLE = Path("configs/faq/sample.jsonl")
_SAMPLE_EXPANSIONS = Path("configs/expansions/sample.jsonl")


def train_ranker(
    faq: FaqFile = None,
    expansions: ExpansionFile = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="written queries that calibrate; configs/ranking/queries.jsonl by default"),
    ] = None,
    cases: Annotated[
        list[Path] | None,
        typer.Option(help="users' own questions, as for `eval retrieval` or `eval scope`; repeatable"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the result; configs/ranking by default")] = None,
) -> None:
    """Train the embedder's adapter and the ranker on the corpus and its expansions; then rebuild the index.

    Takes some minutes on two cores, plus the time to embed the corpus the first time. The weights also learn
    from the questions in configs/expansions/written.jsonl and, with --cases, from users' own ones; the card
    tells what they reach on folds that were not learnt from beside what they reach without.
    """
    from rich.console import Console

    from api.indexing.build import corpus_embedder
    from api.indexing.corpus import open_corpus
    from api.settings import CONFIGS, load_settings
    from retrieval.corpus.expansions import read_expansions
    from retrieval.embedders.adapter import AdaptedEmbedder
    from retrieval.errors import CorpusError
    from retrieval.tokenizer import KoreanTokenizer
    from retrieval.training.data import corpus_views
    from retrieval.training.run import train

    console, settings = Console(), load_settings()
    corpus, known = open_corpus(settings, faq, expansions)
    written = queries or CONFIGS / "ranking" / "queries.jsonl"
    sellers = _sellers_questions(settings)
    labelled = _answered(sellers.items(), corpus) + labelled_questions(cases or (), corpus)
    if not any(faq.id in known for faq in corpus.faqs):
        raise CorpusError(corpus.source, "has no expansions.", hint="Write them with `smartstore expand`.")
    with corpus_embedder(settings) as embedder:
        base = embedder.inner if isinstance(embedder, AdaptedEmbedder) else embedder
        console.print(f"{len(corpus.faqs)} FAQs, embedder {base.name}")
        views = corpus_views(
            corpus,
            known,
            base,
            KoreanTokenizer(),
            progress=lambda step, done, total: (
                console.print(f"{step}: {done} of {total}") if done % 1024 == 0 else None
            ),
        )
        card = train(
            corpus,
            views,
            base,
            queries=read_expansions(written) if written.exists() else {},
            labelled=labelled,
            out=out or CONFIGS / "ranking",
            say=console.print,
        )
    console.print_json(data=card)


def labelled_questions(files: Sequence[Path], corpus: Corpus) -> list[tuple[str, tuple[str, ...]]]:
    """The questions of case files that name FAQs of the corpus, each text once."""
    from api.evaluation.scope import read_scope_cases

    cases = ((case.text, case.gold) for file in files for case in read_scope_cases(file))
    return _answered(cases, corpus)


def _answered(
    questions: Iterable[tuple[str, Sequence[str]]], corpus: Corpus
) -> list[tuple[str, tuple[str, ...]]]:
    """Those that FAQs of the corpus answer, with the ids of these, each text once."""
    found: dict[str, tuple[str, ...]] = {}
    for text, ids in questions:
        if known := tuple(id for id in ids if id in corpus.by_id):
            found.setdefault(text, known)
    return list(found.items())


def _sellers_questions(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Those in the repository, with the ids of all FAQs that answer them."""
    from retrieval.corpus.expansions import read_questions

    path = settings.path(_SELLERS)
    return read_questions(path) if path.is_file() else {}


def calibrate_ranker(
    cases: Annotated[Path, typer.Option(help="users' own questions, in the format of `eval retrieval`")],
    faq: FaqFile = None,
    expansions: ExpansionFile = None,
    out: Annotated[Path | None, typer.Option(help="folder of weights; configs/ranking by default")] = None,
) -> None:
    """Fit the probabilities of hits to questions in users' own words; neither order nor index changes."""
    from api.evaluation.retrieval import check_gold, read_retrieval_cases
    from api.indexing.build import corpus_embedder
    from api.indexing.corpus import open_corpus
    from api.settings import CONFIGS, load_settings
    from retrieval.embedders.adapter import AdaptedEmbedder
    from retrieval.embedders.remembered import base_of
    from retrieval.tokenizer import KoreanTokenizer
    from retrieval.training.data import corpus_views
    from retrieval.training.run import calibrate as fit_probabilities

    settings, rows = load_settings(), read_retrieval_cases(cases)
    corpus, known = open_corpus(settings, faq, expansions)
    check_gold(rows, corpus.by_id, cases)
    with corpus_embedder(settings) as embedder:
        report = fit_probabilities(
            corpus_views(corpus, known, base_of(embedder), KoreanTokenizer()),
            embedder.adapter if isinstance(embedder, AdaptedEmbedder) else None,
            base_of(embedder),
            asked=[(case.query, case.gold) for case in rows],
            folder=out or CONFIGS / "ranking",
        )
    for name, one in report.items():
        typer.echo(f"{name}: {one}")


def calibrate(
    faq: Annotated[Path | None, typer.Option(help="FAQ file; the settings' one by default.")] = None,
    expansions: Annotated[
        Path | None, typer.Option(help="File or folder with other ways of asking, at least two per FAQ.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the weights; configs/scope by default.")
    ] = None,
) -> None:
    """Train the scope classifier and the follow-up gate on this corpus; needs the extra `calibrate`.

    Vectors of the current index are used where it holds the same texts, otherwise they are made first.
    """
    try:
        import sklearn
    except ImportError as exc:
        raise typer.BadParameter(
            "scikit-learn is missing: pip install 'smartstore-chatbot[calibrate]'"
        ) from exc
    from api.settings import load_settings
    from retrieval.corpus.expansions import read_expansions
    from retrieval.scope.classifier import SCOPE_DIR, ScopeClassifier
    from retrieval.training.dependence import dialogues, save_gate, train_gate
    from retrieval.training.scope import save, train
    from retrieval.training.scope_examples import (
        asked_examples,
        other_corpus_examples,
        query_examples,
        read_scope_lines,
        scope_examples,
    )

    folder = out or SCOPE_DIR
    lines = read_scope_lines(SCOPE_DIR)
    settings = load_settings()
    corpus = _corpus(settings, faq, expansions)
    typer.echo(f"{len(corpus.faqs)} FAQs; searching {len(lines)} written lines and the expansions")
    examples = list(scope_examples(corpus, lines))
    examples += asked_examples(corpus, _sellers_questions(settings))
    if (queries := settings.path(_QUERIES)).is_file():
        examples += query_examples(corpus, read_expansions(queries))
    sample = _corpus(settings, settings.path(_SAMPLE), settings.path(_SAMPLE_EXPANSIONS))
    if [one.id for one in sample.faqs] != [one.id for one in corpus.faqs]:
        examples += other_corpus_examples(sample, lines)
    trained = {name: train(examples, portable=name == "portable") for name in ("full", "portable")}
    about = {
        "faqs": len(corpus.faqs),
        "index_embedder": corpus.full.embedder.name,
        "dim": corpus.full.embedder.dim,
        "scikit_learn": sklearn.__version__,
    }
    save(trained, folder, about=about)
    gate = train_gate(corpus, dialogues(corpus), lines, ScopeClassifier.load(folder))
    save_gate(gate, folder / "context.json")
    (folder / "card.md").write_text(_card(trained, gate, about), encoding="utf-8")
    typer.echo((folder / "card.md").read_text(encoding="utf-8"))


def _corpus(settings: Settings, faq: Path | None, expansions: Path | None) -> HeldOut:
    from api.indexing.build import corpus_embedder, embedder_of
    from api.indexing.corpus import open_corpus
    from retrieval.index.prepare import Known, prepare
    from retrieval.index.rows import IndexRows, view_texts
    from retrieval.ranking.ranker import Ranker
    from retrieval.tokenizer import KoreanTokenizer
    from retrieval.training.held_out import held_out

    corpus, known = open_corpus(settings, faq, expansions)
    embedder, tokenizer = embedder_of(settings), KoreanTokenizer()
    views = view_texts(corpus.faqs, known)
    rows = _indexed(settings, embedder.name, tokenizer.version, [view.key for view in views])
    if rows is None:
        with typer.progressbar(length=len(views), label="embedding") as bar:

            def progress(step: str, done: int, total: int) -> None:
                if step == "embed" and total:
                    bar.update(int(done / total * len(views)) - bar.pos)

            with corpus_embedder(settings) as remembering:
                made = prepare(views, remembering, tokenizer, Known(), progress)
        rows = IndexRows.of(views, vectors=made.vectors, tokens=made.tokens, faqs=dict(corpus.by_id))
    return held_out(rows, known, embedder, tokenizer, Ranker.load(embedder=embedder.name))


def _indexed(settings: Settings, embedder: str, tokenizer: str, keys: list[str]) -> IndexRows | None:
    """The current index's rows, where it was built from these very texts."""
    from retrieval.index.milvus_store import local_path
    from retrieval.index.snapshot import read_current, read_snapshot

    path = local_path(settings.index_uri)
    info = read_current(path) if path else None
    if path is None or info is None or (info.embedder, info.tokenizer) != (embedder, tokenizer):
        return None
    rows = read_snapshot(path, info)
    return rows if rows is not None and set(rows.keys) == set(keys) else None


def _card(trained: Mapping[str, Trained], gate: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The card in Korean: what was trained on what, and how often it errs."""
    from retrieval.training.scope import VERDICTS

    text = [
        "# 범위 판정과 후속 질문 판정: 보정 카드",
        "",
        "`smartstore calibrate`가 쓴 파일입니다. 수치는 5겹 교차 검증에서 학습에 쓰이지 않은 줄로 쟀습니다.",
        "",
        f"- 말뭉치: FAQ {about['faqs']}개, 임베더 `{about['index_embedder']}` ({about['dim']}차원)",
        "- 학습 줄: 이 폴더의 `*.jsonl` (직접 쓴 문장)과 말뭉치의 확장 질문 (자기 행을 뺀 색인에서 검색)",
        "- `(asked)`: 판매자의 말로 쓰고 답하는 FAQ를 모두 표시한 질문 (자기 행을 뺀 색인에서 검색); "
        "문턱은 이것으로 정함",
        "- `(sample)`: 같은 줄을 함께 실린 예시 말뭉치의 색인에서 찾은 것 (다른 말뭉치에서도 통하도록)",
        "- `full`: 겹치는 낱말과 BM25의 모양 + 질문 벡터(어댑터 이전) + 글자 n-그램",
        "- `portable`: 질문 벡터를 뺀 것. 벡터의 차원이 다른 임베더에 쓰임",
        "",
    ]
    for name, one in trained.items():
        t = one.judge.thresholds
        text += [
            f"## {name}",
            "",
            f"문턱: 첫 FAQ가 답일 확률 >= {t.answered:.2f}이고 in_scope >= {t.answerable:.2f}이면 answered, "
            f"off_topic >= {t.off_topic:.2f}이면 off_topic, in_scope >= {t.unsure:.2f}이면 unsure, "
            f"injection >= {t.injection:.2f}이면 거절",
            "",
            f"| 분류 | 줄 수 | {' | '.join(VERDICTS)} | 다른 FAQ로 답함 |",
            f"|---|---{'|---' * len(VERDICTS)}|---|",
        ]
        for label, row in one.report.items():
            shares = " | ".join(f"{row[name] / row['lines']:.3f}" for name in (*VERDICTS, "wrong"))
            text.append(f"| {label} | {row['lines']} | {shares} |")
        text.append("")
    text += [
        "## 후속 질문 판정 (`context.json`)",
        "",
        f"말뭉치로 만든 대화 {gate['pairs']}개. 균형 정확도(5겹 교차 검증): {gate['balanced_accuracy']:.3f}",
        "",
    ]
    return "\n".join(text)
