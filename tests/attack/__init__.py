"""Attacks on a real server: bounded fuzzing and garak's probes."""
