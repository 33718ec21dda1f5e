"""Drills: the service as a small cluster of real processes, with faults."""
