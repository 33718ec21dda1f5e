"""Names of models: `faq`, `faq/<provider>`, raw `<provider>/<model>`, and the embedder.

Knows names; not what answers under them.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import ApiError, UnknownProvider
from api.providers.choice import Providers

FAQ = "faq"


class UnknownModel(ApiError):
    """No such model."""

    code, status = "model_not_found", 404
    english = "unknown model"

    def __init__(self, name: str, valid: Iterable[str]) -> None:
        self.name = name
        super().__init__(
            f"모델 '{name[:80]}'이(가) 없습니다. 사용할 수 있는 값: {', '.join(valid)}",
            english=f"{self.english} {name[:80]!r}",
        )


def faq_provider(model: str, providers: Providers) -> str | None:
    """The provider that `model` asks for: None for the default one. Raises `UnknownModel`."""
    if model == FAQ:
        return None
    kind, _, name = model.partition("/")
    if kind == FAQ and name:
        try:
            return providers.get(name).name
        except UnknownProvider as exc:
            raise UnknownModel(model, chat_models(providers)) from exc
    raise UnknownModel(model, chat_models(providers))


def chat_models(providers: Providers, *, raw: bool = True) -> list[str]:
    """Every name for a chat completion; raw ones with the model their settings name."""
    names = [FAQ, *(f"{FAQ}/{name}" for name in providers.names)]
    if raw:
        names += [f"{p.name}/{p.model}" for p in map(providers.get, providers.names) if p.llm]
    return names
