"""The clock of the state store, for Lua: those of our machines need not agree."""

from __future__ import annotations

NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""
"""Opens a script that needs the time: `now` is in milliseconds since 1970."""
