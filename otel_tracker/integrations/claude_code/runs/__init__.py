"""A run of a sub-agent: the facts about it, how it ended, and the events that follow."""
