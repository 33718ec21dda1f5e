"""Two voices: Korean for HTTP and the page, English for commands and logs, in every error there is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import api
import retrieval
import serving
from api.errors import ApiError, CommandError
from api.events import TurnFailed
from api.expansion.reply import BadReply
from retrieval.errors import RetrievalError
from serving.registry.errors import ServingError
from tests.api.live import ROOT, smartstore

HANGUL = re.compile("[ㄱ-ㆎ가-힣]")
KOREAN = "안 됩니다. 다시 시도해 주세요."
# Alembic loads its migrations itself, and only where a database is upgraded.
SKIPPED = ("api.history.migrations",)
FILES = sorted(path for name in ("api", "retrieval", "serving") for path in (ROOT / name).rglob("*.py"))
# A conversation with a seller, like the page: it passes on what a server said to one.
CONVERSATION = {"api/client/chat_clients.py"}


def _import_all() -> None:
    for package in (api, retrieval, serving):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(SKIPPED):
                importlib.import_module(found.name)


def _below(base: type[BaseException]) -> list[type[Any]]:
    found = [base]
    for each in base.__subclasses__():
        found += _below(each)
    return sorted(set(found), key=lambda kind: f"{kind.__module__}.{kind.__name__}")


_import_all()
API_ERRORS = _below(ApiError)
ENGLISH_ERRORS = [kind for base in (CommandError, RetrievalError, ServingError) for kind in _below(base)]


def _name(item: Any) -> str:
    return item.__name__ if isinstance(item, type) else str(item.relative_to(ROOT))


def _made(kind: type[ApiError]) -> ApiError:
    """One error of the class; its arguments by their names."""
    given = {
        "message": KOREAN,
        "name": "없는 것",
        "valid": ("openai",),
        "provider": "openai",
        "param": "tools",
        "said": "too long",
        "event": TurnFailed(code="x", message=KOREAN, retryable=False),
    }
    needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    return kind(**{p.name: given[p.name] for p in needed if p.kind is not p.VAR_KEYWORD})


@pytest.mark.parametrize("kind", API_ERRORS, ids=_name)
def test_an_error_of_the_api_is_korean_for_its_caller_and_english_for_the_log(kind: type[ApiError]) -> None:
    error = _made(kind)
    assert HANGUL.search(error.message)
    # What the caller named may be Korean; the sentence around it is not.
    assert str(error).replace("없는 것", "").strip(" .:'\"")
    assert not HANGUL.search(str(error).replace("없는 것", ""))
    assert not HANGUL.search(kind.english)
    if "code" in vars(kind) and kind.__init__ in (base.__init__ for base in kind.__bases__):
        assert "english" in vars(kind), "a code of its own needs a sentence of its own"


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rpartition(".")[2], node


def _texts(*nodes: ast.expr) -> str:
    """The literal text below these expressions, that of f-strings included."""
    parts = [part for node in nodes for part in ast.walk(node)]
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_whoever_raises_speaks_both_languages_where_they_belong(path: Path) -> None:
    korean = {kind.__name__ for kind in API_ERRORS}
    english = {kind.__name__ for kind in ENGLISH_ERRORS} | {"BadParameter"}
    for name, call in _calls(path):
        if name in korean:
            told = [word.value for word in call.keywords if word.arg == "english"]
            assert not HANGUL.search(_texts(*told)), ast.unparse(call)
            texts = [each for each in call.args if isinstance(each, ast.JoinedStr | ast.Constant)]
            assert not texts or HANGUL.search(_texts(*texts)), ast.unparse(call)
        elif name in english:
            assert not HANGUL.search(_texts(*call.args, *(word.value for word in call.keywords)))
        elif isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in ("log", "_log"):
            said = ast.unparse(call)
            assert not HANGUL.search(said), said
            assert ".message" not in said, f"{said}: a log gets str(exc)"


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if "commands" in _name(p) or "client" in p.parts or p.name in ("command.py", "cli.py")],
    ids=_name,
)
def test_a_command_raises_what_is_a_commands(path: Path) -> None:
    if _name(path) in CONVERSATION:
        return
    raised = {name for name, call in _calls(path) if name in {kind.__name__ for kind in API_ERRORS}}
    assert raised <= {"UnknownProvider"}


def test_a_reply_of_a_model_is_refused_in_korean_to_it_and_in_english_to_who_reads_on() -> None:
    fault = BadReply("두 질문이 같습니다", "the two queries are the same")
    assert (fault.message, str(fault)) == ("두 질문이 같습니다", "the two queries are the same")


@pytest.mark.parametrize(
    ("settings", "words", "told"),
    [
        ({}, ["keys", "revoke", "k_nobody"], "no key 'k_nobody'"),
        ({"STATE__URL": "redis://127.0.0.1:9"}, ["keys", "list"], "the state store does not answer"),
        ({"DATA_DIR": "/dev/null/var"}, ["keys", "list"], "cannot write to the state folder"),
        ({"QUEUE__URL": "amqp://127.0.0.1:9"}, ["turns", "dead", "list"], "RabbitMQ cannot be reached"),
    ],
)
def test_a_command_that_fails_says_so_in_english(
    settings: dict[str, str], words: list[str], told: str, tmp_path: Path
) -> None:
    given = {"DATA_DIR": str(tmp_path)} | settings
    done = smartstore(tmp_path, *words, **{f"SMARTSTORE_{name}": value for name, value in given.items()})
    assert done.returncode == 1, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not HANGUL.search(done.stdout + done.stderr)
