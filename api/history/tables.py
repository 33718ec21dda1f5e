"""The tables of the history. Times are milliseconds since 1970, UTC; JSON columns keep fields unknown here.

Knows columns only; a change here needs a revision in `migrations/versions`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

turns = Table(
    "turns",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("session_id", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("question", Text, nullable=False),
    Column("standalone", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("error", String(64), nullable=False),
    Column("provider", String(128), nullable=False),
    Column("model", String(256), nullable=False),
    Column("build", String(64), nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("final", JSON, nullable=False),
    Column("events", JSON, nullable=False),
    Index("turns_by_time", "started_ms", "id"),
    Index("turns_by_session", "session_id", "started_ms"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("turn_id", String(64), primary_key=True),
    Column("session_id", String(64), nullable=False),
    Column("rating", String(8), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("feedback_by_session", "session_id"),
)

edits = Table(
    "edits",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("faq_id", String(64), nullable=False),
    Column("action", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("undoes", Integer, nullable=True),
    Column("turn_id", String(64), nullable=False),
    Index("edits_by_faq", "faq_id", "id"),
)

vectors = Table(
    "question_vectors",
    metadata,
    Column("text_hash", String(32), primary_key=True),
    Column("embedder", String(128), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
