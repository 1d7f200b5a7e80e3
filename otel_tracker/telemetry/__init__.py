"""Owns the spans and metrics of tasks, and the trace context that processes hand on."""
