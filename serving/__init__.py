"""vLLM OpenAI-compatible server: launch from config, LoRA adapters, serving benchmark."""
