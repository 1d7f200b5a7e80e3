"""The server of the metrics: a bounded number of threads, which no slow client holds, for clients that ask by a name of ours."""

import ipaddress
import socket
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any

from otel_tracker.errors import AddressError, CertificateError, InvalidValueError
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.printable import printable
from otel_tracker_exporters.scrape import Exposition, Reply, answer, name_in, words, zipped

if TYPE_CHECKING:
    from otel_tracker_exporters.page import Page

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9464  # the port that OpenTelemetry has for Prometheus
MOST_CLIENTS = 16
"""Clients that are served at once, each by a thread of its own."""
_ANY = "*"
_MOST_BODY = 8192  # bytes of a form


class MetricsServer(ThreadingTCPServer):
    """Answers each client in a thread; `shutdown` ends `serve_forever`, `server_close` gives the address back.

    Where MOST_CLIENTS are connected already, the oldest one is disconnected: a scrape takes milliseconds.
    Slow, silent and lost clients are not logged.
    """

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128
    client_seconds = 20.0
    """After so long a client is disconnected, whatever it does."""

    def __init__(
        self,
        exposition: Exposition,
        address: tuple[str, int],
        hosts: Sequence[str],
        tls: ssl.SSLContext | None,
        page: "Page | None",
    ) -> None:
        self.exposition, self.page, self.host = exposition, page, address[0]
        self._hosts = {name.strip().lower().rstrip(".") for name in (address[0], socket.gethostname(), *hosts)}
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)
        self._lock = threading.Lock()
        self._clients: dict[Any, float] = {}
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.server_port: int = self.server_address[1]
        if tls is not None:  # with a handshake at the connection, a silent client would keep all others waiting
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def answers_to(self, host: str | None) -> bool:
        """Tell whether a client may ask for a `Host`: an address, or a name that is ours.

        A page of the web that has its own name point to this machine (DNS rebinding) asks by that name, and can't read
        the answer. Programs that send no `Host` are no browsers.
        """
        if not host:
            return True
        name = name_in(host)
        if name == "localhost" or name.endswith(".localhost") or not self._hosts.isdisjoint((name, _ANY)):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread, once fewer than MOST_CLIENTS are connected."""
        if not self._free.acquire(blocking=False):
            self._disconnect(most=1)
            if not self._free.acquire(timeout=1.0):
                super().shutdown_request(request)
                return
        with self._lock:
            self._clients[request] = time.monotonic() + self.client_seconds
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection of a client that has been served, so that another one can be."""
        with self._lock:
            is_served = self._clients.pop(request, None) is not None
        super().shutdown_request(request)
        if is_served:
            self._free.release()

    def service_actions(self) -> None:
        """Disconnect clients that have used up their time; `serve_forever` calls this twice a second."""
        self._disconnect(before=time.monotonic())

    def _disconnect(self, *, before: float | None = None, most: int | None = None) -> None:
        with self._lock:
            late = [client for client, until in self._clients.items() if before is None or until <= before]
            for client in late[:most]:  # oldest first
                with suppress(OSError):  # its thread reads the end, and closes it
                    socket.socket.shutdown(client, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error, unless the client has closed the connection."""
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):  # ValueError: its file is closed
            warn("cannot answer a scrape: %r", error)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = 5.0  # seconds for each read and write
    server_version, sys_version = "otel-tracker", ""
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """Answer with headers and body."""
        reply = self._answer()
        self._send_head(reply)
        self.wfile.write(reply.body)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._send_head(self._answer())

    def refuse(self) -> None:
        """Refuse methods that would change something."""
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD")

    def do_POST(self) -> None:
        """Answer a form of the page; anything else is refused."""
        page, length = self.server.page, self.headers.get("Content-Length", "")
        if page is None or not length.isdecimal() or int(length) > _MOST_BODY:
            self.refuse()
            return
        body = self.rfile.read(int(length))
        reply = _refused(page, self) or page.order(self.path, body, self.headers)  # type: ignore[arg-type]
        self._send_head(reply)
        self.wfile.write(reply.body)

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = refuse  # noqa: N815 - the base class looks for these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing: there is a scrape every few seconds."""

    def _answer(self) -> Reply:
        page = self.server.page
        if page is not None and page.has(self.path.partition("?")[0]):
            return self._answer_of(page)
        host = self.headers.get("Host")
        if not self.server.answers_to(host):
            name = printable(str(host))[:100]
            return words(
                HTTPStatus.FORBIDDEN, f"not for {name}: start the server with --allow-host to be asked by that name"
            )
        return answer(self.server.exposition, self.path, self.headers)  # type: ignore[arg-type]

    def _answer_of(self, page: "Page") -> Reply:
        return _refused(page, self) or zipped(page.answer(self.path), self.headers)  # type: ignore[arg-type]

    def _send_head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()


def _refused(page: "Page", asked: _Handler) -> Reply | None:
    refusal = page.refusal(asked.client_address[0], asked.headers)  # type: ignore[arg-type]
    return None if refusal is None else words(HTTPStatus.FORBIDDEN, refusal)


def make_metrics_server(
    exposition: Exposition,
    port: int = DEFAULT_PORT,
    host: str = DEFAULT_HOST,
    *,
    allowed_hosts: Sequence[str] = (),
    certfile: str | None = None,
    keyfile: str | None = None,
    client_cafile: str | None = None,
    client_auth_required: bool = False,
    page: "Page | None" = None,
) -> MetricsServer:
    """Return a server that is bound and not yet serving; it serves the `page`, too, if there is one.

    It answers clients that ask by an address, `localhost`, this machine's name, `host` or one of `allowed_hosts` (`*`: any
    name). The options for TLS have the names and the meaning of prometheus_client.start_http_server. Raises AddressError
    where the address can't be had, InvalidValueError and StorageError where TLS is asked for and can't be.
    """
    host = host.removeprefix("[").removesuffix("]")  # as it stands in a URL
    context = _tls(certfile, keyfile, client_cafile, client_auth_required)
    try:
        return MetricsServer(exposition, (host, port), allowed_hosts, context, page)
    except OSError as error:
        raise AddressError(shown_address(host, port), str(error.strerror or error)) from None


def shown_address(host: str, port: int) -> str:
    """Return an address as it stands in a URL: that of IPv6 in brackets (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls(
    certfile: str | None, keyfile: str | None, client_cafile: str | None, client_auth_required: bool
) -> ssl.SSLContext | None:
    """Return the TLS context that the arguments ask for, None if they ask for none; half a set-up is an error."""
    if not (certfile or keyfile or client_cafile or client_auth_required):
        return None
    if not (certfile and keyfile):
        raise InvalidValueError("a set-up of TLS", certfile or keyfile or client_cafile, "both certfile and keyfile")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_cafile)
        context.load_cert_chain(certfile, keyfile)
    except OSError as error:  # of the files, or of their content
        listed = ", ".join(name for name in (certfile, keyfile, client_cafile) if name)
        raise CertificateError(listed, str(error)) from None
    if client_auth_required:
        context.verify_mode = ssl.CERT_REQUIRED
        if not client_cafile:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context
