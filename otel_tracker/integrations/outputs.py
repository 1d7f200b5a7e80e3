"""The output of a command that may be any coding agent: the first integration that finds something in it is right."""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tracker.state.shapes import Tokens
    from otel_tracker.storage.port import Port
    from otel_tracker.tracking.output import Output

_Answer = TypeVar("_Answer")


class Outputs:
    """One reader made of one for each integration (tracking/output.py)."""

    def __init__(self, readers: "Sequence[Output]") -> None:
        self._readers = readers

    @property
    def error(self) -> str | None:
        """The error that the present attempt reports, None if it reports none."""
        return self._first(lambda reader: reader.error)

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the agent has had, None if the output names none."""
        return self._first(lambda reader: reader.conversation_id)

    @property
    def reported_cost(self) -> "dict[str, int] | int | None":
        """The cost that the agent itself reports, in micro-dollars: by model, or in all; None if it reports none."""
        costs = (reader.reported_cost for reader in self._readers)
        return next((cost for cost in costs if cost is not None), None)

    def begin(self) -> None:
        """Get ready for the output of the next attempt."""
        for reader in self._readers:
            reader.begin()

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the output."""
        for reader in self._readers:
            reader.feed(chunk)

    def close(self) -> None:
        """Look at the end of the output, which may be an unfinished line."""
        for reader in self._readers:
            reader.close()

    def usage(self, store: "Port", began: float) -> "tuple[Tokens | None, dict[str, Tokens]]":
        """Return the tokens of the task by type, None if unmeasured, and by full model id and type."""
        usages = (reader.usage(store, began) for reader in self._readers)
        return next((usage for usage in usages if usage[0] is not None), (None, {}))

    def _first(self, ask: "Callable[[Output], _Answer | None]") -> "_Answer | None":
        return next((answer for reader in self._readers if (answer := ask(reader)) is not None), None)
