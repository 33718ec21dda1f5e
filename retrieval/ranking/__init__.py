"""Putting candidates in order."""
