"""Hand-over to a person: the masked conversation, signed, delivered until it is taken or given up."""
