"""Vectors of questions, embedded once and kept in the history's database. Knows texts and bytes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from api.history.database import guarded
from api.history.tables import vectors
from retrieval.embedders.base import Embedder

_BATCH = 64
_IDS = 500


async def question_vectors(
    engine: AsyncEngine, embedder: Embedder, texts: Sequence[str]
) -> NDArray[np.float32]:
    """`(texts, dim)` float32 unit vectors, embedded as questions; new ones are kept.

    Raises:
        HistoryUnavailable: the database is away.
        EmbedderError: a text could not be embedded.
    """
    keys = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
    known = await _read(engine, embedder.name, sorted(set(keys)))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    fresh: dict[str, NDArray[np.float32]] = {}
    items = list(missing.items())
    for start in range(0, len(items), _BATCH):
        part = items[start : start + _BATCH]
        embedded = await asyncio.to_thread(embedder.embed_queries, [text for _, text in part])
        fresh |= dict(zip((key for key, _ in part), embedded.dense, strict=True))
    await _keep(engine, embedder.name, fresh)
    known |= fresh
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, 1), np.float32)


async def _read(engine: AsyncEngine, name: str, keys: list[str]) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    with guarded():
        async with engine.connect() as connection:
            for start in range(0, len(keys), _IDS):
                wanted = vectors.c.text_hash.in_(keys[start : start + _IDS])
                query = select(vectors.c.text_hash, vectors.c.vector).where(
                    wanted, vectors.c.embedder == name
                )
                found |= {
                    row[0]: np.frombuffer(row[1], np.float32) for row in await connection.execute(query)
                }
    return found


async def _keep(engine: AsyncEngine, name: str, fresh: dict[str, NDArray[np.float32]]) -> None:
    if not fresh:
        return
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    now = int(time.time() * 1000)
    rows = [
        {"text_hash": key, "embedder": name, "vector": vector.astype(np.float32).tobytes(), "at_ms": now}
        for key, vector in fresh.items()
    ]
    with guarded():
        async with engine.begin() as connection:
            await connection.execute(insert(vectors).on_conflict_do_nothing(), rows)
