"""What must hold before vLLM is started: engine, model, adapters, port, memory, disk.

Knows this machine; starts nothing. Each fault is one clear sentence.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from serving.errors import CannotServe, ServingError
from serving.launch.command import Plan, plan, resolve_shape
from serving.launch.config import Config
from serving.registry.adapter import check_base, check_modules, check_name, list_adapters, read_adapter
from serving.registry.pointer import FILE, read_pointer
from serving.registry.shape import Shape

_CACHE = Path("~/.cache/huggingface").expanduser()


def make_plan(config: Config) -> Plan:
    """Plans the server with the adapters that are in service, and checks that they fit.

    Raises:
        CannotServe: the model does not fit the configured memory.
        AdapterError: an adapter in service does not fit the model.
    """
    shape = resolve_shape(config)
    if config.lora is None:
        return plan(config, shape)
    registry = config.lora.adapters
    modules = {name: (registry / name).resolve() for name in read_pointer(registry / FILE).used}
    for name in modules:
        _check_adapter(config, shape, name)
    rank = max((adapter.card.rank for adapter in list_adapters(registry)), default=0)
    return plan(config, shape, modules=modules, rank=rank)


def _check_adapter(config: Config, shape: Shape, name: str) -> None:
    assert config.lora is not None
    adapter = read_adapter(config.lora.adapters, name)
    check_name(adapter)
    check_modules(adapter.folder, shape, rank=adapter.card.rank)
    base = Path(config.model.path)
    if base.is_dir() and not config.model.dummy_weights:
        check_base(adapter.card, base)


def faults(config: Config, made: Plan) -> list[str]:
    """Everything about this machine that forbids the start, in words."""
    found = []
    for look in (_engine, _model, _port, _memory, _disk):
        check: Callable[[Config, Plan], None] = look
        try:
            check(config, made)
        except ServingError as exc:
            found.append(str(exc))
    return found


def _engine(config: Config, made: Plan) -> None:
    python = config.server.python or sys.executable
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"
    try:
        missing = subprocess.run([python, "-c", probe], capture_output=True, timeout=60).returncode
    except OSError as exc:
        raise CannotServe(
            f"server.python {python}: {exc.strerror}; on a CPU `make vllm-env` builds it"
        ) from exc
    if missing:
        raise CannotServe(
            f"{python} has no vllm; `pip install vllm` there (on a CPU: `make vllm-env`), or name another "
            "interpreter as server.python"
        )


def _model(config: Config, made: Plan) -> None:
    folder = Path(config.model.path)
    if not folder.is_dir():
        if folder.is_absolute() or config.model.path.count("/") != 1:
            raise CannotServe(f"model.path {folder}: no such folder")
        return
    if not (folder / "tokenizer_config.json").is_file():
        raise CannotServe(f"model.path {folder}: holds no tokenizer_config.json")
    if not config.model.dummy_weights and not any(folder.glob("*.safetensors")):
        raise CannotServe(
            f"model.path {folder}: holds no *.safetensors; set model.dummy_weights to do without"
        )


def _port(config: Config, made: Plan) -> None:
    host, port = config.server.host, config.server.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise CannotServe(f"cannot listen on {host}:{port} ({exc.strerror}); change server.port") from exc


def _memory(config: Config, made: Plan) -> None:
    free = _free_cuda(config) if config.hardware.device == "cuda" else _free_host()
    # On a GPU vLLM takes its whole share at once; on a CPU the cache that it was given.
    needed = made.budget if config.hardware.device == "cuda" else _cpu_needs(made)
    if free < needed:
        raise CannotServe(
            f"{needed / 1e9:.1f} GB are needed on each device, {free / 1e9:.1f} GB are free; "
            "end what uses them, or lower hardware.memory_share"
        )


def _cpu_needs(made: Plan) -> float:
    cache = float(made.environment.get("VLLM_CPU_KVCACHE_SPACE", "0")) * 2**30
    return sum(size for name, size in made.parts.items() if name != "cache") + cache


def _free_cuda(config: Config) -> float:
    """Bytes free on the fullest of the GPUs that will be used."""
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError) as exc:
        raise CannotServe(
            "hardware.device is cuda, and nvidia-smi finds no GPU here; configs/serving/tiny-cpu.yaml tries "
            "the path on a CPU"
        ) from exc
    if len(told) < config.hardware.devices:
        raise CannotServe(f"hardware.devices is {config.hardware.devices}, this machine has {len(told)}")
    return min(float(free) for free in told[: config.hardware.devices]) * 2**20


def _free_host() -> float:
    pages = Path("/proc/meminfo")
    if not pages.exists():
        return float("inf")
    return float(pages.read_text(encoding="utf-8").split("MemAvailable:")[1].split()[0]) * 1024


def _disk(config: Config, made: Plan) -> None:
    """A hub model that is not there yet needs room for its weights."""
    if Path(config.model.path).is_dir() or config.model.dummy_weights:
        return
    if (_CACHE / "hub" / f"models--{config.model.path.replace('/', '--')}").is_dir():
        return
    existing = next(folder for folder in (_CACHE, *_CACHE.parents) if folder.exists())
    needed = resolve_shape(config).weight_bytes(2.0, embedding_element=2.0)
    free = shutil.disk_usage(existing).free
    if free < needed * 1.05:
        raise CannotServe(
            f"{config.model.path} has to be downloaded: {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free "
            f"in {existing}"
        )
