"""What `from otel_tracker import ...` offers is listed twice, for readers and for loading: both lists have the same names."""

import otel_tracker
from otel_tracker.tracking.public_names import MODULES, load


def test_every_public_name_has_a_module_and_loads() -> None:
    assert sorted(MODULES) == sorted(otel_tracker.__all__)
    assert all(getattr(otel_tracker, name) is load(name) for name in MODULES)
