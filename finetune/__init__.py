"""SFT data from the FAQ, LoRA training, adapter evaluation and export."""

import os

# trl tells Hugging Face of each run; huggingface_hub reads this when it is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
