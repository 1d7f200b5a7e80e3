"""A task as an OpenTelemetry span and metrics, and the trace context that processes hand on."""
