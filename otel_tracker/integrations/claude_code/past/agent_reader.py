"""The transcript of one agent, read as hooks read it, but for its answers: these are decoded faster, and counted over the whole tree."""

from otel_tracker.integrations.claude_code.past.answer_line import line_in, moment_at, record_at
from otel_tracker.integrations.claude_code.past.request_table import OF_COPY, OF_RUN
from otel_tracker.integrations.claude_code.past.tree_facts import is_said_to_agent, is_special, looks_whole
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.ending import (
    API_ERROR,
    CLEAN,
    INTERRUPTION,
    MID_TOOL,
    ending_of_answer,
    ending_of_content,
)
from otel_tracker.integrations.claude_code.transcripts.lines import part
from otel_tracker.integrations.claude_code.transcripts.parent import RESULT_OF
from otel_tracker.integrations.claude_code.transcripts.transcript_reader import COMPACTED, CUT, Reader
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from otel_tracker.integrations.claude_code.past.answer_line import Line, Message
    from otel_tracker.integrations.claude_code.past.tree_facts import AgentTranscript, Conversation, TreeFacts
    from otel_tracker.integrations.claude_code.transcripts.lines import Record
    from otel_tracker.integrations.claude_code.transcripts.parent import Search

_COMPACTED, _INTERRUPTION = COMPACTED.encode(), INTERRUPTION.encode()


class AgentReader(Reader):
    """Reads the transcript of an agent, in a session that goes on in `conversation`."""

    __slots__ = (
        "_agent",
        "_calling_message",
        "_claim",
        "_conversation",
        "_ends_well",
        "_facts",
        "_is_told_of_agents",
        "_owner",
        "_search",
    )

    def __init__(
        self,
        file: "BinaryIO",
        since: "float | None",
        facts: "TreeFacts",
        agent: "AgentTranscript",
        conversation: "Conversation",
        search: "Search",
    ) -> None:
        super().__init__(file, since)
        self._facts, self._agent, self._conversation, self._search = facts, agent, conversation, search
        is_helper = agent.agent_id is not None and places.is_internal(agent.agent_id)
        self._claim = OF_COPY if is_helper else OF_RUN
        self._owner = conversation if is_helper else agent
        self._is_told_of_agents = False  # only if it has launched some
        self._ends_well = False  # with an answer that calls no tool, and nothing behind it
        self._calling_message: str | None = None  # the last one that has called a tool

    def _read_ending(self) -> None:
        if self._ends_well:
            self._transcript.ending, self._transcript.error = CLEAN, None
            self._transcript.error_type = self._transcript.outage = None
        else:
            super()._read_ending()

    def _take(self, offset: int, line: bytes) -> None:
        self._ends_well = False
        if not is_said_to_agent(line) and b'"assistant"' in line:
            answer = line_in(line)
            if answer is None:
                self._transcript.skipped += 1
                return
            if answer.type == "assistant":
                self._take_answer(offset, line, answer)
                return
        if self._is_told_of_agents:
            self._facts.look_for_evidence(line, self._search)
        is_within_turn = self._transcript.started is not None and self._rests_since is None
        if is_within_turn and looks_whole(line) and not _says_that_it_has_a_gap(line):
            self._unread = min(self._unread, offset)
            return
        record = record_at(line)
        if record is None:
            self._transcript.skipped += 1
        else:
            self._add(offset, record)

    def _record_in(self, line: bytes) -> "Record | None":
        return record_at(line)

    def _take_answer(self, offset: int, line: bytes, answer: "Line") -> None:
        moment, message = moment_at(answer.timestamp), answer.message
        at = self._conversation.modified if moment is None else moment
        if not self._note(moment, answer.version, answer.attribution_agent):
            if message is not None and message.model != SYNTHETIC:
                self._facts.requests.add(answer, message, self._conversation, OF_COPY, at)
            return
        if message is None:
            self._rests_since = None
            return
        if self._agent.project is None:
            self._agent.project = answer.cwd
        content = message.content
        calls = [block for block in content or () if block.type == "tool_use"] if not isinstance(content, str) else []
        ending = MID_TOOL if calls and not is_special(answer) else self._ending(line, answer, message)
        self._rests_since = moment if not calls and ending not in (None, MID_TOOL) else None
        if ending is not None:
            self._note_answer(offset, message.id)
        self._ends_well = not calls and ending == CLEAN and message.id not in (None, self._calling_message)
        if calls:
            self._calling_message = message.id
            self._tools.update([block.id for block in calls if block.id])
            if self._facts.take_calls(calls, self._agent.agent_id, self._conversation, at):
                self._is_told_of_agents = True
        if ending != API_ERROR and message.model != SYNTHETIC:
            self._facts.requests.add(answer, message, self._owner, self._claim, at)

    def _ending(self, line: bytes, answer: "Line", message: "Message") -> "str | None":
        """Return how a transcript ends whose last record this answer is."""
        if is_special(answer) or _INTERRUPTION in line:
            record = record_at(line) or {}
            return ending_of_answer(record, part(record, "message"))
        content = message.content
        types = ["text"] if isinstance(content, str) else [block.type for block in content or ()]
        return ending_of_content(types, message.stop_reason)


def _says_that_it_has_a_gap(line: bytes) -> bool:
    """Tell whether a line may say that requests are missing, or were cut off; none with results of tools does."""
    return RESULT_OF not in line and (CUT in line or _COMPACTED in line)
