"""The history's schema, revision by revision (Alembic)."""
