"""The store behind a tracker, whose files a test looks at."""

from otel_tracker import MetricTracker
from otel_tracker.storage.store import Store


def store_of(tracker: MetricTracker) -> Store:
    """Return the store on files that a tracker records with."""
    store = tracker._store
    assert isinstance(store, Store)
    return store
