"""The events that follow from the facts of a session, and that no hook has recorded yet."""

import time

from otel_tracker import names
from otel_tracker.integrations.claude_code.runs import agent_types, outcome
from otel_tracker.integrations.claude_code.runs.end_event import end_of, named_model, origin_of
from otel_tracker.integrations.claude_code.runs.run import event_id
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.ending import CLEAN, IN_BETWEEN
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED
from otel_tracker.integrations.claude_code.transcripts.transcript import read_transcript
from otel_tracker.runtime.owner import boot_clock
from otel_tracker.state import event
from otel_tracker.state.amendment import amendment_of
from otel_tracker.storage.quick_read import glance
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.integrations.claude_code.runs.outcome import Verdict
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.runs.session import Session
    from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home


_FLUSH_SECONDS, _PAUSE_SECONDS = 1.0, 0.025  # Claude Code writes a transcript's last line 20 to 50 ms after the event
READING_SECONDS = 2.5  # of the 5 that most hooks have at least
_MANY_EVENTS = 50
_FORK = "fork"  # the type whose transcript begins with a copy of its launcher's


class Recording:
    """What a hook has to record.

    `now` is its moment, in seconds since 1970; `folder` is where Claude Code works. From `reads_until` on, a moment of
    `time.monotonic`, no more of long transcripts is read.
    """

    def __init__(
        self,
        session: "Session",
        home: "Home",
        now: float,
        folder: "str | None" = None,
        reads_until: "float | None" = None,
    ) -> None:
        self.session, self.now = session, now
        self.home, self._folder = home, folder
        self._events: list[Event] = []
        self._ends: list[tuple[Run, Event]] = []  # what the events will have said
        self._starts: list[Run] = []
        self._keys: dict[str, str] = {}  # of agents, by their types
        self._waits_until = time.monotonic() + _FLUSH_SECONDS
        self._reads_until = time.monotonic() + READING_SECONDS if reads_until is None else reads_until
        if session.unsaid is not None:  # a hook was killed between the journal and the session's file
            self._say(session.unsaid)

    def judge(
        self,
        run: "Run",
        *,
        is_gone: bool = False,
        is_over: bool = False,
        is_left: bool = False,
        is_listed: bool = False,
    ) -> None:
        """Make the events that follow from what is known of a run: its start, its end, or what amends that.

        Claude Code no longer counts it among the running ones where it `is_gone`, and would list it if it ran where it
        `is_listed`; its session has ended where it `is_over`, and the user has ended it where it `is_left`.
        """
        if not (run.is_unknown_type or self.session.has_come_into_being(run)):
            if run.tool_use_id in self.session.permits:
                self.give_back(run.tool_use_id)
            return
        known = self._known_end(run)
        is_looked_back_at = is_gone or is_over
        is_open = run.report is None and known is None and not is_looked_back_at
        found = None if is_open else self._transcript(run, is_just_reported=known is None and not is_looked_back_at)
        if known is not None and known.get("models") and found is None:
            return  # what was read of the transcript holds, although it is no longer there
        if found is not None and found.is_partial:
            run.is_fresh = True  # the next hook reads on
            if known is not None:
                return
        silence = self._silence_of(run) if is_listed else 0.0
        is_over = is_over or known is not None
        verdict = outcome.verdict(run, found, is_gone=is_gone, is_over=is_over, is_left=is_left, silence=silence)
        if verdict is None:
            self._start(run)
            return
        if not self._identify(run, found, is_over=is_over):
            return
        ended = self._ended(run, verdict, found)
        news = ended if known is None else amendment_of(known, {**ended, "id": _amendment_id(known, ended)})
        if news is not None:
            self._events.append(news)
            self._ends.append((run, ended))

    def give_back(self, tool_use_id: str) -> None:
        """Return the permit of a launch that has not come about."""
        permit = self.session.permits.pop(tool_use_id)
        known = {"agent": permit["agent"], "permit": permit["run_id"], "id": event_id(permit["run_id"], "returned")}
        known |= {"conversation_id": self.session.id, "tool_use_id": tool_use_id, "reason": "not launched"}
        self._events.append(event.happened(names.PROBE_RETURNED, self.now, **known))

    def write(self) -> None:
        """Record the events. What they say is kept before: where recording fails, the next hook does it."""
        if self._events:
            ends, starts = [ended for _, ended in self._ends], [run.run_id for run in self._starts]
            self.session.unsaid = {"events": self._events, "ends": ends, "starts": starts}
            self._events, self._ends, self._starts = [], [], []
            self.session.save()
            self._say(self.session.unsaid)
        self.session.save()

    def write_if_many(self) -> None:
        """Record the events if that are so many that a hook's time may end before the rest is found."""
        if len(self._events) >= _MANY_EVENTS:
            self.write()

    def _say(self, unsaid: "dict[str, Any]") -> None:
        """Record events, which counts each once however often it is done, and note what they have said."""
        store, runs = Store(self.home), {run.run_id: run for run in self.session.runs}
        is_start_only = all(happened["action"] == names.TASK_STARTED for happened in unsaid["events"])
        (store.announce if is_start_only else store.record)(unsaid["events"], may_repeat=True)
        for run_id in unsaid["starts"]:
            runs[run_id].is_started = True
        for ended in unsaid["ends"]:
            runs[ended["run_id"]].said = ended
        self.session.unsaid = None

    def _known_end(self, run: "Run") -> "Event | None":
        return next((ended for judged, ended in reversed(self._ends) if judged is run), run.said)

    def _transcript(self, run: "Run", *, is_just_reported: bool) -> "Transcript | None":
        """Read a run's transcript, which may lack its last line for a moment after its end was reported.

        A run that has reached the limit of its turns looks the same, and its hook waits for nothing.
        """
        parts = self.session.transcripts_of(run.agent_id, run.transcript)
        if not parts:
            return None
        began = run.began or (run.reported and run.took and run.reported - run.took)
        since = began if run.agent_type == _FORK else None
        found = self._read(run, parts, since)
        until = self._waits_until if is_just_reported and run.report == COMPLETED else 0.0
        while found is not None and found.ending in IN_BETWEEN and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
            found = self._read(run, parts, since)
        if found is not None and found.ending in IN_BETWEEN and run.is_stopped and self.session.is_of_workflow(run):
            found.ending = CLEAN  # agents of a workflow give their result by calling a tool
        return found

    def _read(self, run: "Run", parts: "list[str]", since: "float | None") -> "Transcript | None":
        """Read on in a transcript, as far as the hook's time allows."""
        found = read_transcript(parts[0], since, run.reading, self._reads_until, parts[1:])
        if found is not None:
            run.reading = found.reading
        return found

    def _silence_of(self, run: "Run") -> float:
        """Return for how many seconds nothing has come to a run's transcript."""
        path = self.session.transcript_of(run.agent_id, run.transcript)
        written = places.modified(path) if path is not None else None
        return 0.0 if written is None else self.now - written

    def _start(self, run: "Run") -> None:
        if run.is_started or run in self._starts or not self._identify(run):
            return
        started = event.task_started(
            str(run.agent),
            run.began or self.now,
            run_id=str(run.run_id),
            model=named_model(run.model),
            task_id=run.agent_id or run.tool_use_id,
            owner=self.session.process,
            clock=boot_clock(),
            loss_error=outcome.SESSION_ENDED,
        )
        self._events.append({**started, **origin_of(run, self.session.id)})
        self._starts.append(run)

    def _ended(self, run: "Run", verdict: "Verdict", found: "Transcript | None") -> "Event":
        return end_of(
            run,
            verdict,
            found,
            session_id=self.session.id,
            outages_of_session=self.session.outages,
            launcher_run_id=self._launcher_run_id(run),
            now=self.now,
        )

    def _launcher_run_id(self, run: "Run") -> "str | None":
        """Return as which task the run is recorded that launched another one, None if the main agent has launched it."""
        launcher = run.launcher or self.session.launcher_of(run)
        if launcher is None:
            return None
        parent = self.session.run(launcher, None)
        return (parent.run_id if parent else None) or self.session.run_id_of(launcher)

    def _identify(self, run: "Run", found: "Transcript | None" = None, *, is_over: bool = False) -> bool:
        """Settle as which task of which agent a run is recorded; False while nothing tells of which agent it is."""
        if run.agent is None:
            kind = self.session.sidecar_of(run.agent_id).get("agentType") or run.agent_type or (found and found.agent)
            if kind is None and run.report is None and not is_over:
                return False  # nothing has said what runs: a launch only says what it wants
            kind = kind or run.wished_type
            run.agent = (
                agent_types.UNKNOWN_AGENT if run.is_unknown_type else self._key_of(kind or agent_types.DEFAULT_TYPE)
            )
        permits = self.session.permits
        launch = run.tool_use_id or self.session.unlinked_permit(run)
        if launch is not None and launch in permits:
            if permits[launch]["agent"] == run.agent:
                run.note(tool_use_id=launch, run_id=permits.pop(launch)["run_id"])
            else:
                self.give_back(launch)
        run.note(run_id=self.session.run_id_of(run.agent_id, run.tool_use_id))
        return True

    def _key_of(self, agent_type: str) -> str:
        """Return the key of the agent that a type means; one that has a file is registered, so that the gate knows it."""
        if agent_type not in self._keys:
            found = agent_types.resolved(glance(self.home, agent_type), agent_type, self._folder, self.home)
            if found.new_name is not None:
                self._events.append(
                    event.happened(names.AGENT_REGISTERED, time.time(), agent=found.key, name=found.new_name)
                )
            self._keys[agent_type] = found.key
        return self._keys[agent_type]


def _amendment_id(known: "Event", ended: "Event") -> str:
    """Return the id of the event that makes one end of another, which may be made twice, and counts once."""
    said = {key: value for key, value in ended.items() if key != "id"}
    return event_id(known["id"], repr(sorted(said.items())))
