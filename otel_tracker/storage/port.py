"""The interface of a store for all other packages. `Store` implements it on files; another back end can implement it, too."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home


class Port(Protocol):
    """Records events, and answers what they add up to. The methods of `Store` say what each promises and raises."""

    home: "Home"

    def announce(self, events: "list[Event]", *, may_repeat: bool = False) -> None:
        """Record events that survive the process, but not a power cut."""

    def record(self, events: "list[Event]", *, may_repeat: bool = False) -> "list[Event]":
        """Record events for good, and return those that are new."""

    def record_found(self, find: "Callable[[Document], list[Event]]", *, is_patient: bool = False) -> "list[Event]":
        """Record the events that `find` makes of the present state, while no other process can record."""

    def leave(self, events: "list[Event]") -> str:
        """Leave events that could not be recorded for the next writer, and return where they are."""

    def read(self, *, is_patient: bool = True) -> "Document":
        """Return the present state."""

    def last_known(self, agent: str) -> "Event | None":
        """Return an agent's entry as this process has last seen it."""

    def history(self, agent: "str | None" = None, since: float = 0.0) -> "Iterator[Event]":
        """Yield the events of one agent or of all, newest first."""

    def run_events(
        self, document: "Document", since: float = float("-inf"), awaited: "Collection[str]" = ()
    ) -> "Iterator[tuple[float, Iterable[Event]]]":
        """Yield what there is about ended runs, newest first, in batches."""

    def conversation(self, conversation_id: str) -> "list[Event]":
        """Return the ends of a conversation's tasks, oldest first."""

    def events_after(self, number: int) -> "Iterator[list[Event]]":
        """Yield all events with a higher number, oldest first."""

    def last_number(self) -> int:
        """Return the number of the last event."""

    def settle(self) -> None:
        """Record what the store itself finds out, if possible."""

    def rewrite(self) -> None:
        """Write the document anew."""

    def back_up(self) -> "str | None":
        """Make a backup, and return where it is."""

    def back_up_if_possible(self) -> None:
        """Make a backup, or log why not."""

    def warn_once(self, message: str) -> None:
        """Log a warning, unless it was logged before."""
