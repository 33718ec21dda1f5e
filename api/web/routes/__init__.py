"""HTTP routes; each module holds one area and only follows what the conversation writes."""
