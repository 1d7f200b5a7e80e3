"""Servers in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from otel_tracker_exporters.scrape_server import MetricsServer


@contextmanager
def in_a_thread(server: MetricsServer) -> Iterator[MetricsServer]:
    """Serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
