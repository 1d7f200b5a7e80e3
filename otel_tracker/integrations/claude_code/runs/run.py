"""One run of a sub-agent: what is known of it, and as which task it is recorded. Pure."""

from otel_tracker.integrations.claude_code.transcripts.statuses import KILLED, LAUNCHED, STATUSES
from otel_tracker.names import normal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Which of them a launch that names no type means depends on a setting.
_UNNAMED = frozenset(map(normal_name, ("general-purpose", "fork")))


class Run:
    """One run of a sub-agent, however many turns it has; None is what nothing has told.

    agent_id, tool_use_id   Claude Code's id of it, and of the tool's call that launched it
    agent_type              its type, as SubagentStart, its sidecar or its result says: the type that ran
    wished_type             the type that its launch asked for, in whatever spelling
    launcher                the id of the agent that launched it; the main agent has none
    model, transcript       as its launch names the model; the path that a payload names
    began, reported         when the first event of its beginning came, and of its end (seconds since 1970)
    took, tool_uses         what the tool's result says: seconds, and how many tools it used
    returned                what that says has become of it (STATUSES); the strongest counts
    notified, notices       what the last notification says, and how many there were
    error, outage           of a failure: its text, and which outage that tells of
    api_error               the code of the API's error that ended a turn of it (StopFailure)
    is_interrupted          the user has interrupted it, whatever else is said of its end
    is_stalled              Claude Code has given it up
    is_stopped              an event has told that it stopped, for now
    is_unknown_type         there is no such type
    run_id, agent           as which task of which agent it is recorded, from the first event on
    is_started, said        its start is recorded; its end as recorded, with all amendments (it is settled)
    is_fresh                its transcript may have got more since, or has not been read to its end
    reading                 where reading a long transcript may go on, and what was found up to there (transcript.py)

    All but `returned`, `notified`, `notices`, `said`, `is_fresh` and `reading` stay as they were told first.
    """

    __slots__ = (
        "agent",
        "agent_id",
        "agent_type",
        "api_error",
        "began",
        "error",
        "is_fresh",
        "is_interrupted",
        "is_stalled",
        "is_started",
        "is_stopped",
        "is_unknown_type",
        "launcher",
        "model",
        "notices",
        "notified",
        "outage",
        "reading",
        "reported",
        "returned",
        "run_id",
        "said",
        "took",
        "tool_use_id",
        "tool_uses",
        "transcript",
        "wished_type",
    )

    agent_id: "str | None"
    tool_use_id: "str | None"
    agent_type: "str | None"
    wished_type: "str | None"
    launcher: "str | None"
    model: "str | None"
    transcript: "str | None"
    began: "float | None"
    reported: "float | None"
    took: "float | None"
    tool_uses: "int | None"
    returned: "str | None"
    notified: "str | None"
    notices: "int | None"
    error: "str | None"
    outage: "str | None"
    api_error: "str | None"
    is_interrupted: "bool | None"
    is_stalled: "bool | None"
    is_stopped: "bool | None"
    is_unknown_type: "bool | None"
    run_id: "str | None"
    agent: "str | None"
    is_started: "bool | None"
    said: "dict[str, Any] | None"
    is_fresh: "bool | None"
    reading: "dict[str, Any] | None"

    def __init__(self, facts: "dict[str, Any] | None" = None) -> None:
        for name in self.__slots__:
            setattr(self, name, (facts or {}).get(name))

    def facts(self) -> "dict[str, Any]":
        """Return what is known, as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}

    def note(self, **facts: "Any") -> None:
        """Add facts; what is known already stays."""
        for name, value in facts.items():
            if getattr(self, name) is None:
                setattr(self, name, value)

    def note_return(self, status: str, at: float) -> None:
        """Add what the tool's result says; it may come in two parts, and more than once."""
        if self.returned is None or STATUSES.index(status) > STATUSES.index(self.returned):
            self.returned = status
        if status != LAUNCHED:
            self.note(reported=at)
            self.is_fresh = True

    def note_notification(self, status: str, at: float) -> None:
        """Add what a notification says; the last one of a woken agent counts."""
        self.notified, self.notices = status, (self.notices or 0) + 1
        self.note(reported=at)
        self.is_fresh = True

    @property
    def report(self) -> "str | None":
        """What is reported of its end, None if nothing is."""
        if self.is_interrupted:
            return KILLED
        return self.notified or (None if self.returned == LAUNCHED else self.returned)

    @property
    def is_unclear(self) -> bool:
        """Whether there is something left to find out about it."""
        return not self.is_settled or self.is_fresh is True

    @property
    def is_settled(self) -> bool:
        """Whether its end has been recorded."""
        return self.said is not None


def types_of(named: "str | None") -> "frozenset[str]":
    """Return the types that a run may be of, in their normal form, if this type is named; a launch may name none."""
    return _UNNAMED if named is None else frozenset((normal_name(named),))


def run_id_of(session_id: str, launch: str) -> str:
    """Return the id of the task that a launch, or a run that no launch is known of, is recorded as."""
    return digest(f"{session_id}\0{launch}")


def event_id(run_id: str, what: str) -> str:
    """Return the id of an event that may be made more than once, and counts once."""
    return digest(f"{run_id}\0{what}")


def digest(text: str) -> str:
    """Return 128 bits, in hexadecimal, that follow from a text."""
    try:
        from _blake2 import blake2b  # what hashlib has; it loads OpenSSL, too, for as long as half of a hook's work
    except ImportError:
        from hashlib import blake2b
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
