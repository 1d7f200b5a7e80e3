"""What is known of one session of Claude Code: its sub-agents' runs, as facts that the hooks' events have told.

Each hook is a process of its own, and its event may be missing, repeated or late. So what follows from the facts is computed
anew from all of them, and their order doesn't matter; only of a woken agent's notifications the last one counts. They are
in a file of the session in the home's `claude-code` folder, without prompts, results or messages.
"""

import json
import os
from contextlib import contextmanager

from otel_tracker.errors import StorageError
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs import lineage
from otel_tracker.integrations.claude_code.runs.run import Run, digest, run_id_of, types_of
from otel_tracker.integrations.claude_code.runs.validation import is_sound
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.lines import lines_in
from otel_tracker.integrations.claude_code.transcripts.statuses import FAILED, KILLED
from otel_tracker.integrations.claude_code.variables import process_id
from otel_tracker.runtime import owner
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.storage import claim, lock
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.storage.home import Home

_BEGINNING = "beginning"
# A file's first bytes: no hook has to read the rest, where there is nothing left to find out about the session.
BEGINNING_OF_FACTS = b'{"unsettled":'
_SETTLED = BEGINNING_OF_FACTS + b"0,"


class Session:
    """The facts of a session. `opened` is the way to one: it keeps others out."""

    def __init__(self, home: "Home", session_id: str, facts: "dict[str, Any]", files: Files) -> None:
        self._path, self._files = path_of(home, session_id), files
        self.id, self._home = session_id, home
        self.transcript: str | None = facts.get("transcript")
        self.process: dict[str, Any] | None = facts.get("process")
        """The process that runs it, or the session in which its agents have gone on, as of its last event; None if untold."""
        self.later_transcripts: list[str] = facts.get("later_transcripts", [])
        """The transcripts of the sessions in which its agents have gone on."""
        self.earlier_sessions: list[str] = facts.get("earlier_sessions", [])
        """The sessions whose agents have gone on in this one, as long as something is left to find out about these."""
        self._below: tuple[str | None, dict[str, str]] | None = None
        self._sidecars: dict[tuple[str | None, ...], dict[str, Any]] = {}
        self.unsaid: dict[str, Any] | None = facts.get("unsaid")
        """Events on their way to the journal, and what they will have said; None once they are there."""
        self.runs = [Run(run) for run in facts.get("runs", [])]
        self._claimed = {run.agent_id for run in self.runs}
        self._saved: bytes | None = None
        self.permits: dict[str, dict[str, Any]] = facts.get("permits", {})
        """The probes' permits that launches have got and no run has used yet: `agent`, `run_id`, `launcher`, by tool call."""
        self.outages: list[list[Any]] = facts.get("outages", [])
        """Kinds of outages that have ended the main agent's turn, and when."""

    @classmethod
    @contextmanager
    def opened(cls, home: "Home", session_id: str) -> "Iterator[Session]":
        """Hold a session, so that no other hook of it changes it meanwhile; errors are StorageErrors."""
        files, path = Files(), path_of(home, session_id)
        claim.check_links(home, files, home.of_integration(NAME))
        with lock.held(f"{path}.lock", files):
            read = files.read(path)
            session = cls(home, session_id, _decoded(read[1]) if read else {}, files)
            session._saved = read[1] if read else None
            yield session

    def save(self) -> None:
        """Write what is known."""
        if not (self.runs or self.permits or self.earlier_sessions or self._saved):
            return
        for agent_id in {run.agent_id for run in self.runs} - self._claimed:
            if agent_id is not None:
                lineage.claim(self._home, agent_id, self.id, self._files)
                self._claimed.add(agent_id)
        facts = {
            "unsettled": self._unsettled(),
            "session_id": self.id,
            "transcript": self.transcript,
            "process": self.process,
            "later_transcripts": self.later_transcripts,
            "earlier_sessions": self.earlier_sessions,
            "runs": [run.facts() for run in self.runs],
            "permits": self.permits,
            "outages": self.outages[-10:],
            "unsaid": self.unsaid,
        }
        content = json.dumps(facts, separators=(",", ":")).encode()
        if content != self._saved:
            self._files.replace(self._path, [content])
            self._saved = content

    @property
    def is_unsettled(self) -> bool:
        """Whether something is left to find out about it."""
        return self._unsettled() > 0

    def _unsettled(self) -> int:
        unclear = sum(run.is_unclear for run in self.runs)
        return unclear + len(self.permits) + len(self.earlier_sessions) + (self.unsaid is not None)

    def run(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None" = None) -> "Run | None":
        """Return the run with one of these ids, and link it to the other one; None if there is none."""
        if agent_id is not None and tool_use_id is None:
            tool_use_id = self.sidecar_of(agent_id).get("toolUseId")
        by_agent = next((run for run in self.runs if agent_id and run.agent_id == agent_id), None)
        by_launch = next((run for run in self.runs if tool_use_id and self._launch_of(run) == tool_use_id), None)
        if by_agent is not None and by_launch is not None and by_agent is not by_launch:
            found: Run | None = self._joined(by_agent, by_launch)
        else:
            found = by_agent or by_launch or self._partner(agent_id, tool_use_id, agent_type)
        if found is not None:
            found.note(agent_id=agent_id, tool_use_id=tool_use_id)
        return found

    def run_or_new(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None" = None) -> Run:
        """Return the run with one of these ids, a new one if there is none."""
        found = self.run(agent_id, tool_use_id, agent_type)
        if found is None:
            found = Run({"agent_id": agent_id, "tool_use_id": tool_use_id})
            self._launch_of(found)
            self.runs.append(found)
        return found

    def note_origin(self, path: "str | None", session_id: "str | None") -> None:
        """Note the process and the transcript of the session that a hook belongs to: this one, or one where its agents go on."""
        self.process = session_process() or self.process
        if path is None:
            return
        if session_id == self.id:
            self.transcript = path
        elif path not in self.later_transcripts:
            self.later_transcripts.append(path)

    def is_of_another(self, agent_id: "str | None") -> bool:
        """Tell whether another session has the run of an agent."""
        return lineage.owner_of(self._home, agent_id) not in (None, self.id)

    def transcripts_of(self, agent_id: "str | None", told: "str | None" = None) -> "list[str]":
        """Return the paths of a sub-agent's own transcript, in its order: one for each session in which it has gone on."""
        if not agent_id:
            return []
        first = places.agent_transcript(self.transcript, agent_id, None, self._elsewhere)
        later = [places.agent_transcript(transcript, agent_id) for transcript in self.later_transcripts]
        paths = [first, *later, places.agent_transcript(self.transcript, agent_id, told, self._elsewhere)]
        return list({os.path.realpath(path): path for path in paths if path is not None}.values())

    def transcript_of(self, agent_id: "str | None", told: "str | None" = None) -> "str | None":
        """Return the path of the last part of a sub-agent's own transcript, None if there is none."""
        parts = self.transcripts_of(agent_id, told)
        return parts[-1] if parts else None

    def sidecar_of(self, agent_id: "str | None", told: "str | None" = None) -> "dict[str, Any]":
        """Return what Claude Code notes of a sub-agent: `toolUseId`, `agentType` and so on; empty where there is nothing."""
        if not agent_id:
            return {}
        told = told or next((run.transcript for run in self.runs if run.agent_id == agent_id), None)
        key = (agent_id, told, self.transcript)
        if key not in self._sidecars:
            self._sidecars[key] = places.sidecar(self.transcript, agent_id, told, self._elsewhere)
        return self._sidecars[key]

    def _elsewhere(self) -> "dict[str, str]":
        """Return the transcripts of all agents; a hook looks for them once."""
        if self._below is None or self._below[0] != self.transcript:
            self._below = self.transcript, places.transcripts_below(self.transcript)
        return self._below[1]

    def run_id_of(self, agent_id: "str | None", tool_use_id: "str | None" = None) -> str:
        """Return the id of the task that a run is recorded as."""
        launch = tool_use_id or self.sidecar_of(agent_id).get("toolUseId") or agent_id
        return run_id_of(self.id, launch or "")

    def launcher_of(self, run: Run) -> "str | None":
        """Return the agent whose transcript has the call that launched a run, None if the main agent has."""
        sidecar = self.sidecar_of(run.agent_id)
        if "parentAgentId" in sidecar:
            return places.plain_agent_id(sidecar["parentAgentId"])
        depth = sidecar.get("spawnDepth")
        if run.tool_use_id is None or not isinstance(depth, int) or depth < 2:
            return None
        candidates = (other.agent_id for other in self.runs if other is not run)
        return next((agent for agent in candidates if _mentions(self.transcript_of(agent), run.tool_use_id)), None)

    def has_come_into_being(self, run: Run) -> bool:
        """Tell whether an agent has come of a launch: Claude Code turns launches down, whose result says that they failed."""
        if run.agent_id is None and run.returned in (FAILED, KILLED) and run.tool_use_id is not None:
            run.note(agent_id=self._agent_of_launch(run.tool_use_id))
        return run.agent_id is not None or run.returned not in (FAILED, KILLED)

    def drop_what_came_to_nothing(self) -> None:
        """Forget the launches of which no agent has come."""
        self.runs = [run for run in self.runs if run.is_settled or self.has_come_into_being(run)]

    def _agent_of_launch(self, tool_use_id: str) -> "str | None":
        """Return the agent whose sidecar names a launch, None if there is none."""
        agents = (agent for agent in self._elsewhere() if self.sidecar_of(agent).get("toolUseId") == tool_use_id)
        return next(agents, None)

    def is_of_workflow(self, run: Run) -> bool:
        """Tell whether a run is a workflow's, which no call of the tool has launched."""
        path = self.transcript_of(run.agent_id, run.transcript)
        return run.tool_use_id is None and path is not None and f"{os.sep}workflows{os.sep}" in path

    def unlinked_permit(self, run: Run) -> "str | None":
        """Return the launch with a permit that a run of its agent is taken for, where nothing else says what launched it."""
        if self._is_linked(run.agent_id):
            return None
        return next((launch for launch, permit in self.permits.items() if permit["agent"] == run.agent), None)

    def note_permit(self, tool_use_id: str, agent: str, launcher: "str | None") -> None:
        """Remember that a launch has got the permit of an agent's breaker."""
        run_id = run_id_of(self.id, tool_use_id)
        self.permits[tool_use_id] = {"agent": agent, "run_id": run_id, "launcher": launcher}
        self.save()

    def _launch_of(self, run: Run) -> "str | None":
        """Return the tool's call that launched a run; its sidecar may have been written since the run was first heard of."""
        if run.tool_use_id is None and run.agent_id is not None:
            run.note(tool_use_id=self.sidecar_of(run.agent_id).get("toolUseId"))
        return run.tool_use_id

    def _joined(self, one: Run, other: Run) -> Run:
        """Make one run of two that turn out to be the same; where both have been recorded they stay two tasks."""
        kept, dropped = (other, one) if other.run_id is not None else (one, other)
        if dropped.run_id is None:
            self.runs.remove(dropped)
            kept.note(**dropped.facts())
        return kept

    def _partner(self, agent_id: "str | None", tool_use_id: "str | None", agent_type: "str | None") -> "Run | None":
        """Return the oldest run of the type that lacks the id that is told, where nothing links the two."""
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
        # A launch that has failed has mostly come to nothing.
        return next((run for run in partners if run.returned != FAILED), partners[0] if partners else None)

    def _is_linked(self, agent_id: "str | None") -> bool:
        """Tell whether a sidecar says what launched an agent, or that no call did; a teammate's says neither."""
        sidecar = self.sidecar_of(agent_id)
        return bool(sidecar) and "taskKind" not in sidecar


def session_process() -> "dict[str, Any] | None":
    """Return the process of the session that this hook belongs to (owner.py), None where Claude Code doesn't tell it."""
    pid = process_id()
    return owner.process(pid) if pid is not None else None


def path_of(home: "Home", session_id: str) -> str:
    """Return the path of a session's file."""
    is_plain = session_id.isascii() and session_id.replace("-", "").replace("_", "").isalnum() and len(session_id) <= 64
    return os.path.join(home.of_integration(NAME), f"{session_id if is_plain else digest(session_id)}.json")


def is_unsettled(home: "Home", session_id: str, transcript: "str | None") -> bool:
    """Tell whether there is, or may be, something left to find out about a session."""
    path = path_of(home, session_id)
    since = places.modified(path)
    is_known_unsettled = not _is_settled(path, Files())
    return is_known_unsettled or places.has_new_agents(transcript, beginning(home) if since is None else since)


def beginning(home: "Home") -> float:
    """Return when the home has first heard of a session, long ago if that wasn't noted: what ran before isn't looked for."""
    read = Files().read(os.path.join(home.of_integration(NAME), _BEGINNING))
    try:
        return parse_timestamp(read[1].decode()) if read else 0.0
    except ValueError:
        return 0.0


def note_beginning(home: "Home", now: float) -> None:
    """Note that the home hears of its first session, if it does."""
    files, path = Files(), os.path.join(home.of_integration(NAME), _BEGINNING)
    if files.signature(path) is None:
        claim.check_links(home, files, home.of_integration(NAME))
        files.make_folder(home.of_integration(NAME))
        files.create(path, format_timestamp(now).encode())


def abandoned_sessions(home: "Home", before: float) -> "Iterator[str]":
    """Yield the ids of sessions about which something is left to find out, and that have ended without saying so.

    Their process is gone, or nothing has touched them since the moment `before`.
    """
    files = Files()
    silent = set(paths_in(home, ".json", before, files))
    for path in paths_in(home, ".json", float("inf"), files):
        if not _is_settled(path, files):
            facts = facts_in(home, path, files)
            if facts is not None and (path in silent or is_gone(facts.get("process"))):
                yield facts["session_id"]


def is_gone(process: "dict[str, Any] | None") -> bool:
    """Tell whether the process of a session can be seen to have ended."""
    return process is not None and owner.is_seen_gone(process)


def paths_in(home: "Home", suffix: str, before: float, files: Files) -> "list[str]":
    """Return the paths in the folder of sessions that end with `suffix` and weren't written to since `before`."""
    claim.check_links(home, files, home.of_integration(NAME))
    paths = [
        os.path.join(home.of_integration(NAME), name)
        for name in files.names(home.of_integration(NAME))
        if name.endswith(suffix)
    ]
    return [path for path in paths if (places.modified(path) or before) < before]


def facts_in(home: "Home", path: str, files: Files) -> "dict[str, Any] | None":
    """Return the facts in a session's file; None if the file isn't proved to be one, since the folder may be a user's own."""
    try:
        read = files.read(path)
    except StorageError:
        return None
    facts = _decoded(read[1]) if read is not None and read[1].startswith(BEGINNING_OF_FACTS) else {}
    session_id = facts.get("session_id")
    return facts if isinstance(session_id, str) and path_of(home, session_id) == path else None


def _is_settled(path: str, files: Files) -> bool:
    """Tell whether a session's file says that nothing is left to find out; one that isn't there says nothing else."""
    try:
        read = files.read(path, 0, len(_SETTLED))
    except StorageError:
        return True
    return read is None or read[1] == _SETTLED


def _decoded(content: bytes) -> "dict[str, Any]":
    """Return the facts of a file; a damaged one tells nothing."""
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return facts if is_sound(facts) else {}


def _mentions(path: "str | None", tool_use_id: str) -> bool:
    try:
        with open(path or "", "rb") as file:
            return any(tool_use_id.encode() in line for _, line in lines_in(file))
    except OSError:
        return False
