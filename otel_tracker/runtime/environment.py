"""What is set for a whole process: the environment variables that this package reads, and what `configure` says above them.

Nothing else reads variables of this package's own. docs/opentelemetry.md has the same table.
"""

import os

from otel_tracker.errors import InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OTEL_TRACKER_HOME = "OTEL_TRACKER_HOME"
"""The folder of the document, the journal and the backups; by default `~/.claude/agents`."""
OTEL_TRACKER_ENFORCE = "OTEL_TRACKER_ENFORCE"
"""Whether tasks ask their agent's breaker first (1, true, yes, on); by default they only observe."""
OTEL_TRACKER_HANDLE_SIGNALS = "OTEL_TRACKER_HANDLE_SIGNALS"
"""Whether SIGTERM ends running tasks as cancelled before it does what it did; by default they are lost."""
OTEL_TRACKER_MASK_SECRETS = "OTEL_TRACKER_MASK_SECRETS"
"""Whether secrets in error texts are masked before they are stored, logged or exported; by default they are."""

DEFAULT_HOME = "~/.claude/agents"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_ENFORCE_KEY = os.fsencode(OTEL_TRACKER_ENFORCE) if os.name == "posix" else OTEL_TRACKER_ENFORCE

is_command = False
"""Whether this process is a command of this package's own, which does one thing and ends: the main thread then writes
itself (writer.py), for nothing in it survives an interrupt, and loading what a thread needs takes longer than the work."""

configured: "dict[str, Any]" = {}
"""What `configure` has been told, by its own argument names; it comes before the environment."""


def home_folder() -> str:
    """Return the home of this process."""
    chosen: str | None = configured.get("home")
    folder = chosen or os.environ.get(OTEL_TRACKER_HOME) or DEFAULT_HOME
    if chosen is None and not is_folder(folder):
        _complain(OTEL_TRACKER_HOME, f"names no folder: the home is {DEFAULT_HOME}, as if it were unset")
        folder = DEFAULT_HOME
    return os.path.expanduser(folder)


def chosen_home(folder: "str | None") -> str:
    """Return the home that a caller names, else that of this process; raises InvalidValueError if it names no folder."""
    if folder is not None and not is_folder(folder):
        raise InvalidValueError("a home", folder, "a folder")
    return folder or home_folder()


def is_folder(name: str) -> bool:
    """Tell whether a text may name a folder: it isn't blank, and there is a user such as `~user` names."""
    is_known = not name.startswith("~") or not os.path.expanduser(name).startswith("~")
    return is_known and bool(name.strip()) and "\0" not in name


def value_of(variable: str) -> str:
    """Return the value of a variable of another program, an empty text if it is unset."""
    return os.environ.get(variable, "")


def absolute(path: str) -> str:
    """Return a path from the root, with `~` expanded; as it is where the current folder, in which it begins, is gone."""
    path = os.path.expanduser(path)
    try:
        return os.path.abspath(path)
    except OSError:
        return path


def is_enforced() -> bool:
    """Tell whether tasks ask their agent's breaker first."""
    # Each task asks, mostly in vain: `os.environ` raises twice to say so, the dict behind it answers ten times as fast.
    # It has no public name: where there is none, a closer look has to do.
    variables = getattr(os.environ, "_data", (_ENFORCE_KEY,))
    return (_ENFORCE_KEY in variables or "enforce" in configured) and _is_set("enforce", OTEL_TRACKER_ENFORCE)


def handles_signals() -> bool:
    """Tell whether SIGTERM ends running tasks as cancelled."""
    return _is_set("handle_signals", OTEL_TRACKER_HANDLE_SIGNALS)


def masks_secrets() -> bool:
    """Tell whether secrets in the texts of others are masked."""
    return _is_set("mask_secrets", OTEL_TRACKER_MASK_SECRETS, is_on=True)


_complained: "set[str]" = set()


def _is_set(argument: str, variable: str, *, is_on: bool = False) -> bool:
    """Return what `configure` has been told, else what the variable says, else whether it `is_on` by default."""
    chosen: bool | None = configured.get(argument)
    if chosen is not None:
        return chosen
    value = os.environ.get(variable, "").strip().lower()
    if value in _TRUE + _FALSE:
        return value in _TRUE
    if value:
        meaning = "on" if is_on else "off"
        _complain(
            variable, f"is neither on (1, true, yes) nor off (0, false, no): it is {meaning}, as if it were unset"
        )
    return is_on


def _complain(variable: str, what: str) -> None:
    """Say once in this process what is wrong with a variable."""
    if variable in _complained:
        return
    _complained.add(variable)
    from otel_tracker.runtime.log import warn

    warn("%s=%s %s", variable, os.environ.get(variable), what)


def unset_unusable_limits() -> None:
    """Unset each limit of OpenTelemetry's (`OTEL_*_LIMIT`) that is no whole number from 0, with a warning.

    Importing the SDK, and making a provider, would raise for it; OpenTelemetry's specification has it taken as unset.
    """
    for variable in [name for name in os.environ if name.startswith("OTEL_") and name.endswith("_LIMIT")]:
        try:
            is_usable = int(os.environ[variable].strip() or 0) >= 0
        except ValueError:
            is_usable = False
        if not is_usable:
            _unset(variable, "a whole number from 0 is expected")


def usable(kind: str, get: "Callable[[], Any]") -> "Any":
    """Return what `get()` returns, the global provider of a kind: `tracer_provider` or `meter_provider`.

    The API raises where a variable names one that isn't there or can't be made: it is then unset, with a warning.
    """
    variable = f"OTEL_PYTHON_{kind.upper()}"
    if variable in os.environ:
        from importlib.metadata import entry_points

        if not entry_points(group=f"opentelemetry_{kind}", name=os.environ[variable]):
            _unset(variable, "no installed package has it")
    try:
        return get()
    except Exception as error:
        if variable not in os.environ:
            raise
        _unset(variable, repr(error))
        return get()


def _unset(variable: str, why: str) -> None:
    from otel_tracker.runtime.log import warn

    warn("%s=%s can't be used, and is unset in this process: %s", variable, os.environ.pop(variable), why)


def has_colour(is_terminal: bool) -> bool:
    """Tell whether output may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
