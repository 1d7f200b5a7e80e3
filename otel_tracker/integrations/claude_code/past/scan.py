"""One pass over the transcripts of a tree: requests, launches, what is said of them, and each agent's own transcript."""

import io
from contextlib import ExitStack

from otel_tracker.integrations.claude_code.past.agent_reader import AgentReader
from otel_tracker.integrations.claude_code.past.answer_line import line_in, moment_at, record_at
from otel_tracker.integrations.claude_code.past.request_table import OF_CONVERSATION, OF_PROGRESS
from otel_tracker.integrations.claude_code.past.tree_facts import (
    AgentTranscript,
    TreeFacts,
    is_said_to_agent,
    is_special,
    looks_whole,
)
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.ending import API_ERROR, ending_of_answer, error_text, outage_of
from otel_tracker.integrations.claude_code.transcripts.lines import (
    blocks_of,
    lines_in,
    moment_of,
    part,
    text,
)
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import BinaryIO

    from otel_tracker.integrations.claude_code.past.answer_line import Line
    from otel_tracker.integrations.claude_code.past.transcript_files import TranscriptFile
    from otel_tracker.integrations.claude_code.past.tree_facts import Conversation, Launch
    from otel_tracker.integrations.claude_code.transcripts.lines import Record
    from otel_tracker.integrations.claude_code.transcripts.parent import Search

    Inline = dict[int, tuple[AgentTranscript, list[bytes]]]

_BUFFER_BYTES = 2**16  # of a file: with the usual 8 KiB reading takes half as long again
_FORK = "fork"  # the type whose transcript begins with a copy of its launcher's
_TRUE = (b":true", b": true")
_GIVEN = "result"  # what the journal of a workflow says of an agent that has given one


def facts_of(files: "Iterable[TranscriptFile]", note: "Callable[[TranscriptFile], None] | None" = None) -> TreeFacts:
    """Return what files say, given the oldest first, so that a history belongs to the session that had it first.

    `note` is called with each file when that is about to be read.
    """
    scan = _Scan(note)
    scan.read(list(files))
    return scan.facts


class _Scan:
    """Goes through all files once."""

    def __init__(self, note: "Callable[[TranscriptFile], None] | None" = None) -> None:
        self.facts, self._note = TreeFacts(), note
        self._inline: dict[str, AgentTranscript] = {}  # whose a record within a session's file is, by its uuid

    def read(self, files: "list[TranscriptFile]") -> None:
        """Read all of them: sessions first, then agents, whose launches are known by then."""
        sessions = [file for file in files if file.agent_id is None and not file.is_journal]
        parts: dict[str, list[TranscriptFile]] = {}
        for file in files:
            if file.agent_id is not None:
                parts.setdefault(file.agent_id, []).append(file)
        for agent_id, of_agent in parts.items():
            self._meet(agent_id, of_agent)
        for file in sessions:
            self._read_session(file)
        forks = [agent_id for agent_id in parts if self.facts.agents[agent_id].sidecar.get("agentType") == _FORK]
        for agent_id in [*(agent_id for agent_id in parts if agent_id not in forks), *forks]:
            self._read_agent(agent_id, _in_order(parts[agent_id]))
        for file in files:
            if file.is_journal:
                self._read_journal(file)

    def _meet(self, agent_id: str, parts: "list[TranscriptFile]") -> None:
        agent = self.facts.agent(agent_id)
        for file in parts:
            agent.sidecar = agent.sidecar or places.sidecar_beside(file.path)
            agent.is_in_workflow |= places.is_in_workflow(file.path)
        agent.launch_id = agent.sidecar.get("toolUseId")
        if agent.launch_id:
            self.facts.expect(agent.launch_id)

    def _read_session(self, file: "TranscriptFile") -> None:
        conversation, search = self.facts.conversation(file.session_id or ""), self.facts.search()
        conversation.modified = max(conversation.modified, file.modified)
        inline: Inline = {}
        try:
            with self._opened(file) as opened:
                for _, line in lines_in(opened):
                    if _is_side(line) and (record := line_in(line)) and record.is_sidechain:
                        self._sort_out(record, line, conversation, inline)
                    else:
                        self._take_line(line, conversation, search)
        except OSError:
            self.facts.unreadable += 1
        self.facts.merge(search)
        for agent, lines in inline.values():
            self._read_transcript(agent, [io.BytesIO(b"".join(lines))])

    def _opened(self, file: "TranscriptFile") -> "BinaryIO":
        if self._note is not None:
            self._note(file)
        return open(file.path, "rb", _BUFFER_BYTES)

    def _take_line(self, line: bytes, conversation: "Conversation", search: "Search") -> None:
        if not is_said_to_agent(line) and b'"assistant"' in line:
            answer = line_in(line)
            if answer is None:
                self.facts.unreadable += 1
                return
            if answer.type == "assistant":
                self._take_main_answer(answer, line, conversation)
                return
            if answer.type == "progress" and answer.data is not None and answer.data.message is not None:
                self._take_progress(answer, conversation)
                return
        elif not looks_whole(line) and record_at(line) is None:
            self.facts.unreadable += 1
            return
        self.facts.look_for_evidence(line, search)

    def _take_main_answer(self, answer: "Line", line: bytes, conversation: "Conversation") -> None:
        message = answer.message
        if message is None:
            return
        moment = moment_at(answer.timestamp) or conversation.modified
        conversation.last = max(conversation.last, moment)
        conversation.project = conversation.project or answer.cwd
        if message.content and not isinstance(message.content, str):
            self.facts.take_calls(message.content, None, conversation, moment)
        if is_special(answer):
            record = record_at(line) or {}
            if ending_of_answer(record, part(record, "message")) == API_ERROR:
                _note_outage(record, conversation, moment)
                return
            if message.model == SYNTHETIC:
                return
        self.facts.requests.add(answer, message, conversation, OF_CONVERSATION, moment)

    def _take_progress(self, line: "Line", conversation: "Conversation") -> None:
        """Take an answer that the launcher's transcript quotes; it counts where the agent's own transcript is gone."""
        data = line.data
        quoted = data.message if data is not None else None
        agent_id = places.plain_agent_id(data.agentId or "") if data is not None else ""
        if quoted is None or not agent_id or quoted.type != "assistant" or quoted.message is None:
            return
        if quoted.message.model == SYNTHETIC:
            return
        agent = self.facts.agent(agent_id)
        agent.conversation = agent.conversation or conversation
        agent.launch_id = agent.launch_id or line.parent_tool_use_i_d
        moment = moment_at(quoted.timestamp or line.timestamp) or conversation.modified
        self.facts.requests.add(quoted, quoted.message, agent, OF_PROGRESS, moment)

    def _sort_out(self, record: "Line", line: bytes, conversation: "Conversation", inline: "Inline") -> None:
        """Put a record of an agent's that stands in a session's file with the others of the same agent.

        It follows one of these, or it is the prompt that a launch has given, and then the first of a run.
        """
        own, before = record.uuid or "", record.parent_uuid or ""
        if own in self._inline:
            return  # in a copy of the session's file
        agent = self._inline.get(before)
        if agent is None:
            agent = self._inline_agent(record, line, conversation)
        if own:
            self._inline[own] = agent
        _, lines = inline.setdefault(id(agent), (agent, []))
        lines.append(line if line.endswith(b"\n") else line + b"\n")

    def _inline_agent(self, record: "Line", line: bytes, conversation: "Conversation") -> AgentTranscript:
        named = places.plain_agent_id(record.agent_id or "")
        if named and named in self.facts.agents:
            return self.facts.agents[named]
        launch = self._open_launch(record_at(line) or {}, conversation)
        key = named or (launch.tool_use_id if launch else record.uuid or f"\0{len(self.facts.agents)}")
        agent = self.facts.agents[key] = AgentTranscript(named or None, conversation)
        agent.launch_id = launch.tool_use_id if launch else None
        return agent

    def _open_launch(self, record: "Record", conversation: "Conversation") -> "Launch | None":
        """Return the launch that gave a prompt, else the last one of its session of which no agent is known yet."""
        blocks = blocks_of(part(record, "message"))
        prompt = hash(blocks[0].get("text")) if blocks else None
        taken = {agent.launch_id for agent in self.facts.agents.values()}
        of_session = (launch for launch in self.facts.launches.values() if launch.conversation is conversation)
        free = [launch for launch in of_session if launch.tool_use_id not in taken]
        asked = [launch for launch in free if launch.prompt == prompt]
        return asked[0] if asked else free[-1] if free else None

    def _read_agent(self, agent_id: str, parts: "list[TranscriptFile]") -> None:
        agent = self.facts.agents[agent_id]
        session_id = parts[0].session_id or _session_in(parts[0].path) or agent_id
        agent.conversation = self.facts.conversation(session_id)
        for file in parts:
            named = self.facts.conversations.get(file.session_id or "")
            for conversation in (agent.conversation, named):
                if conversation is not None:
                    conversation.modified = max(conversation.modified, file.modified)
        try:
            with ExitStack() as stack:
                self._read_transcript(agent, [stack.enter_context(self._opened(file)) for file in parts])
        except OSError:
            self.facts.unreadable += 1

    def _read_transcript(self, agent: AgentTranscript, files: "Sequence[BinaryIO]") -> None:
        launch = self.facts.launches.get(agent.launch_id or "")
        since = launch.at if launch is not None and agent.sidecar.get("agentType") == _FORK else None
        conversation, search = agent.conversation or self.facts.conversation(""), self.facts.search()
        reader = AgentReader(files[0], since, self.facts, agent, conversation, search)
        transcript = reader.read(float("inf"))
        for file in files[1:]:
            transcript = reader.go_on_in(file, float("inf"))
        agent.transcript = transcript
        conversation.last = max(conversation.last, agent.transcript.ended or 0.0)
        self.facts.unreadable += transcript.skipped
        self.facts.merge(search)

    def _read_journal(self, file: "TranscriptFile") -> None:
        try:
            with open(file.path, "rb", _BUFFER_BYTES) as opened:
                for _, line in lines_in(opened):
                    record = record_at(line) or {}
                    agent = self.facts.agents.get(places.plain_agent_id(text(record.get("agentId")) or ""))
                    if agent is not None and record.get("type") == _GIVEN:
                        agent.has_given_result = True
        except OSError:
            self.facts.unreadable += 1


def _note_outage(record: "Record", conversation: "Conversation", moment: float) -> None:
    outage = outage_of(record, error_text(record, part(record, "message")))
    if outage is not None:
        conversation.outages.append([outage, moment])


def _is_side(line: bytes) -> bool:
    """Tell whether a record is a sub-agent's."""
    at = line.find(b'"isSidechain"')
    return at >= 0 and line.startswith(_TRUE, at + len(b'"isSidechain"'))


def _in_order(parts: "list[TranscriptFile]") -> "list[TranscriptFile]":
    """Return the parts of an agent's transcript in their order, each once: of copies of a session's the longest."""
    longest: dict[str | None, TranscriptFile] = {}
    for file in parts:
        other = longest.get(file.session_id)
        if other is None or file.size > other.size:
            longest[file.session_id] = file
    if len(longest) == 1:
        return list(longest.values())
    return sorted(longest.values(), key=lambda file: _began(file.path))


def _first_record(path: str) -> "Record":
    try:
        with open(path, "rb") as file:
            records = (record_at(line) for _, line in lines_in(file))
            return next((record for record in records if record and "timestamp" in record), {})
    except OSError:
        return {}


def _began(path: str) -> float:
    return moment_of(_first_record(path)) or 0.0


def _session_in(path: str) -> "str | None":
    return text(_first_record(path).get("sessionId"))
