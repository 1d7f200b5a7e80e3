"""How the recording itself is doing in this process, for Prometheus: `REGISTRY.register(VitalsCollector())`."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from otel_tracker.runtime.vitals import BOUNDS, Distribution, vitals


class VitalsCollector(Collector):
    """Events recorded, retried and dropped, and how long writes and locks take; the same as the OpenTelemetry metrics."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        events = CounterMetricFamily(
            "otel_tracker_events", "Events of the journal, by what became of them.", labels=["result"]
        )
        for result, number in vitals.events.items():
            events.add_metric([result], number)
        yield events
        yield _histogram("otel_tracker_write_seconds", "Time to write events.", vitals.writes)
        yield _histogram("otel_tracker_lock_wait_seconds", "Time to get a lock of the home.", vitals.lock_waits)


def _histogram(name: str, description: str, distribution: Distribution) -> HistogramMetricFamily:
    counts = list(accumulate(distribution.buckets))
    buckets = [(str(bound), count) for bound, count in zip((*BOUNDS, "+Inf"), counts, strict=True)]
    return HistogramMetricFamily(name, description, buckets=buckets, sum_value=distribution.sum)
