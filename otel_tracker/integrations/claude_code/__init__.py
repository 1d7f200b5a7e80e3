"""Claude Code: hooks that record its sub-agents, and refuse those whose breaker is open."""

NAME = "claude-code"
"""The name of this integration in commands, and of its folder in a home."""
