"""Text embedders: the seam and its implementations."""
