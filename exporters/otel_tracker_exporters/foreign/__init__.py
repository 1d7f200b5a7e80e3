"""Agent spans that other instrumentations have made: which of them are tasks, and what they say (see task.py)."""
