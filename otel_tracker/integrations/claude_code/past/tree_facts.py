"""What the transcripts of a tree say, before it is judged: requests, launches, what became of these, and agents.

Each file adds to it. Nothing in it depends on the order of the files, but who had a history first.
"""

from otel_tracker.integrations.claude_code.past.answer_line import launch_in, record_at
from otel_tracker.integrations.claude_code.past.request_table import RequestTable
from otel_tracker.integrations.claude_code.runs.session_files import SILENT_SECONDS
from otel_tracker.integrations.claude_code.transcripts.lines import text
from otel_tracker.integrations.claude_code.transcripts.parent import RESULT_OF, Search, has_result, is_about_tasks
from otel_tracker.integrations.claude_code.transcripts.statuses import LAUNCHED
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.past.answer_line import ContentBlock, Line
    from otel_tracker.integrations.claude_code.transcripts.lines import Record
    from otel_tracker.integrations.claude_code.transcripts.parent import Evidence
    from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript

_TOOLS = ("Agent", "Task")
_USER, _IN_MESSAGE, _HEAD_BYTES = (b':"user"', b': "user"'), (b'"message":{', b'"message": {'), 1000
_KEPT = ("agentType", "agent_type", "resolvedModel", "totalDurationMs", "totalToolUseCount", "teammate_id")


class Conversation:
    """A session: the folder that it works in, and what ended turns of its main agent.

    `outages` are kinds of outages with the moment of each. `modified` is when its files were last written to, `last` when its
    last answer was given: a copy of them may be younger. Both are in seconds since 1970.
    """

    __slots__ = ("id", "last", "modified", "outages", "project")

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.project: str | None = None
        self.modified = self.last = 0.0
        self.outages: list[list[object]] = []

    def is_over(self, now: float) -> bool:
        """Tell whether nothing was written to it for so long that nothing of it runs any more."""
        return now - min(self.last, self.modified) > SILENT_SECONDS


class Launch:
    """A call of the tool that runs sub-agents, by the agent `launcher`, None for the main one."""

    __slots__ = ("at", "conversation", "launcher", "model", "prompt", "tool_use_id", "wished_type")

    def __init__(self, block: "ContentBlock", conversation: Conversation, launcher: "str | None", at: float) -> None:
        wish = launch_in(block)
        self.tool_use_id, self.conversation, self.launcher, self.at = block.id or "", conversation, launcher, at
        self.wished_type, self.model, self.prompt = text(wish.subagent_type), text(wish.model), hash(wish.prompt)


class AgentTranscript:
    """What is there of one agent: its transcript, sidecar, and the session that heard of it first."""

    __slots__ = (
        "agent_id",
        "conversation",
        "has_given_result",
        "is_in_workflow",
        "launch_id",
        "project",
        "sidecar",
        "transcript",
    )

    def __init__(self, agent_id: "str | None", conversation: "Conversation | None") -> None:
        self.agent_id, self.conversation = agent_id, conversation
        self.transcript: Transcript | None = None
        self.sidecar: Record = {}
        self.launch_id: str | None = None
        self.project: str | None = None
        self.is_in_workflow = self.has_given_result = False


class TreeFacts:
    """What is known of a tree so far.

    requests      each once, by message
    conversations by session id
    launches      by the id of the call
    agents        by agent id; those within a session's file by their launch, or by the record that they begin with
    evidence      what became of launches and agents, by the ids of both
    unreadable    lines, and files, that could not be read
    """

    def __init__(self) -> None:
        self.requests = RequestTable()
        self.conversations: dict[str, Conversation] = {}
        self.launches: dict[str, Launch] = {}
        self.agents: dict[str, AgentTranscript] = {}
        self.evidence: dict[str, Evidence] = {}
        self.unreadable = 0
        self._tools: set[str] = set()
        self._names: set[str] = set()

    def conversation(self, session_id: str) -> Conversation:
        """Return the session with an id."""
        if session_id not in self.conversations:
            self.conversations[session_id] = Conversation(session_id)
        return self.conversations[session_id]

    def agent(self, agent_id: str) -> AgentTranscript:
        """Return what is there of an agent."""
        if agent_id not in self.agents:
            self.agents[agent_id] = AgentTranscript(agent_id, None)
            self._names.add(agent_id)
        return self.agents[agent_id]

    def expect(self, tool_use_id: str) -> None:
        """Look for the result of a launch from now on."""
        self._tools.add(tool_use_id)

    def take_calls(
        self, blocks: "list[ContentBlock]", launcher: "str | None", conversation: Conversation, at: float
    ) -> bool:
        """Note the calls of an answer by the agent `launcher`, or by the main one, whose results say what became of agents.

        Return whether there are any.
        """
        has_any = False
        for block in blocks:
            name = block.name
            if name is None or not block.id:
                continue
            if name in _TOOLS or "Stop" in name or "Kill" in name:
                has_any = True
                self.expect(block.id)
                if name in _TOOLS and block.id not in self.launches:
                    self.launches[block.id] = Launch(block, conversation, launcher, at)
        return has_any

    def look_for_evidence(self, line: bytes, search: Search) -> None:
        """Note what a line says of launches and of agents that run, if anything; one with results says nothing of other tasks."""
        at = line.find(RESULT_OF)
        if has_result(line, self._tools, at) if at >= 0 else is_about_tasks(line):
            record = record_at(line)
            if record is not None:
                search.add(record)

    def search(self) -> Search:
        """Return a search for all launches and agents, for one file: that its agents were killed is said of its own."""
        return Search(self._tools, self._names)

    def merge(self, search: Search) -> None:
        """Add what one file says; of a launch the last thing counts that any of them says."""
        for one in {id(one): one for one in search.by_id.values()}.values():
            one.result = {key: one.result[key] for key in _KEPT if key in one.result}
            for name in (one.tool_use_id, one.agent_id):
                if name:
                    self.evidence[name] = later(self.evidence.get(name), one)


def later(known: "Evidence | None", one: "Evidence | None") -> "Evidence":
    """Return which of two is said last; that a run was begun is no news after its end."""
    if known is None or one is None:
        both = known or one
        assert both is not None  # noqa: S101 - callers have at least one
        return both
    ends = [each for each in (known, one) if each.status not in (None, LAUNCHED)]
    last = max(ends or [known, one], key=lambda each: each.at or 0.0)
    other = known if last is one else one
    last.agent_id, last.tool_use_id = last.agent_id or other.agent_id, last.tool_use_id or other.tool_use_id
    last.result = last.result or other.result
    return last


def is_special(line: "Line") -> bool:
    """Tell whether an answer may be Claude Code's own: an error, or what stands in the place of an answer."""
    message = line.message
    return bool(
        line.is_api_error_message
        or line.error
        or line.api_error_status
        or line.is_aborted_mid_stream
        or (message is not None and message.model == SYNTHETIC)
    )


def is_said_to_agent(line: bytes) -> bool:
    """Tell whether a line is sure to be of type user, by its beginning: the longest lines needn't be searched for more."""
    at = line.find(b'"role"', 0, _HEAD_BYTES)
    if at < 0 or not line.startswith(_USER, at + len(b'"role"')) or not line.endswith(_IN_MESSAGE, 0, at):
        return False
    return line.find(b'"content"', 0, at) < 0  # there it would be the role of something that an answer quotes


def looks_whole(line: bytes) -> bool:
    """Tell whether a line begins and ends as an object does."""
    return line.startswith(b"{") and line.endswith((b"}\n", b"}", b"}\r\n"))
