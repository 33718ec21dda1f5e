"""Other ways of asking for each FAQ, written by an LLM."""
