"""Where a turn runs: in this process or in a worker."""
