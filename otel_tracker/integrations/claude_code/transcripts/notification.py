"""Task notifications: prompts of Claude Code that tell the main agent that a background task has ended. Pure.

They are texts that look like XML and are not: nothing in them is escaped, and the result of a task may contain any text,
even other notifications. The format is Claude Code's own, internal, and documented nowhere officially; seen in versions up
to 2.1.240. A task's result and summary are not kept.
"""

from otel_tracker.integrations.claude_code.transcripts.lines import text
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED, FAILED, KILLED
from otel_tracker.runtime.limits import ERROR_CHARACTERS
from otel_tracker.state import outages

MARK = "<task-notification>"
_END = "</task-notification>"
# Bounds on the time that a prompt takes.
_MOST_NOTIFICATIONS, _MOST_TAGS, _MOST_RESULTS, _LONGEST = 100, 64, 1000, 2**20

_NAMES = ("task-id", "tool-use-id", "status", "summary")
_STATUSES = {
    COMPLETED: ("completed", "success", "succeeded", "finished", "done"),
    FAILED: ("failed", "error", "errored", "timeout", "timed_out"),
    KILLED: ("killed", "stopped", "cancelled", "canceled", "interrupted", "aborted"),
}
_STOPPED = ("was stopped", "was killed", "was cancelled", "stopped by the user")
_VERBS = ("failed", "was ", "stopped", "stalled", "completed", "finished", "came to rest")


class Notification:
    """The end of a task, or of a turn of it.

    task_id      for an agent, its id; None if missing
    tool_use_id  of the launch; None if missing, as in one of six
    status       COMPLETED, FAILED, KILLED; None if it is none of them
    error        of a failed task, the summary's text about it; None if that may contain the task's description
    outage       the outage that the summary of a failed task reports, if any
    is_stalled   Claude Code has given up on the task for want of progress
    """

    __slots__ = ("error", "is_stalled", "outage", "status", "task_id", "tool_use_id")

    def __init__(self, tags: "dict[str, str]") -> None:
        summary = tags.get("summary", "")
        verdict = _verdict(summary)
        self.task_id = _id(tags.get("task-id"))
        self.tool_use_id = _id(tags.get("tool-use-id"))
        self.is_stalled = "stalled" in verdict
        self.status = _status(tags.get("status"), verdict, self.is_stalled)
        is_failed, is_plain = self.status == FAILED, summary.count('"') == 2
        self.error = _error(summary[len(summary) - len(verdict) :]) if is_failed and is_plain else None
        self.outage = outages.outage_of(None, verdict) if is_failed else None


def notifications_in(prompt: str) -> "list[Notification]":
    """Return the notifications in a prompt, in order; not those that are quoted in the result of another one."""
    notifications: list[Notification] = []
    prompt = prompt[:_LONGEST] if isinstance(prompt, str) else ""
    at = prompt.find(MARK)
    while at >= 0 and len(notifications) < _MOST_NOTIFICATIONS:
        tags, end = _tags(prompt, at + len(MARK))
        notifications.append(Notification(tags))
        at = prompt.find(MARK, end)
    return notifications


def _tags(prompt: str, at: int) -> "tuple[dict[str, str], int]":
    """Return the tags of the notification whose content begins at `at`, the first of each name, and where it ends."""
    tags: dict[str, str] = {}
    limit = prompt.find(_END, at)
    while len(tags) < _MOST_TAGS:
        at = prompt.find("<", at)
        if at < 0 or prompt.startswith(_END, at):
            return tags, (len(prompt) if at < 0 else at + len(_END))
        if prompt.startswith(MARK, at):  # the one before has no end
            return tags, at
        close = prompt.find(">", at, at + 80)
        name = prompt[at + 1 : close] if close > 0 else ""
        if not name.replace("-", "").replace("_", "").isalnum():
            at += 1
            continue
        value, at = _value(prompt, name, close + 1, limit)
        tags.setdefault(name if name in _NAMES else f"{len(tags)}", value)
    return tags, at


def _value(prompt: str, name: str, at: int, limit: int) -> "tuple[str, int]":
    """Return the value of a tag, and where the prompt goes on; the value of an unclosed tag is empty."""
    end = (
        _end_of_result(prompt, at)
        if name == "result"
        else prompt.find(f"</{name}>", at, limit if limit > 0 else len(prompt))
    )
    if end < 0:
        return "", at
    return prompt[at:end], end + len(name) + 3


def _end_of_result(prompt: str, at: int) -> int:
    """Return where a result ends, -1 if it doesn't: at the end that balances the nested results, else at the first end."""
    depth, first = 1, prompt.find("</result>", at)
    for _ in range(_MOST_RESULTS):
        start, end = prompt.find("<result>", at), prompt.find("</result>", at)
        if end < 0:
            break
        if depth == 1 and not 0 <= start < end:
            return end
        is_start = 0 <= start < end
        depth += 1 if is_start else -1
        at = (start if is_start else end) + len("<result>")
    return first


def _verdict(summary: str) -> str:
    """Return the part of a summary behind the task's description, which is in quotes; in small letters."""
    small = summary.lower()
    if len(small) != len(summary):  # a letter becomes more than one small letter
        small = summary
    starts = [start for verb in _VERBS if (start := small.find(f'" {verb}')) >= 0]
    return small[min(starts) + 2 :] if starts else small[small.rfind('"') + 1 :]


def _status(word: "str | None", verdict: str, is_stalled: bool) -> "str | None":
    """Return a task's status as one of three words; that the user has stopped it counts more than `word`."""
    if verdict.startswith(_STOPPED) or "was stopped by the user" in verdict:
        return KILLED
    word = (word or "").strip().lower()
    status = next((status for status, words in _STATUSES.items() if word in words), None)
    if is_stalled and status != KILLED:
        return FAILED
    if status is None and not word:
        return next((status for status, words in _STATUSES.items() if verdict.lstrip().startswith(words)), None)
    return status


def _error(verdict: str) -> "str | None":
    return text(verdict.removeprefix("failed").lstrip(": "), ERROR_CHARACTERS)


def _id(value: "str | None") -> "str | None":
    """Return an id: a printable text without spaces; an agent's id without the `agent-` that some have."""
    name = (value or "").strip().removeprefix("agent-")
    return name if 0 < len(name) <= 200 and name.isprintable() and " " not in name else None
