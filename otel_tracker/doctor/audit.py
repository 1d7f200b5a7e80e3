"""An audit of the journal: faults in its lines, and the totals of its events, counted by other code than the fold.

One segment at a time is in memory, and some 60 bytes for each event: the ended runs and the ids, as 64 bits of a hash.
"""

import json
import os
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_tracker import names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.agent_entry import TASK_COUNTERS, is_reported_late
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.resolve import as_news
from otel_tracker.state.roster import is_about_removed, with_present_keys
from otel_tracker.state.shapes import Event
from otel_tracker.state.token_use import shares_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.replay import Replay
    from otel_tracker.storage.parts import Parts


_TASKS, _TOKENS = "tasks_total", "tokens"
_BY_OUTCOME = {outcome: counters[0] for outcome, counters in TASK_COUNTERS.items()}
COUNTERS = (_TASKS, *dict.fromkeys(_BY_OUTCOME.values()), _TOKENS)
"""What is added up for each agent, and of main conversations, which have tokens only."""
_BACK_SECONDS = 3600.0

Totals = dict[str | None, dict[str, int]]  # by agent, None for main conversations, and by counter


class Repeated(NamedTuple):
    """How many events repeat an earlier one, and the number of the first of them."""

    events: int
    first: int


class EndedRuns:
    """The runs that have ended so far. A lost run may end once more."""

    def __init__(self) -> None:
        self._runs: set[int] = set()
        self._lost: dict[str, Event] = {}

    def note(self, event: Event) -> "Event | None":
        """Note the end of a run. Return the loss that it amends; or the event itself, if it repeats an end; else None."""
        run_id = event["run_id"]
        lost = self._lost.get(run_id)
        is_lost = event["action"] == names.TASK_LOST
        if lost is not None and not is_lost and lost["agent"] == event["agent"]:
            return self._lost.pop(run_id)
        if hash(run_id) in self._runs:
            return event
        self._runs.add(hash(run_id))
        if is_lost:
            self._lost[run_id] = event
        return None


class Audit:
    """What the journal holds.

    `totals` are those of all events up to each of the numbers in `marks`, repeated ones and discarded ones left out.
    """

    def __init__(
        self, replay: "Replay", marks: list[int], before: list[Event], renamed: "dict[str, str] | None" = None
    ) -> None:
        """`before` are ends from before the journal's first event, which documents have; `renamed` are former keys."""
        self.lines = self.events = self.damaged = 0
        self.segments = 0
        self.gaps: list[tuple[int, int]] = []
        self.disordered: list[str] = []
        """Segments whose numbers don't continue those of the one before, or don't begin with the number in the file's name."""
        self.newest, self.newest_number = 0.0, 0
        self.set_back: list[int] = []
        """The numbers of events before which the clock was put back by more than an hour."""
        self.totals: dict[int, Totals] = {}
        self.ends = Repeated(0, 0)
        self.unfolded = 0
        """Events after the last of the `marks`, without those that wait for the next one (names.UNLISTED)."""
        self._replay, self._marks = replay, sorted(set(marks), reverse=True)
        self.moves: list[tuple[int, str, str | None]] = []
        """Renamings and removals of agents up to the last mark: the event's number, the old key, the new key or None."""
        self._sums: Totals = {}
        self._roster: dict[str, Any] = {"renamed": renamed or {}, "removed": {}, "agents": self._sums}
        self._ids, self._numbers = array("q"), array("q")
        self._amended: set[str] = set()
        self._moment = float("-inf")
        self.last = 0
        self._ended = EndedRuns()
        for end in before:
            self._ended.note(end)

    def read(self, parts: "Parts") -> None:
        """Read every line of every segment."""
        for segment in parts.journal.segments():
            read = parts.files.read(segment)
            lines = (read[1] if read else b"").split(b"\n")[:-1]
            self.segments += 1
            self.lines += len(lines)
            is_first = True
            for line in lines:
                event = _parsed(line)
                if event is None:
                    self.damaged += 1
                    continue
                if event["seq"] <= self.last or (is_first and _name(segment) > event["seq"]):
                    self.disordered += [segment] if segment not in self.disordered[-1:] else []
                is_first = False
                self.take(event)
        self.finish()

    def finish(self) -> None:
        """Note that nothing comes after the last event."""
        self._mark(float("inf"))

    def repeated_ids(self) -> Repeated:
        """Return how many events have an id that an earlier one has."""
        hashes = sorted(self._ids)
        double = {one for one, other in pairwise(hashes) if one == other}
        seen: set[int] = set()
        repeated = Repeated(0, 0)
        for one, number in zip(self._ids, self._numbers, strict=True) if double else ():
            if one in seen:
                repeated = Repeated(repeated.events + 1, repeated.first or number)
            elif one in double:
                seen.add(one)
        return repeated

    def leads_on(self, sequence: int, until: int) -> bool:
        """Tell whether the journal has each event after the number `sequence`, up to `until`, and none was discarded."""
        is_whole = not any(before < until and after > sequence + 1 for before, after in self.gaps)
        return sequence <= until <= self.last and is_whole and not self._replay.has_discarded(sequence)

    def take(self, event: Event) -> None:
        """Take the next event into account."""
        number = event["seq"]
        self._mark(number)
        if number > self.last + 1:
            self.gaps.append((self.last, number))
        self.last = max(self.last, number)
        self.events += 1
        self.unfolded += not self._marks and event["action"] not in names.UNLISTED
        self._ids.append(hash(event["id"]))
        self._numbers.append(number)
        self._look_at_clock(event)
        if not self._replay.has_discarded(event["seq"]):
            self._count(event)

    def _mark(self, number: float) -> None:
        while self._marks and self._marks[-1] < number:
            self.totals[self._marks.pop()] = {agent: dict(sums) for agent, sums in self._sums.items()}

    def _look_at_clock(self, event: Event) -> None:
        if is_reported_late(event):
            return
        moment = parse_timestamp(event["timestamp"])
        if moment < self._moment - _BACK_SECONDS:
            self.set_back.append(event["seq"])
        self._moment = moment
        if moment > self.newest:
            self.newest, self.newest_number = moment, event["seq"]

    def _count(self, event: Event) -> None:
        event = with_present_keys(self._roster, event)
        if event["action"] == names.AGENT_REGISTERED:
            self._roster["renamed"].pop(event["agent"], None)
        elif event["action"] in (names.AGENT_RENAMED, names.AGENT_REMOVED):
            self._move(event)
        elif event["action"] == names.TASK_AMENDED:
            if event["id"] not in self._amended and not is_about_removed(self._roster, event):
                self._amended.add(event["id"])
                self._amend(event)
        elif event["action"] == names.USAGE_RECORDED:
            self._add_tokens(event, None, None, event["models"], 1)
        elif event["action"] in names.OUTCOMES:
            earlier = self._ended.note(event)
            if earlier is event:
                self.ends = Repeated(self.ends.events + 1, self.ends.first or event["seq"])
                return
            self._add(event, _TASKS, earlier is None)
            self._add(event, _BY_OUTCOME[names.OUTCOMES[event["action"]]], 1)
            self._add_tokens(event, event.get("model"), event.get("tokens"), event.get("models"), 1)
            if earlier is not None:
                self._add(event, _BY_OUTCOME[names.OUTCOMES[earlier["action"]]], -1)
                self._add_tokens(event, earlier.get("model"), earlier.get("tokens"), earlier.get("models"), -1)

    def _move(self, event: Event) -> None:
        """Move an agent's counts to its new key, in all totals so far; drop those of a removed agent."""
        old, new = event["agent"], event.get("to")
        renamed = {key: present for key, present in self._roster["renamed"].items() if present != old and key != new}
        if new is None:
            self._roster["removed"][old] = event["timestamp"]
        else:
            renamed |= {key: new for key, present in self._roster["renamed"].items() if present == old and key != new}
            renamed[old] = new
        self._roster["renamed"] = renamed
        moved(self._sums, old, new)
        if self._marks:
            self.moves.append((event["seq"], old, new))
            for totals in self.totals.values():
                moved(totals, old, new)

    def _amend(self, event: Event) -> None:
        for key, change in (("previous_outcome", -1), ("outcome", 1)):
            if event.get(key):
                self._add(event, _BY_OUTCOME[event[key]], change)
        before, tokens = event.get("previous_models"), event.get("previous_tokens")
        models, model = event.get("models") or {}, event.get("model")
        if before is None:
            self._add_tokens(event, model, event.get("tokens"), models, 1)
            return
        models = {name: _changed(before.get(name), change) for name, change in models.items()}
        self._add_tokens(event, model, _changed(tokens, event.get("tokens")), models, 1)
        self._add_tokens(event, event.get("previous_model"), tokens, before, -1)

    def _add_tokens(self, event: Event, model: "str | None", tokens: Any, models: Any, sign: int) -> None:
        shares = shares_of(model, tokens, models or {}).values()
        self._add(event, _TOKENS, sign * sum(names.total_tokens(share) for share in shares if share))

    def _add(self, event: Event, counter: str, number: int) -> None:
        sums = self._sums.setdefault(event["agent"], dict.fromkeys(COUNTERS, 0))
        sums[counter] += number


def moved(totals: Totals, old: str, new: "str | None") -> None:
    """Add the totals of an agent, in place, to those of its new key; with None drop them."""
    sums = totals.pop(old, {})
    if new is not None:
        there = totals.setdefault(new, dict.fromkeys(COUNTERS, 0))
        for counter, number in sums.items():
            there[counter] += number


def totals_of(document: "Document") -> Totals:
    """Return the totals that a document has."""
    totals: Totals = {
        key: {
            **{counter: agent["metrics"][counter] for counter in COUNTERS[:-1]},
            # A person has added a model without any counted task.
            _TOKENS: sum(use["total"] for use in agent["token_usage"].values() if use["count"]),
        }
        for key, agent in document.agents.items()
    }
    return {**totals, None: {_TOKENS: sum(use["total"] for use in document.main_conversation["models"].values())}}


def _changed(tokens: Any, change: Any) -> Any:
    return None if change is None else names.added_tokens(tokens or {}, change)


def _parsed(line: bytes) -> "Event | None":
    try:
        event: Event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if is_event(event) else None


def _name(segment: str) -> int:
    return int(os.path.basename(segment).partition(".")[0])


def distinct(events: "Iterator[Event]", before: list[Event]) -> "Iterator[Event]":
    """Yield `events` without repeated ends of runs; the end of a lost run is yielded as the difference to its loss.

    `before` are earlier ends.
    """
    ended = EndedRuns()
    for end in before:
        ended.note(end)
    for event in events:
        earlier = ended.note(event) if event["action"] in names.OUTCOMES else None
        news = as_news(event, earlier) if earlier is not event else None
        if news is not None:
            yield news
