"""What the output of a command says of the task, if the command is a coding agent: its error, conversation and tokens."""

from typing import Protocol

from otel_tracker.state.shapes import Tokens
from otel_tracker.storage.port import Port


class Output(Protocol):
    """A reader of the output: each attempt to run the command is announced with `begin` and ended with `close`."""

    @property
    def error(self) -> str | None:
        """The error that the present attempt reports, None if it reports none."""

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the agent has had, None if the output names none."""

    @property
    def reported_cost(self) -> dict[str, int] | int | None:
        """The cost that the agent itself reports, in micro-dollars: by model, or in all; None if it reports none."""

    def begin(self) -> None:
        """Get ready for the output of the next attempt."""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the output."""

    def close(self) -> None:
        """Look at the end of the output, which may be an unfinished line."""

    def usage(self, store: Port, began: float) -> tuple[Tokens | None, dict[str, Tokens]]:
        """Return the tokens of the task by type, None if unmeasured, and by full model id and type.

        The task began at the moment `began`, in seconds since 1970. What `store` has recorded for other tasks of the same
        conversation doesn't count again.
        """
