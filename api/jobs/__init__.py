"""Long work that nobody waits for at the screen: re-index, expand, evaluate."""
