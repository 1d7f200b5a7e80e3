"""`otel-tracker serve` and `otel-tracker metrics`: the state for Prometheus, to be scraped or written to a file."""

import signal
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from otel_tracker.cli.attention import attention_of
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import is_standard_output, plain, print_data
from otel_tracker.storage.files import Files
from otel_tracker_exporters.page import Page
from otel_tracker_exporters.prometheus import StateCollector
from otel_tracker_exporters.scrape import Exposition
from otel_tracker_exporters.scrape_server import make_metrics_server, shown_address

if TYPE_CHECKING:
    from argparse import Namespace

EXIT_FAILURE = 1
_READABLE = 0o644


def serve(options: "Namespace") -> int:
    """Serve the metrics until Ctrl-C or SIGTERM."""
    store = store_of(options)
    server = make_metrics_server(
        Exposition(store.read),
        options.port,
        options.host,
        allowed_hosts=options.allow_host,
        certfile=options.certfile,
        keyfile=options.keyfile,
        client_cafile=options.client_cafile,
        client_auth_required=options.client_auth_required,
        page=None if options.no_page else Page(store, options.allow_host, partial(attention_of, store)),
    )

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this handler has interrupted

    old = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    scheme = "https" if options.certfile else "http"
    address = shown_address(server.host, server.server_port)
    served = "/metrics" if options.no_page else "/ (the page) and /metrics"
    print(f"serving {scheme}://{plain(address)}{served} of {plain(store.home.config_file)}", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()
        for number, handler in old.items():
            signal.signal(number, handler)
    return 0


def metrics(options: "Namespace") -> int:
    """Print the metrics, or write them to a file at once; status 1 if the state can't be read (a metric says so, too)."""
    store = store_of(options)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StateCollector(store.read))
    text = generate_latest(registry)
    if is_standard_output(options.output):
        print_data(text.decode())
    else:
        Files().export(options.output, text, _READABLE)  # for node_exporter, which is another user
    return EXIT_FAILURE if b"otel_tracker_state_read_success 0.0" in text else 0
