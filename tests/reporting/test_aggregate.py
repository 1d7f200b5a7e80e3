import json
from collections.abc import Iterable
from datetime import UTC
from itertools import permutations
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting.aggregate import SUMS, UsageTable, aggregate, checked_keys, parts_in
from otel_tracker.reporting.choices import KEYS
from otel_tracker.reporting.window import Window
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.run_parts import ARCHIVED
from otel_tracker.state.shapes import Event
from tests.builders import NOON, about, end, folded, numbered, start

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
UTC_WINDOW = Window(zone=UTC)
_ADDED = ("runs", "successful", "failed", "cancelled", "lost", *names.TOKEN_KEYS, "tokens", "unpriced_tokens")


def usage_of(
    events: Iterable[Event], *by: str, window: Window = UTC_WINDOW, written: float = float("inf"), **known: Any
) -> UsageTable:
    """Return the sums of events that are given in their order, each in a batch of its own."""
    batches = [(written, [event]) for event in reversed(numbered(list(events)))]
    return aggregate(parts_in(window, lambda *_: batches, **known), by, window)


def priced(models: Any, costs: dict[str, int]) -> Any:
    """Return tokens by model with what they cost."""
    prices = {
        model: {names.COST: cost, names.PRICED: names.total_tokens(models[model])} for model, cost in costs.items()
    }
    return models and {model: {**tokens, **prices.get(model, {})} for model, tokens in models.items()}


def run(run_id: str, outcome: str = names.SUCCESS, after: float = 60.0, **known: Any) -> Event:
    """Return the end of a run of a full model id."""
    models = priced(known.pop("models", None), known.pop("costs", {}))
    tokens: dict[str, int] | None = None
    for of_model in (models or {}).values():
        tokens = names.added_tokens(tokens or {}, of_model)
    known = {"agent": "core/coder.md", "model": None, "tokens": tokens, "models": models, **known}
    return end(run_id, outcome, after, **known)


def main(after: float = 0.0, **known: Any) -> Event:
    known["models"] = priced(known["models"], known.pop("costs", {}))
    return about(names.USAGE_RECORDED, after, None, **known)  # type: ignore[arg-type]


def test_a_row_has_exactly_these_sums() -> None:
    usage = usage_of([run("a", models={OPUS: {"input": 5}})], "agent")
    assert list(usage.rows[0]) == ["agent", *SUMS]
    assert list(SUMS) == [
        "runs", "successful", "failed", "cancelled", "lost", "success_rate", "duration_median_seconds",
        "duration_p95_seconds", "input", "output", "cache_read", "cache_write", "cache_write_1h", "untyped", "tokens",
        "cost_usd", "unpriced_tokens", "is_lower_bound",
    ]  # fmt: skip


def test_runs_are_counted_by_outcome_and_the_rate_is_over_those_that_were_not_cancelled() -> None:
    outcomes = [names.SUCCESS] * 3 + [names.FAILURE, names.LOST, names.CANCELLED]
    total = usage_of(run(str(i), outcome) for i, outcome in enumerate(outcomes)).total
    assert [total[key] for key in ("runs", "successful", "failed", "cancelled", "lost")] == [6, 3, 1, 1, 1]
    assert total["success_rate"] == 0.6
    assert usage_of([run("a", names.CANCELLED)]).total["success_rate"] is None


def test_an_hours_cache_writes_are_a_part_of_all() -> None:
    models = {OPUS: {"input": 1, "output": 2, "cache_read": 3, "cache_write": 40, "cache_write_1h": 30}}
    total = usage_of([run("a", models=models)]).total
    assert (total["cache_write"], total["cache_write_1h"], total["tokens"]) == (40, 30, 46)


def test_tokens_without_a_price_are_counted_and_make_the_cost_a_lower_bound() -> None:
    models = {OPUS: {"input": 10}, "my-model": {"output": 7}}
    usage = usage_of([run("a", models=models, costs={OPUS: 1_500_000})], "model")
    assert [(row["model"], row["cost_usd"], row["unpriced_tokens"], row["is_lower_bound"]) for row in usage.rows] == [
        (OPUS, 1.5, 0, False),
        ("my-model", None, 7, True),
    ]
    assert (usage.total["cost_usd"], usage.total["unpriced_tokens"], usage.total["is_lower_bound"]) == (1.5, 7, True)


def test_a_model_that_costs_nothing_is_priced() -> None:
    usage = usage_of([run("a", models={OPUS: {"input": 10}}, costs={OPUS: 0})])
    assert (usage.total["cost_usd"], usage.total["is_lower_bound"]) == (0.0, False)


def test_runs_without_full_model_ids_are_unpriced_under_the_name_that_the_user_gave() -> None:
    ends = [end("a", tokens={"untyped": 9}), end("b", model=None, tokens={"input": 4}), end("c", model=None)]
    usage = usage_of(ends, "model")
    assert [(row["model"], row["runs"], row["unpriced_tokens"]) for row in usage.rows] == [
        ("sonnet", 1, 9),
        ("unknown", 2, 4),
    ]


def test_a_run_counts_with_the_model_that_it_used_most_and_its_tokens_with_each() -> None:
    models = {HAIKU: {"input": 5}, OPUS: {"input": 50}}
    for order in permutations(models):
        usage = usage_of([run("a", models={model: models[model] for model in order})], "model")
        assert [(row["model"], row["runs"], row["tokens"]) for row in usage.rows] == [(OPUS, 1, 50), (HAIKU, 0, 5)]
        assert usage.rows[1]["duration_median_seconds"] is None


def test_a_missing_final_usage_makes_a_lower_bound() -> None:
    usage = usage_of([run("a", models={OPUS: {"input": 5}}, costs={OPUS: 5}, usage_incomplete=True)])
    assert usage.total["is_lower_bound"]


def test_the_main_conversation_is_apart_and_in_the_total() -> None:
    used = {"models": {OPUS: {"input": 10}}, "costs": {OPUS: 20}, "project": "/p", "conversation_id": "s"}
    events = [
        main(1.0, **used),
        main(2.0, **used),
        run("a", models={OPUS: {"input": 1}}, costs={OPUS: 3}, project="/p"),
    ]
    usage = usage_of(events, "agent", "project")
    assert [(row["agent"], row["project"], row["tokens"]) for row in usage.rows] == [("core/coder.md", "/p", 1)]
    assert [next(iter(row)) for row in usage.main_rows] == ["project"]
    assert [(row["project"], row["tokens"], row["runs"]) for row in usage.main_rows] == [("/p", 20, 0)]
    assert (usage.total["tokens"], usage.total["cost_usd"], usage.total["runs"]) == (21, 43 / 1e6, 1)
    assert usage_of(events, "session").main_rows[0]["session"] == "s"
    assert usage_of(events, "outcome").main_rows[0]["tokens"] == 20


@pytest.mark.parametrize("seconds", [[7.0], [1.0, 2.0], [5.0, 1.0, 3.0], [float(n) for n in range(1, 42)]])
def test_the_median_and_the_95th_percentile_are_those_of_the_known_durations(seconds: list[float]) -> None:
    ends = [run(str(i), duration_seconds=s) for i, s in enumerate(seconds)] + [end("no", duration_seconds=0.0)]
    ends[-1]["duration_seconds"] = None
    ends = ends[1::2] + ends[::2]
    total = usage_of(ends).total
    assert total["duration_median_seconds"] == median(seconds)
    below = sorted(seconds)[int((len(seconds) - 1) * 0.95)]
    assert below <= total["duration_p95_seconds"] <= max(seconds)
    assert (total["duration_p95_seconds"] == 39.0) == (len(seconds) == 41)


def test_rows_by_time_are_in_its_order_and_others_by_what_they_cost() -> None:
    day = 86_400.0
    ends = [
        run("a", after=day, agent="dear.md", models={OPUS: {"input": 1}}, costs={OPUS: 9}),
        run("b", after=2 * day, agent="cheap.md", models={OPUS: {"input": 90}}, costs={OPUS: 1}),
        run("c", after=0.0, agent="cheap.md", models={OPUS: {"input": 90}}, costs={OPUS: 1}),
    ]
    assert [row["agent"] for row in usage_of(ends, "agent").rows] == ["dear.md", "cheap.md"]
    rows = [(row["day"][-2:], row["agent"]) for row in usage_of(ends, "day", "agent").rows]
    assert rows == [("15", "cheap.md"), ("16", "dear.md"), ("17", "cheap.md")]
    rows = [(row["agent"], row["day"][-2:]) for row in usage_of(ends, "agent", "day").rows]
    assert rows == [("dear.md", "16"), ("cheap.md", "15"), ("cheap.md", "17")]


@pytest.mark.parametrize("text", ["", "agents", "agent,agent", "agent,day,model", "agent, day", ","])
def test_other_keys_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="agent, model"):
        checked_keys(text)
    assert checked_keys("day,agent") == ("day", "agent")


def test_a_run_is_in_the_window_by_its_end_which_does_not_include_the_windows_own() -> None:
    ends = [run(str(after), after=after, duration_seconds=1.0) for after in (-10.0, 0.0, 5.0, 10.0)]
    usage = usage_of(ends, window=Window(NOON, NOON + 10.0))
    assert usage.total["runs"] == 2


def amended_to(before: Event, now: Event) -> Event:
    amendment = amendment_of(before, now)
    assert amendment is not None
    return {**amendment, "id": f"amends {now['id']}"}


def test_an_amended_run_counts_once_as_it_is_known_by_now() -> None:
    lost = run("a", names.LOST, models={HAIKU: {"input": 5}})
    done = run("a", names.SUCCESS, 300.0, models={OPUS: {"input": 7, "output": 2}}, duration_seconds=200.0)
    usage = usage_of([lost, amended_to(lost, done)], "model", "outcome")
    assert usage == usage_of([done], "model", "outcome")


def test_the_moment_of_an_amended_run_is_that_of_its_end_as_it_is_known_by_now() -> None:
    """Also where its first end is in a file that has not been written since the window began."""
    lost, done = run("a", names.LOST, 0.0, duration_seconds=1.0), run("a", names.SUCCESS, 300.0)
    events = [lost, run("b", after=-50.0), amended_to(lost, done)]
    usage = usage_of(events, window=Window(NOON + 100.0), written=NOON + 50.0)
    assert [usage.total[key] for key in ("runs", "successful", "lost")] == [1, 1, 0]
    assert usage_of(events, window=Window(None, NOON + 100.0)).total["runs"] == 1


def test_no_older_file_is_read_than_can_have_an_event_of_the_window() -> None:
    opened = []

    def batch(written: float, *events: Event) -> "tuple[float, Iterable[Event]]":
        def read() -> Iterable[Event]:
            opened.append(written)
            yield from numbered(events)

        return written, read()

    batches = [
        batch(NOON + 99, run("imported", after=-9e6)),  # an import is written later than it happened
        batch(NOON + 50, run("a", after=40.0)),
        batch(NOON - 9, run("b", after=20.0)),  # a clock that was set back
        batch(NOON - 10, run("c", after=-20.0)),
        batch(NOON - 20, run("d", after=-30.0)),
    ]
    assert sum(part.runs for part in parts_in(Window(NOON), lambda *_: batches)) == 2
    assert opened == [NOON + 99, NOON + 50, NOON - 9, NOON - 10]


def test_an_amendment_whose_run_is_gone_is_a_difference() -> None:
    """Sums stay right where the run's end is counted elsewhere, in an archive."""
    first = run("a", names.FAILURE, models={HAIKU: {"input": 5}, OPUS: {"input": 100}})
    now = run("a", names.SUCCESS, models={OPUS: {"input": 70, "output": 2}})
    known, difference = usage_of([first], "model").total, usage_of([amended_to(first, now)], "model").total
    whole = usage_of([now], "model").total
    for key in _ADDED:
        assert known[key] + difference[key] == whole[key], key


def test_tokens_that_no_run_has_used_count_without_one() -> None:
    usage = usage_of([about(names.TASK_AMENDED, model="opus", tokens_used=5, tokens={"untyped": 5})], "agent", "model")
    assert [(row["model"], row["runs"], row["tokens"]) for row in usage.rows] == [("opus", 0, 5)]


def test_former_keys_of_agents_are_those_that_they_have_now() -> None:
    events = [
        run("a", agent="old.md"),
        about(names.AGENT_RENAMED, agent="old.md", to="new.md"),
        run("b", agent="new.md"),
        run("c", agent="old.md"),
        about(names.AGENT_RENAMED, agent="new.md", to="newest.md"),
    ]
    assert [row["runs"] for row in usage_of(events, "agent", renamed={"old.md": "newest.md"}).rows] == [3]
    events.append(about(names.AGENT_REGISTERED, agent="old.md", name="Old"))  # an agent of its own again
    usage = usage_of([*events, run("d", agent="old.md")], "agent", renamed={"new.md": "newest.md"})
    assert {row["agent"]: row["runs"] for row in usage.rows} == {"newest.md": 2, "old.md": 2}


def test_a_line_of_the_archive_stands_for_many_runs() -> None:
    line = about(ARCHIVED, -9e6, "old.md", model=OPUS, outcome=names.SUCCESS, project="/p", runs=7, input=70, priced=70)
    read = [(float("inf"), [{**line, names.COST: 1_000_000}])]
    (row,) = aggregate(parts_in(UTC_WINDOW, lambda *_: read, {"old.md": "new.md"}), ("agent",), UTC_WINDOW).rows
    assert (row["agent"], row["runs"], row["tokens"], row["cost_usd"]) == ("new.md", 7, 70, 1.0)
    assert row["duration_median_seconds"] is None
    assert list(parts_in(Window(NOON), lambda *_: read)) == []


numbers = st.integers(0, 10**12)
tokens_by_type = st.dictionaries(st.sampled_from(names.TOKEN_TYPES), numbers)
models_used = st.dictionaries(
    st.sampled_from([OPUS, HAIKU, "my-model", "claude-fable-5-1"]), tokens_by_type, max_size=3
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Return ends, amendments and uses of the main conversation, in some order."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 12))):
        models = draw(models_used)
        known = {
            "costs": {model: draw(numbers) for model in models if draw(st.booleans())},
            "project": draw(st.sampled_from([None, "/a", "/b"])),
            "conversation_id": draw(st.sampled_from([None, "s", "t"])),
        }
        after = draw(st.floats(-9e6, 9e6))
        if draw(st.booleans()):
            agent = draw(st.sampled_from(["a.md", "b.md", "Explore"]))
            outcome = draw(st.sampled_from([*names.ACTIONS]))
            seconds = draw(st.floats(0.0, 9e3))
            first = run(str(number), outcome, after, agent=agent, models=models, duration_seconds=seconds, **known)
            events.append(first)
            now = run(
                str(number), draw(st.sampled_from([*names.ACTIONS])), after, agent=agent, models=draw(models_used)
            )
            amendment = amendment_of(first, now)
            if draw(st.booleans()) and amendment is not None:
                events.append({**amendment, "id": f"amends {number}"})
        else:
            events.append(main(after, models=models, **known))
    return events


@given(histories(), st.lists(st.sampled_from(KEYS), max_size=2, unique=True))
def test_the_total_is_the_sum_of_the_rows_whatever_they_are_by(events: list[Event], by: list[str]) -> None:
    usage, rows = usage_of(events, *by), []
    for row in (*usage.rows, *usage.main_rows):
        rows.append(row)
        assert list(row)[-len(SUMS) :] == list(SUMS)
        assert row["runs"] == row["successful"] + row["failed"] + row["cancelled"] + row["lost"]
        assert row["tokens"] == sum(row[kind] for kind in names.TOKEN_TYPES)
        json.dumps(row, allow_nan=False)
    for key in _ADDED:
        assert usage.total[key] == sum(row[key] for row in rows), key
    assert round((usage.total["cost_usd"] or 0) * 1e6) == sum(round((row["cost_usd"] or 0) * 1e6) for row in rows)
    assert usage.total["is_lower_bound"] == any(row["is_lower_bound"] for row in rows)
    assert usage.total == usage_of(events).total
    assert len({tuple(row[key] for key in by) for row in usage.rows}) == len(usage.rows)


@given(histories())
def test_the_sums_are_those_that_the_document_has(events: list[Event]) -> None:
    begun = [start(event["run_id"], agent=event["agent"], model=None) for event in events if event.get("run_id")]
    document = folded(*{event["run_id"]: event for event in begun}.values(), *events)
    usage = usage_of(events, "agent")
    metrics = document.head["metrics"]
    of_agents = {row["agent"]: row for row in usage.rows}
    assert metrics["total_requests"] == usage.total["runs"]
    assert metrics["successful"] == usage.total["successful"]
    assert metrics["failed"] == usage.total["failed"] + usage.total["lost"]
    assert metrics["cancelled"] == usage.total["cancelled"]
    assert {agent for agent, entry in document.agents.items() if entry["metrics"]["tasks_total"]} == {
        agent for agent, row in of_agents.items() if row["runs"]
    }
    for agent, entry in document.agents.items():
        total = sum(use["total"] for use in entry["token_usage"].values())
        assert total == of_agents[agent]["tokens"]
