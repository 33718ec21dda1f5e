"""Training of ranker, adapter, scope and dependence from the corpus."""
