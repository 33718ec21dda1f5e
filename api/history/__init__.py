"""The lasting log of what sellers asked and what became of it, in a SQL database."""
