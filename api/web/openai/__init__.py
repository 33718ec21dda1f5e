"""What OpenAI's API looks like on the wire: requests, completions, errors, model names."""
