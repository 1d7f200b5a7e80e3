"""Owns the agent spans of other libraries: which of them are tasks, and what they report (foreign_task.py)."""
