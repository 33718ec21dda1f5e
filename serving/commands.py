"""`smartstore adapters`: put fine-tuned adapters into service on a running vLLM, and take them back.

Knows no settings: whoever mounts `app` passes a `Locate` as Typer's context object.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from serving.adapters import Adapters
    from serving.canary import Sung
    from serving.registry.pointer import Pointer

app = typer.Typer(help="Fine-tuned adapters: try, promote, roll back; no restart.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="as `adapters list` shows it")]
Provider = Annotated[str, typer.Option(help="the provider of the settings whose alias this is")]
Servers = Annotated[
    list[str] | None,
    typer.Option("--server", help="URL of a vLLM, of each with several; by default those of the settings"),
]
Mounted = Annotated[
    str,
    typer.Option(help="the adapters' folder as vLLM sees it, where that differs; by default the settings'"),
]


class Served(NamedTuple):
    """Where a provider's adapters are, the servers that answer with them, and where those see them."""

    registry: Path
    base_urls: Sequence[str]
    api_key: str
    mounted: str


Locate = Callable[[str], Served]


@app.command("list")
def list_(ctx: typer.Context, provider: Provider = "vllm", server: Servers = None) -> None:
    """List the adapters, oldest first: what answers, what is loaded, how good each was."""
    from rich.console import Console
    from rich.table import Table

    with _adapters(ctx.obj, provider, server) as adapters:
        found, pointer, loaded = adapters.all(), adapters.pointer(), adapters.loaded()
    table = Table(box=None)
    for title in ("name", "base", "rank", "loss", "verdict", "loaded", "answers"):
        table.add_column(title, no_wrap=True, overflow="fold" if title == "base" else "ignore")
    for adapter in found:
        metrics = adapter.card.metrics
        loss = metrics.get("loss", {}).get("validation")
        verdict = metrics.get("evaluation", {}).get("judgement", {}).get("verdict", "-")
        table.add_row(
            adapter.name,
            adapter.card.base_model,
            str(adapter.card.rank),
            "-" if loss is None else f"{loss:.3f}",
            str(verdict),
            "yes" if adapter.name in loaded else "-",
            _role(adapter.name, pointer),
        )
    console = Console()
    # A name that is cut short cannot be copied into the next command.
    Console(width=max(console.width, 120) if console.is_terminal else 200).print(table)
    if not pointer.model:
        typer.echo("the base model answers")


@app.command()
def load(
    ctx: typer.Context,
    name: Name,
    provider: Provider = "vllm",
    server: Servers = None,
    mounted: Mounted = "",
) -> None:
    """Check an adapter's files, load it into vLLM and sing its canary; nobody gets it yet."""
    with _adapters(ctx.obj, provider, server, mounted) as adapters:
        _report(name, adapters.load(name))


@app.command()
def canary(ctx: typer.Context, name: Name, provider: Provider = "vllm", server: Servers = None) -> None:
    """Ask whether a loaded adapter is in effect and answers as it did in training."""
    with _adapters(ctx.obj, provider, server) as adapters:
        _report(name, adapters.canary(name))


@app.command()
def promote(
    ctx: typer.Context,
    name: Name,
    share: Annotated[float, typer.Option(min=0.001, max=1.0, help="of the sessions; 1 is all")] = 1.0,
    provider: Provider = "vllm",
    server: Servers = None,
    mounted: Mounted = "",
) -> None:
    """Load an adapter, sing its canary, then let the alias point to it; or try it on a share."""
    with _adapters(ctx.obj, provider, server, mounted) as adapters:
        _tell(adapters.promote(name, share=share))


@app.command()
def rollback(
    ctx: typer.Context, provider: Provider = "vllm", server: Servers = None, mounted: Mounted = ""
) -> None:
    """End the trial, or put back what answered before the last promotion."""
    with _adapters(ctx.obj, provider, server, mounted) as adapters:
        _tell(adapters.rollback())


@app.command()
def remove(ctx: typer.Context, name: Name, provider: Provider = "vllm", server: Servers = None) -> None:
    """Unload an adapter and delete its folder; refused while it answers."""
    with _adapters(ctx.obj, provider, server) as adapters:
        adapters.remove(name)
    typer.echo(f"removed {name}")


@contextmanager
def _adapters(locate: Locate, provider: str, urls: list[str] | None, mounted: str = "") -> Iterator[Adapters]:
    """The provider's registry, and its servers."""
    from serving.adapters import open_adapters

    served = locate(provider)
    with open_adapters(
        served.registry,
        urls or served.base_urls,
        api_key=served.api_key,
        mounted=mounted or served.mounted,
        by=_user(),
    ) as adapters:
        yield adapters


def _user() -> str:
    """Who runs the command, for the audit trail; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _role(name: str, pointer: Pointer) -> str:
    if name == pointer.model:
        return "yes"
    return f"{pointer.share:.1%} of sessions" if name == pointer.candidate else "-"


def _report(name: str, sung: list[Sung]) -> None:
    for each in sung:
        typer.echo(
            f"{name}: in effect; {each.reference:.0%} like its reference, {each.base:.0%} like the base"
        )


def _tell(pointer: Pointer) -> None:
    trial = f"; {pointer.candidate} for {pointer.share:.1%} of the sessions" if pointer.candidate else ""
    typer.echo(f"{pointer.model or 'the base model'} answers{trial}")
