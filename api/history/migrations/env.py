"""Alembic runs this with the open connection that `database.upgrade` gives it."""

from __future__ import annotations

from alembic import context

from api.history.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
