"""Benchmarks: each is one command of the Makefile, and writes its section of docs/performance.md."""
