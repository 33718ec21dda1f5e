"""Measures the answers of the whole chain on case files; knows no HTTP."""
