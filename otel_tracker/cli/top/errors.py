"""Why `otel-tracker top` can't begin."""

from otel_tracker.errors import OtelTrackerError, command

_INSTALL = 'pip install ".[top]" in a clone of otel-tracker'


class MissingTextualError(OtelTrackerError):
    """Textual isn't installed."""

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return f"cannot show top: the library Textual is not installed; install it with: {_INSTALL}"


class NoTerminalError(OtelTrackerError):
    """Standard input or standard error is no terminal; `home` is the value of --home."""

    def __init__(self, home: "str | None") -> None:
        super().__init__(home)
        self.home = home

    def message(self) -> str:
        """Return the sentence that a person reads."""
        status = command("status", home=self.home)
        return f"cannot show top: standard input or standard error is no terminal; see the same in lines with: {status}"
