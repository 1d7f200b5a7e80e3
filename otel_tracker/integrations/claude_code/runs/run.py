"""One run of a sub-agent: the facts about it, and the task that it is recorded as. Pure."""

from otel_tracker.integrations.claude_code.transcripts.statuses import KILLED, LAUNCHED, STATUSES
from otel_tracker.names import normal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# A setting decides which of these a launch means that names no type.
_UNNAMED = frozenset(map(normal_name, ("general-purpose", "fork")))
_KEYS = {"recorded_end": "said"}
"""The keys of a session's file that differ from the attributes."""


class Run:
    """One run of a sub-agent, however many turns it has; None stands for a fact that no event has brought.

    agent_id, tool_use_id   Claude Code's id of it, and of the tool call that launched it
    agent_type              the type that ran, as SubagentStart, the sidecar or the tool's result names it
    wished_type             the type that the launch asked for, in any spelling
    launcher                the id of the agent that launched it; None for the main agent
    model, transcript       the model as the launch names it; the path as a payload names it
    began, reported         when the first event of its beginning came, and of its end (seconds since 1970)
    took, tool_uses         as the tool's result says: seconds, and the number of tools that it used
    returned                its status as the tool's result says (STATUSES); the strongest counts
    notified, notices       its status as the last notification says; the number of notifications
    error, outage           of a failure: its text, and the outage that the text tells of
    api_error               the code of the API's error that ended a turn of it (StopFailure)
    is_interrupted          the user has interrupted it, whatever else is reported about its end
    is_stalled              Claude Code has given it up
    is_stopped              an event has reported that it stopped; it may be woken
    is_unknown_type         there is no such type
    run_id, agent           the task and the agent that it is recorded as, from its first recorded event on
    is_started              its start has been recorded
    recorded_end            its end as recorded, with all amendments; the run is settled once there is one
    is_fresh                its transcript may have grown since it was read, or has not been read to its end
    reading                 where reading a long transcript may go on, and what was read so far (transcript_reader.py)

    All but `returned`, `notified`, `notices`, `recorded_end`, `is_fresh` and `reading` keep their first value.
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
        "recorded_end",
        "reported",
        "returned",
        "run_id",
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
    recorded_end: "dict[str, Any] | None"
    is_fresh: "bool | None"
    reading: "dict[str, Any] | None"

    def __init__(self, facts: "dict[str, Any] | None" = None) -> None:
        for name in self.__slots__:
            setattr(self, name, (facts or {}).get(_KEYS.get(name, name)))

    @classmethod
    def keys(cls) -> "set[str]":
        """Return the keys that `facts` may have."""
        return {_KEYS.get(name, name) for name in cls.__slots__}

    def facts(self) -> "dict[str, Any]":
        """Return the facts as a JSON object."""
        values = {_KEYS.get(name, name): getattr(self, name) for name in self.__slots__}
        return {key: value for key, value in values.items() if value is not None}

    def note(self, **facts: "Any") -> None:
        """Add facts; a fact that the run has already stays as it is."""
        for name, value in facts.items():
            if getattr(self, name) is None:
                setattr(self, name, value)

    def note_return(self, status: str, at: float) -> None:
        """Add the status that the tool's result gives; it may come in two parts, and more than once."""
        if self.returned is None or STATUSES.index(status) > STATUSES.index(self.returned):
            self.returned = status
        if status != LAUNCHED:
            self.note(reported=at)
            self.is_fresh = True

    def note_notification(self, status: str, at: float) -> None:
        """Add the status that a notification gives; the last one of a woken agent counts."""
        self.notified, self.notices = status, (self.notices or 0) + 1
        self.note(reported=at)
        self.is_fresh = True

    @property
    def report(self) -> "str | None":
        """The status with which its end is reported, None if it isn't."""
        if self.is_interrupted:
            return KILLED
        return self.notified or (None if self.returned == LAUNCHED else self.returned)

    @property
    def is_unclear(self) -> bool:
        """Whether anything is left to find out about it."""
        return not self.is_settled or self.is_fresh is True

    @property
    def is_settled(self) -> bool:
        """Whether its end has been recorded."""
        return self.recorded_end is not None


def types_of(named: "str | None") -> "frozenset[str]":
    """Return the normal forms of the types that a run may be of whose launch names this type, or none."""
    return _UNNAMED if named is None else frozenset((normal_name(named),))


def ids_of(run: "Mapping[str, Any]") -> "list[str]":
    """Return Claude Code's ids of a run, each of which no other run has, from its facts or its event."""
    return [run[key] for key in ("agent_id", "tool_use_id") if run.get(key)]


def run_id_of(session_id: str, launch: str) -> str:
    """Return the id of the task that a run is recorded as: `launch` is its tool call, or its agent if no call is known."""
    return digest(f"{session_id}\0{launch}")


def event_id(run_id: str, what: str) -> str:
    """Return the id of an event of a run; two hooks that make the same event give it the same id, and it counts once."""
    return digest(f"{run_id}\0{what}")


def digest(text: str) -> str:
    """Return a digest of a text: 128 bits in hexadecimal."""
    try:
        from _blake2 import blake2b  # hashlib has the same, and takes half as long as a hook to load OpenSSL
    except ImportError:
        from hashlib import blake2b
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
