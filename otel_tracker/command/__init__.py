"""Owns a shell command that runs as one task: its process, its output and its events. `otel-tracker exec` uses it."""
