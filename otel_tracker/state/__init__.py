"""What is known of the agents, as pure values: events, the document, the fold of one into the other, the breaker."""
