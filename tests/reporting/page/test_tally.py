"""Sums that newer events were added to are those of all events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.reporting.page.fleet import row_of
from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.page.tally import Tally, extend, tally_of
from otel_tracker.state.shapes import Event
from tests.builders import about, end, numbered, start
from tests.reporting.page.pages import NOW, read_of

DAY = 86_400.0
WINDOW = Query().window_at(NOW, None)


def value_of(tally: Tally) -> Any:
    """Return all that a tally says."""
    return {
        "total": row_of(tally.total),
        "before": tally.before and row_of(tally.before),
        "agents": {agent: row_of(sums) for agent, sums in sorted(tally.agents.items())},
        "models": {model: row_of(sums) for model, sums in sorted(tally.models.items())},
        "ends": {agent: [end.moment for end in ends] for agent, ends in sorted(tally.ends.items())},
        "sessions": {
            key: (row_of(one.runs), row_of(one.main), one.first) for key, one in sorted(tally.sessions.items())
        },
        "refused": (tally.refused, tally.refused_before),
    }


_afters = st.floats(-20 * DAY, 3600.0)
_ends = st.builds(
    lambda number, after, agent, outcome: end(f"r{number}", outcome, after, agent, tokens={"input": 5}, conversation_id="s"),
    st.integers(0, 10**9), _afters, st.sampled_from(["a.md", "b.md"]), st.sampled_from([names.SUCCESS, names.FAILURE]),
)  # fmt: skip
_refusals = st.builds(lambda after: about(names.TASK_REJECTED, after, "a.md", reason="failures"), _afters)
_usage: dict[str, Any] = {"models": {"m": {"input": 7}}, "conversation_id": "s"}
_others = _refusals | st.builds(lambda after: {**about(names.USAGE_RECORDED, after, **_usage), "agent": None}, _afters)


@given(
    st.lists(_ends | _others, max_size=12, unique_by=lambda event: event.get("run_id") or event["id"]),
    st.integers(0, 12),
)
def test_added_later_or_at_once_the_sums_are_the_same(events: list[Event], first: int) -> None:
    whole = tally_of(read_of(*events), WINDOW, NOW)
    tally = tally_of(read_of(*events[:first]), WINDOW, NOW)
    assert extend(tally, numbered(events)[first:], {})
    assert value_of(tally) == value_of(whole)


def test_starts_and_orders_change_no_sums_and_a_former_key_counts_for_the_present_one() -> None:
    tally = tally_of(read_of(), WINDOW, NOW)
    assert extend(tally, [start("r"), about(names.AGENT_RESET), end("r", agent="old.md")], {"old.md": "new.md"})
    assert list(tally.agents) == ["new.md"]
    assert row_of(tally.total)["runs"] == 1


@pytest.mark.parametrize("action", [names.TASK_AMENDED, names.AGENT_RENAMED, names.DOCUMENT_RESTORED])
def test_events_that_change_what_was_counted_need_new_sums(action: str) -> None:
    tally = tally_of(read_of(end()), WINDOW, NOW)
    before = value_of(tally)
    assert not extend(tally, [end("b"), about(action)], {})
    assert value_of(tally) == before
