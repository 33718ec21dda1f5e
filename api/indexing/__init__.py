"""Building the index from the settings, and following a new build."""
