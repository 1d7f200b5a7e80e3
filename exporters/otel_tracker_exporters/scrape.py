"""The answers of the metrics server: `/metrics` in the format that the client asks for, and `/healthz`. No sockets."""

import gzip
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from otel_tracker.reporting.summary import next_change
from otel_tracker.state.document import Document
from otel_tracker_exporters.prometheus import Cache, StateCollector

_LEAST_ZIPPED = 1024  # bytes


class Exposition:
    """The text of the metrics; as long as the state is the same it is the same bytes. Safe from several threads.

    `read` returns the document, such as `Store.read` of a home; `clock` seconds since 1970.
    """

    def __init__(self, read: Callable[[], Document], clock: Callable[[], float] = time.time) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._cache = Cache()
        self._document: Document | None = None
        self._until = 0.0
        self._texts: dict[tuple[str, bool], bytes] = {}

    def render(self, accept: str, *, is_zipped: bool = False) -> tuple[str, bytes]:
        """Return the content type and the text in the best format that `accept`, a header of HTTP, allows.

        Where the state can't be read, the metric `state_read_success` says so.
        """
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
                registry.register(StateCollector(lambda: _readable(document, error), lambda: now, self._cache))
                text = encode(registry)
                self._texts[key] = gzip.compress(text, 1) if is_zipped else text
            return content_type, self._texts[key]

    def _state(self) -> "tuple[Document | None, Exception | None]":
        try:
            return self._read(), None
        except Exception as error:  # noqa: BLE001 - the collector shows it
            return None, error


def _readable(document: Document | None, error: Exception | None) -> Document:
    if document is None:
        raise error or RuntimeError("no state")
    return document


class Reply(NamedTuple):
    """A reply: the status of HTTP, the body, and the headers except Content-Length."""

    status: int
    body: bytes
    headers: dict[str, str]


def answer(exposition: Exposition, target: str, headers: Mapping[str, str]) -> Reply:
    """Answer a GET: the metrics at `/metrics`, a word at `/healthz` and `/`."""
    path = target.partition("?")[0]
    if path == "/metrics":
        is_zipped = _takes_gzip(headers.get("Accept-Encoding", ""))
        content_type, body = exposition.render(headers.get("Accept", ""), is_zipped=is_zipped)
        coding = {"Content-Encoding": "gzip"} if is_zipped else {}
        return Reply(HTTPStatus.OK, body, {"Content-Type": content_type, **coding})
    if path in ("/healthz", "/"):
        return words(HTTPStatus.OK, "ok: the metrics are at /metrics")
    return words(HTTPStatus.NOT_FOUND, "not here: see /metrics")


def words(status: int, text: str) -> Reply:
    """Return an answer for people."""
    return Reply(status, f"{text}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})


def name_in(host: str) -> str:
    """Return the name or the address in a `Host`, without the port, in small letters."""
    name = host.strip().lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0].rstrip(".")


def zipped(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """Return a reply with its body compressed, if the client takes that and it is worth it."""
    if len(reply.body) < _LEAST_ZIPPED or not _takes_gzip(headers.get("Accept-Encoding", "")):
        return reply
    return Reply(reply.status, gzip.compress(reply.body, 1), {**reply.headers, "Content-Encoding": "gzip"})


def _takes_gzip(accepted: str) -> bool:
    codings = [coding.replace(" ", "") for coding in accepted.lower().split(",")]
    return any(coding.partition(";")[0] == "gzip" and not coding.endswith((";q=0", ";q=0.0")) for coding in codings)
