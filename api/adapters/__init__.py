"""Adapters of the models that answer: which there are, how they fare, and who answers."""
