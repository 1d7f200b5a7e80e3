"""`otel-tracker serve`, `ui` and `metrics`: the page, and the state for Prometheus, to be scraped or written to a file."""

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import is_standard_output, plain, print_data
from otel_tracker.errors import AddressError
from otel_tracker.storage.files import Files
from otel_tracker_exporters.prometheus import StateCollector
from otel_tracker_exporters.scrape import Exposition
from otel_tracker_exporters.scrape_server import DEFAULT_PORT, make_metrics_server, shown_address

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from otel_tracker.storage.store import Store
    from otel_tracker_exporters.page import Page
    from otel_tracker_exporters.scrape_server import MetricsServer

EXIT_FAILURE = 1
_READABLE = 0o644


def serve(options: "Namespace") -> int:
    """Serve the metrics, and the page, until Ctrl-C or SIGTERM."""
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
        page=None if options.no_page else _page(store, options.allow_host),
    )
    scheme = "https" if options.certfile else "http"
    address = f"{scheme}://{shown_address(server.host, server.server_port)}"
    served = "/metrics" if options.no_page else "/ (the page) and /metrics"
    print(f"serving {plain(address)}{served} of {plain(store.home.config_file)}", flush=True)
    return _serve(server)


def ui(options: "Namespace") -> int:
    """Serve the page and open it in the browser, until Ctrl-C or SIGTERM; at a free port if none is named and the usual one is taken."""
    from otel_tracker.cli.page import open_in_browser

    store = store_of(options)
    page, exposition = _page(store), Exposition(store.read)
    try:
        server = make_metrics_server(exposition, DEFAULT_PORT if options.port is None else options.port, page=page)
    except AddressError:
        if options.port is not None:
            raise
        server = make_metrics_server(exposition, 0, page=page)
    address = f"http://{shown_address(server.host, server.server_port)}/"
    print(f"the page of {plain(store.home.config_file)} is at {address}, until Ctrl-C", flush=True)
    open_in_browser(address)  # it is bound: what the browser asks before the loop begins waits
    return _serve(server)


def _page(store: "Store", allowed_hosts: "Sequence[str]" = ()) -> "Page":
    from otel_tracker.cli.page import page_of  # here: metrics need no templates

    return page_of(store, allowed_hosts)


def _serve(server: "MetricsServer") -> int:
    """Serve until a signal ends it."""

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop that this handler has interrupted

    old = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
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
