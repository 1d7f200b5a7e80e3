"""`otel-tracker spans`: exports the spans of tasks that were recorded without one, each once."""

import logging
import os
import time
from contextlib import suppress
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_tracker import names
from otel_tracker.cli.export_errors import BusyError, ExportError, ExporterSetupError, MissingExporterError
from otel_tracker.cli.stores import store_of
from otel_tracker.errors import OtelTrackerError
from otel_tracker.runtime.log import complain
from otel_tracker.state.amendment import amended
from otel_tracker.storage.export_position import ExportPosition
from otel_tracker.telemetry.spans import span_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tracker.storage.port import Port

POLL_SECONDS = 1.0
_BATCH = 512  # as OTEL_BSP_MAX_EXPORT_BATCH_SIZE
_LOST = 1000  # runs that were exported as lost, and whose end may come after all
_GROUP = "opentelemetry_traces_exporter"


def spans(options: "Namespace") -> int:
    """Export what has come since the last run; with --follow also what comes from now on."""
    if _listed_exporters() == ["none"]:
        print("OTEL_TRACES_EXPORTER is none: nothing is exported")
        return 0
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # what it says of retries we say at the end
    store, exporter = store_of(options), _exporter()
    position = ExportPosition(store.home)
    try:
        with position.held() as is_alone:
            if not is_alone:
                by = " and ".join(f"process {pid}" for pid in position.holders()) or "another process"
                raise BusyError(by)
            return _follow(store, exporter) if options.follow else _export_once(store, exporter)
    finally:
        exporter.shutdown()


def _export_once(store: "Port", exporter: SpanExporter) -> int:
    print(f"exported {_export_all(store, exporter, Resource.create())} spans")
    return 0


def _follow(store: "Port", exporter: SpanExporter) -> int:
    resource, said = Resource.create(), None
    with suppress(KeyboardInterrupt):
        while True:
            said = _try_to_export(store, exporter, resource, said)
            time.sleep(POLL_SECONDS)
    return 0


def _try_to_export(store: "Port", exporter: SpanExporter, resource: Resource, said: str | None) -> str | None:
    """Export what has come; where the receiver is away, say so once, and try again later. Return what has been said."""
    try:
        _export_all(store, exporter, resource)
    except OtelTrackerError as error:
        if type(error).__name__ != said:
            complain(str(error))
        return type(error).__name__
    return None


def _export_all(store: "Port", exporter: SpanExporter, resource: Resource) -> int:
    exported, position = 0, ExportPosition(store.home)
    number, lost = position.load()
    if number > store.last_number():  # the journal isn't the one that the position was of
        number, lost = 0, []
    for events in _batches(store, number):
        ends = _ends(events, set(lost))
        batch = [span for event in ends if (span := span_of(event, resource)) is not None]
        if batch:
            _export(exporter, batch)
        exported += len(batch)
        lost = [*lost, *(event["run_id"] for event in ends if event["action"] == names.TASK_LOST)][-_LOST:]
        position.save(events[-1]["seq"], lost)
    return exported


def _ends(events: "Sequence[dict[str, Any]]", lost: set[str]) -> list[dict[str, Any]]:
    """Return the end of each run as it is known by now, without the `lost` runs, whose spans have been exported.

    In an older journal a run that was taken for lost and ended after all may have two ends: the true one comes first.
    """
    ends: dict[str, dict[str, Any]] = {}
    for event in events:
        run_id = event.get("run_id", "")
        known = ends.get(run_id)
        if known is not None and event["action"] == names.TASK_AMENDED:
            ends[run_id] = amended(known, event)
        elif event["action"] in names.OUTCOMES and run_id not in lost:
            ends[run_id] = known if known is not None and known["action"] != names.TASK_LOST else event
    return list(ends.values())


def _batches(store: "Port", number: int) -> "Iterator[list[dict[str, Any]]]":
    """Yield the events after the number, at most as many in a list as go at once."""
    for events in store.events_after(number):
        for begin in range(0, len(events), _BATCH):
            yield events[begin : begin + _BATCH]


def _export(exporter: SpanExporter, found: "Sequence[ReadableSpan]") -> None:
    try:
        said = "a failure" if exporter.export(found) is not SpanExportResult.SUCCESS else None
    except Exception as error:  # noqa: BLE001 - some exporters raise what they should report
        said = repr(error)
    if said is not None:
        raise ExportError(len(found), type(exporter).__name__, said)


def _listed_exporters() -> list[str]:
    listed = (name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(","))
    return [name for name in listed if name]


def _exporter() -> SpanExporter:
    """Return the first of OTEL_TRACES_EXPORTER that isn't ours, else OTLP, in the protocol that the environment names."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    name = next((name for name in _listed_exporters() if name not in ("none", "circuit_breaker")), "otlp")
    name = otlp if name == "otlp" else name
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise MissingExporterError(name)
    try:
        exporter: SpanExporter = found.load()()
    except Exception as error:  # a variable that it can't read, or a package that it lacks
        raise ExporterSetupError(name, str(error)) from error
    return exporter
