"""Which runs have ended, each once and as it is known by now, and the parts that sums are made of. Pure.

A run gives a part for each model that it has used. So whatever sums are by, each token, each micro-dollar and each run is
in exactly one row, and all views that add up the same parts agree.
"""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.amendment import amended, changed_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_tracker.state.shapes import Event, Shares, Tokens

    Batches = Iterable[tuple[float, Iterable[Event]]]
    Read = Callable[[float, set[str]], Batches]

ARCHIVED = "archived"
"""The action under which a line of the archive comes among events; no event of the journal has it."""
_COUNTED = {*names.OUTCOMES, names.USAGE_RECORDED, ARCHIVED}


class RunPart(NamedTuple):
    """The usage of one model by a run, or by several runs of the same agent, model, outcome and day.

    Without an agent it is that of the main conversation, which is no run.
    """

    timestamp: str
    """When the run ended, as this package writes it."""
    agent: "str | None"
    outcome: "str | None"
    model: str
    """The full id, else the model as the user named it."""
    project: "str | None" = None
    session: "str | None" = None
    runs: int = 0
    """1 in one of the parts of a run: that of the model with the most tokens; below 0 in a difference that takes a run away."""
    duration_seconds: "float | None" = None
    """Of that one run, if it is known."""
    tokens: "Tokens" = {}  # noqa: RUF012 - never changed
    """By type, with their cost (names.USAGE_KEYS)."""
    is_incomplete: bool = False
    """The final usage of some request is missing: the tokens are a lower bound."""
    run_id: "str | None" = None

    @property
    def moment(self) -> float:
        """When the run ended, in seconds since 1970."""
        return parse_timestamp(self.timestamp)


def parts_of(event: "Event") -> "list[RunPart]":
    """Return the parts of a run's end, of usage of the main conversation, of a difference (`ended_runs`), or of a line of the archive."""
    if event["action"] == names.TASK_AMENDED:
        return _parts_of_difference(event)
    if event["action"] == ARCHIVED:
        return [_archived_part(event)]
    outcome = names.OUTCOMES.get(event["action"])
    shares = event.get("models") or {event.get("model") or names.UNKNOWN_MODEL: event.get("tokens") or _untyped(event)}
    return _shares(event, shares, outcome, 0 if outcome is None else 1)


def _shares(event: "Event", shares: "Shares", outcome: "str | None", runs: int) -> "list[RunPart]":
    """Return a part for each model of an event, that with the most tokens with the runs and their duration."""
    is_one = len(shares) == 1
    most = next(iter(shares)) if is_one else max(shares, key=lambda model: (_total(shares[model]), model))
    get = event.get
    seconds = get("duration_seconds") if runs else None
    whole = RunPart(
        event["timestamp"], event["agent"], outcome, most, get("project"), get("conversation_id"), runs, seconds,
        shares[most] or {}, bool(get("usage_incomplete")), get("run_id"),
    )  # fmt: skip
    if is_one:
        return [whole]
    others = {model: tokens or {} for model, tokens in shares.items() if model != most}
    return [
        whole,
        *(whole._replace(model=model, runs=0, duration_seconds=None, tokens=others[model]) for model in others),
    ]


def _archived_part(line: "Event") -> "RunPart":
    """Return what a line of the archive counts; it has the sum of its runs' seconds only, which no median can be made of."""
    get = line.get
    tokens = {kind: line[kind] for kind in names.USAGE_KEYS if kind in line}
    run = line["timestamp"], line["agent"], get("outcome"), line["model"], get("project")
    return RunPart(*run, runs=get("runs", 0), tokens=tokens, is_incomplete=get("incomplete", False))


def _total(tokens: "Tokens | None") -> int:
    return names.total_tokens(tokens) if tokens else 0


def _untyped(event: "Event") -> "Tokens":
    """Return the tokens of an event that doesn't know their types."""
    number = event.get("tokens_used")
    return {"untyped": round(number)} if number else {}


def _parts_of_difference(amendment: "Event") -> "list[RunPart]":
    """Return the differences that an amendment makes where the end itself is counted elsewhere, or there is none.

    Of a run whose outcome it changes, all is taken back from the one and given to the other. An amendment that leaves
    the outcome doesn't name it, nor do its parts.
    """
    before, now = _shares_before_and_now(amendment)
    outcome = amendment.get("outcome")
    if outcome is None:
        return _shares(
            amendment, {model: _change(before.get(model), now.get(model)) for model in {**before, **now}}, None, 0
        )
    timeless = {**amendment, "duration_seconds": None}
    gone = _shares(timeless, before, amendment.get("previous_outcome"), 1)
    return [*map(_negated, gone), *_shares(timeless, now, outcome, 1)]


def _shares_before_and_now(amendment: "Event") -> "tuple[Shares, Shares]":
    """Return a run's tokens by model as they were counted before an amendment, and as they are after it."""
    get = amendment.get
    models, model, tokens = get("models") or {}, get("model") or names.UNKNOWN_MODEL, get("tokens")
    if "previous_models" not in amendment:  # nothing was measured before
        now = models or {model: tokens or _untyped(amendment)}
        return dict.fromkeys(now), now
    of_models, of_model = get("previous_models") or {}, get("previous_tokens")
    before = of_models or {get("previous_model") or names.UNKNOWN_MODEL: of_model}
    if models:
        return before, {name: changed_tokens(of_models.get(name), change) for name, change in models.items()}
    return before, {model: changed_tokens(of_model, tokens) or ({} if of_model else _untyped(amendment))}


def _change(before: "Tokens | None", now: "Tokens | None") -> "Tokens":
    return names.added_tokens(now or {}, {kind: -number for kind, number in (before or {}).items()})


def _negated(part: RunPart) -> RunPart:
    return part._replace(runs=-part.runs, tokens={kind: -number for kind, number in part.tokens.items()})


def ended_runs(
    read: "Read", since: "float | None" = None, renamed: "Mapping[str, str] | None" = None
) -> "Iterator[Event]":
    """Yield the end of each run once, as it was amended, under the present key of its agent, and the main conversation's usage.

    `read(since, awaited)` yields batches of events, newest first, each after the moment at which it was last written. It may
    leave out ends before the moment `since` while no run is `awaited`; no batch is asked for that can hold nothing else. Their
    timestamps must be as this package writes them, so that they compare as texts: parsing each would take a tenth of all time.
    Events before `since` (None: the beginning) may come, too. An amendment of no run, or of one whose end is gone, comes as it
    is: a difference. `renamed` has the present keys of agents by former ones.
    """
    earliest, beginning = (float("-inf"), "") if since is None else (since, format_timestamp(since))
    keys = dict(renamed or {})
    amendments: dict[str, list[Event]] = {}
    awaited: set[str] = set()  # runs whose amended end may be in the window, wherever their first end is
    is_past = False
    for written, events in read(earliest, awaited):
        if is_past and written < earliest and not awaited:
            return
        is_past = True
        for event in events:
            is_young = event["timestamp"] >= beginning  # clocks jump: only a whole old batch ends it
            is_past = is_past and not is_young
            action, run_id = event["action"], event.get("run_id")
            if action == names.AGENT_RENAMED:
                new: str = event["to"]
                keys[event["agent"]] = keys.get(new, new)
            elif action == names.TASK_AMENDED and run_id:
                amendments.setdefault(run_id, []).append(event)
                if is_young:
                    awaited.add(run_id)
            elif action in _COUNTED or action == names.TASK_AMENDED:
                end = event
                for amendment in reversed(amendments.pop(run_id, ()) if run_id else ()):
                    end = amended(end, amendment)
                awaited.discard(run_id or "")
                yield {**end, "agent": keys[end["agent"]]} if end["agent"] in keys else end
    for event in (event for later in amendments.values() for event in later):
        yield {**event, "agent": keys.get(event["agent"], event["agent"])}
