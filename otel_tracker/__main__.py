"""`python -m otel_tracker` is the command `otel-tracker`."""

import sys

from otel_tracker.cli import main

if __name__ == "__main__":
    sys.exit(main())
