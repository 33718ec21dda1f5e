"""What a question is: in scope, off topic, an injection; and whether it leans on the conversation."""
