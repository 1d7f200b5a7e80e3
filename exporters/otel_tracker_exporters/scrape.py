"""The HTTP side of the metrics: `/metrics` in the format that is asked for, and `/healthz`."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, choose_encoder

from otel_tracker.document import Document
from otel_tracker.errors import AddressError, CertificateError, InvalidValueError
from otel_tracker.summary import next_change
from otel_tracker_exporters.prometheus import Cache, StateCollector

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9464  # the port that OpenTelemetry has for Prometheus

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Exposition:
    """The text of the metrics; as long as the state is the same it is the same bytes. Safe from several threads."""

    def __init__(self, read: Callable[[], Document], clock: Callable[[], float] = time.time) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._cache = Cache()
        self._document: Document | None = None
        self._until = 0.0
        self._texts: dict[tuple[str, bool], bytes] = {}

    def render(self, accept: str, *, is_zipped: bool = False) -> tuple[str, bytes]:
        """Return the content type and the text in the best format that `accept`, a header of HTTP, allows."""
        try:
            encode, content_type = choose_encoder(accept)
        except Exception:  # noqa: BLE001 - a version that is no number, say
            encode, content_type = choose_encoder("")
        with self._lock:
            document, error = self._state()
            now = self._clock()
            if document is not self._document or document is None or now >= self._until:
                self._texts.clear()
                self._document = document
                self._until = next_change(document, now) if document is not None else 0.0
            key = content_type, is_zipped
            if key not in self._texts:
                registry = CollectorRegistry(auto_describe=False)
                registry.register(StateCollector(lambda: _known(document, error), lambda: now, self._cache))
                text = encode(registry)
                self._texts[key] = gzip.compress(text, 1) if is_zipped else text
            return content_type, self._texts[key]

    def _state(self) -> "tuple[Document | None, Exception | None]":
        try:
            return self._read(), None
        except Exception as error:  # noqa: BLE001 - the collector tells
            return None, error


def _known(document: Document | None, error: Exception | None) -> Document:
    if document is None:
        raise error or RuntimeError("no state")
    return document


def application(exposition: Exposition) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """Return the WSGI application that answers `/metrics` and `/healthz`."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        headers: list[tuple[str, str]] = []
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            status, content_type, text = "405 Method Not Allowed", "text/plain; charset=utf-8", b"GET or HEAD\n"
        elif path == "/metrics":
            is_zipped = _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
            content_type, text = exposition.render(environ.get("HTTP_ACCEPT", ""), is_zipped=is_zipped)
            headers = [("Content-Encoding", "gzip")] if is_zipped else []
            status = "200 OK"
        elif path in ("/healthz", "/"):
            status, content_type, text = "200 OK", "text/plain; charset=utf-8", b"ok: the metrics are at /metrics\n"
        else:
            status, content_type, text = "404 Not Found", "text/plain; charset=utf-8", b"not here: see /metrics\n"
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(text))), *headers])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [text]

    return answer


def _takes_gzip(accepted: str) -> bool:
    codings = [coding.replace(" ", "") for coding in accepted.lower().split(",")]
    return any(coding.partition(";")[0] == "gzip" and not coding.endswith((";q=0", ";q=0.0")) for coding in codings)


class _SilentHandler(WSGIRequestHandler):
    timeout = 30  # seconds in which a client must say what it wants

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing: a scrape every few seconds is no news."""


class _ServerOf6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


def make_metrics_server(
    exposition: Exposition,
    port: int = DEFAULT_PORT,
    host: str = DEFAULT_HOST,
    *,
    certfile: str | None = None,
    keyfile: str | None = None,
    client_cafile: str | None = None,
    client_auth_required: bool = False,
) -> WSGIServer:
    """Return a server that is bound and not yet serving.

    The options for TLS have the names and the meaning of prometheus_client.start_http_server. Raises AddressError where
    the address can't be had, InvalidValueError and StorageError where TLS is asked for and can't be.
    """
    context = _tls(certfile, keyfile, client_cafile, client_auth_required)
    try:
        kind = _ServerOf6 if ":" in host else ThreadingWSGIServer
        server = make_server(host, port, application(exposition), kind, handler_class=_SilentHandler)
    except OSError as error:
        raise AddressError(f"{host}:{port}", str(error.strerror or error)) from None
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )  # else who connects and says nothing would stop all others
    return server


def _tls(
    certfile: str | None, keyfile: str | None, client_cafile: str | None, client_auth_required: bool
) -> ssl.SSLContext | None:
    """Return what makes a connection safe, None where nobody asks for that; half of it is an error, not none."""
    if not (certfile or keyfile or client_cafile or client_auth_required):
        return None
    if not (certfile and keyfile):
        raise InvalidValueError("a set-up of TLS", certfile or keyfile or client_cafile, "both certfile and keyfile")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_cafile)
        context.load_cert_chain(certfile, keyfile)
    except OSError as error:  # of the files, or of what is in them
        listed = ", ".join(name for name in (certfile, keyfile, client_cafile) if name)
        raise CertificateError(listed, str(error)) from None
    if client_auth_required:
        context.verify_mode = ssl.CERT_REQUIRED
        if not client_cafile:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context
