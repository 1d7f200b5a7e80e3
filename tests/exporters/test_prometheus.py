"""The collector: what Prometheus gets of a state."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from otel_tracker import __version__, names
from otel_tracker.errors import DocumentError
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker.telemetry import metrics
from otel_tracker_exporters import prometheus
from otel_tracker_exporters.prometheus import MOST_AGENTS, OTHER
from tests.builders import AGENT, NOON, about, document_of, end, folded, moment, start, usage
from tests.exporters.scraped import Values, registry, value, values

FAILURE = names.FAILURE


def test_every_metric_of_the_list_is_yielded_and_no_other() -> None:
    families = list(registry(lambda: folded(end())).collect())
    assert {family.name: family.type for family in families} == {
        metric.base: metric.type for metric in metrics.OF_DOCUMENT
    }
    assert all(family.documentation for family in families)


def test_names_are_those_that_queries_use() -> None:
    shown = {name for name, _ in values(folded(end()))}
    for metric in metrics.OF_DOCUMENT:
        suffixes = ("_bucket", "_sum", "_count") if metric.type == metrics.HISTOGRAM else ("",)
        assert {metric.name + suffix for suffix in suffixes} <= shown


def test_tasks_are_counted_by_outcome_and_the_outcomes_exclude_each_other() -> None:
    found = values(folded(end("r1"), end("r2", FAILURE), end("r3", names.LOST), end("r4", names.CANCELLED), end("r5")))
    counted = {outcome: value(found, "tasks_total", agent=AGENT, outcome=outcome) for outcome in metrics.OUTCOMES}
    assert counted == {"success": 2, "failure": 1, "lost": 1, "cancelled": 1}


def of_agent(found: Values, agent: str = AGENT) -> Values:
    return {key: number for key, number in found.items() if ("agent", agent) in key[1]}


def test_of_an_agent_without_a_task_there_is_only_what_alerts_and_its_place_in_a_list_need() -> None:
    known = of_agent(values(folded(about(names.AGENT_REGISTERED, name="Coder"))))
    outcomes: dict[tuple[str, str | None], float] = {("tasks_total", outcome): 0 for outcome in metrics.OUTCOMES}
    others: dict[tuple[str, str | None], float] = {
        ("circuit_opened_total", None): 0,
        ("tasks_in_flight", None): 0,
        ("circuit_state", names.CLOSED): 1,
    }
    shown = {
        (name.removeprefix(metrics.PREFIX), dict(labels).get("outcome") or dict(labels).get("state")): number
        for (name, labels), number in known.items()
    }
    assert shown == {**outcomes, **others}


def test_every_series_is_there_at_zero_before_the_end_of_the_first_task_adds_to_it() -> None:
    registered = about(names.AGENT_REGISTERED, name="Coder")
    before = of_agent(values(folded(registered, start("r1"))))
    after = of_agent(values(folded(registered, start("r1"), end("r1", model="opus", tokens={"output": 4}))))
    assert set(after) <= set(before)
    assert {number for key, number in before.items() if key[0].endswith(("_total", "_bucket", "_sum"))} == {0}
    for model in names.REPORTED_MODELS:
        for kind in names.TOKEN_TYPES:
            assert value(before, "tokens_total", agent=AGENT, model=model, type=kind) == 0


def test_models_that_an_agent_has_not_used_are_shown_while_a_task_runs() -> None:
    def models(document: Document) -> set[str]:
        return {dict(labels)["model"] for name, labels in values(document) if name == "otel_tracker_tokens_total"}

    rested = folded(end("r1", model="gpt-5", tokens={"output": 4}))
    assert models(rested) == {"gpt-5"}
    assert models(folded(start("r2"), into=rested)) == {"gpt-5", *names.REPORTED_MODELS}


@pytest.mark.parametrize(
    "happened",
    [
        about(names.TASK_REJECTED, 70, reason="no"),
        about(names.BREAKER_OVERRIDE, 70, override={"kind": "disabled", "until": None, "reason": None}),
        end("r1", agent="other.md", fallback_for=AGENT),
        end("r1", names.CANCELLED),
    ],
    ids=["refused", "ordered", "fallback", "cancelled"],
)
def test_an_agent_to_which_anything_has_happened_has_all_its_series(happened: Event) -> None:
    found = of_agent(values(folded(happened)))
    assert {name.removesuffix("_count") for name, _ in found} >= {
        metric.name for metric in metrics.OF_AGENTS if "model" not in metric.labels
    }


def test_a_thousand_idle_agents_cost_less_than_half_a_megabyte_and_work_adds_to_those_that_do_it() -> None:
    keys = [f"agents/{number:04}.md" for number in range(MOST_AGENTS)]
    idle = folded(*(about(names.AGENT_REGISTERED, agent=key, name="an agent") for key in keys))
    scrape = generate_latest(registry(lambda: idle))
    assert len(scrape) < 500_000
    worked = generate_latest(registry(lambda: folded(end(agent=keys[7], tokens={"output": 4}), into=idle)))
    assert len(worked) - len(scrape) < 5_000


def test_tokens_are_shown_by_model_and_type() -> None:
    tokens = {"input": 3, "output": 4, "cache_read": 50, "cache_write": 6}
    found = values(folded(end(model="opus", tokens=tokens)))
    for kind, number in tokens.items():
        assert value(found, "tokens_total", agent=AGENT, model="opus", type=kind) == number
    assert value(found, "model_tasks_total", agent=AGENT, model="opus") == 1


def test_costs_are_shown_by_model_and_none_of_tokens_without_a_price() -> None:
    priced = {"output": 4, names.PRICED: 4, names.COST: 1_500_001}
    found = values(folded(end("r1", model="opus", tokens=priced), end("r2", tokens={"output": 7})))
    costs = {dict(labels)["model"]: cost for (name, labels), cost in found.items() if name.endswith("cost_usd_total")}
    assert costs == {"opus": 1.500001}
    free = {"output": 4, names.PRICED: 4}
    assert value(values(folded(end(tokens=free))), "cost_usd_total", agent=AGENT, model="sonnet") == 0


def test_what_main_conversations_have_used_is_shown_beside_the_agents() -> None:
    main = "(main conversation)"
    assert not any(dict(labels).get("agent") == main for _, labels in values(new_document()))
    models = {"claude-opus-5-5": {"input": 5, names.PRICED: 5, names.COST: 2_000_000}, "gpt-7": {"output": 3}}
    found = values(folded(end(agent=main, tokens={"input": 1}, model="opus"), usage(models=models)))
    assert value(found, "tokens_total", agent=main, model="opus", type="input") == 5
    assert value(found, "tokens_total", agent=main, model="gpt-7", type="output") == 3
    assert value(found, "cost_usd_total", agent=main, model="opus") == 2
    assert value(found, "cost_usd_total", agent=main, model="haiku") == 0
    assert ("otel_tracker_cost_usd_total", frozenset({"agent": main, "model": "gpt-7"}.items())) not in found
    assert value(found, "tokens_total", agent=f"{main}'", model="opus", type="input") == 1
    assert {dict(labels)["agent"] for (name, labels) in found if name.endswith("tasks_total")} == {f"{main}'"}


def test_of_a_models_tasks_those_are_counted_apart_whose_tokens_are_known() -> None:
    found = values(folded(end("r1", tokens={"output": 7}), end("r2")))
    assert value(found, "model_tasks_total", agent=AGENT, model="sonnet") == 2
    assert value(found, "measured_tasks_total", agent=AGENT, model="sonnet") == 1
    older = {AGENT: {"token_usage": {"sonnet": {"total": 9, "last": 9, "count": 3}}}}
    found = values(folded(end("r1"), into=document_of({"agents": older})))
    assert value(found, "measured_tasks_total", agent=AGENT, model="sonnet") == 4


def test_durations_are_a_histogram_from_a_tenth_of_a_second_to_two_hours() -> None:
    durations = enumerate((0.05, 4, 4, 9000))
    found = values(folded(*(end(f"r{n}", duration_seconds=seconds) for n, seconds in durations)))
    shown = {
        dict(labels)["le"]: number
        for (name, labels), number in found.items()
        if name == "otel_tracker_task_duration_seconds_bucket"
    }
    assert (shown["0.1"], shown["2.5"], shown["5.0"], shown["7200.0"], shown["+Inf"]) == (1, 1, 3, 3, 4)
    assert value(found, "task_duration_seconds_count", agent=AGENT) == 4
    assert value(found, "task_duration_seconds_sum", agent=AGENT) == pytest.approx(9008.05)


def test_the_breaker_is_one_of_three_states_as_of_now() -> None:
    document = folded(*(end(f"r{n}", FAILURE) for n in range(5)))

    def states(after: float) -> dict[str, float]:
        found = values(document, after)
        return {state: value(found, "circuit_state", agent=AGENT, state=state) for state in metrics.STATES}

    assert states(120) == {"closed": 0, "open": 1, "half_open": 0}
    assert states(661) == {"closed": 0, "open": 0, "half_open": 1}
    found = values(document, 120)
    assert value(found, "blacklisted_until_timestamp_seconds", agent=AGENT) == NOON + 60 + 600
    assert value(values(document, 661), "blacklisted_until_timestamp_seconds", agent=AGENT) == 0
    assert value(found, "consecutive_failures", agent=AGENT) == 5
    assert value(found, "circuit_opened_total", agent=AGENT) == 1


def test_refusals_fallbacks_running_tasks_and_moments_are_shown() -> None:
    document = folded(
        start("r0"),
        about(names.TASK_REJECTED, 70, reason="no"),
        end("r1", agent="other.md", fallback_for=AGENT),
        end("r2"),
    )
    found = values(document)
    assert value(found, "rejections_total", agent=AGENT) == 1
    assert value(found, "fallbacks_total", agent=AGENT) == 1
    assert value(found, "tasks_in_flight", agent=AGENT) == 1
    assert value(found, "last_task_timestamp_seconds", agent=AGENT) == NOON + 60
    assert value(found, "state_updated_timestamp_seconds") == NOON + 60
    assert value(found, "state_read_success") == 1
    assert value(found, "build_info", version=__version__) == 1


def test_beyond_a_thousand_agents_the_rest_is_one() -> None:
    outcomes = (FAILURE if number % 2 else names.SUCCESS for number in range(MOST_AGENTS + 3))
    document = folded(*(end(f"r{n}", outcome, agent=f"{n}.md") for n, outcome in enumerate(outcomes)))
    found = values(document)
    shown = {dict(labels)["agent"] for name, labels in found if name == "otel_tracker_consecutive_failures"}
    assert len(shown) == MOST_AGENTS + 1
    assert value(found, "tasks_total", agent=OTHER, outcome="success") == 2
    assert value(found, "tasks_total", agent=OTHER, outcome="failure") == 1
    assert value(found, "circuit_state", agent=OTHER, state="closed") == 3
    assert value(found, "consecutive_failures", agent=OTHER) == 1
    assert value(found, "task_duration_seconds_count", agent=OTHER) == 3
    total = sum(number for (name, _), number in found.items() if name == "otel_tracker_tasks_total")
    assert total == MOST_AGENTS + 3


@pytest.mark.parametrize("called", ["other", OTHER, f"{OTHER}'"])
def test_an_agent_may_be_called_like_the_rest(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "MOST_AGENTS", 10)
    keys = [called, f"{called}'", *(f"{number}.md" for number in range(10))]
    document = folded(*(end(f"r{number}", agent=key) for number, key in enumerate(keys)))
    text = generate_latest(registry(lambda: document)).decode()
    samples = [sample for family in parse(text) for sample in family.samples]
    shown = [sample.value for sample in samples if sample.labels.get("outcome") == "success"]
    assert len(samples) == len(values(document))
    assert shown == [1] * 10 + [2]


@pytest.mark.parametrize("error", [DocumentError("path", "$", "torn"), OSError("gone"), ValueError("odd")])
def test_a_state_that_cannot_be_read_is_a_metric_and_not_a_failure(
    error: Exception, warnings_logged: Callable[[], list[str]]
) -> None:
    def fail() -> Document:
        raise error

    text = generate_latest(registry(fail)).decode()
    assert "otel_tracker_state_read_success 0.0" in text
    assert "otel_tracker_tasks_total" not in text
    assert len(warnings_logged()) == 1


def test_names_that_cannot_be_encoded_or_would_break_a_line_are_shown_all_the_same() -> None:
    document = folded(end(agent='a"b\\c\nd.md'), end("r2", agent="\ud800.md", model="\ud800"))
    found = values(document)
    assert value(found, "tasks_total", agent='a"b\\c\\nd.md', outcome="success") == 1
    assert value(found, "tasks_total", agent="\\ud800.md", outcome="success") == 1


def test_a_bucket_has_a_recent_tasks_trace_in_open_metrics() -> None:
    traced = [end(f"r{n}", duration_seconds=4, trace_id=f"{n:032x}", after=60 + n) for n in (1, 2)]
    shown = registry(lambda: folded(*traced, end("r3", duration_seconds=40)))
    text = generate_openmetrics(shown).decode()  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    exemplars = {
        sample.labels["le"]: sample.exemplar
        for sample in families["otel_tracker_task_duration_seconds"].samples
        if sample.exemplar
    }
    assert list(exemplars) == ["5.0"]
    assert (exemplars["5.0"].labels, exemplars["5.0"].value) == ({"trace_id": f"{2:032x}"}, 4.0)
    assert float(exemplars["5.0"].timestamp) == NOON + 62


def test_no_task_trace_or_session_is_in_a_label() -> None:
    document = folded(end("run-1", task_id="task-1", trace_id="ab" * 16, conversation_id="c1"))
    labels = {label for _, known in values(document) for label, _ in known}
    assert labels == {"agent", "outcome", "le", "model", "type", "state", "version"}


def test_an_empty_state_has_the_metrics_of_the_whole(home: Home) -> None:
    found = values(new_document())
    assert value(found, "state_read_success") == 1
    assert value(found, "state_updated_timestamp_seconds") == 0


def test_a_real_v7_document_is_shown_whole(adopt: Callable[[], Home]) -> None:
    home = adopt()
    found = values(Store(home).read())
    document = json.loads(Path(home.document).read_bytes())
    total = sum(number for (name, _), number in found.items() if name == "otel_tracker_tasks_total")
    assert total == sum(agent["metrics"]["tasks_total"] for agent in document["agents"].values())
    assert not any(math.isnan(number) for number in found.values())


def test_counters_do_not_fall_when_history_is_pruned() -> None:
    few = document_of(history_max_entries=2)
    found = values(folded(*(end(f"r{n}") for n in range(9)), into=few))
    assert value(found, "tasks_total", agent=AGENT, outcome="success") == 9


def test_a_task_that_was_amended_to_another_outcome_makes_no_counter_fall() -> None:
    amended = about(names.TASK_AMENDED, 90, previous_outcome=names.SUCCESS, outcome=names.FAILURE)
    found = values(folded(end("r1"), end("r2"), amended))
    assert value(found, "tasks_total", agent=AGENT, outcome="success") == 2
    assert value(found, "tasks_total", agent=AGENT, outcome="failure") == 1


def test_a_run_that_went_on_makes_no_bucket_of_its_duration_fall() -> None:
    amended = about(names.TASK_AMENDED, 900, duration_seconds=600.0, previous_duration_seconds=60.0)
    before, after = values(folded(end("r1"))), values(folded(end("r1"), amended))
    buckets = {
        bound: value(after, "task_duration_seconds_bucket", agent=AGENT, le=bound)
        for bound in ("60.0", "1800.0", "+Inf")
    }
    assert buckets == {"60.0": 1, "1800.0": 2, "+Inf": 2}
    assert value(before, "task_duration_seconds_bucket", agent=AGENT, le="60.0") == 1


def test_a_task_that_was_lost_and_ended_after_all_makes_no_counter_fall() -> None:
    lost = folded(start("r1"), end("r1", names.LOST))
    found = values(folded(end("r1", after=90), into=lost))
    assert value(found, "tasks_total", agent=AGENT, outcome="lost") == 1
    assert value(found, "tasks_total", agent=AGENT, outcome="success") == 1
    assert value(found, "tasks_total", agent=AGENT, outcome="failure") == 0


@pytest.mark.parametrize(
    ("kind", "until", "shown"),
    [("forced_open", moment(3600), NOON + 3600), ("forced_open", None, 0), ("disabled", moment(3600), 0)],
)
def test_a_persons_order_is_a_state_of_its_own(kind: str, until: str | None, shown: float) -> None:
    ordered = about(names.BREAKER_OVERRIDE, 70, override={"kind": kind, "until": until, "reason": None})
    for failures in (0, 5):
        document = folded(*(end(f"r{number}", FAILURE) for number in range(failures)), ordered)
        found = values(document, 100)
        states = {
            state: value(found, "circuit_state", agent=AGENT, state=state)
            for state in (*metrics.STATES, *metrics.ORDERS)
        }
        assert states == {**dict.fromkeys((*metrics.STATES, *metrics.ORDERS), 0), kind: 1}
        assert value(found, "blacklisted_until_timestamp_seconds", agent=AGENT) == shown
    lifted = values(folded(about(names.BREAKER_OVERRIDE, 80, override=None), into=document), 100)
    assert value(lifted, "circuit_state", agent=AGENT, state="open") == 1


def test_an_entry_that_another_program_has_written_takes_no_numbers_away() -> None:
    odd = {"agent": AGENT, "action": "task_completed", "timestamp": "yesterday", "trace_id": "x", "duration_seconds": 4}
    found = values(document_of({"history": [odd], "agents": {AGENT: {}}}))
    assert value(found, "state_read_success") == 1
