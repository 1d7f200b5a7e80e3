"""All metrics, in one list: those that Prometheus scrapes, and the instruments of OpenTelemetry.

The collectors, the meter, the dashboards, the alerts and the tests take them from here. Names for Prometheus have a unit at
the end, and `_total` for counters, which the formats add themselves.
"""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.runtime import vitals

PREFIX = "otel_tracker_"
COUNTER, GAUGE, HISTOGRAM, INFO = "counter", "gauge", "histogram", "info"

OUTCOMES = (names.SUCCESS, names.FAILURE, names.CANCELLED, names.LOST)
STATES = (names.CLOSED, names.OPEN, names.HALF_OPEN)
ORDERS = (names.FORCED_OPEN, names.DISABLED)
"""States that a person has ordered, which replace the breaker's own."""


class Metric(NamedTuple):
    """A family of series of Prometheus."""

    base: str
    """The name, without `_total`."""
    type: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that queries use; of a histogram the name before the suffixes."""
        return self.base + {COUNTER: "_total", INFO: "_info"}.get(self.type, "")


def _metric(name: str, metric_type: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, metric_type, text, labels)


TASKS = _metric("tasks", COUNTER, "Ended tasks by outcome.", "agent", "outcome")
DURATION = _metric("task_duration_seconds", HISTOGRAM, "Duration of ended tasks.", "agent")
TOKENS = _metric("tokens", COUNTER, "Tokens used; the types exclude each other.", "agent", "model", "type")
COST = _metric(
    "cost_usd",
    COUNTER,
    "Estimated list price of the tokens in US dollars; tokens without a price are missing in it.",
    *("agent", "model"),
)
MODEL_TASKS = _metric("model_tasks", COUNTER, "Ended tasks by model.", "agent", "model")
MEASURED = _metric(
    "measured_tasks",
    COUNTER,
    "Ended tasks by model whose tokens are known; all tasks, where an older file lacks that number.",
    "agent",
    "model",
)
STATE = _metric(
    "circuit_state",
    GAUGE,
    "1 for the state that the agent's breaker, or a person's order above it, is in, else 0.",
    "agent",
    "state",
)
FAILURES = _metric("consecutive_failures", GAUGE, "Failures in a row.", "agent")
OPENED = _metric("circuit_opened", COUNTER, "Openings and reopenings of the breaker.", "agent")
REJECTIONS = _metric("rejections", COUNTER, "Tasks that the breaker has refused.", "agent")
FALLBACKS = _metric("fallbacks", COUNTER, "Tasks that another agent has run in this one's place.", "agent")
IN_FLIGHT = _metric("tasks_in_flight", GAUGE, "Tasks that run now.", "agent")
UNTIL = _metric(
    "blacklisted_until_timestamp_seconds",
    GAUGE,
    "When the agent is let through again; 0 if it is now, or if it is forced open for good.",
    "agent",
)
LAST_TASK = _metric("last_task_timestamp_seconds", GAUGE, "When the last task ended; 0 if none has.", "agent")
READ_SUCCESS = _metric("state_read_success", GAUGE, "1 if the state could be read, else 0.")
UPDATED = _metric("state_updated_timestamp_seconds", GAUGE, "When the last event happened; 0 if none has.")
BUILD = _metric("build", INFO, "The version of otel-tracker.", "version")

OF_AGENTS = (
    *(
        TASKS,
        DURATION,
        TOKENS,
        COST,
        MODEL_TASKS,
        MEASURED,
        STATE,
        FAILURES,
        OPENED,
        REJECTIONS,
        FALLBACKS,
        IN_FLIGHT,
        UNTIL,
    ),
    LAST_TASK,
)
OF_DOCUMENT = (*OF_AGENTS, READ_SUCCESS, UPDATED, BUILD)

EVENTS = _metric("events", COUNTER, "Events of the journal, by result.", "result")
WRITES = _metric("write_seconds", HISTOGRAM, "Time to write events, with all that they wait for.")
LOCK_WAITS = _metric("lock_wait_seconds", HISTOGRAM, "Time to get a lock of the home.")

OF_PROCESS = (EVENTS, WRITES, LOCK_WAITS)
ALL = (*OF_DOCUMENT, *OF_PROCESS)


class Instrument(NamedTuple):
    """An instrument of OpenTelemetry."""

    name: str
    unit: str
    help: str
    bounds: tuple[float, ...] | None = None
    """The upper bounds of a histogram's buckets, None for a counter."""


# "Metric: gen_ai.invoke_agent.duration" and "Metric: gen_ai.client.token.usage" of the conventions for generative AI.
_DURATION_BOUNDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

TASK_DURATION = Instrument(names.METRIC_DURATION, "s", "Duration of agent tasks.", _DURATION_BOUNDS)
TASK_TOKENS = Instrument(
    names.METRIC_TOKENS,
    "{token}",
    "Tokens used by agent tasks, by type; input includes those of the cache.",
    _TOKEN_BOUNDS,
)
TASK_COST = Instrument(
    names.METRIC_COST, "{USD}", "Estimated list price of agent tasks; tokens without a price are missing in it."
)
TASK_COUNT = Instrument(names.METRIC_TASKS, "{task}", "Ended tasks by outcome.")
TRANSITIONS = Instrument(names.METRIC_TRANSITIONS, "{transition}", "Breakers that have got another state.")
EVENT_COUNT = Instrument(names.METRIC_EVENTS, "{event}", EVENTS.help)
WRITE_DURATION = Instrument(names.METRIC_WRITES, "s", WRITES.help, vitals.BOUNDS)
LOCK_WAIT_DURATION = Instrument(names.METRIC_LOCK_WAITS, "s", LOCK_WAITS.help, vitals.BOUNDS)
