"""Make the dashboards: `python -m grafana.generate` (`make dashboards`) writes dashboards/*.json.

With `OTEL_TRACKER_RUNBOOK_URL` set it also writes that address into the alerts' links and into the alerts' tests.

Over plain dicts, not over grafana-foundation-sdk: its classes fill in what they know of one version of Grafana, and there is
a newer schema on npm than on PyPI. The tests check what is made against both.
"""

import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from grafana import panels, queries
from grafana.panels import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, YELLOW, Column, Json
from grafana.queries import RATE, increase, per_hour, series, total
from otel_tracker import names
from otel_tracker.runtime.environment import value_of
from otel_tracker.telemetry import metrics

FOLDER = Path(__file__).parent
RUNBOOK_URL = "OTEL_TRACKER_RUNBOOK_URL"
WITH_RUNBOOK_LINKS = ("rules/alerts.yml", "tests/alerts_test.yml", "tests/token_burn_test.yml")
FLEET, AGENT = "otel-tracker-fleet", "otel-tracker-agent"
SCHEMA_VERSION = 42

_CHOSEN = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
_TO_AGENT = f"/d/{AGENT}?{_CHOSEN}&${{__url_time_range}}&var-agent="
_OUTCOME_COLORS = {names.SUCCESS: GREEN, names.FAILURE: RED, names.CANCELLED: GREY, names.LOST: PURPLE}
_STATE_WORDS = {
    names.CLOSED: ("closed", GREEN),
    names.HALF_OPEN: ("half open", YELLOW),
    names.OPEN: ("blacklisted", RED),
    names.FORCED_OPEN: ("forced open", PURPLE),
    names.DISABLED: ("disabled", GREY),
}
_STATE_NUMBERS = panels.words(
    **{f"_{number}": _STATE_WORDS[state] for number, state in enumerate(queries.NUMBERED_STATES)}
)
_NONE_IS_GOOD = panels.steps((None, GREEN), (1, RED))
_SHARE = {"decimals": 1, "max": 1, "min": 0}
_RATE_STEPS = panels.steps((None, RED), (0.8, ORANGE), (0.95, GREEN))


def dashboards() -> dict[str, Json]:
    """Return the dashboards by the names of their files."""
    return {"fleet.json": fleet(), "agent.json": agent()}


def text_of(dashboard: Json) -> str:
    """Return what a dashboard's file says."""
    return json.dumps(dashboard, indent=2, sort_keys=True) + "\n"


def fleet() -> Json:
    """Return the dashboard of all agents."""
    description = "All agents of otel-tracker: who is broken, who is slow, who is expensive, what changed."
    shown = [*_now(), *_broken(), *_outcomes(), *_costs()]
    link = _link("One agent", f"/d/{AGENT}?{_CHOSEN}", "Everything about one agent")
    agents = _label_variable("agent", metrics.TASKS, "Agent", is_multi=True)
    return _dashboard(FLEET, "otel-tracker / Fleet", description, shown, [*_scope(), agents, _model()], link)


def agent() -> Json:
    """Return the dashboard of one agent."""
    description = "One agent of otel-tracker: what it does, how long it takes, what it costs, and its breaker."
    shown = [*_agent_now(), *_agent_past(), *_agent_durations(), *_agent_costs()]
    link = _link("All agents", f"/d/{FLEET}?{_CHOSEN}", "Back to the fleet")
    one = _label_variable("agent", metrics.TASKS, "Agent", is_multi=False)
    return _dashboard(AGENT, "otel-tracker / Agent", description, shown, [*_scope(), one, _model()], link)


def _now() -> list[Json]:
    state, refused = series(metrics.STATE, queries.IS_OPEN), series(metrics.REJECTIONS)
    return [
        panels.stat(
            "Blacklisted now", "Agents whose tasks the breaker refuses now.", (0, 0, 4, 4), total(state), "short",
            thresholds=_NONE_IS_GOOD, noValue="no data",
        ),
        panels.stat(
            "Running now", "Tasks that have started and not ended.", (4, 0, 4, 4),
            total(series(metrics.IN_FLIGHT)), "short", noValue="no data",
        ),
        panels.stat(
            "Success rate", "Share of the tasks ended in this time range that succeeded; cancelled ones count as ended.",
            (8, 0, 4, 4), queries.success_rate(), "percentunit", thresholds=_RATE_STEPS, noValue="no task", **_SHARE,
        ),
        panels.stat(
            "Tokens, last hour", "Tokens that agents and main conversations have used in the last hour, the cache's included.",
            (12, 0, 4, 4), total(increase(series(metrics.TOKENS), "1h")), "short", decimals=1, noValue="no data",
        ),
        panels.stat(
            "Refused", "Tasks that breakers have refused in this time range.", (16, 0, 4, 4),
            total(increase(refused)), "short", decimals=0, thresholds=panels.steps((None, GREEN), (0.5, ORANGE)),
            noValue="no data",
        ),
        panels.stat(
            "Tracker", "Whether the tracker can read its state. If it can't, nothing here is of now.", (20, 0, 4, 4),
            f"min({queries.selector(metrics.READ_SUCCESS.name)})", "none",
            mappings=panels.words(_0=("UNREADABLE", RED), _1=("ok", GREEN)), noValue="NOT SCRAPED",
        ),
    ]  # fmt: skip


def _broken() -> list[Json]:
    until, opened = series(metrics.UNTIL), series(metrics.OPENED)
    state = {"mappings": panels.words(**_STATE_WORDS), "custom__cellOptions": {"type": "color-text"}}
    return [
        panels.table(
            "Who is broken",
            "Agents whose breaker isn't closed and the instance that says so, until when they are refused, and why: "
            "failures in a row. "
            "Half open: the next task decides. Forced open and disabled: a person has ordered it. "
            "Empty is good: all are let through.",
            (0, 4, 12, 8),
            [
                (f"max by (instance, agent, state) ({series(metrics.STATE, queries.NOT_CLOSED)} == 1)", Column("")),
                (queries.of_not_closed(f"1000 * {until} > 0"), Column("Let through", "dateTimeFromNow")),
                (queries.of_not_closed(series(metrics.FAILURES)), Column("Failures in a row", decimals=0)),
                (queries.of_not_closed(increase(opened)), Column("Opened", decimals=0)),
                (queries.of_not_closed(increase(series(metrics.REJECTIONS))), Column("Refused", decimals=0)),
            ],
            labels={"agent": _agent_column(), "instance": Column("Instance", "string"), "state": Column("State", "string", **state)},
            hidden=("Value #A",),
            sort="Failures in a row",
        ),
        _changes("Openings of breakers, refused tasks, and tasks that another agent has taken over.", (12, 4, 12, 8)),
    ]  # fmt: skip


def _changes(description: str, at: tuple[int, int, int, int]) -> Json:
    shown = ((metrics.OPENED, "openings"), (metrics.REJECTIONS, "refused"), (metrics.FALLBACKS, "fallbacks"))
    asked = panels.targets(*[(total(increase(series(metric), RATE)), legend) for metric, legend in shown])
    one = panels.graph("What changed", description, at, asked, "short", label="number", stacked=True, decimals=0)
    return panels.in_colors(one, {"openings": RED, "refused": ORANGE, "fallbacks": BLUE})


def _outcomes() -> list[Json]:
    failed = total(increase(series(metrics.TASKS, queries.FAILED)), "agent")
    return [
        _outcome_graph((0, 12, 12, 8)),
        _linked(
            panels.bars(
                "Most failures", "Tasks of this time range that failed or were lost, by agent.", (12, 12, 6, 8),
                (queries.highest(failed), "{{agent}}"), "short", decimals=0, thresholds=panels.steps((None, RED)),
            ),
        ),
        _linked(
            panels.bars(
                "Slowest agents (p95)", "How long 19 of 20 tasks of this time range took at most, by agent.",
                (18, 12, 6, 8),
                (queries.highest(queries.duration_quantile(0.95, queries.RANGE, "agent")), "{{agent}}"), "s",
                thresholds=panels.steps((None, BLUE), (600, ORANGE), (3600, RED)),
            ),
        ),
    ]  # fmt: skip


def _outcome_graph(at: tuple[int, int, int, int]) -> Json:
    one = panels.graph(
        "Tasks by outcome", "Tasks ended per hour. Lost: their process has gone without ending them.", at,
        panels.targets((per_hour(series(metrics.TASKS), "outcome"), "{{outcome}}")), "short",
        label="tasks per hour", stacked=True,
    )  # fmt: skip
    return panels.in_colors(one, _OUTCOME_COLORS)


def _costs() -> list[Json]:
    tokens = series(metrics.TOKENS)
    used, cost = total(increase(tokens), "agent"), total(increase(series(metrics.COST)), "agent")
    measured = total(increase(series(metrics.MEASURED)), "agent")
    steps = panels.steps((None, GREEN), (2, ORANGE), (4, RED))
    against = {"decimals": 1, "thresholds": steps, "custom__cellOptions": {"type": "color-text"}}
    return [
        panels.table(
            "Who is expensive",
            "Estimated list price of this time range by agent (at least: tokens without a price are missing in it), its share "
            "of all costs, tokens, per task, in the last hour, and that hour against the average of the "
            "hours of its week in which it worked (by the recording rules; empty until there are three such hours). "
            "The main conversation is no agent, and has no tasks.",
            (0, 20, 12, 9),
            [
                (f"{cost} > 0", Column("Cost", "currencyUSD", decimals=2)),
                (queries.share_of_all(cost), Column("Share", "percentunit", decimals=1)),
                (f"{used} > 0", Column("Tokens", decimals=1)),
                (queries.share(used, measured), Column("Per task", decimals=1)),
                (f"{total(increase(tokens, '1h'), 'agent')} > 0", Column("Last hour", decimals=1)),
                (queries.against_its_week(), Column("Times its week", "none", **against)),
            ],
            labels={"agent": _agent_column()},
            sort="Cost",
        ),
        panels.graph(
            "Tokens by model", "Tokens used per hour, the cache's included.", (12, 20, 6, 9),
            panels.targets((per_hour(tokens, "model"), "{{model}}")), "short", label="tokens per hour", stacked=True,
        ),
        panels.graph(
            "Cache hit share", "Share of the input tokens that the cache gave. A fall makes everything more expensive.",
            (18, 20, 6, 9), panels.targets((queries.cache_hit_share(), "{{model}}")), "percentunit", max=1,
        ),
    ]  # fmt: skip


def _agent_now() -> list[Json]:
    moment = {"noValue": "no data", "mappings": panels.words(_0=("now", GREEN))}
    never = {"noValue": "no data", "mappings": panels.words(_0=("never", GREY))}
    return [
        panels.stat(
            "Breaker", "Closed: let through. Half open: the next task decides. Blacklisted: refused. "
            "Forced open, disabled: a person refuses the agent, or lets it through.", (0, 0, 4, 4),
            queries.state_number(), "none", mappings=_STATE_NUMBERS, noValue="no data",
        ),
        panels.stat(
            "Let through", "When the breaker lets the next task through.", (4, 0, 4, 4),
            f"1000 * max({series(metrics.UNTIL)})", "dateTimeFromNow", thresholds=panels.steps((None, RED)), **moment,
        ),
        panels.stat(
            "Failures in a row", "A success sets it to 0; the breaker opens at the agent's threshold (5 by default).",
            (8, 0, 4, 4), f"max({series(metrics.FAILURES)})", "short", noValue="no data",
            thresholds=panels.steps((None, GREEN), (1, ORANGE), (5, RED)),
        ),
        panels.stat(
            "Running now", "Tasks that have started and not ended.", (12, 0, 4, 4),
            total(series(metrics.IN_FLIGHT)), "short", noValue="no data",
        ),
        panels.stat(
            "Success rate", "Share of the tasks ended in this time range that succeeded; cancelled ones count as ended.",
            (16, 0, 4, 4), queries.success_rate(), "percentunit", thresholds=_RATE_STEPS, noValue="no task", **_SHARE,
        ),
        panels.stat(
            "Last task", "When the last task ended.", (20, 0, 4, 4),
            f"1000 * max({series(metrics.LAST_TASK)})", "dateTimeFromNow", **never,
        ),
    ]  # fmt: skip


def _agent_past() -> list[Json]:
    failures = f"max({series(metrics.FAILURES)})"
    return [
        panels.timeline(
            "Breaker over time", "When the agent was let through, on probation, and refused.", (0, 4, 24, 4),
            (queries.state_number(), "breaker"), _STATE_NUMBERS,
        ),
        _outcome_graph((0, 8, 12, 8)),
        panels.graph(
            "Running tasks and failures in a row", "Whether work piles up, and how near the breaker is to opening.",
            (12, 8, 12, 8),
            panels.targets((total(series(metrics.IN_FLIGHT)), "running"), (failures, "failures in a row")), "short",
            decimals=0, interval="15s",
        ),
    ]  # fmt: skip


def _agent_durations() -> list[Json]:
    buckets = series(metrics.DURATION, suffix="_bucket")
    quantiles = [(queries.duration_quantile(share, RATE), f"p{share * 100:.0f}") for share in (0.5, 0.95)]
    return [
        panels.heatmap(
            "Durations", "How many tasks took how long: a second band, or one that climbs, is a change.",
            (0, 16, 12, 9), total(increase(buckets, RATE), "le"), "s",
        ),
        panels.graph(
            "Duration quantiles", "Half of the tasks took at most p50, 19 of 20 at most p95.", (12, 16, 12, 9),
            panels.targets(*quantiles), "s",
        ),
    ]  # fmt: skip


def _agent_costs() -> list[Json]:
    tokens = series(metrics.TOKENS)
    per_task = queries.share(total(increase(tokens), "model"), total(increase(series(metrics.MEASURED)), "model"))
    return [
        panels.graph(
            "Tokens by type", "Tokens used per hour; the types exclude each other.", (0, 25, 9, 9),
            panels.targets((per_hour(tokens, "type"), "{{type}}")), "short", label="tokens per hour", stacked=True,
        ),
        panels.table(
            "What each model costs",
            "Estimated list price of this time range (at least: tokens without a price are missing in it), and tokens for "
            "each task that has them measured.",
            (9, 25, 6, 9),
            [
                (f"{total(increase(series(metrics.COST)), 'model')} > 0", Column("Cost", "currencyUSD", decimals=2)),
                (per_task, Column("Tokens per task", decimals=1)),
            ],
            labels={"model": Column("Model", "string")},
            sort="Cost",
        ),
        _changes(
            "Openings of the breaker, refused tasks, and tasks that another agent ran in its place.", (15, 25, 9, 9)
        ),
    ]  # fmt: skip


def _agent_column() -> Column:
    link = {"title": "Everything about ${__value.text}", "url": _TO_AGENT + "${__value.raw:percentencode}"}
    return Column("Agent", "string", links=[link])


def _linked(one: Json) -> Json:
    """Return a panel whose series lead to their agent."""
    url = _TO_AGENT + "${__field.labels.agent:percentencode}"
    one["fieldConfig"]["defaults"]["links"] = [{"title": "Everything about ${__field.labels.agent}", "url": url}]
    return one


def _link(title: str, url: str, tooltip: str) -> Json:
    return {
        "asDropdown": False,
        "icon": "dashboard",
        "includeVars": False,
        "keepTime": True,
        "tags": [],
        "targetBlank": False,
        "title": title,
        "tooltip": tooltip,
        "type": "link",
        "url": url,
    }


def _scope() -> list[Json]:
    """Return the variables that say whose data it is."""
    source = {
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "type": "datasource",
    }
    job = _query_variable("job", f"label_values({metrics.READ_SUCCESS.name}, job)", "Job", is_multi=True)
    asked = f'label_values({metrics.READ_SUCCESS.name}{{job=~"$job"}}, instance)'
    return [source, job, _query_variable("instance", asked, "Instance", is_multi=True)]


def _model() -> Json:
    return _label_variable("model", metrics.MODEL_TASKS, "Model", is_multi=True)


def _label_variable(name: str, metric: metrics.Metric, label: str, *, is_multi: bool) -> Json:
    return _query_variable(name, f"label_values({queries.selector(metric.name)}, {name})", label, is_multi=is_multi)


def _query_variable(name: str, query: str, label: str, *, is_multi: bool) -> Json:
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    several = {"allValue": ".+", "current": everything, "includeAll": True} if is_multi else {"includeAll": False}
    return {
        **several,
        "datasource": panels.DATASOURCE,
        "label": label,
        "multi": is_multi,
        "name": name,
        "options": [],
        "query": {"query": query, "refId": f"PrometheusVariable-{name}"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


def _dashboard(uid: str, title: str, description: str, shown: list[Json], variables: list[Json], link: Json) -> Json:
    return {
        "annotations": {"list": []},
        "description": description,
        "editable": False,
        "graphTooltip": 1,
        "links": [link],
        "panels": [{"id": number, **one} for number, one in enumerate(shown, 1)],
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["otel-tracker"],
        "templating": {"list": variables},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "title": title,
        "uid": uid,
    }


def linked_to(runbook: str, text: str) -> str:
    """Return rules, or their tests, whose links lead to the sections of a runbook at that address."""
    return re.sub(r"(?<=runbook_url: )[^\s#]*", lambda _: runbook, text)


def is_absolute(url: str) -> bool:
    """Tell whether a text is an absolute address, to which `#` and a section can be added."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and not re.search(r"[\s#\"'{}]", url)


def main() -> None:
    """Write the files."""
    runbook = value_of(RUNBOOK_URL)
    if runbook and not is_absolute(runbook):
        sys.exit(f"{RUNBOOK_URL}={runbook} can't be linked to: give an http or https address of the runbook without #")
    (FOLDER / "dashboards").mkdir(exist_ok=True)
    for name, dashboard in dashboards().items():
        (FOLDER / "dashboards" / name).write_text(text_of(dashboard), encoding="utf-8")
    for file in (FOLDER / name for name in WITH_RUNBOOK_LINKS if runbook):
        file.write_text(linked_to(runbook, file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
