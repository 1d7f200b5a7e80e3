"""What a scrape costs, of 1,000 agents."""

import os

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from benchmarks.fleet import agent_of, make_home
from benchmarks.measure import Row, interleaved, nothing
from otel_tracker import MetricTracker, names
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.document import Document
from otel_tracker.state.event import task_ended
from otel_tracker.storage.store import Store
from otel_tracker_exporters.prometheus import Cache, families
from otel_tracker_exporters.scrape import Exposition

_AGENTS, _NOW, _ROUNDS = 1000, 1_800_000_000.0, 10


class _Built(Collector):
    """Yields what was built beforehand."""

    def __init__(self, built: list[Metric]) -> None:
        self._built = built

    def collect(self) -> list[Metric]:
        """Return it."""
        return self._built


def unchanged_scrape(folder: str) -> Row:
    """Measure a scrape of a state that is what it was at the last one, by the 5 ms that it may take."""
    exposition = Exposition(_fleet(folder).read)
    ours, _ = interleaved(lambda: exposition.render(""), nothing, 200)
    return Row("scrape of an unchanged state", ours, 0.005, 1)


def changed_scrape(folder: str) -> Row:
    """Measure a scrape of another state each time, by generate_latest over the same metrics."""
    first = _fleet(folder).read()
    counted = {**first.agents[agent_of(0)], "failures": 1}
    states = [first, Document({**first.head, "agents": {**first.agents, agent_of(0): counted}}, first.history)]
    exposition = Exposition(lambda: states[0], lambda: _NOW)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Built(families(first, _NOW, Cache())))
    ours, theirs = interleaved(
        lambda: exposition.render(""), lambda: generate_latest(registry), _ROUNDS, before_ours=states.reverse, warm_up=2
    )
    return Row("scrape of a changed state", ours, theirs, 1.3)


def _fleet(folder: str) -> Store:
    home = make_home(os.path.join(folder, "home-of-scrape"))
    store = Store(home)
    if len(store.read().agents) < _AGENTS:
        started = format_timestamp(_NOW)
        ended = (
            task_ended(f"agents/{number}.md", names.SUCCESS, _NOW, run_id=None, started=started, duration_seconds=1.0)
            for number in range(_AGENTS - len(store.read().agents))
        )
        store.record(list(ended))
    assert agent_of(0) in store.read().agents
    assert MetricTracker(home.document).config_file.exists()
    return store
