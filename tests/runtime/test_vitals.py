from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.errors import StorageError
from otel_tracker.runtime.vitals import BOUNDS, Distribution, vitals
from otel_tracker_exporters.prometheus_vitals import VitalsCollector


@pytest.fixture(autouse=True)
def _at_zero() -> Iterator[None]:
    vitals.renew()
    yield
    vitals.renew()


def test_a_duration_is_counted_in_the_bucket_of_its_bound() -> None:
    distribution, heard = Distribution(), list[float]()
    distribution.listeners.append(heard.append)
    for seconds in (0.0, BOUNDS[0], 0.3, BOUNDS[-1], 60.0):
        distribution.observe(seconds)
    assert distribution.buckets[0] == 2
    assert distribution.buckets[BOUNDS.index(0.5)] == 1
    assert distribution.buckets[-2:] == [1, 1]
    assert sum(distribution.buckets) == 5
    assert distribution.sum == pytest.approx(65.3005)
    assert heard == [0.0, BOUNDS[0], 0.3, BOUNDS[-1], 60.0]


def test_what_is_recorded_tried_again_and_given_up_is_counted(
    tracker: MetricTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TaskTracker("a.md", tracker=tracker):
        pass
    assert vitals.events == {"recorded": 2, "retried": 0, "dropped": 0}

    def fail(_: object) -> None:
        raise StorageError("write", "the disk", "it is full")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(tracker._store, "announce", fail)
        full_disk.setattr(tracker._store, "record", fail)
        task = TaskTracker("a.md", tracker=tracker)
        task.begin()
    task.end()
    assert vitals.events == {"recorded": 4, "retried": 1, "dropped": 0}
    with monkeypatch.context() as full_disk:
        full_disk.setattr(tracker._store, "announce", fail)
        full_disk.setattr(tracker._store, "record", fail)
        full_disk.setattr("otel_tracker.storage.unwritten.leave", fail)
        lost = TaskTracker("a.md", tracker=tracker)
        lost.begin()
        tracker._recorder.leave()
    assert vitals.events == {"recorded": 4, "retried": 1, "dropped": 1}
    assert sum(vitals.writes.buckets) >= 4
    assert sum(vitals.lock_waits.buckets) > 0


def test_prometheus_shows_the_same_numbers(tracker: MetricTracker) -> None:
    registry = CollectorRegistry()
    registry.register(VitalsCollector())
    with TaskTracker("a.md", tracker=tracker):
        pass
    text = generate_latest(registry).decode()
    assert 'otel_tracker_events_total{result="recorded"} 2.0' in text
    assert 'otel_tracker_events_total{result="dropped"} 0.0' in text
    assert 'otel_tracker_write_seconds_bucket{le="+Inf"} 2.0' in text
    assert "otel_tracker_write_seconds_count 2.0" in text
    assert f"otel_tracker_lock_wait_seconds_sum {vitals.lock_waits.sum}" in text
