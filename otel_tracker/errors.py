"""The errors of this package. Each keeps its fields; its message says what was attempted, on what, why it failed, what to do.

`command` makes the commands that messages suggest to people and to Claude, ready for a shell.
"""

from otel_tracker.names import FORCED_OPEN, NO_FALLBACK

INSTALL_AGAIN = "git pull && pip install . in a clone of otel-tracker"
"""The command that updates this package, which no package index has."""


def command(name: str, *operands: str, home: "str | None" = None, options: "tuple[str, ...]" = ()) -> str:
    """Return the command `otel-tracker NAME OPTIONS OPERANDS`, quoted for a POSIX shell.

    `name` may be two words (`backups list`); `home` is the value of `--home` (Home.option), None for the default home.
    """
    from shlex import join  # only for a suggestion: `health` does without it

    home_option = [] if home is None else ["--home", home]
    is_like_an_option = any(operand.startswith("-") for operand in operands)
    rest = [*home_option, "--", *operands] if is_like_an_option else [*operands, *home_option]
    return join(["otel-tracker", *name.split(), *options, *rest])


class OtelTrackerError(Exception):
    """Base of all errors that this package raises; an `except` for it catches each of them."""

    is_final = False
    """Whether another attempt is pointless."""

    def __init__(self, *fields: object) -> None:
        super().__init__(*fields)
        self.fields = fields

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self.fields

    def message(self) -> str:
        """Return the message for a person."""
        return " ".join(str(field) for field in self.fields)


class InvalidValueError(OtelTrackerError, ValueError):
    """A caller's value can't be recorded: `field`, `value`, and what was `expected`."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(field, value, expected)
        self.field, self.value, self.expected = field, value, expected

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot use {self.value!r} as {self.field}: expected {self.expected}"


class UnknownAgentError(OtelTrackerError, KeyError):
    """The `agent` that a caller names has neither been registered nor run; `similar` are keys that may be meant."""

    def __init__(self, agent: str, path: str, similar: tuple[str, ...] = (), home: str | None = None) -> None:
        super().__init__(agent, path, similar, home)
        self.agent, self.path, self.similar, self.home = agent, path, similar, home

    def message(self) -> str:
        """Return the message for a person."""
        listed = f"list them with: {command('status', home=self.home)}"
        hint = f"did you mean {' or '.join(self.similar)}?" if self.similar else listed
        return f"unknown agent {self.agent!r}: {self.path} has no such agent; {hint}"


class AmbiguousAgentError(OtelTrackerError, KeyError):
    """Several agents have the name that a caller uses: the `agent` as named, and the keys of the `candidates`."""

    def __init__(self, agent: str, candidates: tuple[str, ...]) -> None:
        super().__init__(agent, candidates)
        self.agent, self.candidates = agent, candidates

    def message(self) -> str:
        """Return the message for a person."""
        listed = ", ".join(self.candidates)
        return f"cannot tell which agent {self.agent!r} is: it may be {listed}; name one of them by its whole key"


class UnknownMetricError(InvalidValueError):
    """Agents don't have the metric, the `value`, that a leaderboard should be ranked by."""

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot rank agents by {self.value!r}: expected {self.expected}"


class AgentBlacklistedError(OtelTrackerError):
    """A task of the `agent` was refused `until` a timestamp (None if unknown), for a `reason`; a `fallback` may be used instead.

    The `reason` is in words; `code` is the same as a constant: `failures`, `probe_running`, `forced_open`, `no_fallback`.
    """

    def __init__(
        self,
        agent: str,
        until: str | None,
        reason: str,
        fallback: str | None,
        home: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(agent, until, reason, fallback, home, code)
        self.agent, self.until, self.reason, self.fallback = agent, until, reason, fallback
        self.home, self.code = home, code

    def message(self) -> str:
        """Return the message for a person."""
        until = f" until {self.until}" if self.until else ""
        instead = f"use {self.fallback} instead" if self.fallback else "wait" if self.until else "wait for it"
        mended = f"lift that with: {command('breaker', self.agent, 'auto', home=self.home)}"
        if self.code != FORCED_OPEN:
            mended = f"close its breaker with: {command('reset', self.agent, home=self.home)}"
        return f"cannot run a task of {self.agent}: it is refused{until} ({self.reason}); {instead}, or {mended}"


class NoAgentAvailableError(AgentBlacklistedError):
    """An agent and all of its fallbacks are refused: `refused` has each with the timestamp until which, and the reason."""

    def __init__(self, agent: str, refused: "tuple[tuple[str, str | None, str], ...]", home: str | None = None) -> None:
        first = min((until for _, until, _ in refused if until), default=None)
        super().__init__(agent, first, "no fallback is let through", None, home, NO_FALLBACK)
        self.refused = refused
        self.fields = (agent, refused, home)

    def message(self) -> str:
        """Return the message for a person."""
        listed = ", ".join(
            f"{name}{f' until {until}' if until else ''} ({reason})" for name, until, reason in self.refused
        )
        return (
            f"no agent can run a task of {self.agent}: refused are {listed}; "
            f"wait, or see: {command('status', home=self.home)}"
        )


class AgentTimeoutError(OtelTrackerError, TimeoutError):
    """An attempt of the `agent` did not end within `seconds`."""

    def __init__(self, agent: str, seconds: float) -> None:
        super().__init__(agent, seconds)
        self.agent, self.seconds = agent, seconds

    def message(self) -> str:
        """Return the message for a person."""
        return (
            f"a task of {self.agent} timed out: it did not end within {self.seconds:g} s; "
            "allow it more with `timeout` or the setting timeout_seconds"
        )


class UnknownBackupError(OtelTrackerError, KeyError):
    """There is no backup of the `name` in the `folder`."""

    def __init__(self, name: str, folder: str, home: str | None = None) -> None:
        super().__init__(name, folder, home)
        self.name, self.folder, self.home = name, folder, home

    def message(self) -> str:
        """Return the message for a person."""
        listed = command("backups list", home=self.home)
        return f"unknown backup {self.name!r}: {self.folder} has no such file; list them with: {listed}"


class RestoreError(OtelTrackerError):
    """A backup (`path`) is from a history that an earlier restore has discarded."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def message(self) -> str:
        """Return the message for a person."""
        return (
            f"cannot restore {self.path} and go on with what came after it: an earlier restore has discarded that; "
            "go back to the backup as it is with --discard-later"
        )


class DocumentError(OtelTrackerError, ValueError):
    """A document can't be used: `path` of the file, `place` in it (`$.agents["a.md"].failures`), and the `reason`."""

    advice = "correct it by hand, or copy a file from the backups folder over it; it was not changed"

    def __init__(self, path: str, place: str, reason: str) -> None:
        super().__init__(path, place, reason)
        self.path, self.place, self.reason = path, place, reason

    def message(self) -> str:
        """Return the message for a person."""
        where = f"{self.place}: " if self.place else ""
        return f"cannot read {self.path}: {where}{self.reason}; {self.advice}"


class CountedElsewhereError(OtelTrackerError):
    """The document at `path` counts `tasks` of which no event tells, so that imported runs may be the same; later ones aren't.

    `since` is the timestamp from which on events tell of all tasks; `home` is the value of `--home`.
    """

    def __init__(self, path: str, tasks: int, since: str, home: str | None) -> None:
        super().__init__(path, tasks, since, home)
        self.path, self.tasks, self.since, self.home = path, tasks, since, home

    def message(self) -> str:
        """Return the message for a person."""
        later, whole = (
            command("claude-code import", options=("--since", since), home=self.home)
            for since in (self.since, "1970-01-01")
        )
        return (
            f"cannot import all runs: {self.path} counts {self.tasks:,} tasks that another tracker has recorded, and "
            f"transcripts may tell of the same ones; import those since then with: {later}; or all the same: {whole}"
        )


class UnsupportedVersionError(DocumentError):
    """A document was written by a newer major version of the format."""

    advice = f"the file was not changed; update otel-tracker: {INSTALL_AGAIN}"


class PriceFileError(DocumentError):
    """A file of prices can't be used: `path` of the file, `place` in it (`$.models["m"].input`), and the `reason`."""

    advice = "correct it by hand, or delete it; until then the prices that the package brings hold"


class PackagedPricesError(PriceFileError):
    """The file of prices that the package brings is missing or damaged."""

    advice = f"install the package again: {INSTALL_AGAIN}; until then no model but yours has a price"


class StorageError(OtelTrackerError, OSError):
    """A file operation failed: what was `attempted` on the `path`, and the `reason`."""

    def __init__(self, attempted: str, path: str, reason: str) -> None:
        super().__init__(attempted, path, reason)
        self.attempted, self.path, self.reason = attempted, path, reason

    def message(self) -> str:
        """Return the message for a person."""
        return (
            f"cannot {self.attempted} {self.path}: {self.reason}; "
            "check the folder's owner, permissions and free space, or choose another with --home or OTEL_TRACKER_HOME"
        )


class SharedDocumentError(StorageError):
    """Two `homes` lead to the document at `path`; each would keep a journal for it."""

    def __init__(self, path: str, homes: tuple[str, str]) -> None:
        super().__init__("write to", path, f"both {homes[0]} and {homes[1]} are homes of it")
        self.homes = homes
        self.fields = (path, homes)

    def message(self) -> str:
        """Return the message for a person."""
        return (
            f"cannot {self.attempted} {self.path}: {self.reason}; "
            "use one of them for both with OTEL_TRACKER_HOME, or replace the link by a copy"
        )


class OutputError(StorageError):
    """An output file that a caller names can't be written: what was `attempted` on the `path`, and the `reason`."""

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot {self.attempted} {self.path}: {self.reason}; choose another file"


class MountedAloneError(StorageError):
    """A file (`path`) can't be replaced because it is mounted on its own."""

    def __init__(self, path: str) -> None:
        super().__init__("replace", path, "it is mounted on its own")
        self.fields = (path,)

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot {self.attempted} {self.path}: {self.reason}; mount the folder that it is in"


class AddressError(StorageError):
    """A server can't listen on an address, which is the `path`."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__("listen on", address, reason)
        self.fields = (address, reason)

    def message(self) -> str:
        """Return the message for a person."""
        return (
            f"cannot listen on {self.path}: {self.reason}; "
            "choose another --port or stop the process that uses it; --host must be an address of this machine"
        )


class CertificateError(StorageError):
    """Certificates or keys can't be used; the `path` names the files."""

    def __init__(self, files: str, reason: str) -> None:
        super().__init__("use the certificates", files, reason)
        self.fields = (files, reason)

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot use the certificates {self.path}: {self.reason}; expected PEM files that this user may read"


class LockTimeoutError(StorageError):
    """A process waited for a lock of the home in vain, for as long as it may: `attempted`, on the lock file's `path`, the `reason`."""

    def message(self) -> str:
        """Return the message for a person."""
        return f"cannot {self.attempted} {self.path}: {self.reason}; end that process if it hangs, or try again"


class LaggingError(StorageError):
    """The journal is so far ahead of the document at `path` that folding its events would take seconds."""

    def __init__(self, path: str, home: "str | None") -> None:
        super().__init__(
            "tell the state of", path, "the journal has far more events than the document, or than its backup"
        )
        self.home = home
        self.fields = (path, home)

    def message(self) -> str:
        """Return the message for a person."""
        remedy = command("doctor", options=("--repair",), home=self.home)
        return (
            f"cannot {self.attempted} {self.path}: {self.reason}, which no task waits for; fold them in with: {remedy}"
        )
