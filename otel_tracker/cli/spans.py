"""`otel-tracker spans`: exports the spans of tasks that were recorded without one, each once."""

import logging
import time
from contextlib import suppress
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_tracker import names
from otel_tracker.cli.export_errors import BusyError, ExportError, ExporterSetupError, MissingExporterError
from otel_tracker.cli.stores import store_of
from otel_tracker.errors import OtelTrackerError
from otel_tracker.reporting.wording import counted
from otel_tracker.runtime.environment import value_of
from otel_tracker.runtime.log import complain
from otel_tracker.state.amendment import amended
from otel_tracker.storage.export_position import ExportPosition
from otel_tracker.telemetry.spans import span_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.port import Port

POLL_SECONDS = 1.0
_BATCH = 512  # as OTEL_BSP_MAX_EXPORT_BATCH_SIZE
_LOST = 1000  # runs that were exported as lost, and whose end may come after all
_GROUP = "opentelemetry_traces_exporter"


def spans(options: "Namespace") -> int:
    """Export the spans of tasks since the last run; with --follow also those to come."""
    if _listed_exporters() == ["none"]:
        print("OTEL_TRACES_EXPORTER is none: nothing is exported")
        return 0
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # errors after retries are reported here
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
    number = _export_all(store, exporter, Resource.create())
    print(f"exported {counted(number, 'span', 'spans')}")
    return 0


def _follow(store: "Port", exporter: SpanExporter) -> int:
    resource, reported = Resource.create(), None
    with suppress(KeyboardInterrupt):
        while True:
            reported = _try_to_export(store, exporter, resource, reported)
            time.sleep(POLL_SECONDS)
    return 0


def _try_to_export(store: "Port", exporter: SpanExporter, resource: Resource, reported: str | None) -> str | None:
    """Export what has come. An error is reported unless it was `reported` before; return the error, None without one."""
    try:
        _export_all(store, exporter, resource)
    except OtelTrackerError as error:
        if type(error).__name__ != reported:
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


def _ends(events: "Sequence[Event]", lost: set[str]) -> "list[Event]":
    """Return the newest known end of each run, without the `lost` runs, whose spans have been exported.

    In an older journal a lost run that ended after all may have two ends: the true one wins.
    """
    ends: dict[str, Event] = {}
    for event in events:
        run_id = event.get("run_id", "")
        earlier = ends.get(run_id)
        if earlier is not None and event["action"] == names.TASK_AMENDED:
            ends[run_id] = amended(earlier, event)
        elif event["action"] in names.OUTCOMES and run_id not in lost:
            ends[run_id] = earlier if earlier is not None and earlier["action"] != names.TASK_LOST else event
    return list(ends.values())


def _batches(store: "Port", number: int) -> "Iterator[list[Event]]":
    """Yield the events after the number, at most as many in a list as go at once."""
    for events in store.events_after(number):
        for begin in range(0, len(events), _BATCH):
            yield events[begin : begin + _BATCH]


def _export(exporter: SpanExporter, batch: "Sequence[ReadableSpan]") -> None:
    try:
        problem = "a failure" if exporter.export(batch) is not SpanExportResult.SUCCESS else None
    except Exception as error:  # noqa: BLE001 - some exporters raise what they should report
        problem = repr(error)
    if problem is not None:
        raise ExportError(len(batch), type(exporter).__name__, problem)


def _listed_exporters() -> list[str]:
    listed = (name.strip() for name in value_of("OTEL_TRACES_EXPORTER").split(","))
    return [name for name in listed if name]


def _exporter() -> SpanExporter:
    """Return the first exporter in OTEL_TRACES_EXPORTER that isn't ours, else OTLP by the protocol that the environment names."""
    protocol = value_of("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or value_of("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    name = next((name for name in _listed_exporters() if name not in ("none", "circuit_breaker")), "otlp")
    name = otlp if name == "otlp" else name
    point = next(iter(entry_points(group=_GROUP, name=name)), None)
    if point is None:
        raise MissingExporterError(name)
    try:
        exporter: SpanExporter = point.load()()
    except Exception as error:  # a variable that it can't read, or a package that it lacks
        raise ExporterSetupError(name, str(error)) from error
    return exporter
