"""Coding agents: what each tells of the runs of its sub-agents, recorded as tasks."""
