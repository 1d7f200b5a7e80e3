"""What the tests of the pure modules build their cases from: events, documents and their text."""

import json
from typing import Any

from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.runtime.limits import LAST_EVENT
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import event
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fold import fold_all
from otel_tracker.state.shapes import Event

AGENT = "core/coder.md"
NOON = parse_timestamp("2026-02-15T12:00:00Z")


def moment(seconds: float) -> str:
    """Return the timestamp so many seconds after noon."""
    return format_timestamp(NOON + seconds)


def start(run_id: str = "run", after: float = 0.0, agent: str = AGENT, **known: Any) -> Event:
    known = {"model": "sonnet", "task_id": None, "owner": None, **known}
    return {**event.task_started(agent, NOON + after, run_id=run_id, **known), "id": f"start of {run_id}"}


def end(
    run_id: str | None = "run", outcome: str = names.SUCCESS, after: float = 60.0, agent: str = AGENT, **known: Any
) -> Event:
    """Return the end of a task, by default a successful one of 60 seconds with sonnet."""
    seconds = known.pop("duration_seconds", 60.0)
    known = {"started": moment(after - seconds), "model": "sonnet", **known}
    ended = event.task_ended(agent, outcome, NOON + after, run_id=run_id, duration_seconds=seconds, **known)
    return {**ended, "id": f"{outcome} of {run_id} at {after}"}


def usage(after: float = 0.0, seconds: float = 60.0, conversation_id: str = "c", **known: Any) -> Event:
    """Return what a main conversation used in a time that ends so many seconds after noon."""
    known = {"models": {"claude-opus-5-5": {"input": 10, "output": 5, "cost_micro_usd": 120, "priced": 15}}, **known}
    event_id = f"usage of {conversation_id} until {after}"
    return event.usage_recorded(conversation_id, NOON + after - seconds, NOON + after, event_id=event_id, **known)


def about(action: str, after: float = 0.0, agent: str = AGENT, **known: Any) -> Event:
    return {"id": f"{action} at {after}", "timestamp": moment(after), "agent": agent, "action": action, **known}


def numbered(events: "tuple[Event, ...] | list[Event]", after: int = 0) -> list[Event]:
    return [{**one, "seq": number} for number, one in enumerate(events, after + 1)]


def folded(*events: Event, into: Document | None = None) -> Document:
    """Return a document, by default a new one, after events that are numbered here."""
    document = into or new_document()
    return fold_all(document, numbered(events, document.sequence))


def document_of(value: Any = None, **config: Any) -> Document:
    """Return the document that a JSON value is read as, with `config`."""
    value = {"version": "7.0", **(value or {})}
    if config:
        value["config"] = config
    return DocumentCodec().decode(json.dumps(value).encode(), "circuit-breaker.json")


def text_of(document: Document, codec: DocumentCodec | None = None) -> bytes:
    return b"".join((codec or DocumentCodec()).encode(document))


def value_of(document: Document) -> Any:
    """Return what the text of a document says."""
    return json.loads(text_of(document))


_WORDS = ("history", "agents", "sequence", "metrics", "a", "{", "}", '},\n    {"', "é", "\ud800")
_texts = st.sampled_from(_WORDS) | st.text(st.characters(exclude_categories=()), max_size=8)
_numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_counts = st.integers(0, 2**70)
_moments = st.none() | st.sampled_from(["2026-02-15T21:30:00Z", "2026-02-15T21:30:00", "2026-02-15T21:30:00.5+02:00"])


def _objects(**fields: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    """Return objects that have some of `fields`, and keys that nobody knows."""
    unknown = st.dictionaries(_texts.map(lambda key: f"x{key}"), json_values, max_size=2)
    return st.builds(lambda known, more: {**more, **known}, st.fixed_dictionaries({}, optional=fields), unknown)


_tokens = _objects(total=_counts, count=_counts, last=st.none() | _counts)
_held_permits = st.builds(
    lambda known, more: {**more, **known},
    st.fixed_dictionaries({"run_id": _texts, "granted": st.just(moment(0)), "expires": st.just(moment(900))}),
    st.fixed_dictionaries({}, optional={"owner": st.sampled_from([None, {"pid": 1}]), "task_id": st.none() | _texts}),
)
_held_overrides = _objects(until=_moments, reason=json_values).map(lambda known: {**known, "kind": names.DISABLED})
_agents = _objects(
    status=st.sampled_from(["healthy", "blacklisted", "half_open", "unhealthy"]),
    failures=_counts,
    last_failure=_moments,
    blacklisted_until=_moments,
    metrics=_objects(tasks_total=_counts, total_duration_seconds=st.floats(0, 1e9)),
    token_usage=st.dictionaries(st.sampled_from(names.REPORTED_MODELS) | _texts, _tokens, max_size=2),
    circuit=_objects(generation=_counts, permit=st.none() | _held_permits, override=st.none() | _held_overrides),
    tallies=_objects(rejected=_counts, fallback=_counts),
    history=json_values,
    agents=json_values,
    sequence=json_values,
)
_running = _objects(owner=st.none() | st.just({"pid": 1}), task_id=st.none() | _texts, in_flight=json_values).map(
    lambda more: {**more, "agent": AGENT, "started": "2026-02-15T21:30:00Z"}
)
document_values = st.builds(
    lambda head, agents, history: {"version": "7.0", "sequence": 0, **head, "agents": agents, "history": history},
    _objects(
        version=st.sampled_from(["7.0", "7.1"]),
        updated=_moments,
        sequence=st.integers(0, LAST_EVENT // 2),
        config=_objects(failure_threshold=json_values),
        metrics=_objects(total_requests=_counts),
        in_flight=st.dictionaries(_texts, _running, max_size=3),
        main_conversation=_objects(
            since=_moments,
            models=st.dictionaries(_texts, _objects(total=_counts, input=_counts), max_size=2),
            usage_incomplete=_counts,
        ),
    ),
    st.dictionaries(st.sampled_from([AGENT, "ui/é.md"]) | _texts, _agents, min_size=1, max_size=3),
    st.just([]) | st.lists(_objects(timestamp=_moments), max_size=3),
)

_tokens_by_type = st.dictionaries(st.sampled_from(names.TOKEN_KEYS), st.integers(0, 9999), max_size=3)
_measured = st.none() | _tokens_by_type
_details = st.fixed_dictionaries(
    {
        "model": st.sampled_from([None, "sonnet", "gpt-5"]),
        "tokens": _measured,
        "models": st.none() | st.dictionaries(st.sampled_from(["claude-opus-5", "x"]), _measured, max_size=2),
        "environment_error": st.sampled_from([None, True]),
        "error": st.sampled_from([None, "é \ud800", 'a "quoted"\nline']),
        "duration_seconds": st.floats(0, 9000),
        "fallback_for": st.sampled_from([None, None, "ui/designer.md", "planner.md"]),
    }
)
_runs = st.sampled_from(["r1", "r2", "r3", "r4"])
_outcomes = st.sampled_from([names.SUCCESS, names.FAILURE, names.FAILURE, names.CANCELLED, names.LOST])
_times, _keys = st.floats(0, 3 * 86_400), st.sampled_from([AGENT, "ui/designer.md", "é {\ud800}"])
# Who has them is nobody that a test's machine knows, and at noon none of them is over: no store finds out anything.
_permits = st.fixed_dictionaries(
    {
        "permit": _runs,
        "expires": st.just(moment(900)),
        "owner": st.sampled_from([None, {"host": "é elsewhere", "pid": 1}]),
        "task_id": st.sampled_from([None, "t"]),
    }
)
_overrides = st.none() | st.fixed_dictionaries(
    {"kind": st.sampled_from([names.FORCED_OPEN, names.DISABLED])},
    optional={
        "until": st.sampled_from([None, moment(-60), moment(3600)]),
        "reason": st.sampled_from([None, "é \ud800"]),
    },
)
any_event = st.one_of(
    st.builds(start, _runs, _times, _keys),
    st.builds(
        lambda run, outcome, after, agent, details: end(run, outcome, after, agent, **details),
        *(st.uuids().map(str) | _runs, _outcomes, _times, _keys, _details),
    ),
    st.builds(
        lambda after, models, is_incomplete: usage(after, models=models, usage_incomplete=is_incomplete),
        *(_times, st.dictionaries(st.sampled_from(["claude-opus-5", "x"]), _tokens_by_type, max_size=2), st.booleans()),
    ),
    st.builds(about, st.sampled_from([names.AGENT_RESET, "agent_praised"]), _times, _keys),
    st.builds(about, st.just(names.AGENT_REGISTERED), _times, _keys, name=_texts),
    st.builds(about, st.just(names.AGENT_REMOVED), _times, _keys),
    st.builds(about, st.just(names.AGENT_RENAMED), _times, _keys, to=_keys),
    st.builds(lambda after, agent, permit: about(names.PROBE_GRANTED, after, agent, **permit), _times, _keys, _permits),
    st.builds(about, st.just(names.PROBE_RETURNED), _times, _keys, permit=_runs),
    st.builds(about, st.just(names.TASK_REJECTED), _times, _keys, reason=_texts, refused_until=_moments),
    st.builds(about, st.just(names.BREAKER_OVERRIDE), _times, _keys, override=_overrides),
    st.builds(
        lambda after, details: about(
            names.TASK_AMENDED, after, previous_outcome=names.LOST, outcome=names.SUCCESS, **details
        ),
        *(_times, _details),
    ),
)
