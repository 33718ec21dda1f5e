"""What is made of text that arrives in pieces: each takes the next one and says what can be shown."""
