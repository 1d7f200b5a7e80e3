"""PromQL from the metrics' names: what every panel asks has the variables of its dashboard in it."""

from otel_tracker import names
from otel_tracker.telemetry import metrics

RATE = "$__rate_interval"
RANGE = "$__range"
JOB_INSTANCE = ('job=~"$job"', 'instance=~"$instance"')
HOUR = "3600"

NOT_CLOSED = f'state!="{names.CLOSED}"'
IS_OPEN = f'state="{names.OPEN}"'
NUMBERED_STATES = (names.CLOSED, names.HALF_OPEN, names.OPEN, names.FORCED_OPEN, names.DISABLED)
SUCCEEDED = f'outcome="{names.SUCCESS}"'
NOT_CANCELLED = f'outcome!="{names.CANCELLED}"'
FAILED = f'outcome=~"{names.FAILURE}|{names.LOST}"'

TOKENS_PER_HOUR = "agent:otel_tracker_tokens:rate1h"
TOKENS_IN_A_BUSY_HOUR = "agent:otel_tracker_tokens:rate1h_busy_avg1w"
RECORDED = (TOKENS_PER_HOUR, TOKENS_IN_A_BUSY_HOUR)
"""What rules/recording.yml records, tokens per second of each agent: in the last hour, and in its week's busy hours."""


def series(metric: metrics.Metric, *matchers: str, suffix: str = "") -> str:
    """Return a selector of a metric's series that the dashboard's variables choose."""
    chosen = [f'{label}=~"${label}"' for label in ("agent", "model") if label in metric.labels]
    return selector(metric.name + suffix, *chosen, *matchers)


def recorded(name: str) -> str:
    """Return a selector of recorded series that the dashboard's variables choose."""
    return selector(name, 'agent=~"$agent"')


def selector(name: str, *matchers: str) -> str:
    """Return a selector of the job's and the instance's series."""
    return f"{name}{{{', '.join((*JOB_INSTANCE, *matchers))}}}"


def increase(of: str, window: str = RANGE) -> str:
    """Return by how much counters have risen."""
    return f"increase({of}[{window}])"


def per_hour(of: str, *by: str) -> str:
    """Return how fast counters rise, per hour."""
    return f"{total(f'rate({of}[{RATE}])', *by)} * {HOUR}"


def total(of: str, *by: str) -> str:
    """Return the sum, by labels if there are any."""
    return f"sum by ({', '.join(by)}) ({of})" if by else f"sum({of})"


def share(part: str, whole: str) -> str:
    """Return a share of something that isn't nothing."""
    return f"{part} / ({whole} > 0)"


def share_of_all(of: str) -> str:
    """Return the share that each value that isn't nothing has in their sum."""
    return f"({of} > 0) / on () group_left () (sum({of}) > 0)"


def highest(of: str, number: int = 10) -> str:
    """Return the highest values; zeros and what is not a number are left out."""
    return f"topk({number}, {of} > 0)"


def duration_quantile(quantile: float, window: str, *by: str) -> str:
    """Return a quantile of the durations."""
    buckets = increase(series(metrics.DURATION, suffix="_bucket"), window)
    return f"histogram_quantile({quantile}, {total(buckets, 'le', *by)})"


def of_not_closed(of: str) -> str:
    """Return the values of agents whose breaker isn't closed, by instance and agent."""
    return f"max by (instance, agent) ({of} and on (job, instance, agent) {series(metrics.STATE, NOT_CLOSED)} == 1)"


def success_rate() -> str:
    """Return the share of the ended tasks, without the cancelled ones, that have succeeded, as `otel-tracker report` counts it."""
    succeeded, judged = increase(series(metrics.TASKS, SUCCEEDED)), increase(series(metrics.TASKS, NOT_CANCELLED))
    return share(total(succeeded), total(judged))


def cache_hit_share() -> str:
    """Return the share of input tokens that came from the cache, by model."""
    types = "cache_read", "input|cache_read|cache_write"
    read, asked = (f"rate({series(metrics.TOKENS, of_type)}[{RATE}])" for of_type in map('type=~"{}"'.format, types))
    return share(total(read, "model"), total(asked, "model"))


def state_number() -> str:
    """Return the place of an agent's state in NUMBERED_STATES; of several instances' states the last one there."""
    states = ((place, series(metrics.STATE, f'state="{state}"')) for place, state in enumerate(NUMBERED_STATES))
    return f"max({' or '.join(f'{place} * ({shown} == 1)' for place, shown in states)})"


def against_its_week() -> str:
    """Return how many times its week's busy hour an agent has burnt in the last hour."""
    return share(total(recorded(TOKENS_PER_HOUR), "agent"), total(recorded(TOKENS_IN_A_BUSY_HOUR), "agent"))
