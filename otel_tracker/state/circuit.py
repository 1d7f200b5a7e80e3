"""What a breaker remembers of an agent, and its form in the agent's entry of a document. Pure.

Moments are seconds since 1970 here, and timestamps in the document.
"""

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.shapes import Agent

LONGEST_STREAK = 100  # runs; earlier failures of a longer one can't be taken back


class ProbePermit:
    """The right to run the one probe of a half-open breaker."""

    __slots__ = ("expires", "granted", "owner", "run_id", "task_id")

    def __init__(
        self,
        run_id: str,
        granted: float,
        expires: float,
        owner: "dict[str, Any] | None" = None,
        task_id: "str | None" = None,
    ) -> None:
        self.run_id = run_id
        """The run of the task that it is for."""
        self.granted = granted
        self.expires = expires
        """The moment at which it is over unless its task has begun."""
        self.owner = owner
        """The process that holds the permit, None where its end can't be seen."""
        self.task_id = task_id


class Override:
    """A person's order to a breaker, whatever its state: `forced_open` or `disabled`."""

    __slots__ = ("kind", "reason", "until")

    def __init__(self, kind: str, until: "float | None" = None, reason: "str | None" = None) -> None:
        self.kind, self.until, self.reason = kind, until, reason


class Circuit:
    """What a breaker remembers of an agent. Never changed in place."""

    __slots__ = (
        "blacklisted_until",
        "failures",
        "generation",
        "last_failure",
        "opened",
        "override",
        "permit",
        "reopenings",
        "state",
        "streak",
    )

    def __init__(
        self,
        state: str = names.CLOSED,
        failures: int = 0,
        last_failure: "float | None" = None,
        blacklisted_until: "float | None" = None,
        generation: int = 0,
        opened: "float | None" = None,
        reopenings: int = 0,
        permit: "ProbePermit | None" = None,
        override: "Override | None" = None,
        streak: "tuple[str, ...]" = (),
    ) -> None:
        self.state = state
        self.failures = failures
        """Consecutive failures."""
        self.last_failure = last_failure
        self.blacklisted_until = blacklisted_until
        self.generation = generation
        """How often the state has changed; a task's end counts only in the generation of its start."""
        self.opened = opened
        self.reopenings = reopenings
        """Probes that failed since the breaker was last closed."""
        self.permit = permit
        """The probe's permit, if the state is half_open."""
        self.override = override
        self.streak = streak
        """The runs of the consecutive failures, at most the newest LONGEST_STREAK; none while the circuit isn't closed."""

    def replace(self, **changes: object) -> "Circuit":
        """Return a copy with `changes`."""
        changed = Circuit()
        for slot in self.__slots__:
            setattr(changed, slot, changes.get(slot, getattr(self, slot)))
        return changed


def circuit_of(agent: "Agent") -> Circuit:
    """Return the breaker that an agent's entry describes. Its `status` decides the state, since people edit it."""
    is_open = agent["status"] in (names.STATUSES[names.OPEN], names.STATUSES[names.HALF_OPEN])
    circuit = agent["circuit"]
    permit = _permit_of(circuit["permit"]) if agent["status"] == names.STATUSES[names.HALF_OPEN] else None
    return Circuit(
        state=names.HALF_OPEN if permit else names.OPEN if is_open else names.CLOSED,
        failures=agent["failures"],
        last_failure=seconds_of(agent["last_failure"]),
        blacklisted_until=seconds_of(agent["blacklisted_until"]) if is_open else None,
        generation=circuit["generation"],
        opened=seconds_of(circuit["opened"]) if is_open else None,
        reopenings=circuit["reopenings"] if is_open else 0,
        permit=permit,
        override=override_of(circuit["override"]),
        streak=tuple(circuit.get("streak", ()))[-agent["failures"] :] if agent["failures"] and not is_open else (),
    )


def write_circuit(agent: "Agent", before: Circuit, after: Circuit) -> None:
    """Write a breaker into an agent's entry if it has moved; unchanged moments keep their text."""
    if after is before:
        return
    agent["status"] = names.STATUSES[after.state]
    agent["failures"] = after.failures
    agent["blacklisted_until"] = _timestamp(after.blacklisted_until)
    if after.last_failure != before.last_failure:
        agent["last_failure"] = _timestamp(after.last_failure)
    agent["circuit"] = {
        **agent["circuit"],
        "state": after.state,
        "generation": after.generation,
        "opened": _timestamp(after.opened),
        "reopenings": after.reopenings,
        "permit": _permit_value(after.permit),
        "override": _override_value(after.override),
    }
    if after.streak or "streak" in agent["circuit"]:
        agent["circuit"]["streak"] = list(after.streak)


def _permit_of(value: "Agent | None") -> "ProbePermit | None":
    if value is None:
        return None
    return ProbePermit(
        value["run_id"],
        parse_timestamp(value["granted"]),
        parse_timestamp(value["expires"]),
        value.get("owner"),
        value.get("task_id"),
    )


def _permit_value(permit: "ProbePermit | None") -> "Agent | None":
    if permit is None:
        return None
    return {
        "run_id": permit.run_id,
        "task_id": permit.task_id,
        "granted": format_timestamp(permit.granted),
        "expires": format_timestamp(permit.expires),
        "owner": permit.owner,
    }


def override_of(value: "Agent | None") -> "Override | None":
    """Return the override that a JSON value describes."""
    if value is None:
        return None
    return Override(value["kind"], seconds_of(value.get("until")), value.get("reason"))


def _override_value(override: "Override | None") -> "Agent | None":
    if override is None:
        return None
    return {"kind": override.kind, "until": _timestamp(override.until), "reason": override.reason}


def seconds_of(text: "str | None") -> "float | None":
    """Return the moment of a timestamp that may be missing."""
    return None if text is None else parse_timestamp(text)


def _timestamp(seconds: "float | None") -> "str | None":
    return None if seconds is None else format_timestamp(seconds)
