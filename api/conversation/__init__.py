"""One turn, stateless: from a question and its memory to an answer as events."""
