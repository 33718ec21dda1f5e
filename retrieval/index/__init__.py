"""FAQ indexes: the seam and its implementations."""
