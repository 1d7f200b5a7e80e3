"""`python -m benchmarks.memory`: the memory of a process that is scraped 10,000 times while tasks are recorded."""

import os
import resource
import tempfile

from benchmarks.fleet import agent_of, make_home
from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.storage.store import Store
from otel_tracker_exporters.scrape import Exposition

_SCRAPES, _WARM_UP, _TASK_EVERY = 10_000, 1000, 10


def main() -> None:
    """Measure it, and print it."""
    with tempfile.TemporaryDirectory(prefix=".benchmarks-", dir=os.getcwd()) as folder:
        home = make_home(os.path.join(folder, "home"))
        tracker, exposition = MetricTracker(home.document), Exposition(Store(home).read)
        peaks = []
        for number in range(_WARM_UP + _SCRAPES):
            if number % _TASK_EVERY == 0:
                with TaskTracker(agent_of(number // _TASK_EVERY % 42), tracker=tracker):
                    pass
            exposition.render("")
            if number + 1 in (_WARM_UP, _WARM_UP + _SCRAPES):
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(f"peak after {_WARM_UP:,} scrapes: {peaks[0]:,} KiB; after {_SCRAPES:,} more: {peaks[1]:,} KiB")


if __name__ == "__main__":
    main()
