"""What a scrape shows of a document."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from otel_tracker.state.document import Document
from otel_tracker_exporters.prometheus import StateCollector
from tests.builders import NOON

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def registry(read: Callable[[], Document], now: float = NOON) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(StateCollector(read, lambda: now))
    return made


def values(document: Document, after: float = 0.0) -> Values:
    """Return what a scrape shows, by name and labels."""
    text = generate_latest(registry(lambda: document, NOON + after)).decode()
    samples = [sample for family in parse(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(found: Values, name: str, **labels: str) -> float:
    return found[f"otel_tracker_{name}", frozenset(labels.items())]
