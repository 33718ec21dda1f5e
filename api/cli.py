"""The `smartstore` command: mounts the sub-commands and prints errors as one clear line.

The one place that may import any package, lazily, to mount what it commands.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from serving.commands import Served

app = typer.Typer(
    name="smartstore",
    help="Self-hosted FAQ assistant for Naver Smartstore sellers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    """Answers `--version` while the options are read: before a missing command is complained about."""
    if wanted:
        typer.echo(version("smartstore-chatbot"))
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Options of the command itself."""


@cache
def mount() -> None:
    """Adds every command to `app`, once."""
    from api.channels.hand_over import command as hand_over
    from api.channels.mcp import command as mcp
    from api.commands import (
        bench,
        chat,
        corpus,
        demo,
        evaluate,
        index,
        keys,
        search,
        serve,
        settings,
        train,
        worker,
    )
    from api.history import commands as history
    from api.indexing import commands as live_corpus
    from serving import commands as adapters

    app.command("serve")(serve.serve)
    app.command("chat")(chat.chat)
    app.command("bench")(bench.bench)
    app.add_typer(index.app, name="index")
    app.add_typer(corpus.app, name="corpus")
    corpus.app.command("export")(live_corpus.export)
    corpus.app.command("sync")(live_corpus.sync)
    app.add_typer(keys.app, name="keys")
    app.add_typer(adapters.app, name="adapters")
    app.command("worker")(worker.worker)
    app.add_typer(worker.turns, name="turns")
    app.add_typer(hand_over.app, name="hand-over")
    app.command("search")(search.search)
    evaluate.app.command("import")(history.import_cases)
    app.add_typer(evaluate.app, name="eval")
    app.add_typer(history.app, name="history")
    app.command("gaps")(history.gaps)
    app.command("expand")(corpus.expand)
    app.command("demo")(demo.demo)
    app.command("mcp")(mcp.mcp)
    app.command("calibrate")(train.calibrate)
    app.command("train-ranker")(train.train_ranker)
    app.command("calibrate-ranker")(train.calibrate_ranker)
    app.command("settings")(settings.show)


def _served(provider: str) -> Served:
    """What `smartstore adapters` has to know of a provider. Raises `SettingsError`."""
    from api.settings import SettingsError, load_settings
    from serving.commands import Served

    settings = load_settings()
    endpoint = settings.providers.endpoints.get(provider)
    if endpoint is None or endpoint.alias_file is None:
        raise SettingsError(
            f"providers.endpoints.{provider}: has no alias_file; adapters are served under one"
        )
    registry = settings.path(endpoint.alias_file).parent
    key = endpoint.api_key.get_secret_value()
    return Served(registry, endpoint.base_urls, key, endpoint.adapters_mounted)


def main() -> None:
    """Runs the command; an expected fault is one line on stderr and exit status 1."""
    from api.errors import ApiError, CommandError
    from retrieval.errors import RetrievalError
    from serving.errors import ServingError

    os.environ.setdefault("PYTHONUTF8", "1")
    mount()
    try:
        app(obj=_served)
    except (ApiError, CommandError, RetrievalError, ServingError, OSError) as exc:
        Console(stderr=True, style="red", highlight=False, soft_wrap=True).print(
            f"error: {exc}", markup=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
