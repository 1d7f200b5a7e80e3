"""Owns the Python API: record a task, ask whether an agent may run, run a function as one task."""
