"""The past of Claude Code: runs of sub-agents as the events that hooks would have recorded, and what the main conversations used.

Runs are judged by the rules of the hooks (runs/), and have the ids that hooks give them: whichever of both tells of a run, it
counts once. What no transcript tells, such as that an agent stopped for now, is unknown as it is for a hook that never fired.
"""

from otel_tracker import names
from otel_tracker.integrations.claude_code.past.scan import facts_of
from otel_tracker.integrations.claude_code.past.transcript_files import transcript_files
from otel_tracker.integrations.claude_code.past.tree_facts import Conversation, later
from otel_tracker.integrations.claude_code.runs import agent_types, outcome
from otel_tracker.integrations.claude_code.runs.end_event import end_of
from otel_tracker.integrations.claude_code.runs.launcher_reports import add_evidence
from otel_tracker.integrations.claude_code.runs.run import Run, run_id_of
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.ending import CLEAN, IN_BETWEEN
from otel_tracker.integrations.claude_code.transcripts.lines import count, text
from otel_tracker.integrations.claude_code.transcripts.statuses import FAILED, KILLED
from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from otel_tracker.integrations.claude_code.past.request_table import Request
    from otel_tracker.integrations.claude_code.past.tree_facts import AgentTranscript, Launch, TreeFacts
    from otel_tracker.integrations.claude_code.transcripts.parent import Evidence
    from otel_tracker.state.prices import Cost
    from otel_tracker.state.shapes import Event, Tokens

    KeyOf = Callable[[str, str | None], str]
    """The key of the agent that a type means, for a session that works in a folder."""

Shares = dict[str, "Tokens"]


class Spending:
    """Tokens by model, and by type with what they cost (names.USAGE_KEYS)."""

    __slots__ = ("is_incomplete", "models")

    def __init__(self) -> None:
        self.models: Shares = {}
        self.is_incomplete = False

    def add(self, request: "Request", cost: "Cost") -> None:
        """Add a request."""
        self.is_incomplete = self.is_incomplete or not request.is_final
        for model, tokens, _ in request.priced_shares(cost):
            sum_so_far = self.models.get(model)
            self.models[model] = names.added_tokens(sum_so_far, tokens) if sum_so_far else tokens


class PastRun:
    """A run, the event of its end, None while it goes on, and what it has used.

    What a run has used that goes on isn't in any event yet; `agent` is its key, `at` when it used it last.
    """

    __slots__ = ("agent", "at", "conversation", "end", "spending")

    def __init__(
        self, agent: str, at: float, conversation: Conversation, end: "Event | None", spending: Spending
    ) -> None:
        self.agent, self.at, self.conversation, self.end, self.spending = agent, at, conversation, end, spending


class PastHistory:
    """All that the transcripts of a tree say.

    `requests` are those of the main conversations and of Claude Code's own helpers, with their session, and `messages` the ids of
    their messages. `now` is in seconds
    since 1970: what was written to within an hour before it may go on.
    """

    def __init__(self, facts: "TreeFacts", now: float, cost: "Cost", key_of: "KeyOf") -> None:
        self.unreadable = facts.unreadable
        self.sessions = len(facts.conversations)
        self.requests: list[tuple[Conversation, Request]] = []
        self.messages: list[str] = []
        self.runs: list[PastRun] = []
        self._facts, self._now, self._key_of = facts, now, key_of
        self._run_ids: dict[str, str] = {}
        self._judge_all(cost)

    def _judge_all(self, cost: "Cost") -> None:
        facts = self._facts
        runs = [run for run in map(self._of_agent, facts.agents.values()) if run is not None]
        runs += self._of_launches({run.run.tool_use_id for run in runs})
        spending = {id(run.agent): Spending() for run in runs if run.agent is not None}
        for message, request in facts.requests.items():
            owner = request.owner
            if id(owner) in spending:
                spending[id(owner)].add(request, cost)
                continue
            if not isinstance(owner, Conversation):
                owner = owner.conversation or facts.conversation("")
            self.requests.append((owner, request))
            self.messages.append(message if message[0] != "\0" else f"\0{owner.id}\0{request.at}")
        self._run_ids = {run.run.agent_id: run.run_id for run in runs if run.run.agent_id}
        for run in runs:
            self.runs.append(self._judged(run, spending.get(id(run.agent)) or Spending()))

    def _of_agent(self, agent: "AgentTranscript") -> "_Candidate | None":
        """Return the run that the transcript of an agent is of; None for helpers, and where nothing says that it is one."""
        if agent.agent_id is not None and places.is_internal(agent.agent_id):
            return None
        evidence = self._evidence(agent.launch_id, agent.agent_id)
        launch_id = agent.launch_id or (evidence.tool_use_id if evidence is not None else None)
        launch = self._facts.launches.get(launch_id or "")
        of_file = agent.transcript.agent if agent.transcript is not None else None
        if not (agent.sidecar.get("agentType") or evidence or launch or of_file):
            return None
        conversation = agent.conversation or (launch.conversation if launch else None)
        return _Candidate(agent, launch, evidence, conversation or self._facts.conversation(""), launch_id)

    def _of_launches(self, taken: "set[str | None]") -> "Iterator[_Candidate]":
        """Yield the runs of which there is no transcript: something else says what became of their launches."""
        for launch in self._facts.launches.values():
            evidence = self._evidence(launch.tool_use_id, None)
            if (
                launch.tool_use_id in taken
                or evidence is None
                or evidence.status is None
                or "teammate_id" in evidence.result
            ):
                continue
            run = _Candidate(None, launch, evidence, launch.conversation, launch.tool_use_id)
            if run.run.is_unknown_type or run.run.agent_id or run.run.returned not in (FAILED, KILLED):
                yield run

    def _evidence(self, tool_use_id: "str | None", agent_id: "str | None") -> "Evidence | None":
        of_tool, of_agent = (self._facts.evidence.get(name or "") for name in (tool_use_id, agent_id))
        return later(of_tool, of_agent) if of_tool or of_agent else None

    def _judged(self, candidate: "_Candidate", spending: Spending) -> PastRun:
        run, conversation, agent = candidate.run, candidate.conversation, candidate.agent
        transcript = agent.transcript if agent is not None else None
        if transcript is None and spending.models:  # only its launcher's transcript quotes it
            transcript = Transcript()
        if transcript is not None:
            transcript.models, transcript.is_incomplete = spending.models, spending.is_incomplete or transcript.has_gap
            if (
                agent is not None
                and agent.has_given_result
                and agent.is_in_workflow
                and transcript.ending in IN_BETWEEN
            ):
                transcript.ending = CLEAN  # agents of a workflow give their result by calling a tool
        run.run_id = candidate.run_id
        project = conversation.project or (agent.project if agent is not None else None)
        agent_type = candidate.agent_type or (transcript.agent if transcript is not None else None) or run.wished_type
        is_known = not run.is_unknown_type
        run.agent = (
            self._key_of(agent_type or agent_types.DEFAULT_TYPE, project) if is_known else agent_types.UNKNOWN_AGENT
        )
        situation = outcome.SESSION_OVER if conversation.is_over(self._now) else outcome.RUNNING
        verdict = outcome.verdict(run, transcript, situation)
        at = (transcript.ended if transcript is not None else None) or run.reported or conversation.modified
        if verdict is None:
            return PastRun(run.agent, at, conversation, None, spending)
        end = end_of(
            run,
            verdict,
            transcript,
            session_id=conversation.id,
            outages_of_session=conversation.outages,
            launcher_run_id=self._launcher_run_id(candidate),
            project=project,
            now=self._now,
        )
        return PastRun(run.agent, at, conversation, end, spending)

    def _launcher_run_id(self, candidate: "_Candidate") -> "str | None":
        sidecar = candidate.agent.sidecar if candidate.agent is not None else {}
        launcher = candidate.run.launcher
        if "parentAgentId" in sidecar:
            launcher = places.plain_agent_id(sidecar["parentAgentId"])
        if launcher is None:
            return None
        return self._run_ids.get(launcher) or run_id_of(candidate.conversation.id, launcher)


class _Candidate:
    """What may be a run: a transcript, a launch, what is said of it, or several of these."""

    __slots__ = ("agent", "agent_type", "conversation", "run", "run_id")

    def __init__(
        self,
        agent: "AgentTranscript | None",
        launch: "Launch | None",
        evidence: "Evidence | None",
        conversation: Conversation,
        launch_id: "str | None",
    ) -> None:
        self.agent, self.conversation = agent, conversation
        run = self.run = Run()
        run.note(agent_id=agent.agent_id if agent is not None else None, tool_use_id=launch_id)
        result: dict[str, Any] = evidence.result if evidence is not None else {}
        if launch is not None:
            run.note(wished_type=launch.wished_type, model=launch.model, launcher=launch.launcher, began=launch.at)
        run.note(agent_type=text(result.get("agentType") or result.get("agent_type")))
        if (took := count(result.get("totalDurationMs"))) > 0:
            run.note(took=took / 1000)
        if "totalToolUseCount" in result:
            run.note(tool_uses=count(result["totalToolUseCount"]))
        run.note(model=text(result.get("resolvedModel")))
        if evidence is not None:
            add_evidence(run, evidence, evidence.at or conversation.modified)
        if agent is not None and agent.has_given_result:
            run.note(is_stopped=True)
        sidecar_type = agent.sidecar.get("agentType") if agent is not None else None
        self.agent_type: str | None = sidecar_type or run.agent_type
        self.run_id = run_id_of(conversation.id, run.tool_use_id or run.agent_id or "")


def read_history(
    paths: "Iterable[str]", now: float, cost: "Cost", key_of: "KeyOf", since: "float | None" = None
) -> PastHistory:
    """Return what the transcripts below paths say (transcript_files.py), of those that were written to since a moment.

    Moments are in seconds since 1970. Nothing is written. Raises StorageError where a path can't be read.
    """
    return PastHistory(facts_of(transcript_files(paths, since)), now, cost, key_of)
