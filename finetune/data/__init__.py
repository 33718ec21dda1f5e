"""Examples for training: splitting, negatives, teacher, encoding."""
