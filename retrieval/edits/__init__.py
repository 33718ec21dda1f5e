"""Edits of single FAQs over an untouched corpus file, live without building the index anew."""
