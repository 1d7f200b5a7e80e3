"""Back ends of otel_tracker, one file each."""
