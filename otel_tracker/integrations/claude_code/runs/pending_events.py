"""The events that follow from the facts of a session and that no hook has recorded yet.

To know first: a hook may be killed at any moment, and another hook then does the rest. So the steps are in this order.

1. `judge` only adds events to a list. It first looks whether a launch has become a run at all, then reads the transcript
   (which takes longest, and is bounded), then decides on a verdict, and only then on the agent and the task that the run
   is recorded as: the transcript may name the agent.
2. `write` saves the events in the session's file before it puts them into the journal, and takes them out of that file
   only afterwards. A hook that was killed in between leaves them there; the next one records them again when it opens the
   session. An event has the same id each time, so that the store counts it once.
3. A run's end is recorded once. What turns out later is recorded as the difference to the end that was recorded.
"""

import time

from otel_tracker import names
from otel_tracker.integrations.claude_code.runs import agent_types, outcome
from otel_tracker.integrations.claude_code.runs.end_event import end_of, named_model, origin_of
from otel_tracker.integrations.claude_code.runs.run import event_id
from otel_tracker.integrations.claude_code.runs.session_files import READING_SECONDS
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.ending import CLEAN, IN_BETWEEN
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED
from otel_tracker.runtime.owner import boot_clock
from otel_tracker.state import event
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from otel_tracker.integrations.claude_code.runs.outcome import Verdict
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.runs.session import Session
    from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home

_FLUSH_SECONDS, _PAUSE_SECONDS = 1.0, 0.025  # Claude Code writes a transcript's last line 20 to 50 ms after the event
_MANY_EVENTS = 50
_FORK = "fork"  # the type whose transcript begins with a copy of its launcher's


class PendingEvents:
    """What a hook has to record about a session.

    `now` is the moment of the hook, in seconds since 1970; `folder` is the one that Claude Code works in. From `reads_until`
    on, a moment of `time.monotonic`, no more of long transcripts is read.
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
        self._ends: list[tuple[Run, Event]] = []  # the runs whose ends are among the events, as amended
        self._starts: list[Run] = []
        self._keys: dict[str, str] = {}  # of agents, by their types
        self._waits_until = time.monotonic() + _FLUSH_SECONDS
        self._reads_until = time.monotonic() + READING_SECONDS if reads_until is None else reads_until
        if session.unrecorded is not None:  # a hook was killed between the journal and the session's file
            self._record(session.unrecorded)

    def judge(self, run: "Run", situation: str = outcome.RUNNING) -> None:
        """Make the events that follow from the facts of a run: its start, its end, or an amendment of its end.

        `situation` is one of the five in outcome.py.
        """
        if not (run.is_unknown_type or self.session.has_come_into_being(run)):
            if run.tool_use_id in self.session.permits:
                self.give_back(run.tool_use_id)
            return
        previous = self._previous_end(run)
        if previous is not None and situation not in outcome.OVER:
            situation = outcome.SESSION_OVER
        is_unreported = run.report is None and situation == outcome.RUNNING
        transcript = None if is_unreported else self._transcript(run, is_new_report=situation == outcome.RUNNING)
        if previous is not None and previous.get("models") and transcript is None:
            return  # the transcript is gone: the end that was made of it holds
        if transcript is not None and transcript.is_partial:
            run.is_fresh = True  # the next hook reads on
            if previous is not None:
                return
        silence = self._silence_of(run) if situation == outcome.UNLISTED else 0.0
        verdict = outcome.verdict(run, transcript, situation, silence)
        if verdict is None:
            self._start(run)
        elif self._identify(run, transcript, is_over=situation in outcome.OVER):
            self._end(run, previous, self._end_event(run, verdict, transcript))

    def give_back(self, tool_use_id: str) -> None:
        """Return the permit of a launch of which no agent has come."""
        permit = self.session.permits.pop(tool_use_id)
        fields = {"agent": permit["agent"], "permit": permit["run_id"], "id": event_id(permit["run_id"], "returned")}
        fields |= {"conversation_id": self.session.id, "tool_use_id": tool_use_id, "reason": "not launched"}
        self._events.append(event.happened(names.PROBE_RETURNED, self.now, **fields))

    def write(self) -> None:
        """Record the events, saved in the session's file before: if the journal can't be written, the next hook does it."""
        if self._events:
            ends, starts = [end for _, end in self._ends], [run.run_id for run in self._starts]
            self.session.unrecorded = {"events": self._events, "ends": ends, "starts": starts}
            self._events, self._ends, self._starts = [], [], []
            self.session.save()
            self._record(self.session.unrecorded)
        self.session.save()

    def write_if_many(self) -> None:
        """Record the events if they are so many that the hook's time may end before it has judged the other runs."""
        if len(self._events) >= _MANY_EVENTS:
            self.write()

    def _record(self, unrecorded: "dict[str, Any]") -> None:
        """Put events into the journal, and note for their runs that they are there."""
        store, runs = Store(self.home), {run.run_id: run for run in self.session.runs}
        is_start_only = all(happened["action"] == names.TASK_STARTED for happened in unrecorded["events"])
        (store.announce if is_start_only else store.record)(unrecorded["events"], may_repeat=True)
        for run_id in unrecorded["starts"]:
            runs[run_id].is_started = True
        for end in unrecorded["ends"]:
            runs[end["run_id"]].recorded_end = end
        self.session.unrecorded = None

    def _previous_end(self, run: "Run") -> "Event | None":
        return next((end for judged, end in reversed(self._ends) if judged is run), run.recorded_end)

    def _start(self, run: "Run") -> None:
        if not run.is_started and run not in self._starts and self._identify(run):
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

    def _end(self, run: "Run", previous: "Event | None", end: "Event") -> None:
        news: Event | None = end
        if previous is not None:
            from otel_tracker.state.amendment import amendment_of  # here: most runs have a single end

            news = amendment_of(previous, {**end, "id": _amendment_id(previous, end)})
        if news is not None:
            self._events.append(news)
            self._ends.append((run, end))

    def _end_event(self, run: "Run", verdict: "Verdict", transcript: "Transcript | None") -> "Event":
        return end_of(
            run,
            verdict,
            transcript,
            session_id=self.session.id,
            outages_of_session=self.session.outages,
            launcher_run_id=self._launcher_run_id(run),
            project=self._project(),
            now=self.now,
        )

    def _project(self) -> "str | None":
        from otel_tracker.integrations.claude_code.runs.project import project_of  # here: not at a start

        session = self.session
        session.project = project_of(self.home, session.transcript, session.project, self._folder)
        return session.project

    def _launcher_run_id(self, run: "Run") -> "str | None":
        """Return the task that the launcher of a run is recorded as, None for the main agent."""
        launcher = run.launcher or self.session.launcher_of(run)
        if launcher is None:
            return None
        parent = self.session.run(launcher, None)
        return (parent.run_id if parent else None) or self.session.run_id_of(launcher)

    def _transcript(self, run: "Run", *, is_new_report: bool) -> "Transcript | None":
        """Read a run's transcript, whose last line may be missing for a moment after the report of the run's end.

        The transcript of a run that has reached the limit of its turns looks the same: its hook waits in vain.
        """
        parts = self.session.transcripts_of(run.agent_id, run.transcript)
        if not parts:
            return None
        began = run.began or (run.reported and run.took and run.reported - run.took)
        since = began if run.agent_type == _FORK else None
        transcript = self._read(run, parts, since)
        until = self._waits_until if is_new_report and run.report == COMPLETED else 0.0
        while transcript is not None and transcript.ending in IN_BETWEEN and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
            transcript = self._read(run, parts, since)
        is_between = transcript is not None and transcript.ending in IN_BETWEEN
        if transcript is not None and is_between and run.is_stopped and self.session.is_of_workflow(run):
            transcript.ending = CLEAN  # agents of a workflow give their result by calling a tool
        return transcript

    def _read(self, run: "Run", parts: "list[str]", since: "float | None") -> "Transcript | None":
        """Read on in a transcript, as far as the hook's time allows."""
        from otel_tracker.integrations.claude_code.transcripts.transcript_reader import (
            read_transcript,  # here: not at a start
        )

        transcript = read_transcript(parts[0], since, run.reading, self._reads_until, parts[1:], self._cost)
        if transcript is not None:
            run.reading = transcript.reading
        return transcript

    def _cost(self, model: str, tokens: "Mapping[str, int]", at: float, *, speed: "str | None") -> "int | None":
        """Return what a request costs (PriceTable.cost); most hooks ask for none, and needn't load the prices."""
        from otel_tracker.storage.price_file import cost_in

        return cost_in(self.home)(model, tokens, at, speed=speed)

    def _silence_of(self, run: "Run") -> float:
        """Return the seconds since a run's transcript was last written to, 0 if there is none."""
        path = self.session.transcript_of(run.agent_id, run.transcript)
        written = places.modified(path) if path is not None else None
        return 0.0 if written is None else self.now - written

    def _identify(self, run: "Run", transcript: "Transcript | None" = None, *, is_over: bool = False) -> bool:
        """Decide which agent and task this run is recorded as; return False while nothing tells the agent."""
        if run.agent is None:
            agent_type = self._type_of(run, transcript)
            if agent_type is None and run.report is None and not is_over:
                return False  # a launch alone only says which type it asks for
            agent_type = agent_type or run.wished_type or agent_types.DEFAULT_TYPE
            run.agent = agent_types.UNKNOWN_AGENT if run.is_unknown_type else self._key_of(agent_type)
        permits = self.session.permits
        launch = run.tool_use_id or self.session.unlinked_permit(run)
        if launch is not None and launch in permits:
            if permits[launch]["agent"] == run.agent:
                run.note(tool_use_id=launch, run_id=permits.pop(launch)["run_id"])
            else:
                self.give_back(launch)
        run.note(run_id=self.session.run_id_of(run.agent_id, run.tool_use_id))
        return True

    def _type_of(self, run: "Run", transcript: "Transcript | None") -> "str | None":
        """Return the type that runs, None while nothing tells."""
        of_sidecar: str | None = self.session.sidecar_of(run.agent_id).get("agentType")
        return of_sidecar or run.agent_type or (transcript.agent if transcript is not None else None)

    def _key_of(self, agent_type: str) -> str:
        """Return the key of the agent that a type means; an agent that has a file is registered, so that the gate knows it."""
        if agent_type not in self._keys:
            agent = agent_types.resolved(read_quickly(self.home, agent_type), agent_type, self._folder, self.home)
            if agent.new_name is not None:
                now = time.time()
                self._events.append(event.happened(names.AGENT_REGISTERED, now, agent=agent.key, name=agent.new_name))
            self._keys[agent_type] = agent.key
        return self._keys[agent_type]


def _amendment_id(previous: "Event", end: "Event") -> str:
    """Return the id of the event that amends one end to another: two hooks that make it give it the same id."""
    fields = {key: value for key, value in end.items() if key != "id"}
    return event_id(previous["id"], repr(sorted(fields.items())))
