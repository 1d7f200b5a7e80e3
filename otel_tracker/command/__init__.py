"""Any command as a task: the process, its output, and what it says about itself. Used by `otel-tracker exec`."""
