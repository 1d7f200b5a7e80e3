"""Finds evidence about launches in the transcript of a session, or of an agent that has launched others.

It stands in for hooks that never fired: it has results of the agent tool, denials, notifications of background tasks. Only the
file's end is read. The format is Claude Code's own, internal, and documented nowhere officially; seen in versions up
to 2.1.240.
"""

import os

from otel_tracker.integrations.claude_code.transcripts.ending import (
    INTERRUPTION,
    is_interrupted_result,
    is_interruption,
)
from otel_tracker.integrations.claude_code.transcripts.lines import (
    blocks_of_type,
    moment_of,
    part,
    record_in,
    said_by,
    text,
    texts_of,
)
from otel_tracker.integrations.claude_code.transcripts.notification import MARK, Notification, notifications_in
from otel_tracker.integrations.claude_code.transcripts.places import plain_agent_id
from otel_tracker.integrations.claude_code.transcripts.result import STATUSES, is_error_text, status_of
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED, FAILED, KILLED, LAUNCHED
from otel_tracker.runtime.limits import ERROR_CHARACTERS, TAIL_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.integrations.claude_code.transcripts.lines import Record


# The result of a refused launch contains one of these, in small letters.
_DENIALS = (
    "user rejected tool use",
    "doesn't want to proceed with this tool use",
    "doesn't want to take this action right now",
    "pretooluse:agent",
    "pretooluse:task",
    "permission to use agent",
    "permission to use task",
    "permission for this action has been denied",
)
_STOPPED = "Successfully stopped"  # the result of the tool that stops a background task
_KILLED = "agents_killed"
_NOTIFICATION, _STATUS, _STOP, _KILLING = MARK.encode(), b"task_status", _STOPPED.encode(), _KILLED.encode()
RESULT_OF = b'tool_use_id"'
_TASK_IDS, _TOOL_IDS = ("taskId", "task_id", "agentId", "agent_id"), ("toolUseId", "tool_use_id", "toolUseID")
_DEEPEST = 6


class Evidence:
    """The last status of a launch that a transcript reports.

    status  as in run.py, killed also for a refused launch; None if only the ids are known
    at      the moment of that record, in seconds since 1970, None if it names none
    notices the number of notifications about it
    error   of a failure, its text
    result  the tool's result, if that is an object with the agent's id: of the whole run, or of its launch alone
    """

    __slots__ = ("agent_id", "at", "error", "notices", "result", "status", "tool_use_id")

    def __init__(self, tool_use_id: "str | None" = None, agent_id: "str | None" = None) -> None:
        self.tool_use_id = tool_use_id
        self.agent_id = agent_id
        self.status: str | None = None
        self.at: float | None = None
        self.notices = 0
        self.error: str | None = None
        self.result: Record = {}


def evidence(path: str, tool_use_ids: "set[str]", agent_ids: "set[str]") -> "dict[str, Evidence]":
    """Return the evidence about these launches in the transcript at `path`, by tool_use_id and by agent_id. Never raises.

    A launch whose two ids are known has the same object under both keys, even if only one of them was asked for.
    """
    agents = {plain_agent_id(agent) for agent in agent_ids}
    search = Search(set(tool_use_ids), agents)
    for line in _last_lines(path):
        if search.is_about(line) and (record := record_in(line)) is not None:
            search.add(record)
    return search.by_id


def _last_lines(path: str) -> "list[bytes]":
    """Return the whole lines at the end of a file; none if it can't be read."""
    try:
        if not isinstance(path, str) or not os.path.isfile(path):
            return []
        with open(path, "rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            lines = file.read(TAIL_BYTES).split(b"\n")
    except (OSError, ValueError):
        return []
    return lines[1:] if start else lines


class Search:
    """Goes through the records of a transcript in their order, and collects evidence about these launches and agents.

    Both sets grow: a record may name the other id of a launch.
    """

    __slots__ = ("_agents", "_moment", "_tools", "by_id")

    def __init__(self, tool_use_ids: "set[str]", agent_ids: "set[str]") -> None:
        self._tools, self._agents = tool_use_ids, agent_ids
        self._moment: float | None = None
        self.by_id: dict[str, Evidence] = {}

    def is_about(self, line: bytes) -> bool:
        """Tell whether a line may have evidence about the launches."""
        if has_result(line, self._tools) or _KILLING in line:
            return True
        return is_about_tasks(line) and any(
            name.encode("utf-8", "replace") in line for name in self._tools | self._agents if name
        )

    def add(self, record: "Record") -> None:
        """Take a record into account."""
        record_type, self._moment = record.get("type"), moment_of(record)
        attachment = part(record, "attachment")
        if _KILLED in (record_type, record.get("subtype"), attachment.get("type")):
            self._add_killing(attachment or record)
        elif record_type == "user":
            self._add_results(record, part(record, "message"))
            self._add_notifications(texts_of(part(record, "message")))
        elif record_type == "queue-operation":
            self._add_notifications([record.get("content")])
        elif attachment.get("type") == "task_status":
            self._add_task_status(attachment)
        elif attachment:
            self._add_notifications([attachment.get("prompt"), attachment.get("content")])

    def _add_results(self, record: "Record", message: "Record") -> None:
        results = blocks_of_type(message, "tool_result")
        self._add_stop(part(record, "toolUseResult"))
        for block in results:
            tool = text(block.get("tool_use_id"))
            if tool not in self._tools:
                continue
            result = record.get("toolUseResult") if len(results) == 1 else None
            agent = text(result.get("agentId") or result.get("agent_id")) if isinstance(result, dict) else None
            one = self._evidence(tool, agent)
            one.result = result if isinstance(result, dict) and agent is not None else one.result
            status, answer = _status_of(record, message, block, result)
            if status == FAILED and any(words in answer.lower() for words in _DENIALS):
                status = KILLED
            self._note(one, status, answer)

    def _add_stop(self, result: "Record") -> None:
        """Note that the main agent has stopped a task, with a tool of its own."""
        task = plain_agent_id(_first(result, ("task_id", "taskId")) or "")
        if task in self._agents and (text(result.get("message")) or "").startswith(_STOPPED):
            self._note(self._evidence(None, task), KILLED)

    def _add_notifications(self, texts: "list[Any]") -> None:
        for prompt in texts:
            for notification in notifications_in(prompt):
                self._add_notification(notification)

    def _add_notification(self, one: Notification) -> None:
        if one.task_id in self._agents or one.tool_use_id in self._tools:
            evidence = self._evidence(one.tool_use_id, one.task_id)
            evidence.notices += one.status is not None
            self._note(evidence, one.status, one.error)

    def _add_task_status(self, attachment: "Record") -> None:
        task, tool = _first(attachment, _TASK_IDS), _first(attachment, _TOOL_IDS)
        task = None if task is None else plain_agent_id(task)
        if task not in self._agents and tool not in self._tools:
            return
        status = STATUSES.get(text(attachment.get("status")) or "")
        if status in (COMPLETED, FAILED, KILLED):
            self._note(self._evidence(tool, task), status, text(attachment.get("error"), ERROR_CHARACTERS))

    def _add_killing(self, notice: "Record") -> None:
        """Note that agents were killed: those that the notice names, else all that were running."""
        named = {plain_agent_id(name) for name in _names_in(notice)}
        agents, tools = named & self._agents, named & self._tools
        for agent in agents:
            self._note(self._evidence(None, agent), KILLED)
        for tool in tools:
            self._note(self._evidence(tool, None), KILLED)
        if not agents and not tools:
            for one in self.by_id.values():
                one.status = KILLED if one.status == LAUNCHED else one.status

    def _evidence(self, tool: "str | None", agent: "str | None") -> Evidence:
        """Return the evidence about a launch, kept under each of its ids; both are looked for from now on."""
        agent = plain_agent_id(agent) if agent else None
        present = [self.by_id[name] for name in (tool, agent) if name in self.by_id]
        one = max(present, key=lambda each: each.status not in (None, LAUNCHED), default=None) or Evidence()
        one.tool_use_id, one.agent_id = one.tool_use_id or tool, one.agent_id or agent
        for name, names in ((one.tool_use_id, self._tools), (one.agent_id, self._agents)):
            if name:
                self.by_id[name] = one
                names.add(name)
        return one

    def _note(self, one: Evidence, status: "str | None", error: "str | None" = None) -> None:
        """Note the status of a launch; that it was begun is no news after its end."""
        if status is None or (status == LAUNCHED and one.status is not None):
            return
        one.status, one.at = status, self._moment
        one.error = text(error, ERROR_CHARACTERS) if status == FAILED else None


def is_about_tasks(line: bytes) -> bool:
    """Tell whether a line may say something of background tasks, beside the results of tools."""
    return _NOTIFICATION in line or _STATUS in line or _STOP in line or _KILLING in line


def has_result(line: bytes, tool_use_ids: "set[str]", at: "int | None" = None) -> bool:
    """Tell whether a line holds the result of one of these calls; a key within a text has its quotes escaped.

    `at` is where RESULT_OF first stands in it, -1 if it doesn't.
    """
    at = line.find(RESULT_OF) if at is None else at
    while at >= 0:
        start = line.find(b'"', at + len(RESULT_OF)) + 1
        at = line.find(b'"', start)
        if not start or line[start:at].decode("utf-8", "replace") in tool_use_ids:
            return start > 0
        at = line.find(RESULT_OF, at) if at >= 0 else -1
    return False


def _status_of(record: "Record", message: "Record", block: "Record", result: "Any") -> "tuple[str | None, str]":
    """Return the status of a launch by its result, and the text of its error."""
    answer = result if isinstance(result, str) else said_by(block)
    if record.get("interruptedByShutdown") is True:
        return None, ""  # the session has ended under it
    if text(record.get("toolDenialKind")) is not None:
        return KILLED, ""
    is_interrupted = answer.lstrip().removeprefix("Error: ").startswith(INTERRUPTION)
    if is_interrupted or is_interruption(message) or is_interrupted_result(block):
        return KILLED, ""
    if isinstance(result, dict):
        status = status_of(result)
        is_implied = status == COMPLETED and result.get("status") is None
        return (FAILED if is_implied and block.get("is_error") is True else status), answer
    is_error = block.get("is_error") is True or is_error_text(answer)
    return (FAILED if is_error else COMPLETED), answer


def _first(record: "Record", keys: "tuple[str, ...]") -> "str | None":
    return next((name for key in keys if (name := text(record.get(key))) is not None), None)


def _names_in(value: "Any", depth: int = 0) -> "list[str]":
    """Return the texts within a value that may be ids."""
    if isinstance(value, str):
        return [value] if len(value) <= 200 else []
    if depth == _DEEPEST or not isinstance(value, (dict, list)):
        return []
    inside = value.values() if isinstance(value, dict) else value
    return [name for item in inside for name in _names_in(item, depth + 1)]
