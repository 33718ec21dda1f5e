"""Starting vLLM from a configuration."""
