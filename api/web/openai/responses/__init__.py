"""OpenAI's Responses API over turns: requests, typed events, what is stored, routes."""
