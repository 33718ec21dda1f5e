"""Puts adapters into service: load, canary, then the alias moves; and back again.

The order makes every step safe: an adapter is loaded under its own name, which nobody asks for; only when
the canary has passed on every server does the alias point to it. Names are immutable, so a prefix cache
cannot mix two adapters. Knows the registry and the servers; the API follows the pointer file by itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from serving.canary import Sung, check_canary
from serving.errors import AdapterError, ServerFailed, ServingError
from serving.registry.adapter import (
    Adapter,
    check_base,
    check_modules,
    check_name,
    list_adapters,
    read_adapter,
)
from serving.registry.pointer import FILE, Pointer, locked, read_pointer, write_pointer
from serving.registry.shape import read_shape
from serving.vllm_api import Vllm


class Adapters:
    """The adapters of one registry on the servers that share it.

    Args:
        registry: their folder on this machine.
        servers: all that answer under the alias.
        mounted: the registry's folder as the servers see it, the same by default.
    """

    def __init__(self, registry: Path, servers: Sequence[Vllm], *, mounted: str = "") -> None:
        self._registry, self._servers = registry.resolve(), tuple(servers)
        self._mounted = mounted or str(self._registry)

    def all(self) -> list[Adapter]:
        """All of the registry, oldest first."""
        return list_adapters(self._registry)

    def pointer(self) -> Pointer:
        """Who answers now."""
        return read_pointer(self._registry / FILE)

    def loaded(self) -> set[str]:
        """Adapters that every server has loaded; none where one cannot be asked."""
        try:
            names = [
                {model["id"] for model in server.models() if model.get("parent")} for server in self._servers
            ]
        except ServerFailed:
            return set()
        return set.intersection(*names) if names else set()

    def load(self, name: str) -> list[Sung]:
        """Checks the files, loads on every server, sings the canary; undone where it fails.

        Raises:
            AdapterError: the files are broken, or of another base model.
            CanaryFailed: the adapter is not in effect.
            ServerFailed: a server refused.
        """
        adapter = read_adapter(self._registry, name)
        check_name(adapter)
        fresh = []
        try:
            for server in self._servers:
                self._check_fits(adapter, server)
                if not any(model["id"] == name for model in server.models()):
                    server.load(name, f"{self._mounted}/{name}")
                    fresh.append(server)
            return self.canary(name)
        except ServingError:
            for server in fresh:
                with suppress(ServerFailed):
                    server.unload(name)
            raise

    def canary(self, name: str) -> list[Sung]:
        """Asks every server whether the loaded adapter is in effect. Raises `CanaryFailed`."""
        adapter = read_adapter(self._registry, name)
        return [check_canary(server, adapter) for server in self._servers]

    def promote(self, name: str, *, share: float = 1.0) -> Pointer:
        """Loads, then moves the alias, or lets a share of the sessions (above 0, below 1) try it."""
        self._some_server()
        with locked(self._registry):
            self.load(name)
            pointer = self.pointer()
            if share < 1.0 and name == pointer.model:
                raise AdapterError(name, "answers all sessions already; promote another one for a share")
            return self._move(pointer.trying(name, share) if share < 1.0 else pointer.promoted(name))

    def rollback(self) -> Pointer:
        """Ends the trial; without one, puts back what was in service before, after its canary."""
        self._some_server()
        with locked(self._registry):
            pointer = self.pointer().rolled_back()
            if pointer.model:
                self.load(pointer.model)
            return self._move(pointer)

    def remove(self, name: str) -> None:
        """Unloads everywhere and deletes the folder.

        Raises:
            AdapterError: it is not there, or answers sessions.
        """
        with locked(self._registry):
            adapter = read_adapter(self._registry, name)
            pointer = self.pointer()
            if name in (pointer.model, pointer.candidate):
                raise AdapterError(name, "answers sessions; promote another one or roll back first")
            for server in self._servers:
                if any(model["id"] == name for model in server.models()):
                    server.unload(name)
            if name in pointer.earlier:
                self._move(pointer.forgetting(name))
            shutil.rmtree(adapter.folder)

    def _check_fits(self, adapter: Adapter, server: Vllm) -> None:
        """Compares with the server's base model, as far as its folder can be seen from here."""
        base = Path(str(server.base().get("root", "")))
        if (base / "config.json").is_file():
            check_base(adapter.card, base)
            check_modules(adapter.folder, read_shape(base), rank=adapter.card.rank)

    def _move(self, pointer: Pointer) -> Pointer:
        base = self._servers[0].base()["id"] if self._servers else pointer.model
        write_pointer(self._registry, pointer, base=base)
        return pointer

    def _some_server(self) -> None:
        if not self._servers:
            raise ServingError("the alias moves only after a canary: name the servers with --server URL")
