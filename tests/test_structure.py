"""The shape of the code: which way imports run, what is light, who reads the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The one on-disk contract of adapters, shared by who trains, serves and answers.
REGISTRY = "serving.registry"
# The one door of the console to what moves the alias, as `smartstore adapters` does.
ALIAS_DOOR = {"api/adapters/registries.py": {"serving.adapters", "serving.errors"}}
MAY_IMPORT = {
    "api": {"api", "retrieval", REGISTRY},
    "retrieval": {"retrieval"},
    "serving": {"serving"},
    "finetune": {"finetune", "retrieval", REGISTRY},
}
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "peft",
    "sentence_transformers",
    "onnxruntime",
    "pymilvus",
    "milvus_lite",
    "sklearn",
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_dependencies_run_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    if _name(path) == "api/cli.py":
        return
    ours = {module for module in _imports(path) if module.split(".")[0] in MAY_IMPORT}
    allowed = MAY_IMPORT[package] | ALIAS_DOOR.get(_name(path), set())
    assert not {module for module in ours if not _within(module, allowed)}


@pytest.mark.parametrize("path", [p for p in FILES if "registry" in p.parts], ids=_name)
def test_the_registry_is_a_leaf(path: Path) -> None:
    known = {*sys.stdlib_module_names, REGISTRY}
    assert not {module for module in _imports(path) if not _within(module, known)}


def _within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_modules_stay_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= 400
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_only_settings_read_the_environment() -> None:
    readers = {
        _name(p) for p in FILES if p.parts[-2:] != ("api", "settings.py") and "os.environ" in p.read_text()
    }
    # Setting a variable for a library before it loads is not reading.
    assert {r for r in readers if r.startswith(("api/", "retrieval/"))} <= {
        "api/cli.py",
    }


def test_importing_the_app_loads_no_model_code() -> None:
    code = f"import sys, api.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_routes_and_their_dependencies_are_coroutines() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES if "web" in path.parts}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    depended_on = {
        ast.unparse(node.args[0])
        for _, node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Depends"
    }
    assert {"services", "history", "turn_filter"} <= depended_on
    # FastAPI calls an ordinary function in another thread: 170 µs of CPU a request.
    functions = [(path, node) for path, node in nodes if isinstance(node, ast.FunctionDef)]
    routes = {n.name for _, n in functions for d in n.decorator_list if ast.unparse(d).startswith("router.")}
    assert not [f"{_name(path)}: {n.name}" for path, n in functions if n.name in depended_on | routes]


# Files at a package's own top: rooms hold the rest.
MOST_AT_TOP = {"api": 8, "retrieval": 5}
MOST_IN_A_FOLDER = 12


def test_folders_hold_about_a_dozen_files() -> None:
    folders = Counter(_name(path.parent) for path in FILES if path.name != "__init__.py")
    most = MOST_AT_TOP
    assert not {name: n for name, n in folders.items() if n > most.get(name, MOST_IN_A_FOLDER)}


def test_no_module_imports_itself_over_others() -> None:
    modules = {_module(path): path for path in FILES}
    graph = {name: _imported_modules(path, set(modules)) for name, path in modules.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as exc:
        pytest.fail(" -> ".join(exc.args[1]))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_modules(path: Path, known: set[str]) -> set[str]:
    """Modules of ours that importing this file imports: not those of types and inside functions."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & known
