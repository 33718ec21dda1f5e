"""The one on-disk contract of adapters: folder, card, shape, pointer. No vLLM, no HTTP."""
