"""One session of Claude Code: the facts that hooks have learned about its sub-agents' runs.

To know first: each hook is a process of its own. Its event may be missing, may be repeated, and may come before an event
that happened earlier. So the file of a session keeps facts and no conclusions; what a run is recorded as is computed anew
from all of its facts each time, and their order doesn't matter (of a woken agent's notifications alone the last one counts).

1. `opened` takes the lock of the session's file before it reads it: two hooks of a session never work on the same facts.
2. A fact belongs to a run, and an event names the run by its agent, by the tool call that launched it, or by both. A run
   heard of under one id may already be there under the other: `run` joins the two. It asks the agent's sidecar first,
   which has both ids, and guesses by the agent's type only where no sidecar is there yet.
3. `save` claims the agents of new runs (lineage.py) before it writes the file: a hook that is killed in between leaves an
   agent that belongs to this session, and no agent that two sessions record.

The file holds no prompts, results or messages.
"""

import os
from contextlib import contextmanager

from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs import lineage
from otel_tracker.integrations.claude_code.runs.run import Run, run_id_of, types_of
from otel_tracker.integrations.claude_code.runs.session_files import decoded, encoded, path_of
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.lines import lines_in
from otel_tracker.integrations.claude_code.transcripts.statuses import FAILED, KILLED
from otel_tracker.integrations.claude_code.variables import session_process
from otel_tracker.storage import claim, lock
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.storage.home import Home


class Session:
    """The facts of a session. `opened` returns one and holds its lock."""

    def __init__(self, home: "Home", session_id: str, facts: "dict[str, Any]", files: Files) -> None:
        self._path, self._files = path_of(home, session_id), files
        self.id, self._home = session_id, home
        self.transcript: str | None = facts.get("transcript")
        self.process: dict[str, Any] | None = facts.get("process")
        """The process of the session, or of the one in which its agents have gone on, as of the last event; None if unknown."""
        self.later_transcripts: list[str] = facts.get("later_transcripts", [])
        """The transcripts of the sessions in which its agents have gone on."""
        self.earlier_sessions: list[str] = facts.get("earlier_sessions", [])
        """The sessions whose agents have gone on in this one, until nothing is left to find out about them."""
        self._transcripts_below: tuple[str | None, dict[str, str]] | None = None
        self._sidecars: dict[tuple[str | None, ...], dict[str, Any]] = {}
        self.unrecorded: dict[str, Any] | None = facts.get("unsaid")
        """Events that may not be in the journal yet, and the ends and starts among them; None if there are none."""
        self.runs = [Run(run) for run in facts.get("runs", [])]
        self._claimed = {run.agent_id for run in self.runs}
        self._saved: bytes | None = None
        self.permits: dict[str, dict[str, Any]] = facts.get("permits", {})
        """The permits of probes that launches have got and no run has used yet: `agent`, `run_id`, `launcher`, by tool call."""
        self.outages: list[list[Any]] = facts.get("outages", [])
        """The outages that have ended a turn of the main agent, and the moment of each."""
        self.project: str | None = facts.get("project")
        """The folder that it works in, if that was asked for."""

    @classmethod
    @contextmanager
    def opened(cls, home: "Home", session_id: str) -> "Iterator[Session]":
        """Hold a session so that no other hook changes it meanwhile. Raises StorageError."""
        files, path = Files(), path_of(home, session_id)
        claim.check_links(home, files, home.of_integration(NAME))
        with lock.held(f"{path}.lock", files):
            read = files.read(path)
            session = cls(home, session_id, decoded(read[1]) if read else {}, files)
            session._saved = read[1] if read else None
            yield session

    def save(self) -> None:
        """Write the facts, if they have changed."""
        if not (self.runs or self.permits or self.earlier_sessions or self._saved):
            return
        for agent_id in {run.agent_id for run in self.runs} - self._claimed:
            if agent_id is not None:
                lineage.claim(self._home, agent_id, self.id, self._files)
                self._claimed.add(agent_id)
        facts = {
            "session_id": self.id,
            "transcript": self.transcript,
            "process": self.process,
            "later_transcripts": self.later_transcripts,
            "earlier_sessions": self.earlier_sessions,
            "runs": [run.facts() for run in self.runs],
            "permits": self.permits,
            "outages": self.outages[-10:],
            "project": self.project,
            "unsaid": self.unrecorded,
        }
        content = encoded(facts, self._unsettled())
        if content != self._saved:
            self._files.replace(self._path, [content])
            self._saved = content

    @property
    def is_unsettled(self) -> bool:
        """Whether anything is left to find out about the session."""
        return self._unsettled() > 0

    def _unsettled(self) -> int:
        unclear = sum(run.is_unclear for run in self.runs)
        return unclear + len(self.permits) + len(self.earlier_sessions) + (self.unrecorded is not None)

    def note_origin(self, path: "str | None", session_id: "str | None") -> None:
        """Note the process of a hook's session, and its transcript: the session is this one, or one where its agents go on."""
        self.process = session_process() or self.process
        if path is None:
            return
        if session_id == self.id:
            self.transcript = path
        elif path not in self.later_transcripts:
            self.later_transcripts.append(path)

    def run(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None" = None) -> "Run | None":
        """Return the run with one of these ids, and link it to the other one; None if there is none."""
        if agent_id is not None and tool_use_id is None:
            tool_use_id = self.sidecar_of(agent_id).get("toolUseId")
        by_agent = next((run for run in self.runs if agent_id and run.agent_id == agent_id), None)
        by_launch = next((run for run in self.runs if tool_use_id and self._launch_of(run) == tool_use_id), None)
        if by_agent is not None and by_launch is not None and by_agent is not by_launch:
            match: Run | None = self._joined(by_agent, by_launch)
        else:
            match = by_agent or by_launch or self._partner(agent_id, tool_use_id, agent_type)
        if match is not None:
            match.note(agent_id=agent_id, tool_use_id=tool_use_id)
        return match

    def run_or_new(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None" = None) -> Run:
        """Return the run with one of these ids, a new one if there is none."""
        run = self.run(agent_id, tool_use_id, agent_type)
        if run is None:
            run = Run({"agent_id": agent_id, "tool_use_id": tool_use_id})
            self._launch_of(run)
            self.runs.append(run)
        return run

    def is_of_another(self, agent_id: "str | None") -> bool:
        """Tell whether another session has the run of an agent."""
        return lineage.owner_of(self._home, agent_id) not in (None, self.id)

    def _launch_of(self, run: Run) -> "str | None":
        """Return the tool call that launched a run; its sidecar may have been written since the run was first heard of."""
        if run.tool_use_id is None and run.agent_id is not None:
            run.note(tool_use_id=self.sidecar_of(run.agent_id).get("toolUseId"))
        return run.tool_use_id

    def _joined(self, one: Run, other: Run) -> Run:
        """Make one run of two that turn out to be the same; if both have been recorded they stay two tasks."""
        kept, dropped = (other, one) if other.run_id is not None else (one, other)
        if dropped.run_id is None:
            self.runs.remove(dropped)
            kept.note(**dropped.facts())
        return kept

    def _partner(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None") -> "Run | None":
        """Return the oldest run of the type that lacks the one id that an event has, if no sidecar links either."""
        if (agent_id is None) == (tool_use_id is None) or self._is_linked(agent_id):
            return None
        types = types_of(agent_type)
        partners = [
            run
            for run in self.runs
            if (run.agent_id is None if agent_id else run.tool_use_id is None)
            and types_of(run.agent_type or run.wished_type) & types
            and not self._is_linked(run.agent_id)
        ]
        # No agent came of most launches that have failed.
        return next((run for run in partners if run.returned != FAILED), partners[0] if partners else None)

    def _is_linked(self, agent_id: "str | None") -> bool:
        """Tell whether a sidecar says which call launched an agent, or that none did; a teammate's says neither."""
        sidecar = self.sidecar_of(agent_id)
        return bool(sidecar) and "taskKind" not in sidecar

    def has_come_into_being(self, run: Run) -> bool:
        """Tell whether an agent has come of a launch: Claude Code turns some launches down, and reports these as failed."""
        if run.agent_id is None and run.returned in (FAILED, KILLED) and run.tool_use_id is not None:
            run.note(agent_id=self._agent_of_launch(run.tool_use_id))
        return run.agent_id is not None or run.returned not in (FAILED, KILLED)

    def drop_what_came_to_nothing(self) -> None:
        """Forget the launches of which no agent has come."""
        self.runs = [run for run in self.runs if run.is_settled or self.has_come_into_being(run)]

    def _agent_of_launch(self, tool_use_id: str) -> "str | None":
        """Return the agent whose sidecar names a launch, None if there is none."""
        agents = (agent for agent in self._all_transcripts() if self.sidecar_of(agent).get("toolUseId") == tool_use_id)
        return next(agents, None)

    def note_permit(self, tool_use_id: str, agent: str, launcher: "str | None") -> None:
        """Remember that a launch has got the permit of an agent's breaker."""
        run_id = run_id_of(self.id, tool_use_id)
        self.permits[tool_use_id] = {"agent": agent, "run_id": run_id, "launcher": launcher}
        self.save()

    def unlinked_permit(self, run: Run) -> "str | None":
        """Return a launch of the run's agent that has a permit, if no sidecar names the launch of the run."""
        if self._is_linked(run.agent_id):
            return None
        return next((launch for launch, permit in self.permits.items() if permit["agent"] == run.agent), None)

    def transcripts_of(self, agent_id: "str | None", path: "str | None" = None) -> "list[str]":
        """Return the paths of a sub-agent's own transcript, in order: one for each session in which it has gone on.

        `path` is the one that an event has named, if any.
        """
        if not agent_id:
            return []
        first = places.agent_transcript(self.transcript, agent_id, None, self._all_transcripts)
        later = [places.agent_transcript(transcript, agent_id) for transcript in self.later_transcripts]
        paths = [first, *later, places.agent_transcript(self.transcript, agent_id, path, self._all_transcripts)]
        return list({os.path.realpath(path): path for path in paths if path is not None}.values())

    def transcript_of(self, agent_id: "str | None", path: "str | None" = None) -> "str | None":
        """Return the path of the last part of a sub-agent's own transcript, None if there is none."""
        parts = self.transcripts_of(agent_id, path)
        return parts[-1] if parts else None

    def sidecar_of(self, agent_id: "str | None", path: "str | None" = None) -> "dict[str, Any]":
        """Return Claude Code's own notes about a sub-agent: `toolUseId`, `agentType` and so on; empty if there are none.

        `path` is the one of its transcript that an event has named, if any.
        """
        if not agent_id:
            return {}
        path = path or next((run.transcript for run in self.runs if run.agent_id == agent_id), None)
        key = (agent_id, path, self.transcript)
        if key not in self._sidecars:
            self._sidecars[key] = places.sidecar(self.transcript, agent_id, path, self._all_transcripts)
        return self._sidecars[key]

    def launcher_of(self, run: Run) -> "str | None":
        """Return the agent whose transcript has the call that launched a run, None if the main agent's has."""
        sidecar = self.sidecar_of(run.agent_id)
        if "parentAgentId" in sidecar:
            return places.plain_agent_id(sidecar["parentAgentId"])
        depth = sidecar.get("spawnDepth")
        if run.tool_use_id is None or not isinstance(depth, int) or depth < 2:
            return None
        candidates = (other.agent_id for other in self.runs if other is not run)
        return next((agent for agent in candidates if _mentions(self.transcript_of(agent), run.tool_use_id)), None)

    def is_of_workflow(self, run: Run) -> bool:
        """Tell whether a run is a workflow's, which no tool call has launched."""
        path = self.transcript_of(run.agent_id, run.transcript)
        return run.tool_use_id is None and path is not None and f"{os.sep}workflows{os.sep}" in path

    def run_id_of(self, agent_id: "str | None", tool_use_id: "str | None" = None) -> str:
        """Return the id of the task that a run is recorded as."""
        launch = tool_use_id or self.sidecar_of(agent_id).get("toolUseId") or agent_id
        return run_id_of(self.id, launch or "")

    def _all_transcripts(self) -> "dict[str, str]":
        """Return the transcripts of all agents by their ids; a hook looks for them once."""
        if self._transcripts_below is None or self._transcripts_below[0] != self.transcript:
            self._transcripts_below = self.transcript, places.transcripts_below(self.transcript)
        return self._transcripts_below[1]


def _mentions(path: "str | None", tool_use_id: str) -> bool:
    try:
        with open(path or "", "rb") as file:
            return any(tool_use_id.encode() in line for _, line in lines_in(file))
    except OSError:
        return False
