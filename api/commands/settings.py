"""`smartstore settings`: what the settings come to, secrets masked."""

from __future__ import annotations

import typer


def show() -> None:
    """Check the settings and print them as YAML, secrets masked."""
    import yaml

    from api.settings import load_settings

    typer.echo(yaml.safe_dump(load_settings().model_dump(mode="json"), allow_unicode=True, sort_keys=False))
