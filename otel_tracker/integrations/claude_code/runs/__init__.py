"""A run of a sub-agent: what is known of it, how it ended, and the events that follow."""
