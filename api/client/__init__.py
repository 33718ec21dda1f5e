"""Clients of the API: the terminal, the recorded scenarios, the latency benchmark."""
