"""`serve_metrics`: the Prometheus endpoint inside a long-lived orchestrator."""

import threading
from collections.abc import Sequence

from otel_tracker.runtime.environment import chosen_home
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker_exporters.scrape import Exposition
from otel_tracker_exporters.scrape_server import DEFAULT_HOST, DEFAULT_PORT, MetricsServer, make_metrics_server


def serve_metrics(
    port: int = DEFAULT_PORT,
    host: str = DEFAULT_HOST,
    *,
    home: str | None = None,
    allowed_hosts: Sequence[str] = (),
    certfile: str | None = None,
    keyfile: str | None = None,
    client_cafile: str | None = None,
    client_auth_required: bool = False,
) -> tuple[MetricsServer, threading.Thread]:
    """Serve the metrics of a home, by default that of this process, at `/metrics`, in a thread that doesn't keep it alive.

    Returns the server, whose `shutdown()` ends it, and its thread. Port 0 takes a free one (`server.server_port`).
    Clients that ask by another name than this machine's need to be among the `allowed_hosts` (`*`: any name). The
    options for TLS are those of prometheus_client.start_http_server. Raises StorageError where the
    address can't be had or a certificate can't be used.
    """
    exposition = Exposition(Store(Home(chosen_home(home))).read)
    server = make_metrics_server(
        exposition,
        port,
        host,
        allowed_hosts=allowed_hosts,
        certfile=certfile,
        keyfile=keyfile,
        client_cafile=client_cafile,
        client_auth_required=client_auth_required,
    )
    thread = threading.Thread(target=server.serve_forever, name="otel-tracker metrics", daemon=True)
    thread.start()
    return server, thread
