"""The settings that a document's `config` holds: meaning, unit, default and range of each, in one place."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_YEAR_IN_MINUTES = 525_600


class Settings:
    """What a document's `config` says, with the default wherever it says nothing usable.

    A wrong value is no damage: `problems` names the key and what was expected, and the default holds.
    """

    failure_threshold: int = 5
    """Consecutive failures after which an agent is blacklisted."""
    cooldown_minutes: float = 10
    """Minutes for which an agent is blacklisted the first time; doubled by each reopening."""
    cooldown_max_minutes: float = 360
    """Minutes that a cooldown never exceeds, however often a breaker reopens."""
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

    def __init__(self, config: "Mapping[str, Any]") -> None:
        self.problems: list[str] = []
        for key, (kind, least, most) in _RANGES.items():
            if key in config:
                self._take(key, config[key], kind, least, most)

    @classmethod
    def of(cls, config: "Mapping[str, Any]") -> "Settings":
        """Return the settings of a `config` that is never changed in place; those of the last one are remembered."""
        remembered = cls._last
        if remembered is None or remembered[0] is not config:
            remembered = cls._last = (config, cls(config))
        return remembered[1]

    _last: "tuple[Mapping[str, Any], Settings] | None" = None

    def _take(self, key: str, value: "Any", kind: type, least: float, most: float) -> None:
        if kind is bool:
            if isinstance(value, bool):
                setattr(self, key, value)
            else:
                self._refuse(key, value, "true or false")
            return
        is_number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        if is_number and least <= value <= most:
            setattr(self, key, value)
        else:
            noun = "a whole number" if kind is int else "a number"
            self._refuse(key, value, f"{noun} from {least:,} to {most:,}")

    def _refuse(self, key: str, value: "Any", expected: str) -> None:
        self.problems.append(
            f"$.config.{key}: expected {expected}, got {value!r}; the default {getattr(self, key)} holds"
        )


# The range that each setting is taken from: type, least, most.
_RANGES: "dict[str, tuple[type, float, float]]" = {
    "failure_threshold": (int, 1, 1_000_000),
    "cooldown_minutes": (float, 0, _YEAR_IN_MINUTES),
    "cooldown_max_minutes": (float, 0, _YEAR_IN_MINUTES),
    "timeout_seconds": (float, 0, 31_536_000),
    "retry_attempts": (int, 0, 1000),
    "history_max_entries": (int, 0, 10_000_000),
    "history_retention_days": (float, 0, 36_500),
    "count_lost": (bool, 0, 1),
    "in_flight_max_hours": (float, 0, 876_000),
}

# What a new document's `config` says: the six settings of the v7.0 specification.
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
