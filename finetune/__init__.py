"""SFT data from the FAQ, LoRA training, adapter evaluation and export."""
