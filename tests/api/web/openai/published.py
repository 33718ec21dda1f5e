"""OpenAI's published API description, to hold what we send against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SPEC = Path(__file__).resolve().parents[5] / "shared" / "specs" / "openai-openapi.json"


@cache
def _description() -> dict[str, Any]:
    if not SPEC.exists():
        pytest.skip("NOT TESTED against OpenAI's description: it is not here")
    spec: dict[str, Any] = json.loads(SPEC.read_text(encoding="utf-8"))
    return spec


@cache
def _validator(schema: str) -> jsonschema.protocols.Validator:
    root = {"$ref": f"#/components/schemas/{schema}", "components": _description()["components"]}
    return jsonschema.Draft202012Validator(root)


def check(body: Any, schema: str) -> None:
    """Fails where `body` is not what the description calls `schema`."""
    faults = sorted(_validator(schema).iter_errors(body), key=lambda fault: len(fault.path))
    assert not faults, f"{faults[0].message[:1000]} at {list(faults[0].path)}"


def check_event(event: dict[str, Any]) -> None:
    """Fails where a typed event is not what the description says of its type."""
    for reference in _description()["components"]["schemas"]["ResponseStreamEvent"]["anyOf"]:
        name = reference["$ref"].rpartition("/")[2]
        kind = _description()["components"]["schemas"][name]["properties"]["type"]
        if event["type"] in kind.get("enum", ()):
            check(event, name)
            return
    pytest.fail(f"no such event: {event['type']}")
