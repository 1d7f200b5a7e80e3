"""The store and the tracker of the home that a command line names."""

from otel_tracker.runtime.environment import chosen_home
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.tracking.metric_tracker import MetricTracker


def store_of(options: "Namespace") -> Store:
    """Return the store of the home that a command line names."""
    return Store(Home(chosen_home(options.home)))


def tracker_of(options: "Namespace") -> "MetricTracker":
    """Return the tracker of the home that a command line names."""
    from otel_tracker.tracking.metric_tracker import MetricTracker

    return MetricTracker(Home(chosen_home(options.home)).config_file)
