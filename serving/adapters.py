"""Puts adapters into service: load, canary, then the alias moves; and back again.

The order makes every step safe: an adapter is loaded under its own name, which nobody asks for; only when
the canary has passed on every server does the alias point to it. Names are immutable, so a prefix cache
cannot mix two adapters. Knows the registry and the servers; the API follows the pointer file by itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
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
from serving.registry.moves import Action, Move, read_moves, write_move
from serving.registry.pointer import FILE, Pointer, locked, read_pointer, write_pointer
from serving.registry.shape import read_shape
from serving.vllm_api import Vllm


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server said of itself.

    Attributes:
        url: its address.
        base: the name of its base model.
        loaded: the adapters that it has.
        error: why it could not be asked; empty where it could.
    """

    url: str
    base: str = ""
    loaded: frozenset[str] = frozenset()
    error: str = ""


@contextmanager
def open_adapters(
    registry: Path,
    urls: Sequence[str],
    *,
    api_key: str = "",
    mounted: str = "",
    by: str = "",
    wait: bool = True,
    timeout_s: float = 120.0,
) -> Iterator[Adapters]:
    """The adapters of a registry, with clients of the servers at `urls`; see `Adapters` and `Vllm`."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Vllm(url, api_key=api_key, timeout_s=timeout_s)) for url in urls]
        yield Adapters(registry, servers, mounted=mounted, by=by, wait=wait)


class Adapters:
    """The adapters of one registry on the servers that share it.

    Args:
        registry: their folder on this machine.
        servers: all that answer under the alias.
        mounted: the registry's folder as the servers see it, the same by default.
        by: who moves the alias, for the audit trail.
        wait: wait where somebody else moves it; else `RegistryBusy` is raised.
    """

    def __init__(
        self,
        registry: Path,
        servers: Sequence[Vllm],
        *,
        mounted: str = "",
        by: str = "",
        wait: bool = True,
    ) -> None:
        self._registry, self._servers = registry.resolve(), tuple(servers)
        self._mounted, self._by, self._wait = mounted or str(self._registry), by, wait

    def all(self) -> list[Adapter]:
        """All of the registry, oldest first."""
        return list_adapters(self._registry)

    def pointer(self) -> Pointer:
        """Who answers now."""
        return read_pointer(self._registry / FILE)

    def moves(self, *, limit: int = 50) -> list[Move]:
        """The audit trail, newest first."""
        return read_moves(self._registry, limit=limit)

    def servers(self) -> list[ServerState]:
        """What each server has loaded, asked all at once."""
        with ThreadPoolExecutor(max(1, len(self._servers))) as pool:
            return list(pool.map(_state, self._servers))

    def loaded(self) -> frozenset[str]:
        """Adapters that every server has loaded; none where one cannot be asked."""
        found = [state.loaded for state in self.servers()]
        return frozenset.intersection(*found) if found else frozenset()

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
        with locked(self._registry, wait=self._wait):
            self.load(name)
            pointer = self.pointer()
            if share < 1.0 and name == pointer.model:
                raise AdapterError(name, "answers all sessions already; promote another one for a share")
            if share < 1.0:
                return self._move("try", name, pointer, pointer.trying(name, share))
            return self._move("promote", name, pointer, pointer.promoted(name))

    def end_trial(self) -> Pointer:
        """Takes the candidate out of service; what answers all others goes on, so nothing is loaded."""
        with locked(self._registry, wait=self._wait):
            pointer = self.pointer()
            return self._move("end_trial", pointer.candidate, pointer, pointer.ended())

    def rollback(self) -> Pointer:
        """Ends the trial; without one, puts back what was in service before, after its canary."""
        self._some_server()
        with locked(self._registry, wait=self._wait):
            before = self.pointer()
            pointer = before.rolled_back()
            if before.candidate:
                return self._move("end_trial", before.candidate, before, pointer)
            if pointer.model:
                self.load(pointer.model)
            return self._move("rollback", pointer.model, before, pointer)

    def remove(self, name: str) -> None:
        """Unloads everywhere and deletes the folder.

        Raises:
            AdapterError: it is not there, or answers sessions.
        """
        with locked(self._registry, wait=self._wait):
            adapter = read_adapter(self._registry, name)
            pointer = self.pointer()
            if name in (pointer.model, pointer.candidate):
                raise AdapterError(name, "answers sessions; promote another one or roll back first")
            for server in self._servers:
                if any(model["id"] == name for model in server.models()):
                    server.unload(name)
            self._move("remove", name, pointer, pointer.forgetting(name))
            shutil.rmtree(adapter.folder)

    def _check_fits(self, adapter: Adapter, server: Vllm) -> None:
        """Compares with the server's base model, as far as its folder can be seen from here."""
        base = Path(str(server.base().get("root", "")))
        if (base / "config.json").is_file():
            check_base(adapter.card, base)
            check_modules(adapter.folder, read_shape(base), rank=adapter.card.rank)

    def _move(self, action: Action, name: str, before: Pointer, after: Pointer) -> Pointer:
        # An adapter, or the base model beside a trial, has its name already: a trial ends without a server.
        base = after.model or after.base or (self._servers[0].base()["id"] if self._servers else "")
        write_move(self._registry, action, name, by=self._by, before=before, after=after)
        if after != before:
            write_pointer(self._registry, after, base=base)
        return after

    def _some_server(self) -> None:
        if not self._servers:
            raise ServingError("the alias moves only after a canary: name the servers with --server URL")


def _state(server: Vllm) -> ServerState:
    try:
        models = server.models()
    except ServerFailed as exc:
        return ServerState(server.url, error=exc.reason)
    base = next((str(model["id"]) for model in models if not model.get("parent")), "")
    return ServerState(server.url, base, frozenset(str(each["id"]) for each in models if each.get("parent")))
