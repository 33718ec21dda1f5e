"""The one place that chooses an embedder by name. Imports an implementation only when it is chosen."""

from __future__ import annotations

from retrieval.embedders.base import Embedder
from retrieval.errors import UnknownName

NAMES = ("e5-small", "sentence-transformer", "openai")


def open_embedder(
    name: str,
    *,
    model: str = "BAAI/bge-m3",
    base_url: str = "",
    api_key: str = "",
    dim: int = 1024,
    device: str = "cpu",
) -> Embedder:
    """Opens the embedder called `name`.

    Args:
        name: one of `NAMES`.
        model: for `sentence-transformer` a folder or a hub id, for `openai` its name there.
        base_url: for `openai`, up to and with `/v1`.
        api_key: for `openai`; may be empty.
        dim: for `openai`, the size of the model's vectors.
        device: for `sentence-transformer`, e.g. `cpu` or `cuda:0`.

    Raises:
        UnknownName: the message lists the valid names.
        EmbedderError: the model cannot be loaded.
    """
    match name:
        case "e5-small":
            from retrieval.embedders.adapter import adapted
            from retrieval.embedders.e5.small import E5Small

            return adapted(E5Small())
        case "sentence-transformer":
            from retrieval.embedders.sentence_transformer import SentenceTransformer

            return SentenceTransformer(model, device=device)
        case "openai":
            from retrieval.embedders.openai import OpenAIEmbedder

            return OpenAIEmbedder(base_url, model=model, dim=dim, api_key=api_key)
        case _:
            raise UnknownName("embedder", name, NAMES)
