"""Claude Code: hooks that record its sub-agents, and refuse those whose breaker is open."""
