"""Judging an adapter: losses and verdicts."""
