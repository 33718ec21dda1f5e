"""FastAPI service: HTTP in, the conversation, providers out; the `smartstore` command."""
