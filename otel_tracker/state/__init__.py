"""Owns the state of the agents as values: events, the document, the fold of one into the other, the breaker. Pure."""
