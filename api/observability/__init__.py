"""Logs, metrics and traces: they look at events and requests."""
