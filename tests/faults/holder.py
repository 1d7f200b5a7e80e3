# ruff: noqa: T201 - it tells the test what it does on standard output
"""A process that holds a lock until it is killed, and does nothing else: `python -m tests.faults.holder LOCK`."""

import signal
import sys

from otel_tracker.storage import lock
from otel_tracker.storage.files import Files

if __name__ == "__main__":
    with lock.held(sys.argv[1], Files()):
        print("held", flush=True)
        signal.pause()
