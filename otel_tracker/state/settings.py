"""The settings that a document's `config` holds: meaning, unit, default and range of each, in one place."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Check = Callable[[Any], str | None]

_YEAR_IN_MINUTES = 525_600


class Settings:
    """The values of a document's `config`, with the default wherever that has no usable one.

    A wrong value is no damage: `problems` names the key and what was expected, and the default holds.
    """

    failure_threshold: int = 5
    """Consecutive failures after which an agent is blacklisted."""
    cooldown_minutes: float = 10
    """Minutes for which an agent is blacklisted the first time; doubled by each reopening."""
    cooldown_max_minutes: float = 360
    """Minutes that a cooldown never exceeds, however often a breaker reopens."""
    probe_max_minutes: float = 180
    """Minutes after which a running probe no longer holds its agent: another probe is let through."""
    timeout_seconds: float = 180
    """Seconds after which a running task counts as overdue."""
    retry_attempts: int = 3
    """Attempts after the first one that failed."""
    history_max_entries: int = 1000
    """Entries that the document's `history` holds at most."""
    history_retention_days: float = 30
    """Days for which history is kept."""
    count_lost: bool = True
    """Whether a lost task counts as a failure for the breaker."""
    in_flight_max_hours: float = 24
    """Hours after which a task without an owner that was never ended counts as lost."""
    record_project: bool = True
    """Whether events of a coding agent's sessions name the folder that these work in."""
    environment_errors: "tuple[str, ...]" = ()
    """Texts in errors that are not the agent's fault, beside those that outages.py knows."""
    fallbacks: "tuple[str, ...]" = ()
    """Agents that may stand in for this one, in their order; only an agent's own `config` has this key."""

    def __init__(self, config: "Mapping[str, Any]", overrides: "Mapping[str, Any] | None" = None) -> None:
        self.problems: list[str] = []
        self._take(config, DOCUMENT_KEYS, "$.config")
        if overrides:
            self._take(overrides, AGENT_KEYS, "config")

    @classmethod
    def of(cls, config: "Mapping[str, Any]") -> "Settings":
        """Return the settings of a `config` that is never changed in place; those of the last one are remembered."""
        remembered = cls._last
        if remembered is None or remembered[0] is not config:
            remembered = cls._last = (config, cls(config))
        return remembered[1]

    @classmethod
    def of_agent(cls, config: "Mapping[str, Any]", overrides: "Mapping[str, Any] | None") -> "Settings":
        """Return the settings of an agent: its own ones over the document's."""
        return cls(config, overrides) if overrides else cls.of(config)

    def is_environment_error(self, event: "Mapping[str, Any]") -> bool:
        """Tell whether these settings declare the error of an ended task not to be the agent's fault."""
        if not self.environment_errors:
            return False
        error = f"{event.get('error_type') or ''}: {event.get('error') or ''}".lower()
        return any(text.lower() in error for text in self.environment_errors)

    _last: "tuple[Mapping[str, Any], Settings] | None" = None

    def _take(self, config: "Mapping[str, Any]", keys: "Iterable[str]", path: str) -> None:
        for key in keys:
            if key not in config:
                continue
            value, expected = config[key], KEYS[key](config[key])
            if expected is None:
                setattr(self, key, tuple(value) if isinstance(value, list) else value)
            else:
                holds = getattr(self, key)
                self.problems.append(f"{path}.{key}: expected {expected}, got {value!r}; the default {holds} holds")


def problems_in(head: "Mapping[str, Any]") -> "list[str]":
    """Return what is wrong with the settings in a document's head and in its agents, each with its JSON path."""
    problems = list(Settings.of(head["config"]).problems)
    for key, agent in head["agents"].items():
        if agent.get("config"):
            of_agent = Settings({}, agent["config"]).problems
            problems += [f"$.agents[{key!r}].{problem.partition(';')[0]}" for problem in of_agent]
    return problems


def _number(number_type: type, least: float, most: float) -> "Check":
    noun = "a whole number" if number_type is int else "a number"

    def check(value: "Any") -> "str | None":
        is_number = isinstance(value, int if number_type is int else (int, float)) and not isinstance(value, bool)
        return None if is_number and least <= value <= most else f"{noun} from {least:,} to {most:,}"

    return check


def _truth(value: "Any") -> "str | None":
    return None if isinstance(value, bool) else "true or false"


def _texts(value: "Any") -> "str | None":
    is_right = isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)
    return None if is_right else "a list of texts"


# The check of each setting: it returns what was expected, None where a value is right.
KEYS: "dict[str, Check]" = {
    "failure_threshold": _number(int, 1, 1_000_000),
    "cooldown_minutes": _number(float, 0, _YEAR_IN_MINUTES),
    "cooldown_max_minutes": _number(float, 0, _YEAR_IN_MINUTES),
    "probe_max_minutes": _number(float, 0, _YEAR_IN_MINUTES),
    "timeout_seconds": _number(float, 0, 31_536_000),
    "retry_attempts": _number(int, 0, 1000),
    "history_max_entries": _number(int, 0, 10_000_000),
    "history_retention_days": _number(float, 0, 36_500),
    "count_lost": _truth,
    "in_flight_max_hours": _number(float, 0, 876_000),
    "record_project": _truth,
    "environment_errors": _texts,
    "fallbacks": _texts,
}
DOCUMENT_KEYS = tuple(key for key in KEYS if key != "fallbacks")
# Settings that an agent may have for itself; the others are about the whole document.
AGENT_KEYS = (
    "failure_threshold",
    "cooldown_minutes",
    "cooldown_max_minutes",
    "probe_max_minutes",
    "timeout_seconds",
    "retry_attempts",
    "count_lost",
    "environment_errors",
    "fallbacks",
)

# The keys of a new document's `config`: the six settings of the v7.0 specification.
V7_KEYS = (
    "failure_threshold",
    "cooldown_minutes",
    "timeout_seconds",
    "retry_attempts",
    "history_max_entries",
    "history_retention_days",
)


def default_config() -> "dict[str, Any]":
    """Return the `config` of a new document."""
    return {key: getattr(Settings, key) for key in V7_KEYS}
