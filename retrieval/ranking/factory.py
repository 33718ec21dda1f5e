"""The one place that chooses a reranker by name. Imports an implementation only when it is chosen."""

from __future__ import annotations

from retrieval.errors import UnknownName
from retrieval.ranking.base import Reranker

NAMES = ("none", "cross-encoder", "remote", "tei")


def open_reranker(
    name: str,
    *,
    model: str = "BAAI/bge-reranker-v2-m3",
    base_url: str = "",
    api_key: str = "",
    device: str = "cpu",
    depth: int = 10,
) -> Reranker | None:
    """Opens the reranker called `name`; None for `none`, where the trained ranker has the last word.

    Args:
        name: one of `NAMES`.
        model: for `cross-encoder` a folder or a hub id, for `remote` what the server calls the model.
        base_url: for `remote` up to and with the version, for `tei` the server's root.
        api_key: for `remote` and `tei`; may be empty.
        device: for `cross-encoder`, e.g. `cpu` or `cuda:0`.
        depth: how many hits are read.

    Raises:
        UnknownName: the message lists the valid names.
        EmbedderError: the model cannot be loaded, or `base_url` is none.
    """
    match name:
        case "none":
            return None
        case "cross-encoder":
            from retrieval.ranking.cross_encoder import CrossEncoder

            return CrossEncoder(model, device=device, depth=depth)
        case "remote" | "tei":
            from retrieval.ranking.remote import RemoteReranker

            return RemoteReranker(
                base_url,
                model=model,
                api_key=api_key,
                texts_as="texts" if name == "tei" else "documents",
                depth=depth,
            )
        case _:
            raise UnknownName("reranker", name, NAMES)
