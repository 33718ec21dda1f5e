"""The adapters of a provider, opened for one request; what goes wrong there, in Korean.

Knows settings, registries and servers; no HTTP and no history. Blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import structlog
from pydantic import SecretStr

from api.errors import ApiError, Conflict, InvalidRequest, NotFound, ProviderError
from api.settings import Settings

if TYPE_CHECKING:
    from serving.adapters import Adapters
    from serving.errors import ServingError
    from serving.registry.pointer import Pointer

log = structlog.get_logger(__name__)
Change: TypeAlias = "Callable[[Adapters], Pointer]"

# To load an adapter and to answer its prompt; and to say which there are.
_MOVE_S, _LOOK_S = 120.0, 5.0
# What files, canaries and servers say of themselves is English.
_LOGGED = "이유는 서버 로그의 adapters_failed에 있습니다."


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a provider's adapters are, the servers that answer with them, and where those see them."""

    provider: str
    alias: str
    folder: Path
    urls: tuple[str, ...]
    api_key: SecretStr
    mounted: str


def registries(settings: Settings) -> list[Registry]:
    """Of every provider with an alias. Raises `NotFound` where there is none."""
    found = [
        Registry(
            name, each.model, settings.path(each.alias_file).parent, each.base_urls, each.api_key,
            each.adapters_mounted,
        )
        for name, each in settings.providers.endpoints.items()
        if each.alias_file is not None
    ]  # fmt: skip
    if not found:
        raise NotFound(
            "이 서버에는 어댑터를 쓰는 provider가 없습니다. "
            "providers.endpoints.<이름>.alias_file에 어댑터 폴더의 current.json을 적어 주세요."
        )
    return found


def registry_of(settings: Settings, provider: str) -> Registry:
    """That of one provider; an empty name is the only one's. Raises `NotFound`, `InvalidRequest`."""
    found = registries(settings)
    names = ", ".join(each.provider for each in found)
    if not provider:
        if len(found) > 1:
            raise InvalidRequest(
                f"provider: 어댑터를 쓰는 provider가 여럿입니다. 하나를 골라 주세요: {names}"
            )
        return found[0]
    for each in found:
        if each.provider == provider:
            return each
    raise NotFound(f"'{provider[:80]}'은(는) 어댑터를 쓰는 provider가 아닙니다. 쓰는 provider: {names}")


@contextmanager
def looking(registry: Registry) -> Iterator[Adapters]:
    """To be looked at; a server that does not answer is not waited for. Raises `ApiError`."""
    with _opened(registry, by="", timeout_s=_LOOK_S) as adapters:
        yield adapters


def move(registry: Registry, change: Change, *, by: str) -> Pointer:
    """Moves the alias by `change`. Raises `ApiError`; `Conflict` where somebody else moves it."""
    with _opened(registry, by=by, timeout_s=_MOVE_S) as adapters:
        return change(adapters)


@contextmanager
def _opened(registry: Registry, *, by: str, timeout_s: float) -> Iterator[Adapters]:
    from serving.adapters import open_adapters
    from serving.errors import ServingError

    key = registry.api_key.get_secret_value()
    try:
        with open_adapters(
            registry.folder, registry.urls, api_key=key, mounted=registry.mounted, by=by, wait=False,
            timeout_s=timeout_s,
        ) as adapters:  # fmt: skip
            yield adapters
    except ServingError as exc:
        log.warning("adapters_failed", provider=registry.provider, error=str(exc))
        raise _in_korean(registry, exc) from exc
    except OSError as exc:
        raise Conflict(
            f"어댑터 폴더 {registry.folder}을(를) 쓸 수 없습니다({exc.strerror}). "
            "권한과 디스크를 확인해 주세요."
        ) from exc


def _in_korean(registry: Registry, error: ServingError) -> ApiError:
    from serving.errors import AdapterError, CanaryFailed, PointerError, RegistryBusy, ServerFailed

    match error:
        case ServerFailed(url=url):
            return ProviderError(
                registry.provider,
                f"vLLM 서버 {url}에서 답을 받지 못해 아무것도 바꾸지 않았습니다. "
                f"서버가 켜져 있는지 확인해 주세요. {_LOGGED}",
            )
        case CanaryFailed(name=name):
            return Conflict(
                f"어댑터 {name}이(가) 학습을 마쳤을 때처럼 답하지 않아 올리지 않았습니다. {_LOGGED}"
            )
        case AdapterError(name=name):
            return Conflict(f"어댑터 {name}을(를) 쓸 수 없습니다. {_LOGGED}")
        case RegistryBusy():
            return Conflict(
                "다른 사람이 지금 어댑터를 바꾸고 있습니다. 잠시 후 다시 시도해 주세요.", retry_after=5
            )
        case PointerError():
            return Conflict(f"지금 답하는 어댑터를 적은 파일을 쓸 수 없습니다. {_LOGGED}")
        case _:
            return Conflict(f"어댑터를 바꾸지 못했습니다. {_LOGGED}")
