"""Records the past: runs, and requests of main conversations, that transcripts tell of, each once, whoever has told of it before.

What holds, and what makes it hold:

1. A run that hooks have heard of is theirs: a file of theirs names its agent or its launch. They go on from the end that they have
   recorded, also in amendments, and a second writer of amendments would count a difference twice.
2. A session that was written to within the last hour is left to hooks, or to the next import: its runs may still end otherwise.
3. Any other run has the run_id that hooks would give it, so that the journal recognises it. The ledger (runs/ledger.py) knows
   it when the journal no longer does, and in a copy that lacks one of its ids.
4. A request of a main conversation is the hooks' if its session was watched then (runs/watched.py). Any other is known by its
   message, of which the ledger has the id. Those of a session and a quarter of an hour are one event, whose id says which they are.
5. Events are recorded first, and the ledger is written when they are on the disk. A process that is killed in between leaves
   nothing that the next one counts again.
6. A folder that is as it was when it was read to its end isn't read again. Folders that have parts of one session, or of one agent,
   are read together: copies of a history count once, for the one who had it first.

A run is recorded as it is known when it is imported, and that stays: what an agent does that is woken in an hour to come is
recorded if hooks see it.
"""

from contextlib import contextmanager
from operator import itemgetter

from otel_tracker import names
from otel_tracker.integrations.claude_code.past.history import PastHistory
from otel_tracker.integrations.claude_code.past.scan import facts_of
from otel_tracker.integrations.claude_code.past.unread import Unread
from otel_tracker.integrations.claude_code.past.usage_parts import QUARTER_SECONDS
from otel_tracker.integrations.claude_code.runs import ledger, lineage, session_files
from otel_tracker.integrations.claude_code.runs.run import event_id, ids_of
from otel_tracker.integrations.claude_code.runs.watched import watched_since
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import event
from otel_tracker.storage import lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_tracker.integrations.claude_code.past.agent_keys import AgentKeys
    from otel_tracker.integrations.claude_code.past.request_table import Request
    from otel_tracker.integrations.claude_code.past.transcript_files import TranscriptFile
    from otel_tracker.integrations.claude_code.past.tree_facts import Conversation
    from otel_tracker.integrations.claude_code.past.unread import Group
    from otel_tracker.state.prices import Cost
    from otel_tracker.state.shapes import Event, Tokens
    from otel_tracker.storage.home import Home

    Show = Callable[[int, int], None]
    """Shows how many bytes are done, of how many."""

_INSTANT = 0.001  # before the first request, since an interval begins after its `started`
_BATCH = 1000  # events: hooks wait for the locks meanwhile, for less than a tenth of a second
_OF_SPAN = ("trace_id", "span_id", "parent_span_id", "unexported")  # whose span nobody would expect today


class Import:
    """One import into a home. `events` does it; the numbers then say what else was there.

    sessions    those of the folders that were read
    unchanged   folders that were not, since they are as they were at the last import
    known       runs that were counted before; known_requests: of main conversations
    going_on    runs that are left, since their session may go on
    unreadable  lines, and files, that can't be read
    """

    def __init__(
        self,
        home: "Home",
        keys: "AgentKeys",
        cost: "Cost",
        now: float,
        since: "float | None" = None,
        *,
        is_dry_run: bool = False,
    ) -> None:
        """Only what happened since a moment is imported; moments are in seconds since 1970. A dry run writes nothing."""
        self._home, self._keys, self._cost, self._now, self._since = home, keys, cost, now, since
        self._is_dry_run, self._files, self._store = is_dry_run, Files(), Store(home)
        self._hooks = _Hooks(home, self._files)
        self.sessions = self.unchanged = self.going_on = self.unreadable = 0
        self.known = self.known_requests = 0

    def events(self, paths: "Iterable[str]", show: "Show") -> "Iterator[Event]":
        """Import what is below paths (transcript_files.py), and yield the events when they are recorded.

        Raises StorageError: what was yielded is recorded, and another import goes on there.
        """
        with self._alone():
            counted = ledger.Ledger(self._home, self._files)
            unread = Unread(paths, counted, self._since)
            self.unchanged = unread.unchanged
            progress = _Progress(sum(group.size for group in unread.groups), show)
            for group in unread.groups:
                yield from self._take(group, counted, progress)
            progress.finish()

    def _take(self, group: "Group", counted: ledger.Ledger, progress: "_Progress") -> "Iterator[Event]":
        facts = facts_of(group.files, progress.add)
        history = PastHistory(facts, self._now, self._cost, self._keys.key_of)
        self.sessions += history.sessions
        self.unreadable += history.unreadable
        ends, (groups, of_hooks) = self._new_ends(history, counted), self._new_requests(history, counted)
        usages = [self._usage(conversation, requests) for (conversation, _), requests in groups.items()]
        new = [self._permitted(one) for one in (*map(_imported, ends), *usages) if one is not None]
        new.sort(key=itemgetter("timestamp"))
        for first in range(0, len(new), _BATCH):
            yield from self._record(new[first : first + _BATCH])
        runs = [one for end in ends for one in _names_of(end)]
        messages = [message for requests in groups.values() for message in requests] + of_hooks
        if self._is_dry_run:
            counted.note(runs=runs, requests=messages)
            return
        is_over = all(conversation.is_over(self._now) for conversation in facts.conversations.values())
        counted.add(runs=runs, requests=messages, folders=group.states if is_over else None, since=self._since)

    def _new_ends(self, history: PastHistory, counted: ledger.Ledger) -> "list[Event]":
        """Return the ends of the runs that are to be recorded, and count the others."""
        new = []
        for run in history.runs:
            if run.end is None or not run.conversation.is_over(self._now):
                self.going_on += 1
            elif self._since is None or parse_timestamp(run.end["timestamp"]) >= self._since:
                if counted.knows_run(*_names_of(run.end)) or self._hooks.have(run.end):
                    self.known += 1
                else:
                    new.append(run.end)
        return new

    def _new_requests(
        self, history: PastHistory, counted: ledger.Ledger
    ) -> "tuple[dict[tuple[Conversation, int], dict[str, Request]], list[str]]":
        """Return the requests that are to be recorded, by message, for each session and quarter of an hour.

        Also return the messages of those that hooks have counted: copies may outlive the session. A quarter in which `since` lies is taken whole: two imports must not tell different parts of it.
        """
        new: dict[tuple[Conversation, int], dict[str, Request]] = {}
        of_hooks: list[str] = []
        first = float("-inf") if self._since is None else self._since // QUARTER_SECONDS
        for (conversation, request), message in zip(history.requests, history.messages, strict=True):
            quarter = int(request.at // QUARTER_SECONDS)
            if quarter < first or not conversation.is_over(self._now):
                continue
            if counted.knows_request(message):
                self.known_requests += 1
            elif self._hooks.have_watched(conversation.id, request.at, counted):
                self.known_requests += 1
                of_hooks.append(message)
            else:
                new.setdefault((conversation, quarter), {})[message] = request
        return new, of_hooks

    def _usage(self, conversation: "Conversation", requests: "dict[str, Request]") -> "Event | None":
        """Return the event of what some requests of a session have used, None for nothing."""
        models: dict[str, Tokens] = {}
        for request in requests.values():
            for model, tokens, _ in request.priced_shares(self._cost):
                models[model] = names.added_tokens(models[model], tokens) if model in models else tokens
        if not models:
            return None
        moments = [request.at for request in requests.values()]
        usage = event.usage_recorded(
            conversation.id,
            min(moments) - _INSTANT,
            max(moments),
            models,
            event_id=event_id(conversation.id, "\0".join(sorted(requests))),
            usage_incomplete=not all(request.is_final for request in requests.values()),
            project=conversation.project,
        )
        return {**usage, "imported": True}

    def _permitted(self, one: "Event") -> "Event":
        """Return an event without its project if a setting keeps that out."""
        if self._keys.settings.record_project:
            return one
        return {key: value for key, value in one.items() if key != "project"}

    def _record(self, events: "list[Event]") -> "list[Event]":
        """Record events, and return those that are new, as they are recorded."""
        if self._is_dry_run:
            new = self._store.new_among(events)
        else:
            named = self._keys.take_new_names({one["agent"] for one in events})
            registered = [
                event.happened(names.AGENT_REGISTERED, self._now, agent=key, name=name) for key, name in named
            ]
            recorded = self._store.record([*registered, *events], may_repeat=True)
            new = [one for one in recorded if one.get("imported")]
        self.known += _runs_in(events) - _runs_in(new)
        return new

    @contextmanager
    def _alone(self) -> "Iterator[None]":
        """Exclude other imports into the home; a dry run writes nothing, the lock neither."""
        if self._is_dry_run:
            yield
            return
        with lock.held(f"{ledger.path_of(self._home)}.import.lock", self._files):
            yield


class _Progress:
    """How many bytes have been read, of how many."""

    def __init__(self, size: int, show: "Show") -> None:
        self._size, self._show, self._done = size, show, 0

    def add(self, file: "TranscriptFile") -> None:
        """Show that a file is read."""
        self._done += file.size
        self._show(self._done, self._size)

    def finish(self) -> None:
        """Show that all is done: of copies only one is read."""
        self._show(self._size, self._size)


class _Hooks:
    """What hooks have heard of, by the files of sessions."""

    def __init__(self, home: "Home", files: Files) -> None:
        self._home, self._files = home, files
        self._ids: dict[str, set[str]] = {}
        self._watched_since: dict[str, float | None] = {}

    def have(self, end: "Event") -> bool:
        """Tell whether a run is the hooks' to record, by the event of its end."""
        if lineage.owner_of(self._home, end.get("agent_id")) is not None:
            return True
        return not self._of_session(end["conversation_id"]).isdisjoint(_names_of(end))

    def _of_session(self, session_id: str) -> "set[str]":
        if session_id not in self._ids:
            path = session_files.path_of(self._home, session_id)
            facts = session_files.facts_in(self._home, path, self._files) or {}
            self._ids[session_id] = {one for run in facts.get("runs", []) for one in ids_of(run)}
        return self._ids[session_id]

    def have_watched(self, session_id: str, at: float, counted: ledger.Ledger) -> bool:
        """Tell whether hooks count what a session's main conversation asked for at a moment."""
        if session_id not in self._watched_since:
            self._watched_since[session_id] = watched_since(self._home, session_id, self._files)
        since = self._watched_since[session_id]
        return (since is not None and at > since) or counted.was_watched(session_id, at)


def _runs_in(events: "list[Event]") -> int:
    return sum(one["action"] != names.USAGE_RECORDED for one in events)


def _names_of(end: "Event") -> "list[str]":
    """Return the ids by which a run is known; the run_id where Claude Code has given it none."""
    return ids_of(end) or [end["run_id"]]


def _imported(end: "Event") -> "Event":
    kept = {key: value for key, value in end.items() if key not in _OF_SPAN}
    return {**kept, "id": event_id(end["run_id"], "imported"), "imported": True}
