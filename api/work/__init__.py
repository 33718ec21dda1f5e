"""The one protocol of long work, turns and jobs alike: records with leases, numbered events, a queue."""
