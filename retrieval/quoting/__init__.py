"""Answers without an LLM: whole parts of FAQs, laid out."""
