"""A real small Qwen for development and measurement; nothing of the product depends on it."""
