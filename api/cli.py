"""The `smartstore` command: mounts the sub-commands and prints errors as one clear line.

The one place that may import any package, lazily, to mount what it commands.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="smartstore",
    help="Self-hosted FAQ assistant for Naver Smartstore sellers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if show_version:
        typer.echo(version("smartstore-chatbot"))
        raise typer.Exit


def _mount() -> None:
    from api.commands import (
        adapters,
        bench,
        calibrate,
        chat,
        demo,
        evaluate,
        expand,
        index,
        keys,
        search,
        serve,
        settings,
        train,
        worker,
    )

    app.command("serve")(serve.serve)
    app.command("chat")(chat.chat)
    app.command("bench")(bench.bench)
    app.add_typer(index.app, name="index")
    app.add_typer(keys.app, name="keys")
    app.add_typer(adapters.app, name="adapters")
    app.command("worker")(worker.worker)
    app.add_typer(worker.turns, name="turns")
    app.command("search")(search.search)
    app.add_typer(evaluate.app, name="eval")
    app.command("expand")(expand.expand)
    app.command("demo")(demo.demo)
    app.command("calibrate")(calibrate.calibrate)
    app.command("train-ranker")(train.train_ranker)
    app.command("settings")(settings.show)


def main() -> None:
    """Runs the command; an expected fault is one line on stderr and exit status 1."""
    from api.errors import ApiError
    from api.evaluation.rows import CasesError
    from api.settings import SettingsError
    from retrieval.errors import RetrievalError

    os.environ.setdefault("PYTHONUTF8", "1")
    _mount()
    try:
        app()
    except (ApiError, CasesError, RetrievalError, SettingsError, OSError) as exc:
        Console(stderr=True, style="red", highlight=False, soft_wrap=True).print(
            f"error: {exc}", markup=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
