"""`make real-eval`: the answers of a real language model, measured on fixed samples."""
