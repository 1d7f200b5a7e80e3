"""How the recording itself is doing in this process, for Prometheus: `REGISTRY.register(VitalsCollector())`."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from otel_tracker.runtime.vitals import BOUNDS, Distribution, vitals
from otel_tracker.telemetry import metrics


class VitalsCollector(Collector):
    """Events recorded, retried and dropped, and how long writes and locks take; the same as the OpenTelemetry metrics."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        events = CounterMetricFamily(metrics.EVENTS.base, metrics.EVENTS.help, labels=metrics.EVENTS.labels)
        for result, number in vitals.events.items():
            events.add_metric([result], number)
        yield events
        yield _histogram(metrics.WRITES, vitals.writes)
        yield _histogram(metrics.LOCK_WAITS, vitals.lock_waits)


def _histogram(metric: metrics.Metric, distribution: Distribution) -> HistogramMetricFamily:
    counts = list(accumulate(distribution.buckets))
    buckets = [(str(bound), count) for bound, count in zip((*BOUNDS, "+Inf"), counts, strict=True)]
    return HistogramMetricFamily(metric.base, metric.help, buckets=buckets, sum_value=distribution.sum)
