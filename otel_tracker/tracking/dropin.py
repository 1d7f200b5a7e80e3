"""The names that the drop-in module `scripts/metric_tracker.py` offers: the package's, bound to the module's own home."""

import functools
from typing import TYPE_CHECKING, Any

from otel_tracker.storage.home import Home
from otel_tracker.tracking.public_names import MODULES, load

if TYPE_CHECKING:
    import os


def bound(name: str, home: str) -> Any:
    """Return the attribute `name` of the home's drop-in module; raises AttributeError if it has none."""
    if name in _BOUND:
        return _BOUND[name](home)
    if name not in MODULES:
        raise AttributeError(f"the drop-in module has no attribute {name!r}")
    return load(name)


@functools.cache
def _metric_tracker(home: str) -> type:
    from otel_tracker.tracking.metric_tracker import MetricTracker

    class BoundMetricTracker(MetricTracker):
        """A MetricTracker whose default document is that of one home."""

        def __init__(self, config_file: "str | os.PathLike[str] | None" = None, **options: Any) -> None:
            super().__init__(config_file or Home(home).document, **options)

    return _named(BoundMetricTracker, "MetricTracker")


@functools.cache
def _task_tracker(home: str) -> type:
    from otel_tracker.tracking.task import TaskTracker

    class BoundTaskTracker(TaskTracker):
        """A TaskTracker that records in one home by default."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.setdefault("tracker", _metric_tracker(home)())
            super().__init__(*arguments, **options)

    return _named(BoundTaskTracker, "TaskTracker")


@functools.cache
def _track_agent(home: str) -> Any:
    from otel_tracker.tracking.decorator import track_agent

    return functools.partial(track_agent, tracker=_metric_tracker(home)())


def _named(bound_class: type, name: str) -> type:
    bound_class.__name__ = bound_class.__qualname__ = name
    return bound_class


_BOUND = {"MetricTracker": _metric_tracker, "TaskTracker": _task_tracker, "track_agent": _track_agent}
