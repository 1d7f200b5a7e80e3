"""The settings of a whole process: the environment variables that this package reads, and the `configuration` above them.

No other module reads the environment, except that the package's `__init__` looks for limits before it loads this one. docs/opentelemetry.md has the same table.
"""

import os

from otel_tracker.errors import InvalidValueError
from otel_tracker.runtime import log_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

OTEL_TRACKER_HOME = "OTEL_TRACKER_HOME"
"""The folder of the document, the journal and the backups; by default `~/.claude/agents`."""
OTEL_TRACKER_ENFORCE = "OTEL_TRACKER_ENFORCE"
"""Whether tasks ask their agent's breaker first (1, true, yes, on); by default they only observe."""
OTEL_TRACKER_HANDLE_SIGNALS = "OTEL_TRACKER_HANDLE_SIGNALS"
"""Whether SIGTERM ends running tasks as cancelled, before the previous handler runs; by default they are lost."""
OTEL_TRACKER_MASK_SECRETS = "OTEL_TRACKER_MASK_SECRETS"
"""Whether secrets in error texts are masked before they are stored, logged or exported; by default they are."""
OTEL_TRACKER_DISABLED = "OTEL_TRACKER_DISABLED"
"""Whether nothing is recorded and nothing refused (1, true, yes, on): for tests of code that uses this package."""

DEFAULT_HOME = "~/.claude/agents"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

is_command = False
"""Whether this process is a command of this package's own, which does one thing and ends: the main thread then writes
itself (writer.py): an interrupt ends the process anyway, and loading `threading` takes longer than the work."""


class Configuration:
    """The arguments of `configure`, which come before the environment; None leaves a thing to the environment."""

    def __init__(
        self,
        home: "str | None" = None,
        enforce: "bool | None" = None,
        handle_signals: "bool | None" = None,
        mask_secrets: "bool | None" = None,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        disabled: "bool | None" = None,
    ) -> None:
        self.home, self.enforce, self.handle_signals, self.mask_secrets = home, enforce, handle_signals, mask_secrets
        self.tracer_provider, self.meter_provider, self.disabled = tracer_provider, meter_provider, disabled


configuration = Configuration()
"""That of this process; `configure` puts another one in its place."""


def home_folder() -> str:
    """Return the home of this process."""
    chosen = configuration.home
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


def is_set(variable: str) -> bool:
    """Tell whether a variable of another program is set, be it to an empty text."""
    return variable in os.environ


def variables() -> "dict[str, str]":
    """Return all variables of this process, for one that it starts."""
    return dict(os.environ)


def absolute(path: str) -> str:
    """Return a path from the root, with `~` expanded; as it is where the current folder, in which it begins, is gone."""
    path = os.path.expanduser(path)
    try:
        return os.path.abspath(path)
    except OSError:
        return path


def is_enforced() -> bool:
    """Tell whether tasks ask their agent's breaker first."""
    return _is_set(configuration.enforce, OTEL_TRACKER_ENFORCE)


def handles_signals() -> bool:
    """Tell whether SIGTERM ends running tasks as cancelled."""
    return _is_set(configuration.handle_signals, OTEL_TRACKER_HANDLE_SIGNALS)


def masks_secrets() -> bool:
    """Tell whether secrets in the texts of others are masked."""
    return _is_set(configuration.mask_secrets, OTEL_TRACKER_MASK_SECRETS, is_on=True)


def is_disabled() -> bool:
    """Tell whether nothing is recorded and nothing refused."""
    return _is_set(configuration.disabled, OTEL_TRACKER_DISABLED)


def is_disabled_for_others() -> bool:
    """Tell whether nothing is recorded by processes that have this process's variables."""
    return _is_set(None, OTEL_TRACKER_DISABLED)


_complained: "set[str]" = set()


def _is_set(chosen: "bool | None", variable: str, *, is_on: bool = False) -> bool:
    """Return `chosen`, from `configure`, unless it is None; else the value of the variable; else the default, `is_on`."""
    if chosen is not None:
        return chosen
    value = os.environ.get(variable)
    if not value:
        return is_on
    value = value.strip().lower()
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    if value:
        meaning = "on" if is_on else "off"
        _complain(
            variable, f"is neither on (1, true, yes) nor off (0, false, no): it is {meaning}, as if it were unset"
        )
    return is_on


def _complain(variable: str, fault: str) -> None:
    """Log the fault of a variable, once in this process."""
    if variable in _complained:
        return
    _complained.add(variable)
    log_output.write(f"{variable}={os.environ.get(variable)} {fault}", is_fault=True)


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
            log_output.write(unset(variable, "a whole number from 0 is expected"), is_fault=True)


def unset(variable: str, why: str) -> str:
    """Unset a variable in this process, since its value can't be used, and return the warning about that."""
    return f"{variable}={os.environ.pop(variable)} can't be used, and is unset in this process: {why}"


def has_colour(is_terminal: bool) -> bool:
    """Tell whether output may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
