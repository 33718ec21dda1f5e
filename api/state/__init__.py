"""State on the Redis protocol: sessions, turn event log, caches, limits."""
